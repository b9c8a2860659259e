//! The directory: every name is looked up below it by the kernel (`openat2`, `RESOLVE_BENEATH`), through no link.
//!
//! What is fetched lies in `.envsyncd-proxy` until it is whole. One process at a time writes there.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fs2::FileExt as _;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RenameFlags, ResolveFlags, Stat, Timespec, Timestamps,
    UTIME_OMIT, Uid, fchmod, fchown, fstat, futimens, linkat, mkdirat, openat, openat2,
    renameat_with, stat, unlinkat,
};
use rustix::io::Errno;

use super::conditions::Validators;
use super::name::Name;
use crate::error::{Error, Kind, Result, io as failed};

/// Where files are until they are whole.
pub(super) const WORKPLACE: &str = ".envsyncd-proxy";
/// Held by the process that writes there.
const LOCK: &str = "lock";
/// What the names of unfinished files begin with.
const UNFINISHED: &str = "new-";

/// The number of this process's next file.
static NEXT: AtomicU64 = AtomicU64::new(0);

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);

/// A directory that is open.
pub(super) struct Tree {
    root: OwnedFd,
    /// Device and inode: another directory may come into its place.
    identity: (u64, u64),
    workplace: Option<Workplace>,
}

struct Workplace {
    directory: OwnedFd,
    lock: Arc<File>,
}

/// A regular file that is there.
pub(super) struct Present {
    pub(super) file: Arc<File>,
    pub(super) validators: Validators,
}

/// What lies under a name.
pub(super) enum Found {
    File(Present),
    Nothing,
    /// A directory, a link, a device, or something below a file.
    Other,
    Unreadable,
}

impl Tree {
    /// Opens it; `writes`: to put files into it, too. The tree that stood there before may hold the same lock already, where
    /// one was made out of the other.
    pub(super) fn open(path: &Path, writes: bool, before: Option<&Tree>) -> Result<Self> {
        let named = || format!("root {} of a file proxy", path.display());
        let cannot = |error: Errno| failed(format!("{} cannot be opened", named()))(error.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| {
            cannot(error)
                .hint("see `root` under [[file_proxy]]: a directory that this user may read")
        })?;
        let found = fstat(&root).map_err(cannot)?;
        if let Err(Errno::NOSYS) = openat2(&root, c".", flags, Mode::empty(), BENEATH) {
            let what = "this kernel cannot look up files below a directory (openat2)";
            return Err(Error::new(Kind::Io, what).hint("the file proxy needs Linux 5.6 or newer"));
        }
        let workplace = if writes {
            let lock = before
                .and_then(|tree| tree.workplace.as_ref())
                .map(|workplace| &workplace.lock);
            Some(Workplace::open(&root, &named(), lock)?)
        } else {
            None
        };
        Ok(Self {
            identity: identity(&found),
            root,
            workplace,
        })
    }

    /// Whether it still stands at this path.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        stat(path).is_ok_and(|found| identity(&found) == self.identity)
    }

    /// What lies under a name. `cached`: only if no disk is asked; `None`: it would have to be.
    pub(super) fn look(&self, name: &Name, cached: bool) -> io::Result<Option<Found>> {
        let flags =
            OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let resolve = if cached {
            BENEATH | ResolveFlags::CACHED
        } else {
            BENEATH
        };
        let file = match openat2(&self.root, name.as_path(), flags, Mode::empty(), resolve) {
            Ok(file) => file,
            // EAGAIN is also what a name that moves meanwhile gives; kernels before 5.12 do not know the flag.
            Err(Errno::AGAIN | Errno::INVAL) if cached => return Ok(None),
            Err(Errno::NOENT) => return Ok(Some(Found::Nothing)),
            Err(Errno::ACCESS | Errno::PERM) => return Ok(Some(Found::Unreadable)),
            Err(
                Errno::LOOP
                | Errno::XDEV
                | Errno::NOTDIR
                | Errno::NAMETOOLONG
                | Errno::NXIO
                | Errno::ISDIR,
            ) => {
                return Ok(Some(Found::Other));
            }
            Err(error) => return Err(error.into()),
        };
        let found = fstat(&file)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Ok(Some(Found::Other));
        }
        Ok(Some(Found::File(Present {
            file: Arc::new(File::from(file)),
            validators: validators(&found),
        })))
    }

    /// The size of a regular file, if there is one.
    pub(super) fn size(&self, name: &Name) -> Option<u64> {
        match self.look(name, false) {
            Ok(Some(Found::File(present))) => Some(present.validators.size),
            _ => None,
        }
    }

    /// A file that is not there yet.
    pub(super) fn begin(self: &Arc<Self>) -> io::Result<Unfinished> {
        let workplace = self.workplace()?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{UNFINISHED}{number}");
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(
            &workplace.directory,
            name.as_str(),
            flags,
            Mode::from_raw_mode(0o600),
        )?;
        Ok(Unfinished {
            tree: self.clone(),
            name,
            file: Arc::new(File::from(file)),
        })
    }

    /// A file of our own in the workplace.
    pub(super) fn own(&self, name: &str, truncated: bool) -> io::Result<File> {
        let mut flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::APPEND;
        if truncated {
            flags |= OFlags::TRUNC;
        }
        let file = openat(
            &self.workplace()?.directory,
            name,
            flags,
            Mode::from_raw_mode(0o600),
        )?;
        Ok(File::from(file))
    }

    /// Puts one file of our own in the place of another.
    pub(super) fn replace_own(&self, from: &str, to: &str) -> io::Result<()> {
        let directory = &self.workplace()?.directory;
        Ok(rustix::fs::renameat(directory, from, directory, to)?)
    }

    fn workplace(&self) -> io::Result<&Workplace> {
        let none = || io::Error::other("nothing is written into this directory");
        self.workplace.as_ref().ok_or_else(none)
    }

    /// The directory that a file is to stand in. What of it is missing is made like what it is made in.
    fn directory_for(&self, name: &Name) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |from: &OwnedFd, path: &str| openat2(from, path, flags, Mode::empty(), BENEATH);
        let mut directory = open(&self.root, ".")?;
        for part in name
            .directory()
            .into_iter()
            .flat_map(|path| path.split('/'))
        {
            let within = match open(&directory, part) {
                Err(Errno::NOENT) => {
                    let like = fstat(&directory)?;
                    match mkdirat(&directory, part, Mode::from_raw_mode(like.st_mode & 0o777)) {
                        // Somebody was faster.
                        Err(Errno::EXIST) => open(&directory, part)?,
                        made => {
                            made?;
                            let within = open(&directory, part)?;
                            own_as(&within, &like)?;
                            let mode = Mode::from_raw_mode(like.st_mode & 0o7777);
                            // A sandbox may forbid to set what the kernel has set by itself: the group's bit.
                            match fchmod(&within, mode) {
                                Err(Errno::PERM) => {}
                                changed => changed?,
                            }
                            within
                        }
                    }
                }
                within => within?,
            };
            directory = within;
        }
        Ok(directory)
    }
}

impl Workplace {
    fn open(root: &OwnedFd, named: &str, before: Option<&Arc<File>>) -> Result<Self> {
        let place = format!("{WORKPLACE} in {named}");
        let cannot = |error: Errno| {
            failed(format!("{place} cannot be written"))(error.into())
                .hint("the file proxy has to run as a user who may write there, the site's own best; or set `mode = \"redirect\"`")
        };
        match mkdirat(root, WORKPLACE, Mode::from_raw_mode(0o700)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(cannot(error)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = openat2(root, WORKPLACE, flags, Mode::empty(), BENEATH).map_err(cannot)?;
        let found = fstat(&directory).map_err(cannot)?;
        if found.st_uid != rustix::process::geteuid().as_raw() || found.st_mode & 0o077 != 0 {
            let what = format!("{place} is not this user's alone");
            return Err(Error::new(Kind::Io, what)
                .hint("stop what made it, and remove it; the file proxy makes it again"));
        }
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = openat(&directory, LOCK, flags, Mode::from_raw_mode(0o600)).map_err(cannot)?;
        let lock = match before {
            Some(before) if is_same(before, &lock).map_err(cannot)? => before.clone(),
            _ => {
                let lock = File::from(lock);
                lock.try_lock_exclusive().map_err(|error| {
                    let what = format!("another process serves {named}");
                    Error::new(Kind::Busy, what)
                        .because(error)
                        .hint("one directory has one file proxy")
                })?;
                Arc::new(lock)
            }
        };
        let workplace = Self { directory, lock };
        // Files of the tree before may still be under way.
        if before.is_none() {
            workplace.sweep().map_err(cannot)?;
        }
        Ok(workplace)
    }

    /// Removes what a process left that was killed.
    fn sweep(&self) -> Result<(), Errno> {
        for entry in rustix::fs::Dir::read_from(&self.directory)? {
            let entry = entry?;
            if entry
                .file_name()
                .to_bytes()
                .starts_with(UNFINISHED.as_bytes())
            {
                unlinkat(&self.directory, entry.file_name(), AtFlags::empty())?;
            }
        }
        Ok(())
    }
}

/// A file on its way. Dropped before it is whole, it leaves nothing.
pub(super) struct Unfinished {
    tree: Arc<Tree>,
    name: String,
    pub(super) file: Arc<File>,
}

/// What became of a file that was whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// It stands in its place.
    Yes,
    /// The site has written one of that name meanwhile.
    Overtaken,
}

impl Unfinished {
    /// Puts it in its place, unless there is something. `changed`: its time, in seconds since 1970.
    pub(super) fn keep(self, name: &Name, changed: Option<i64>) -> io::Result<Kept> {
        let directory = self.tree.directory_for(name)?;
        own_as(self.file.as_fd(), &fstat(&directory)?)?;
        fchmod(&self.file, Mode::from_raw_mode(0o644))?;
        if let Some(seconds) = changed {
            let omitted = Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_OMIT,
            };
            let changed = Timespec {
                tv_sec: seconds,
                tv_nsec: 0,
            };
            futimens(
                &self.file,
                &Timestamps {
                    last_access: omitted,
                    last_modification: changed,
                },
            )?;
        }
        self.file.sync_all()?;
        let from = &self.tree.workplace()?.directory;
        let moved = match renameat_with(
            from,
            &*self.name,
            &directory,
            name.last(),
            RenameFlags::NOREPLACE,
        ) {
            // A file system that does not know the flag. The link of this name goes when this is dropped.
            Err(Errno::INVAL) => {
                linkat(from, &*self.name, &directory, name.last(), AtFlags::empty())
            }
            moved => moved,
        };
        match moved {
            Ok(()) => Ok(Kept::Yes),
            Err(Errno::EXIST) => Ok(Kept::Overtaken),
            Err(error) => Err(error.into()),
        }
    }

    /// Adds bytes at a place.
    pub(super) fn write(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        file.write_all_at(bytes, at)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(workplace) = &self.tree.workplace {
            let _ = unlinkat(&workplace.directory, &*self.name, AtFlags::empty());
        }
    }
}

#[derive(Clone)]
/// A directory by its path, as it is now: a run may put another one there.
pub(super) struct Root {
    pub(super) path: PathBuf,
    pub(super) writes: bool,
}

impl Root {
    pub(super) fn open(&self, before: Option<&Tree>) -> Result<Arc<Tree>> {
        Tree::open(&self.path, self.writes, before).map(Arc::new)
    }
}

/// Root's files are their directory's owner's; anybody else's are their own.
fn own_as(file: impl std::os::fd::AsFd, like: &Stat) -> Result<(), Errno> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    fchown(
        file,
        Some(Uid::from_raw(like.st_uid)),
        Some(Gid::from_raw(like.st_gid)),
    )
}

fn is_same(one: &File, other: &OwnedFd) -> Result<bool, Errno> {
    Ok(identity(&fstat(one)?) == identity(&fstat(other)?))
}

fn identity(found: &Stat) -> (u64, u64) {
    (found.st_dev, found.st_ino)
}

fn validators(found: &Stat) -> Validators {
    Validators {
        size: u64::try_from(found.st_size).unwrap_or_default(),
        changed: (
            found.st_mtime,
            u32::try_from(found.st_mtime_nsec).unwrap_or_default(),
        ),
        inode: found.st_ino,
    }
}
