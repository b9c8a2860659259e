//! Directories of a tree by their paths, in the order of a walk: those from the root down to the last one are open.

use std::ffi::CString;
use std::sync::Arc;

use crate::error::{Error, Kind, Result};
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::told::At;

/// Open directories.
pub(in crate::store::files) struct Parents {
    root: Arc<Directory>,
    /// Where each one's path ends in `path`.
    open: Vec<(usize, Arc<Directory>)>,
    path: Vec<u8>,
}

impl Parents {
    /// Those of a tree.
    pub(in crate::store::files) fn of(root: Arc<Directory>) -> Self {
        Self {
            root,
            open: Vec::new(),
            path: Vec::new(),
        }
    }

    /// The directory that a path's last name is in, and that name. Directories of another time may have gone.
    pub(in crate::store::files) fn of_path(
        &mut self,
        path: &[u8],
    ) -> Result<(Arc<Directory>, CString)> {
        let end = path.iter().rposition(|byte| *byte == b'/');
        let above = &path[..end.unwrap_or(0)];
        let name = &path[end.map_or(0, |end| end + 1)..];
        let is_in = |known: &[u8]| {
            above == known || (above.starts_with(known) && above.get(known.len()) == Some(&b'/'))
        };
        while let Some((end, _)) = self.open.last() {
            if is_in(&self.path[..*end]) {
                break;
            }
            self.open.pop();
        }
        let known = self.open.last().map_or(0, |(end, _)| *end);
        self.path.truncate(known);
        for part in above[known..].split(|byte| *byte == b'/') {
            if part.is_empty() {
                continue;
            }
            let at = self
                .open
                .last()
                .map_or(&self.root, |(_, directory)| directory);
            let inner = at
                .open(&c_string(part)?)
                .at("cannot open directory", above)?;
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(part);
            self.open.push((self.path.len(), Arc::new(inner)));
        }
        let at = self
            .open
            .last()
            .map_or(&self.root, |(_, directory)| directory);
        Ok((Arc::clone(at), c_string(name)?))
    }
}

fn c_string(name: &[u8]) -> Result<CString> {
    CString::new(name).map_err(|_| Error::new(Kind::Verify, "no name of a file has a NUL in it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_each_path_is_found_in_the_order_of_a_walk() {
        let place = tempfile::tempdir().unwrap();
        for path in ["a/b", "ab", "c"] {
            std::fs::create_dir_all(place.path().join(path)).unwrap();
        }
        let root = Arc::new(Directory::at(place.path()).unwrap());
        let mut parents = Parents::of(Arc::clone(&root));
        for path in ["0", "a/b/1", "a/b/2", "a/3", "ab/4", "c/5", "d"] {
            let (directory, name) = parents.of_path(path.as_bytes()).unwrap();
            let above = path.rsplit_once('/').map_or("", |(above, _)| above);
            let expected = Directory::at(&place.path().join(above)).unwrap();
            assert_eq!(
                directory.own_stat().unwrap().id,
                expected.own_stat().unwrap().id,
                "{path}"
            );
            assert!(path.ends_with(name.to_str().unwrap()));
        }
    }
}
