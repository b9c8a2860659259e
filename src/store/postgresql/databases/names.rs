//! The names of databases beside live, and the number of live's lock.

use sha2::{Digest, Sha256};

use crate::store::beside::Longest;

/// The names that one target uses on its server.
#[derive(Debug, Clone)]
pub(in crate::store::postgresql) struct Names {
    pub(in crate::store::postgresql) live: String,
    pub(in crate::store::postgresql) incoming: String,
    pub(in crate::store::postgresql) previous: String,
    /// What was previous, between publish and the end of the run.
    pub(in crate::store::postgresql) discarded: String,
    /// What takes live's place while it is loaded in place, until it has its name.
    pub(in crate::store::postgresql) emptied: String,
    /// The database that a dump is restored into.
    pub(in crate::store::postgresql) staging: String,
}

/// PostgreSQL cuts longer names (`NAMEDATALEN` - 1).
const LONGEST: Longest = Longest::Bytes(63);

impl Names {
    /// The names for `live` in the run that ends with these 12 digits.
    pub(in crate::store::postgresql) fn new(live: &str, run: &str) -> Self {
        Self {
            live: live.to_owned(),
            incoming: LONGEST.of_run(live, "_incoming_", run),
            previous: LONGEST.beside(live, "_previous"),
            discarded: LONGEST.of_run(live, "_discarded_", run),
            emptied: LONGEST.of_run(live, "_emptied_", run),
            staging: LONGEST.of_run(live, "_staging_", run),
        }
    }

    /// Whether a database is what a dead run of this target has left.
    pub(super) fn is_leftover(&self, database: &str) -> bool {
        ["_incoming_", "_discarded_", "_emptied_", "_staging_"]
            .iter()
            .any(|middle| LONGEST.is_of_a_run(&self.live, middle, database))
    }
}

/// Where two hosts meet that want one target: the number of its advisory lock.
pub(in crate::store::postgresql) fn lock_number(live: &str) -> i64 {
    let digest = Sha256::digest(format!("envsyncd target {live}"));
    i64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn another_targets_databases_are_no_leftovers() {
        let names = Names::new("app", "0123456789ab");
        assert!(names.is_leftover("app_incoming_aaaaaaaaaaaa"));
        assert!(names.is_leftover("app_discarded_aaaaaaaaaaaa"));
        assert!(names.is_leftover("app_emptied_aaaaaaaaaaaa"));
        assert!(names.is_leftover("app_staging_aaaaaaaaaaaa"));
        for other in [
            "my-app_incoming_aaaaaaaaaaaa",
            "app_incoming_aaaaaaaaaaa",
            "app_previous",
            "app",
            "app_incoming_AAAAAAAAAAAA",
            "app2_incoming_aaaaaaaaaaaa",
        ] {
            assert!(!names.is_leftover(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn names_are_different_and_short_enough(live in "[a-zé\" .%]{1,60}", other in "[a-zé\" .%]{1,60}") {
            let mine = Names::new(&live, "0123456789ab");
            prop_assert!(mine.incoming.len() <= 63 && mine.previous.len() <= 63);
            prop_assert!(mine.is_leftover(&mine.incoming));
            if live != other {
                prop_assert_ne!(mine.incoming, Names::new(&other, "0123456789ab").incoming);
            }
        }
    }
}
