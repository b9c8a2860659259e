//! Names of schemas, and names and texts in statements.

use crate::store::Claim;
use crate::store::beside::Longest;

/// An identifier as statements write it.
pub(in crate::store::mysql) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text as statements write it, in a session without NO_BACKSLASH_ESCAPES (as ours are).
pub(in crate::store::mysql) fn literal(text: &str) -> String {
    let mut made = String::with_capacity(text.len() + 2);
    made.push('\'');
    for c in text.chars() {
        match c {
            '\'' => made.push_str("''"),
            '\\' => made.push_str("\\\\"),
            '\0' => made.push_str("\\0"),
            c => made.push(c),
        }
    }
    made.push('\'');
    made
}

/// The schemas of one target in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::mysql) struct Names {
    /// The schema that applications use.
    pub(in crate::store::mysql) live: String,
    /// The copy that is being built.
    pub(in crate::store::mysql) incoming: String,
    /// What was live before.
    pub(in crate::store::mysql) previous: String,
    /// What was previous before this run's publish, until the run has succeeded.
    pub(in crate::store::mysql) discarded: String,
    /// A dump that is restored to be copied from.
    pub(in crate::store::mysql) staging: String,
    /// What says of all but live that this run made it.
    pub(in crate::store::mysql) mark: String,
}

/// How every mark begins.
pub(super) const SIGN: &str = "envsyncd: ";

/// What says of things that a run makes who made them, when, and for what.
fn mark(claim: &Claim, live: &str) -> String {
    let short = |text: &str| text.chars().take(128).collect::<String>();
    format!(
        "{SIGN}job {}, run {}, on {}, at {}, for {live}",
        short(&claim.job),
        short(&claim.run),
        short(&claim.host),
        chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ")
    )
}

/// Servers refuse longer names; they count characters ("Identifier Names", MariaDB's manual).
const LONGEST: Longest = Longest::Characters(64);

impl Names {
    /// The names for `live`, as the server spells it, in a run.
    pub(in crate::store::mysql) fn new(live: &str, claim: &Claim) -> Self {
        let run = claim.short();
        Self {
            mark: mark(claim, live),
            live: live.to_owned(),
            incoming: LONGEST.of_run(live, "_incoming_", run),
            previous: beside(live, "_previous"),
            discarded: LONGEST.of_run(live, "_discarded_", run),
            staging: LONGEST.of_run(live, "_staging_", run),
        }
    }

    /// Whether a schema is what a dead run of this target has left.
    pub(in crate::store::mysql) fn is_leftover(&self, schema: &str) -> bool {
        ["_incoming_", "_discarded_", "_staging_"]
            .iter()
            .any(|middle| self.leftover(schema, middle))
    }

    /// Whether a schema is live, or what this target has or had beside it.
    pub(in crate::store::mysql) fn is_own(&self, schema: &str) -> bool {
        [&self.live, &self.previous].contains(&&schema.to_owned()) || self.is_leftover(schema)
    }

    /// Whether a schema is another run's staging: a dump that was restored.
    pub(in crate::store::mysql) fn is_staging(&self, schema: &str) -> bool {
        self.leftover(schema, "_staging_")
    }

    /// Whether a schema is another run's incoming.
    pub(in crate::store::mysql) fn is_incoming(&self, schema: &str) -> bool {
        self.leftover(schema, "_incoming_")
    }

    fn leftover(&self, schema: &str, middle: &str) -> bool {
        LONGEST.is_of_a_run(&self.live, middle, schema)
    }
}

/// `name` with `suffix`, cut so that it fits.
pub(in crate::store::mysql) fn beside(name: &str, suffix: &str) -> String {
    LONGEST.beside(name, suffix)
}

/// `schema.table`, quoted.
pub(in crate::store::mysql) fn within(schema: &str, name: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(live: &str) -> Names {
        let claim = Claim {
            job: "nightly".to_owned(),
            run: "01990000-0000-7000-8000-0123456789ab".to_owned(),
            host: "db1".to_owned(),
        };
        Names::new(live, &claim)
    }

    #[test]
    fn another_targets_schemas_are_no_leftovers() {
        let names = named("app");
        assert!(names.is_leftover("app_incoming_aaaaaaaaaaaa"));
        assert!(names.is_leftover("app_discarded_aaaaaaaaaaaa"));
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

    #[test]
    fn a_mark_says_who_when_and_for_what() {
        let mark = named("app").mark;
        for part in [
            SIGN,
            "job nightly,",
            "run 01990000-",
            "on db1,",
            "Z, for app",
        ] {
            assert!(mark.contains(part), "{mark}");
        }
    }

    #[test]
    fn a_text_is_one_literal_whatever_is_in_it() {
        assert_eq!(literal("it's \\ \0"), "'it''s \\\\ \\0'");
        assert_eq!(quoted("a`b"), "`a``b`");
    }

    proptest! {
        #[test]
        fn names_are_different_and_short_enough(live in "[a-zé\" .%]{1,64}", other in "[a-zé\" .%]{1,64}") {
            let mine = named(&live);
            for name in [&mine.incoming, &mine.previous, &mine.discarded, &mine.staging] {
                prop_assert!(name.chars().count() <= 64);
            }
            prop_assert!([&mine.incoming, &mine.discarded, &mine.staging].iter().all(|name| mine.is_leftover(name)));
            if live != other {
                prop_assert_ne!(mine.incoming, named(&other).incoming);
            }
        }
    }
}
