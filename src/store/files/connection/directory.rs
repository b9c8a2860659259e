//! A directory that is open. Everything in it is reached by its descriptor and one name, and no link is followed.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, SeekFrom, mkdirat, openat, readlinkat, seek, statx};
use rustix::io::{Errno, Result};
use rustix::path::Arg;

use super::names::Names;
use super::stat::{ASKED, FileKind, Stat};

const OPEN: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// An open directory.
#[derive(Debug)]
pub(in crate::store::files) struct Directory(OwnedFd);

impl Directory {
    /// The one at a path, which may be a link to it: for a task's own places, and nothing in them.
    pub(in crate::store::files) fn at(path: &Path) -> Result<Self> {
        open_quietly(CWD, path, OPEN).map(Self)
    }

    /// One in this one.
    pub(in crate::store::files) fn open(&self, name: &CStr) -> Result<Self> {
        open_quietly(&self.0, name, OPEN | OFlags::NOFOLLOW).map(Self)
    }

    /// Makes one in this one, for nobody but us, and opens it.
    pub(in crate::store::files) fn make(&self, name: &CStr) -> Result<Self> {
        mkdirat(&self.0, name, Mode::RWXU)?;
        self.open(name)
    }

    /// Opens a file to read it; what is none is never waited for.
    pub(in crate::store::files) fn read_file(&self, name: &CStr) -> Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        open_quietly(&self.0, name, flags | OFlags::NOCTTY)
    }

    /// The same of a file that was there before; `None`: it is gone, or another kind of thing has taken its place.
    pub(in crate::store::files) fn read_file_still_there(
        &self,
        name: &CStr,
    ) -> Result<Option<OwnedFd>> {
        let file = match self.read_file(name) {
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
            file => file?,
        };
        let is_file = stat_of(&file)?.kind == FileKind::Regular;
        Ok(is_file.then_some(file))
    }

    /// Makes a file that was not there.
    pub(in crate::store::files) fn make_file(&self, name: &CStr, mode: u32) -> Result<OwnedFd> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat(
            &self.0,
            name,
            flags | OFlags::NOFOLLOW,
            Mode::from_raw_mode(mode),
        )
    }

    /// The names in it, sorted; one thread at a time.
    pub(in crate::store::files) fn names(&self) -> Result<Names> {
        seek(&self.0, SeekFrom::Start(0))?;
        Names::read(&self.0)
    }

    /// What is known of a name in it.
    pub(in crate::store::files) fn stat(&self, name: &CStr) -> Result<Stat> {
        statx(&self.0, name, AtFlags::SYMLINK_NOFOLLOW, ASKED).map(|found| Stat::of(&found))
    }

    /// What is known of a name in it, if it is there.
    pub(in crate::store::files) fn find(&self, name: &CStr) -> Result<Option<Stat>> {
        match self.stat(name) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a name in it must not be changed: it is immutable, or may only be appended to (see chattr(1)).
    pub(in crate::store::files) fn is_fixed(&self, name: &CStr) -> Result<bool> {
        Ok(self.find(name)?.is_some_and(|found| found.is_fixed))
    }

    /// What is known of itself.
    pub(in crate::store::files) fn own_stat(&self) -> Result<Stat> {
        stat_of(&self.0)
    }

    /// Where a link in it leads.
    pub(in crate::store::files) fn link(&self, name: &CStr) -> Result<Vec<u8>> {
        readlinkat(&self.0, name, Vec::new()).map(std::ffi::CString::into_bytes)
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Opens what is there to read it. When it was read last stays as it was, where the system allows that: to its owner and to root.
fn open_quietly(above: impl AsFd, name: impl Arg + Copy, flags: OFlags) -> Result<OwnedFd> {
    match openat(&above, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(&above, name, flags, Mode::empty()),
        opened => opened,
    }
}

/// What is known of an open file.
pub(in crate::store::files) fn stat_of(file: impl AsFd) -> Result<Stat> {
    statx(file, c"", AtFlags::EMPTY_PATH, ASKED).map(|found| Stat::of(&found))
}
