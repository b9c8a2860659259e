//! What is mounted in a tree of ours: it is somebody else's, and neither removed nor moved away with the tree.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::directory::Directory;
use super::stat::Stat;
use super::told::told;
use crate::error::{Error, Kind};

/// The mounts that this process sees: proc_pid_mountinfo(5).
const LIST: &str = "/proc/self/mountinfo";
/// Which of a line's words is the path where something is mounted.
const PLACE: usize = 4;

/// Whether something is mounted on a directory, or it is on another device than the one above it, where that is known.
pub(in crate::store::files) fn is_elsewhere(found: &Stat, above: Option<u64>) -> bool {
    found.is_mounted_on || above.is_some_and(|above| above != found.id.0)
}

/// The path in a tree at which something is mounted below the tree's own directory, if anything is. The tree's path has no links.
/// Where there is no `/proc` nobody can say: whoever removes looks at each directory all the same.
pub(in crate::store::files) fn below(tree: &Path) -> Option<Vec<u8>> {
    let list = std::fs::read(LIST).unwrap_or_default();
    first_below(&list, tree.as_os_str().as_bytes())
}

/// Refuses to exchange a tree that goes by this name: something is mounted at a path in it.
pub(in crate::store::files) fn not_exchanged(path: &[u8], tree: &str) -> Error {
    let what = format!("{}: another file system is mounted in {tree}", told(path));
    Error::new(Kind::Verify, what)
        .hint("a tree with a mount in it cannot be exchanged for another one: unmount it")
}

/// Refuses to remove what has this path in a directory of ours: something is mounted there.
pub(in crate::store::files) fn not_removed(above: &Directory, path: &[u8]) -> Error {
    // As the system knows it, so that it can be unmounted by it.
    let link = format!("/proc/self/fd/{}", above.as_fd().as_raw_fd());
    let place = std::fs::read_link(link).unwrap_or_default();
    let place = place.join(OsStr::from_bytes(path));
    let place = told(place.as_os_str().as_bytes());
    let what = format!("{place} is not removed: another file system is mounted there");
    Error::new(Kind::Io, what).hint("unmount it; what is mounted there is as it was")
}

fn first_below(list: &[u8], tree: &[u8]) -> Option<Vec<u8>> {
    list.split(|byte| *byte == b'\n').find_map(|line| {
        let place = line.split(|byte| *byte == b' ').nth(PLACE)?;
        let place = unescaped(place);
        let path = place.strip_prefix(tree)?.strip_prefix(b"/")?;
        Some(path.to_vec())
    })
}

/// A path of the list: in it, spaces and the like are `\` and three octal digits.
fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [byte, behind @ ..] = rest {
        let digits = behind.get(..3).filter(|digits| is_byte(digits));
        if let (b'\\', Some(digits)) = (*byte, digits) {
            path.push(
                digits
                    .iter()
                    .fold(0_u8, |sum, digit| sum * 8 + (digit - b'0')),
            );
            rest = &behind[digits.len()..];
        } else {
            path.push(*byte);
            rest = behind;
        }
    }
    path
}

/// Whether three digits are a byte's, in octal.
fn is_byte(digits: &[u8]) -> bool {
    digits[0] < b'4' && digits.iter().all(|digit| (b'0'..=b'7').contains(digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] = b"21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
35 21 8:2 / /srv rw - ext4 /dev/sda2 rw
36 35 0:40 / /srv/live-not rw - tmpfs tmpfs rw
37 35 8:2 /other /srv/my\\040live/d\\134\\011e/caf\xc3\xa9 rw,noatime master:1 - ext4 /dev/sda2 rw
broken
";

    #[test]
    fn a_mount_is_found_below_a_tree_and_nowhere_else() {
        let found = |tree: &str| first_below(MOUNTS, tree.as_bytes());
        let path = "d\\\te/caf\u{e9}";
        assert_eq!(found("/srv/my live"), Some(path.into()));
        assert_eq!(found("/srv/my live/d\\\te"), Some("caf\u{e9}".into()));
        for tree in [
            "/srv/live",
            "/srv/live-not",
            "/srv/my",
            "/srv/my live/d",
            "/x",
        ] {
            assert_eq!(found(tree), None, "{tree}");
        }
        assert_eq!(first_below(b"", b"/srv"), None);
    }

    #[test]
    fn a_backslash_without_a_number_is_one() {
        for word in [&b"a\\"[..], b"\\04", b"\\999", b"\\"] {
            assert_eq!(unescaped(word), word);
        }
        assert_eq!(unescaped(b"\\377\\043"), b"\xff#");
    }
}
