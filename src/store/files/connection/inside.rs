//! Goes from directory to directory in a tree, in the order of the walk, and through no link.

use std::ffi::CString;
use std::sync::Arc;

use rustix::io::Errno;

use super::directory::Directory;
use super::mounts::is_elsewhere;

/// Whether a path is that of something in a tree: each of its names is one.
pub(in crate::store::files) fn is_path(path: &[u8]) -> bool {
    let mut names = path.split(|byte| *byte == b'/');
    names.all(|name| !matches!(name, b"" | b"." | b".."))
}

/// A place in a tree.
pub(in crate::store::files) struct Inside {
    root: Arc<Directory>,
    /// The open directories down to where it is, each with its path.
    open: Vec<(Vec<u8>, Directory)>,
    /// The device that it stays on, if it has to.
    device: Option<u64>,
}

impl Inside {
    /// At a tree's root.
    pub(in crate::store::files) fn new(root: Arc<Directory>) -> Self {
        Self {
            root,
            open: Vec::new(),
            device: None,
        }
    }

    /// At the root of a tree in which it goes into nothing that is mounted there: that is `XDEV`.
    pub(in crate::store::files) fn staying(root: Arc<Directory>) -> Result<Self, Errno> {
        let device = Some(root.own_stat()?.id.0);
        let inside = Self::new(root);
        Ok(Self { device, ..inside })
    }

    /// The directory that a path is in, and the path's last name.
    pub(in crate::store::files) fn at(
        &mut self,
        path: &[u8],
    ) -> Result<(&Directory, CString), Errno> {
        let end = path.iter().rposition(|byte| *byte == b'/');
        let (above, name) = match end {
            Some(end) => (&path[..end], &path[end + 1..]),
            None => (&path[..0], path),
        };
        let name = CString::new(name).map_err(|_| Errno::INVAL)?;
        let is_around = |open: &[u8]| {
            let rest = above.strip_prefix(open);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        while self.open.last().is_some_and(|(open, _)| !is_around(open)) {
            self.open.pop();
        }
        loop {
            let begun = self.open.last().map_or(0, |(open, _)| open.len());
            let Some(rest) = above.get(begun..).filter(|rest| !rest.is_empty()) else {
                break;
            };
            let rest = rest.strip_prefix(b"/").unwrap_or(rest);
            let length = rest.iter().position(|byte| *byte == b'/');
            let next = &rest[..length.unwrap_or(rest.len())];
            let end = above.len() - rest.len() + next.len();
            let next = CString::new(next).map_err(|_| Errno::INVAL)?;
            let directory = self.here().open(&next)?;
            if self.device.is_some() && is_elsewhere(&directory.own_stat()?, self.device) {
                return Err(Errno::XDEV);
            }
            self.open.push((above[..end].to_vec(), directory));
        }
        Ok((self.here(), name))
    }

    fn here(&self) -> &Directory {
        self.open.last().map_or(&*self.root, |(_, open)| open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_directory_and_through_no_link() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(place.path().join("a/b/c")).unwrap();
        std::fs::create_dir_all(place.path().join("ab")).unwrap();
        std::os::unix::fs::symlink("a", place.path().join("link")).unwrap();
        for path in ["x", "a/x", "a/b/c/x", "a/b/y", "ab/z", "z"] {
            std::fs::write(place.path().join(path), path).unwrap();
        }
        let root = Arc::new(Directory::at(place.path()).unwrap());
        let mut inside = Inside::new(root);
        for path in ["a/b/c/x", "a/b/y", "a/x", "ab/z", "x", "a/b/c/x", "z"] {
            let (directory, name) = inside.at(path.as_bytes()).unwrap();
            assert_eq!(directory.stat(&name).unwrap().size, path.len() as u64);
        }
        for path in ["link/x", "a/link/x", "missing/x", "x/y"] {
            assert!(inside.at(path.as_bytes()).is_err(), "{path}");
        }
    }

    #[test]
    fn what_is_mounted_in_a_tree_is_not_entered_where_it_is_to_stay() {
        let root = || Arc::new(Directory::at(std::path::Path::new("/")).unwrap());
        let mut inside = Inside::staying(root()).unwrap();
        assert_eq!(inside.at(b"proc/version").err(), Some(Errno::XDEV));
        assert!(Inside::new(root()).at(b"proc/version").is_ok());
    }
}
