//! Files beside a database, reached by handles and through no link.
//!
//! The directory is its application's, who can put a link at any name in it, at any moment; and envsyncd may be root. So what
//! is made, renamed or removed there is named from its directory's handle, and what is given an owner or permissions is known by
//! the handle that it was made with. SQLite itself opens what a path leads to, but for links (`SQLITE_OPEN_NOFOLLOW`): what it
//! opened is held against the handle.

use std::ffi::OsStr;
use std::fs::{File, Metadata, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, open as open_at_root, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use crate::error::{Error, Kind, Result, io};

/// What SQLite itself puts beside a file.
pub(in crate::store::sqlite) const COMPANIONS: [&str; 3] = ["-journal", "-wal", "-shm"];

const STEP: OFlag = OFlag::O_PATH
    .union(OFlag::O_DIRECTORY)
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_CLOEXEC);

/// A file's directory, and its name there. The path is absolute and has no link in it, or none that was there when it was resolved.
fn entry(path: &Path) -> std::io::Result<(OwnedFd, &OsStr)> {
    let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
    let name = path.file_name().ok_or_else(invalid)?;
    let parent = path.parent().ok_or_else(invalid)?;
    Ok((directory(parent)?, name))
}

fn directory(path: &Path) -> std::io::Result<OwnedFd> {
    let mut place = open_at_root("/", STEP, Mode::empty())?;
    for step in path.components() {
        match step {
            Component::RootDir => {}
            Component::Normal(name) => place = openat(&place, name, STEP, Mode::empty())?,
            _ => return Err(std::io::ErrorKind::InvalidInput.into()),
        }
    }
    Ok(place)
}

/// Opens what is there, unless it is a link.
pub(in crate::store::sqlite) fn open(path: &Path, flags: OFlag) -> std::io::Result<File> {
    let (directory, name) = entry(path)?;
    // What is no file does not hold us up.
    let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let mode = Mode::from_bits_truncate(0o644);
    Ok(openat(&directory, name, flags, mode).map(File::from)?)
}

/// Makes a file where nothing is.
pub(in crate::store::sqlite) fn create(path: &Path, mode: u32) -> std::io::Result<File> {
    let (directory, name) = entry(path)?;
    let flags =
        OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mode = Mode::from_bits_truncate(mode & 0o777);
    Ok(openat(&directory, name, flags, mode).map(File::from)?)
}

/// Removes a name; what is not there is fine.
pub(in crate::store::sqlite) fn unlink(path: &Path) -> std::io::Result<()> {
    let (directory, name) = entry(path)?;
    match unlinkat(&directory, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(nix::Error::ENOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Gives a file another name, in place of what has it.
pub(in crate::store::sqlite) fn rename(from: &Path, to: &Path) -> std::io::Result<()> {
    let ((there, old), (here, new)) = (entry(from)?, entry(to)?);
    Ok(renameat(&there, old, &here, new)?)
}

/// Gives a file a second name, where nothing has it.
pub(in crate::store::sqlite) fn link(from: &Path, to: &Path) -> std::io::Result<()> {
    let ((there, old), (here, new)) = (entry(from)?, entry(to)?);
    Ok(linkat(&there, old, &here, new, AtFlags::empty())?)
}

/// Makes a directory's names durable.
pub(in crate::store::sqlite) fn sync_directory(path: &Path) -> std::io::Result<()> {
    let place = directory(path)?;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    File::from(openat(&place, ".", flags, Mode::empty())?).sync_all()
}

/// The file's name with something behind it.
pub(in crate::store::sqlite) fn companion(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// Removes a file and what SQLite puts beside it; what is not there is fine.
pub(in crate::store::sqlite) fn remove(file: &Path) -> Result<()> {
    remove_one(file)?;
    remove_companions(file)
}

/// SQLite's own files beside a database file.
pub(in crate::store::sqlite) fn companions(file: &Path) -> Vec<PathBuf> {
    COMPANIONS
        .iter()
        .map(|end| companion(file, end))
        .filter(|path| path.symlink_metadata().is_ok())
        .collect()
}

/// Removes what SQLite puts beside a file.
pub(in crate::store::sqlite) fn remove_companions(file: &Path) -> Result<()> {
    COMPANIONS
        .iter()
        .try_for_each(|end| remove_one(&companion(file, end)))
}

pub(in crate::store::sqlite) fn remove_one(path: &Path) -> Result<()> {
    unlink(path).map_err(io(format!("cannot remove {}", path.display())))
}

/// A file that this run has made.
#[derive(Debug)]
pub(in crate::store::sqlite) struct CreatedFile {
    path: PathBuf,
    file: File,
    device: u64,
    inode: u64,
}

impl CreatedFile {
    /// Makes an empty file that nobody else can read yet; what was left under its name goes.
    pub(in crate::store::sqlite) fn create(path: &Path) -> Result<Self> {
        remove(path)?;
        let file = create(path, 0o600).map_err(io(format!("cannot make {}", path.display())))?;
        let found = file
            .metadata()
            .map_err(io(format!("cannot reach {}", path.display())))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            device: found.dev(),
            inode: found.ino(),
        })
    }

    /// Whether a file is it.
    pub(in crate::store::sqlite) fn is(&self, found: &Metadata) -> bool {
        found.is_file() && (found.dev(), found.ino()) == (self.device, self.inode)
    }

    /// Refuses to go on where something else stands at its name.
    pub(in crate::store::sqlite) fn is_there(&self) -> Result<()> {
        if self
            .path
            .symlink_metadata()
            .is_ok_and(|found| self.is(&found))
        {
            return Ok(());
        }
        Err(Error::new(
            Kind::Verify,
            format!(
                "{} is not the file any more that this run has made: somebody has put another in its place",
                self.path.display()
            ),
        )
        .hint("check who can write to that directory"))
    }

    /// Takes the name that it is to have.
    pub(in crate::store::sqlite) fn rename(mut self, to: &Path) -> Result<Self> {
        self.is_there()?;
        rename(&self.path, to).map_err(io(format!("cannot rename {}", self.path.display())))?;
        to.clone_into(&mut self.path);
        Ok(self)
    }

    /// The file, to read and write.
    pub(in crate::store::sqlite) fn file(&self) -> &File {
        &self.file
    }

    pub(in crate::store::sqlite) fn inode(&self) -> u64 {
        self.inode
    }

    /// Gives it the permissions of another file, and its owner as far as we may.
    pub(in crate::store::sqlite) fn dress(&self, like: &Metadata) -> Result<()> {
        let cannot = || format!("cannot set the permissions of {}", self.path.display());
        // Only root may give files away; then a file of ours has to do.
        let _ = std::os::unix::fs::fchown(&self.file, Some(like.uid()), Some(like.gid()));
        let owned = self.file.metadata().map_err(io(cannot()))?;
        if owned.uid() == like.uid() && owned.gid() == like.gid() {
            self.allow(like.mode())?;
        }
        Ok(())
    }

    /// Gives it the permissions that the kernel, with our umask, would give a new file.
    pub(in crate::store::sqlite) fn dress_new(&self, mode: u32) -> Result<()> {
        let cannot = || format!("cannot set the permissions of {}", self.path.display());
        let probe = companion(&self.path, ".again");
        remove(&probe)?;
        let allowed = create(&probe, mode)
            .and_then(|file| file.metadata())
            .map_err(io(cannot()))?;
        remove(&probe)?;
        self.allow(allowed.mode())
    }

    fn allow(&self, mode: u32) -> Result<()> {
        self.file
            .set_permissions(Permissions::from_mode(mode & 0o777))
            .map_err(io(format!(
                "cannot set the permissions of {}",
                self.path.display()
            )))
    }

    /// Makes its content durable.
    pub(in crate::store::sqlite) fn sync(&self) -> Result<()> {
        self.file
            .sync_all()
            .map_err(io(format!("cannot sync {}", self.path.display())))
    }
}

/// Renames, and names both in an error.
pub(in crate::store::sqlite) fn rename_file(from: &Path, to: &Path) -> Result<()> {
    rename(from, to).map_err(io(format!(
        "cannot rename {} to {}",
        from.display(),
        to.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_put_at_a_files_name_meanwhile_gets_neither_its_owner_nor_its_permissions() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().canonicalize().unwrap();
        let at = |name: &str| place.join(name);
        std::fs::write(at("victim"), "secret").unwrap();
        std::fs::set_permissions(at("victim"), Permissions::from_mode(0o600)).unwrap();
        std::fs::write(at("like"), "").unwrap();
        std::fs::set_permissions(at("like"), Permissions::from_mode(0o666)).unwrap();
        let like = at("like").symlink_metadata().unwrap();

        let made = CreatedFile::create(&at("made")).unwrap();
        made.is_there().unwrap();
        std::fs::remove_file(at("made")).unwrap();
        for planted in [symlink::<PathBuf, PathBuf>, |from: PathBuf, to: PathBuf| {
            std::fs::hard_link(from, to)
        }] {
            planted(at("victim"), at("made")).unwrap();
            made.dress(&like).unwrap();
            made.dress_new(0o666).unwrap();
            assert!(made.is_there().is_err());
            std::fs::remove_file(at("made")).unwrap();
        }
        let found = at("victim").symlink_metadata().unwrap();
        assert_eq!(found.mode() & 0o777, 0o600);

        // Nor does a way through a link lead anywhere.
        std::fs::create_dir(at("inside")).unwrap();
        symlink(at("inside"), at("way")).unwrap();
        std::fs::write(at("inside/file"), "").unwrap();
        let through = at("way/file");
        assert!(unlink(&through).is_err());
        assert!(create(&at("way/new"), 0o600).is_err());
        assert!(open(&through, OFlag::O_RDONLY).is_err());
        assert!(rename(&at("victim"), &through).is_err());
        assert!(link(&at("victim"), &at("way/new")).is_err());
        symlink(at("victim"), at("last")).unwrap();
        assert!(open(&at("last"), OFlag::O_RDWR).is_err());
        assert!(create(&at("last"), 0o600).is_err());
        unlink(&at("last")).unwrap();
        assert_eq!(std::fs::read(at("victim")).unwrap(), b"secret");
    }
}
