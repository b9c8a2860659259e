//! Free room where a copy would go, as far as it can be seen from this machine.

use std::path::{Path, PathBuf};

/// A file system that a target writes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    /// The directory.
    pub place: PathBuf,
    /// Bytes that are free there for who is no superuser.
    pub free: u64,
    /// What is written there is compressed.
    pub is_compressed: bool,
}

impl Room {
    /// Of a directory, or of the nearest above it that is there; `None` if it cannot be seen.
    pub fn of(directory: &Path) -> Option<Self> {
        let there = directory.ancestors().find(|one| one.exists())?;
        let found = nix::sys::statvfs::statvfs(there).ok()?;
        Some(Self {
            place: directory.to_owned(),
            free: found.blocks_available() * found.fragment_size() as u64,
            is_compressed: false,
        })
    }

    /// Whether so many bytes, as stored on a source, may find no room. Compressed they are rarely less than a tenth.
    pub fn is_short_of(&self, bytes: u64) -> bool {
        let needed = if self.is_compressed {
            bytes / 10
        } else {
            bytes
        };
        self.free < needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_a_directory_that_is_not_there_yet_is_that_of_the_one_above() {
        let above = tempfile::tempdir().unwrap();
        let room = Room::of(&above.path().join("a/b")).unwrap();
        assert_eq!(room.place, above.path().join("a/b"));
        assert!(room.free > 0);
    }

    #[test]
    fn a_copy_that_is_compressed_needs_less() {
        let room = |is_compressed| Room {
            place: PathBuf::from("/"),
            free: 100,
            is_compressed,
        };
        assert!(room(false).is_short_of(101) && !room(false).is_short_of(100));
        assert!(room(true).is_short_of(1010) && !room(true).is_short_of(101));
    }
}
