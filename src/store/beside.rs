//! Names beside live on the same server: incoming, previous, discarded and the like, and how long they may be. Pure.

use sha2::{Digest, Sha256};

/// The longest name that a server takes.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum Longest {
    /// In bytes.
    #[cfg(feature = "postgresql")]
    Bytes(usize),
    /// In characters.
    #[cfg(feature = "mysql")]
    Characters(usize),
}

impl Longest {
    /// `name` with `suffix`, cut so that it fits.
    pub(in crate::store) fn beside(self, name: &str, suffix: &str) -> String {
        let (longest, length) = match self {
            #[cfg(feature = "postgresql")]
            Self::Bytes(longest) => (longest, name.len()),
            #[cfg(feature = "mysql")]
            Self::Characters(longest) => (longest, name.chars().count()),
        };
        if length + suffix.len() <= longest {
            return format!("{name}{suffix}");
        }
        // Two long names that begin alike must not meet.
        let digest = format!("{:x}", Sha256::digest(name));
        let room = longest - suffix.len() - 9;
        let begin = match self {
            #[cfg(feature = "postgresql")]
            Self::Bytes(_) => {
                let mut end = room;
                while !name.is_char_boundary(end) {
                    end -= 1;
                }
                &name[..end]
            }
            #[cfg(feature = "mysql")]
            Self::Characters(_) => name
                .char_indices()
                .nth(room)
                .map_or(name, |(end, _)| &name[..end]),
        };
        format!("{begin}_{}{suffix}", &digest[..8])
    }

    /// The name of what a run builds, keeps or drops: with the run's 12 digits at its end.
    pub(in crate::store) fn of_run(self, live: &str, middle: &str, run: &str) -> String {
        self.beside(live, &format!("{middle}{run}"))
    }

    /// Whether a name is [`Self::of_run`] of any run.
    pub(in crate::store) fn is_of_a_run(self, live: &str, middle: &str, name: &str) -> bool {
        let Some(run) = name.len().checked_sub(12).and_then(|at| name.get(at..)) else {
            return false;
        };
        run.bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            && self.of_run(live, middle, run) == name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "postgresql")]
    #[test]
    fn a_name_is_cut_between_characters_and_told_from_others_by_its_digest() {
        let longest = Longest::Bytes(63);
        assert_eq!(longest.beside("app", "_previous"), "app_previous");
        let live = "é".repeat(30);
        let name = longest.beside(&live, "_previous");
        assert_eq!(name, format!("{}_f96161c7_previous", "é".repeat(22)));
        assert!(name.len() <= 63);
    }

    #[cfg(feature = "mysql")]
    #[test]
    fn a_limit_in_characters_counts_no_bytes() {
        let longest = Longest::Characters(64);
        let live = "é".repeat(55);
        assert_eq!(
            longest.beside(&live, "_previous"),
            format!("{live}_previous")
        );
        let name = longest.beside(&format!("{live}é"), "_previous");
        assert_eq!(name.chars().count(), 64);
        assert!(name.starts_with(&"é".repeat(46)) && name.ends_with("_previous"));
    }
}
