//! Folders and files below a directory, by their descriptors: no name of a path is followed if it is a symbolic link, so
//! that who may write into the archive cannot lead us out of it.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};
use nix::unistd::{fsync, mkdir};

use crate::error::{Error, Kind, Result, io};
use crate::s3::object::Names;

/// Rows of people lie there: nobody else's business.
const FOLDER_MODE: Mode = Mode::S_IRWXU;

const FOLDER: OFlag = OFlag::O_DIRECTORY
    .union(OFlag::O_RDONLY)
    .union(OFlag::O_CLOEXEC);

/// Folders inside each other that are gone into. A snapshot has two; each one costs a descriptor and a part of the stack.
const DEEPEST: usize = 16;

/// The archive's directory.
pub(super) struct Root(pub(super) PathBuf);

impl Root {
    pub(super) fn shown(&self, path: &str) -> String {
        if path.is_empty() {
            return self.0.display().to_string();
        }
        self.0.join(path).display().to_string()
    }

    pub(super) fn failed(&self, errno: Errno, path: &str, what: &str) -> Error {
        let shown = self.shown(path);
        match errno {
            Errno::EACCES | Errno::EPERM | Errno::EROFS => {
                let reading = matches!(what, "opened" | "read" | "listed");
                let user = nix::unistd::geteuid();
                let hint = if errno == Errno::EROFS {
                    "its file system is mounted read-only: mount it to write, or push from where it can be written"
                        .to_owned()
                } else if reading {
                    format!(
                        "the user that runs envsyncd, {user}, has to be able to read it and the folders above"
                    )
                } else {
                    format!(
                        "the archive's directory has to belong to the user that runs envsyncd, {user}"
                    )
                };
                Error::new(Kind::Permission, format!("{shown} cannot be {what}"))
                    .because(std::io::Error::from(errno))
                    .hint(hint)
            }
            Errno::ENOTDIR if path.is_empty() => {
                Error::new(Kind::Io, format!("{shown} is a file and no directory"))
                    .hint("see the archive's URL: file:///DIRECTORY")
            }
            Errno::ELOOP | Errno::ENOTDIR | Errno::EMLINK => {
                let what = format!(
                    "{shown} cannot be {what}: there is a symbolic link, or a file in place of a folder"
                );
                Error::new(Kind::Io, what)
                    .hint("only the path that the URL names may have symbolic links")
            }
            errno => io(format!("{shown} cannot be {what}"))(errno.into()),
        }
    }

    /// The archive's own directory, to which the URL's path may lead by links. `None` if it is not there.
    pub(super) fn open(&self) -> Result<Option<OwnedFd>> {
        match open(&self.0, FOLDER, Mode::empty()) {
            Ok(root) => Ok(Some(root)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.failed(errno, "", "opened")),
        }
    }

    /// Makes it, but no folder above: that one is missing is more likely a disk that is not mounted.
    fn make(&self) -> Result<OwnedFd> {
        if let Some(root) = self.open()? {
            return Ok(root);
        }
        let parent = self.0.parent().unwrap_or(Path::new("/"));
        let above = open(parent, FOLDER, Mode::empty()).map_err(|errno| {
            if errno == Errno::ENOENT {
                let what = format!("there is no {}", parent.display());
                return Error::new(Kind::Absent, what).hint(
                    "make it, or mount it: of an archive's path only the last directory is made",
                );
            }
            io(format!("{} cannot be opened", parent.display()))(errno.into())
        })?;
        match mkdir(&self.0, FOLDER_MODE) {
            Ok(()) => fsync(&above).map_err(|errno| self.failed(errno, "", "made"))?,
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(self.failed(errno, "", "made")),
        }
        self.open()?.ok_or_else(|| {
            let what = format!("{} went away", self.shown(""));
            Error::new(Kind::Io, what)
        })
    }

    /// A folder in a folder; `None` if there is none of that name, or something else.
    pub(super) fn folder(
        &self,
        place: &OwnedFd,
        name: &str,
        path: &str,
    ) -> Result<Option<OwnedFd>> {
        match openat(place, name, FOLDER | OFlag::O_NOFOLLOW, Mode::empty()) {
            Ok(folder) => Ok(Some(folder)),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
            Err(errno) => Err(self.failed(errno, path, "opened")),
        }
    }

    /// A folder by its path; `""` is the archive itself.
    pub(super) fn walk(&self, path: &str, make: bool) -> Result<Option<OwnedFd>> {
        let root = if make {
            Some(self.make()?)
        } else {
            self.open()?
        };
        let Some(mut place) = root else {
            return Ok(None);
        };
        for name in path.split('/').filter(|name| !name.is_empty()) {
            if make {
                match mkdirat(&place, name, FOLDER_MODE) {
                    Ok(()) => fsync(&place).map_err(|errno| self.failed(errno, path, "made"))?,
                    Err(Errno::EEXIST) => {}
                    Err(errno) => return Err(self.failed(errno, path, "made")),
                }
            }
            let flags = FOLDER | OFlag::O_NOFOLLOW;
            place = match openat(&place, name, flags, Mode::empty()) {
                Ok(folder) => folder,
                Err(Errno::ENOENT) if !make => return Ok(None),
                Err(errno) => return Err(self.failed(errno, path, "opened")),
            };
        }
        Ok(Some(place))
    }

    /// An object's file; `None` if it is not there.
    pub(super) fn file(&self, path: &str) -> Result<Option<File>> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(place) = self.walk(folder, false)? else {
            return Ok(None);
        };
        // A pipe of that name would keep us waiting.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = match openat(&place, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno) => return Err(self.failed(errno, path, "read")),
        };
        let what = || format!("{} cannot be read", self.shown(path));
        if file.metadata().map_err(io(what()))?.is_file() {
            return Ok(Some(file));
        }
        Err(Error::new(Kind::Io, format!("{}: it is no file", what())))
    }

    pub(super) fn names(&self, folder: &OwnedFd, path: &str) -> Result<Vec<String>> {
        let listed = |errno| self.failed(errno, path, "listed");
        let (mut names, mut counted) = (Vec::new(), Names::default());
        let mut entries = Dir::openat(folder, ".", FOLDER, Mode::empty()).map_err(listed)?;
        for entry in entries.iter() {
            // What is not text is not ours.
            if let Ok(name) = entry.map_err(listed)?.file_name().to_str()
                && name != "."
                && name != ".."
            {
                counted.add(name, &self.shown(path))?;
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    /// What is directly in a folder: the folder, its path, its name.
    pub(super) fn each(
        &self,
        folder: &OwnedFd,
        path: &str,
        see: &mut dyn FnMut(&OwnedFd, &str, &str, &std::fs::Metadata) -> Result<()>,
    ) -> Result<()> {
        for name in self.names(folder, path)? {
            let below = match path {
                "" => name.clone(),
                path => format!("{path}/{name}"),
            };
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let found = match openat(folder, name.as_str(), flags, Mode::empty()) {
                Ok(found) => File::from(found),
                // Removed meanwhile.
                Err(Errno::ENOENT) => continue,
                Err(errno) => return Err(self.failed(errno, &below, "listed")),
            };
            let what = format!("{} cannot be listed", self.shown(&below));
            let metadata = found.metadata().map_err(io(what))?;
            see(folder, &below, &name, &metadata)?;
        }
        Ok(())
    }

    /// Every file below a folder: the folder that it is in, its path, its name.
    pub(super) fn visit(
        &self,
        folder: &OwnedFd,
        path: &str,
        see: &mut dyn FnMut(&OwnedFd, &str, &str, &std::fs::Metadata) -> Result<()>,
    ) -> Result<()> {
        self.each(folder, path, &mut |folder, below, name, metadata| {
            if metadata.is_file() {
                see(folder, below, name, metadata)?;
            } else if metadata.is_dir()
                && let Some(inner) = self.folder(folder, name, below)?
            {
                self.shallow(below)?;
                self.visit(&inner, below, see)?;
            }
            Ok(())
        })
    }

    /// Refuses folders that lie in each other without end.
    fn shallow(&self, path: &str) -> Result<()> {
        if path.split('/').count() <= DEEPEST {
            return Ok(());
        }
        let what = format!("{} lies deeper than {DEEPEST} folders", self.shown(path));
        Err(Error::new(Kind::Verify, what).hint("no snapshot has such folders: remove them"))
    }

    /// Removes the folders in this one that have nothing in them. What is not empty, or not ours to remove, stays.
    pub(super) fn prune(&self, folder: &OwnedFd, path: &str) -> Result<()> {
        for name in self.names(folder, path)? {
            let below = format!("{path}/{name}");
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            if openat(folder, name.as_str(), flags, Mode::empty()).is_err() {
                continue;
            }
            if let Some(inner) = self.folder(folder, &name, &below)? {
                self.shallow(&below)?;
                self.prune(&inner, &below)?;
                let _ = unlinkat(folder, name.as_str(), UnlinkatFlags::RemoveDir);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_done_says_who_has_to_change_what() {
        let root = Root(PathBuf::from("/srv/archive"));
        for (errno, what, words) in [
            (Errno::EROFS, "made", "mounted read-only"),
            (Errno::EACCES, "made", "has to belong to the user"),
            (Errno::EACCES, "opened", "has to be able to read it"),
        ] {
            let error = root.failed(errno, "x", what);
            assert_eq!(error.kind(), Kind::Permission);
            let text = error.to_string();
            assert!(text.contains(words), "{text}");
            assert!(text.starts_with("/srv/archive/x cannot be "), "{text}");
        }
    }
}
