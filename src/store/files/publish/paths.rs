//! Directories of a tree by their paths, in the order of the walk: those from the root down to where it is are open.

use std::ffi::CString;
use std::sync::Arc;

use rustix::io::Errno;

use crate::error::{Error, Kind, Result};
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::told::At;

/// A tree, and the directories of it that are open.
pub(super) struct Paths {
    root: Arc<Directory>,
    /// Each in the one before it, with its path.
    open: Vec<(Vec<u8>, Arc<Directory>)>,
}

impl Paths {
    pub(super) fn of(root: &Arc<Directory>) -> Self {
        Self {
            root: Arc::clone(root),
            open: Vec::new(),
        }
    }

    /// The directory that has this path; `None`: it is not there, or something else is in its place.
    pub(super) fn find(&mut self, path: &[u8]) -> Result<Option<Arc<Directory>>> {
        match self.reach(path, false)? {
            Reached::There(directory) => Ok(Some(directory)),
            Reached::Missing | Reached::Blocked(..) => Ok(None),
        }
    }

    /// The same, made where it is missing, for nobody but us.
    pub(super) fn make(&mut self, path: &[u8]) -> Result<Arc<Directory>> {
        match self.reach(path, true)? {
            Reached::There(directory) => Ok(directory),
            Reached::Blocked(path, error) => Err(error).at("cannot open directory", &path),
            Reached::Missing => Err(Error::new(
                Kind::Io,
                "a directory that was just made is gone",
            )),
        }
    }

    /// What is in the place of a directory on the way to this path, or of itself.
    pub(super) fn blocked(&mut self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        match self.reach(path, false)? {
            Reached::Blocked(path, _) => Ok(Some(path)),
            Reached::There(_) | Reached::Missing => Ok(None),
        }
    }

    fn reach(&mut self, path: &[u8], makes: bool) -> Result<Reached> {
        while self.open.last().is_some_and(|(open, _)| !is_in(path, open)) {
            self.open.pop();
        }
        loop {
            let (at, directory) = match self.open.last() {
                Some((at, directory)) => (at.len(), directory),
                None => (0, &self.root),
            };
            if at == path.len() {
                return Ok(Reached::There(Arc::clone(directory)));
            }
            let begin = if at == 0 { 0 } else { at + 1 };
            let end = memchr::memchr(b'/', &path[begin..]).map_or(path.len(), |end| begin + end);
            let (name, path) = (name(&path[begin..end])?, &path[..end]);
            let opened = match directory.open(&name) {
                Err(Errno::NOENT) if makes => directory.make(&name),
                opened => opened,
            };
            match opened {
                Err(Errno::NOENT) => return Ok(Reached::Missing),
                Err(error @ (Errno::NOTDIR | Errno::LOOP)) => {
                    return Ok(Reached::Blocked(path.to_vec(), error));
                }
                opened => {
                    let opened = Arc::new(opened.at("cannot open directory", path)?);
                    self.open.push((path.to_vec(), opened));
                }
            }
        }
    }
}

/// What is found at a directory's path.
enum Reached {
    There(Arc<Directory>),
    Missing,
    /// Something that is no directory, at this path or one above it.
    Blocked(Vec<u8>, Errno),
}

/// The path of the directory that a path is in, and its name there.
pub(super) fn split(path: &[u8]) -> Result<(&[u8], CString)> {
    let end = path.iter().rposition(|byte| *byte == b'/');
    let above = &path[..end.unwrap_or(0)];
    Ok((above, name(&path[end.map_or(0, |end| end + 1)..])?))
}

/// Whether a path is another one's, or one below it.
pub(in crate::store::files) fn is_in(path: &[u8], above: &[u8]) -> bool {
    let rest = path.strip_prefix(above);
    above.is_empty() || rest.is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
}

fn name(bytes: &[u8]) -> Result<CString> {
    CString::new(bytes).map_err(|_| Error::new(Kind::Internal, "no name of a file has a NUL in it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_found_and_made_by_their_paths() {
        let place = tempfile::tempdir().unwrap();
        let root = Arc::new(Directory::at(place.path()).unwrap());
        let mut paths = Paths::of(&root);
        assert!(paths.find(b"").unwrap().is_some());
        assert!(paths.find(b"a/b").unwrap().is_none());
        for path in ["a/b", "a/bc", "a", "a/b/c/d", "d"] {
            let made = paths.make(path.as_bytes()).unwrap();
            let found = std::fs::metadata(place.path().join(path)).unwrap();
            let inode = std::os::unix::fs::MetadataExt::ino(&found);
            assert_eq!(made.own_stat().unwrap().id.1, inode);
        }
        std::os::unix::fs::symlink("a", place.path().join("link")).unwrap();
        // Nothing leads through a link.
        assert!(paths.find(b"link/b").unwrap().is_none() && paths.make(b"link/b").is_err());
        assert_eq!(paths.blocked(b"link/b/c").unwrap(), Some(b"link".to_vec()));
        assert_eq!(paths.blocked(b"a/b/c/e/f").unwrap(), None);
    }

    #[test]
    fn a_path_is_not_in_one_whose_name_only_begins_it() {
        assert!(is_in(b"a/b", b"a") && is_in(b"a", b"") && is_in(b"a", b"a"));
        assert!(!is_in(b"ab", b"a") && !is_in(b"a", b"a/b"));
        assert_eq!(split(b"a/b/c").unwrap(), (&b"a/b"[..], c"c".to_owned()));
        assert_eq!(split(b"a").unwrap(), (&b""[..], c"a".to_owned()));
    }
}
