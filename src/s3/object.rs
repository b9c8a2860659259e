//! What lies in an archive: objects, which paths they may have, and how many of them a list may have.

use chrono::{DateTime, Utc};

use crate::error::{Error, Kind, Result};

/// One object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its path, relative to the archive.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// When it was written, by the server's clock.
    pub modified: DateTime<Utc>,
}

/// A list that has more names than this, or more bytes of them, has no end: a server may go on for ever, and a directory be
/// filled by whoever can write there.
const MOST_NAMES: usize = 1_000_000;

const MOST_BYTES_OF_NAMES: usize = 128 * 1024 * 1024;

/// Counts the names of a list while it grows.
#[derive(Debug, Default)]
pub(crate) struct Names {
    names: usize,
    bytes: usize,
}

impl Names {
    /// One more; an error once there are more than any archive has.
    pub(crate) fn add(&mut self, name: &str, place: &str) -> Result<()> {
        self.names += 1;
        self.bytes += name.len();
        if self.names <= MOST_NAMES && self.bytes <= MOST_BYTES_OF_NAMES {
            return Ok(());
        }
        Err(endless(place))
    }
}

/// The error of a list that goes on and on.
pub(crate) fn endless(place: &str) -> Error {
    let what = format!("the list of {place} has no end");
    Error::new(Kind::Verify, what).hint(format!(
        "at most {MOST_NAMES} names are read: give the archive a prefix or a directory of its own, and find out who answers there"
    ))
}

/// Paths come from manifests, too, which others may have written.
pub(crate) fn check(path: &str) -> Result<()> {
    let fine = |part: &str| !part.is_empty() && part != "." && part != "..";
    if path.split('/').all(fine) && !path.chars().any(char::is_control) {
        return Ok(());
    }
    let what = format!("{path:?} is not the path of something in an archive");
    Err(Error::new(Kind::Verify, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_no_more_names_and_bytes_than_an_archive_can_have() {
        let mut names = Names::default();
        for _ in 0..MOST_NAMES {
            names.add("a", "s3://b").unwrap();
        }
        let error = names.add("a", "s3://b").unwrap_err();
        assert!(error.to_string().contains("has no end"), "{error}");
        let (mut names, long) = (Names::default(), "x".repeat(1024 * 1024));
        let fit = MOST_BYTES_OF_NAMES / long.len();
        assert!((0..fit).all(|_| names.add(&long, "s3://b").is_ok()));
        assert!(names.add(&long, "s3://b").is_err());
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        for path in ["a", "a/b.c/d e", "..a", "a/...", "ä%"] {
            assert!(check(path).is_ok(), "{path}");
        }
        for path in [
            "", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a/..", "./a", "a\0", "a\nb",
        ] {
            assert_eq!(check(path).unwrap_err().kind(), Kind::Verify, "{path:?}");
        }
    }
}
