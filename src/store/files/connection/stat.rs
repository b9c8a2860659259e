//! What is known of a file without its content.

use rustix::fs::{FileType, Statx, StatxAttributes, StatxFlags};

/// What is asked for.
pub(in crate::store::files) const ASKED: StatxFlags = StatxFlags::BASIC_STATS;

/// Stands for the permissions of what has none, such as an object in a bucket.
pub(in crate::store::files) const UNKNOWN: u32 = u32::MAX;

/// A moment, in seconds and nanoseconds.
pub(in crate::store::files) type Moment = (i64, u32);

/// A file's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) enum FileKind {
    /// A directory.
    Directory,
    /// A file with content.
    Regular,
    /// A symbolic link.
    Link,
    /// A socket, a pipe or a device.
    Special,
}

impl FileKind {
    /// As the system calls it; `None`: it did not say.
    pub(in crate::store::files) fn of(kind: FileType) -> Option<Self> {
        match kind {
            FileType::Directory => Some(Self::Directory),
            FileType::RegularFile => Some(Self::Regular),
            FileType::Symlink => Some(Self::Link),
            FileType::Unknown => None,
            _ => Some(Self::Special),
        }
    }
}

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::files) struct Stat {
    /// Its kind.
    pub(in crate::store::files) kind: FileKind,
    /// Permissions, with setuid, setgid and sticky.
    pub(in crate::store::files) mode: u32,
    /// Whose it is.
    pub(in crate::store::files) owner: (u32, u32),
    /// Bytes.
    pub(in crate::store::files) size: u64,
    /// Bytes that are on the disk.
    pub(in crate::store::files) stored: u64,
    /// When its content was changed.
    pub(in crate::store::files) modified: Moment,
    /// When it was changed in any way.
    pub(in crate::store::files) changed: Moment,
    /// Device and inode.
    pub(in crate::store::files) id: (u64, u64),
    /// Whether something is mounted on it.
    pub(in crate::store::files) is_mounted_on: bool,
    /// Whether it must not be changed: it is immutable, or may only be appended to (see chattr(1)).
    pub(in crate::store::files) is_fixed: bool,
}

impl Stat {
    /// As the system says it.
    pub(in crate::store::files) fn of(found: &Statx) -> Self {
        let kind = FileKind::of(FileType::from_raw_mode(found.stx_mode.into()));
        let device = u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor);
        let mounted = StatxAttributes::MOUNT_ROOT;
        let fixed = StatxAttributes::IMMUTABLE.union(StatxAttributes::APPEND);
        Self {
            kind: kind.unwrap_or(FileKind::Special),
            mode: u32::from(found.stx_mode) & 0o7777,
            owner: (found.stx_uid, found.stx_gid),
            size: found.stx_size,
            stored: found.stx_blocks * 512,
            modified: (found.stx_mtime.tv_sec, found.stx_mtime.tv_nsec),
            changed: (found.stx_ctime.tv_sec, found.stx_ctime.tv_nsec),
            id: (device, found.stx_ino),
            is_mounted_on: found.stx_attributes.contains(mounted),
            is_fixed: found.stx_attributes.intersects(fixed),
        }
    }

    /// Of what has a kind and nothing else.
    pub(in crate::store::files) fn unknown(kind: FileKind) -> Self {
        Self {
            kind,
            mode: 0,
            owner: (0, 0),
            size: 0,
            stored: 0,
            modified: (0, 0),
            changed: (0, 0),
            id: (0, 0),
            is_mounted_on: false,
            is_fixed: false,
        }
    }

    /// Whether nobody knows its permissions and its owner: it is in no file system.
    pub(in crate::store::files) fn is_vague(&self) -> bool {
        self.mode == UNKNOWN
    }

    /// Whether it has places where nothing is stored.
    pub(in crate::store::files) fn is_sparse(&self) -> bool {
        self.stored < self.size
    }

    /// Whether it is the same file with the same content as it was then.
    pub(in crate::store::files) fn is_still(&self, then: &Self) -> bool {
        (self.id, self.size, self.modified, self.changed)
            == (then.id, then.size, then.modified, then.changed)
    }
}
