//! What a list says of an object, as what is known of a file. Pure.

use md5::{Digest as _, Md5};

use crate::s3::pages::Listed;
use crate::store::files::connection::stat::{FileKind, Moment, Stat, UNKNOWN};

/// The permissions of a file whose object does not say them.
pub(in crate::store::files) const FILE_MODE: u32 = 0o644;

/// No file's name is longer on Linux.
const LONGEST_NAME: usize = 255;
/// Directories in each other: each costs a descriptor.
const DEEPEST: usize = 512;

/// What is known of an object. Its time is the bucket's to the second, and behind it stands a number that is made of the tag:
/// then a file that was copied from it has the same time for as long as it is the same object.
pub(in crate::store::files) fn stat(object: &Listed) -> Stat {
    let written = (
        object.modified.timestamp(),
        object.modified.timestamp_subsec_nanos(),
    );
    let tag = object.tag.as_deref().unwrap_or_default();
    Stat {
        kind: FileKind::Regular,
        mode: UNKNOWN,
        owner: (0, 0),
        size: object.size,
        stored: object.size,
        modified: moment(object.modified.timestamp(), tag),
        changed: written,
        id: (0, 0),
        is_mounted_on: false,
        is_fixed: false,
    }
}

/// The size of a directory for which an object stands.
const MARKED: u64 = 1;

/// Whether an object stands for a directory, and not only the keys of what is in it.
pub(in crate::store::files) fn is_marked(directory: &Stat) -> bool {
    directory.kind == FileKind::Directory && directory.size == MARKED
}

/// What is known of a directory that keys make, or an object of its own.
pub(in crate::store::files) fn directory(is_marked: bool) -> Stat {
    Stat {
        kind: FileKind::Directory,
        mode: UNKNOWN,
        owner: (0, 0),
        size: if is_marked { MARKED } else { 0 },
        stored: 0,
        modified: (0, 0),
        changed: (0, 0),
        id: (0, 0),
        is_mounted_on: false,
        is_fixed: false,
    }
}

/// The time of a copy of an object that was written in this second and has this tag.
pub(in crate::store::files) fn moment(second: i64, tag: &str) -> Moment {
    (second, (short(tag) % 1_000_000_000) as u32)
}

/// A number that tells a tag from others.
fn short(tag: &str) -> u64 {
    let sum = Md5::digest(tag.to_ascii_lowercase());
    sum.iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// What a key stands for in a tree.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store::files) enum Meaning<'k> {
    /// A file.
    File(&'k str),
    /// A directory: an object without content whose key ends with a slash. The prefix's own has an empty path.
    Directory(&'k str),
    /// Nothing that a tree can have, and why.
    Impossible(&'static str),
}

/// What a key, without the prefix, stands for.
pub(in crate::store::files) fn meaning(key: &str, size: u64) -> Meaning<'_> {
    let (path, is_directory) = match key.strip_suffix('/') {
        Some(path) => (path, true),
        None => (key, false),
    };
    if is_directory && size > 0 {
        return Meaning::Impossible("it ends with a slash and has content");
    }
    if path.is_empty() {
        return if is_directory || size == 0 {
            Meaning::Directory("")
        } else {
            Meaning::Impossible("it has no name")
        };
    }
    if path.split('/').count() > DEEPEST {
        return Meaning::Impossible("it lies too deep");
    }
    for name in path.split('/') {
        let why = match name {
            "" => "a part of it is empty",
            "." | ".." => "a part of it is `.` or `..`",
            name if name.contains('\0') => "it has a NUL in it",
            name if name.len() > LONGEST_NAME => "a part of it is longer than 255 bytes",
            _ => continue,
        };
        return Meaning::Impossible(why);
    }
    if is_directory {
        Meaning::Directory(path)
    } else {
        Meaning::File(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_is_a_file_or_a_directory_or_nothing() {
        assert_eq!(meaning("a/b c\n.txt", 3), Meaning::File("a/b c\n.txt"));
        assert_eq!(meaning("a/", 0), Meaning::Directory("a"));
        assert_eq!(meaning("", 0), Meaning::Directory(""));
        let long = "x".repeat(256);
        for key in [
            "a//b", "/a", "a/", "../a", "a/./b", "a/..", "a\0", "//", &long,
        ] {
            assert!(matches!(meaning(key, 1), Meaning::Impossible(_)), "{key}");
        }
    }

    #[test]
    fn another_tag_is_another_time_and_its_case_is_none() {
        let (one, other) = (moment(5, "a"), moment(5, "b"));
        assert!(one != other && one.0 == 5 && one.1 < 1_000_000_000);
        assert_eq!(moment(5, "AB"), moment(5, "ab"));
    }

    proptest! {
        /// What a tree has is a path that leads nowhere else.
        #[test]
        fn what_is_a_file_has_a_plain_path(key in "[a./\\x00é]{0,12}") {
            if let Meaning::File(path) = meaning(&key, 1) {
                prop_assert_eq!(path, key.as_str());
                prop_assert!(path.split('/').all(|name| !matches!(name, "" | "." | "..")));
            }
        }
    }
}
