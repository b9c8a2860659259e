//! Removes a tree of ours, and nothing that a link in it leads to or that is mounted in it.

use std::ffi::{CStr, CString};

use rustix::fs::{AtFlags, Mode, chmodat, fchmod, unlinkat};
use rustix::io::Errno;

use super::directory::Directory;
use super::mounts::{is_elsewhere, not_removed};
use super::names::Names;
use super::stat::FileKind;
use super::told::At;
use crate::error::Result;

/// A directory that is being emptied.
struct Level {
    directory: Directory,
    /// The device that it is on.
    device: u64,
    name: CString,
    names: Names,
    at: usize,
}

impl Level {
    /// Opens one that is on this device, where it is known. On which something is mounted is not touched.
    fn open(parent: &Directory, device: Option<u64>, name: &CStr) -> Result<Self> {
        let path = name.to_bytes();
        let opened = match parent.open(name) {
            // One that we made for a source whose owner may not read it.
            Err(Errno::ACCESS) => {
                let found = parent.stat(name).at("cannot look at", path)?;
                if is_elsewhere(&found, device) {
                    return Err(not_removed(parent, path));
                }
                let _ = chmodat(parent, name, Mode::RWXU, AtFlags::empty());
                parent.open(name)
            }
            opened => opened,
        };
        let directory = opened.at("cannot open", path)?;
        let found = directory.own_stat().at("cannot look at", path)?;
        if is_elsewhere(&found, device) {
            return Err(not_removed(parent, path));
        }
        if found.mode & 0o700 != 0o700 {
            // Where that fails, removing says so.
            let _ = fchmod(&directory, Mode::RWXU);
        }
        Ok(Self {
            names: directory.names().at("cannot read", path)?,
            directory,
            device: found.id.0,
            name: name.to_owned(),
            at: 0,
        })
    }

    /// Removes files up to the next directory, which it opens.
    fn next(&mut self) -> Result<Option<Self>> {
        while let Some((name, kind)) = self.names.get(self.at) {
            self.at += 1;
            if kind != Some(FileKind::Directory) {
                match unlinkat(&self.directory, name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => continue,
                    Err(Errno::ISDIR) => {}
                    Err(error) => return Err(error).at("cannot remove", name.to_bytes()),
                }
            }
            return Self::open(&self.directory, Some(self.device), name).map(Some);
        }
        Ok(None)
    }
}

/// Removes what has this name, if anything has. What is mounted in it is an error, and stays as it is.
///
/// A whole tree may be on a device of its own: live may be a subvolume (Btrfs), which is exchanged like any directory.
pub(in crate::store::files) fn remove(parent: &Directory, name: &CStr) -> Result<()> {
    remove_on(None, parent, name)
}

/// The same of what is in a tree, and is on its device.
pub(in crate::store::files) fn remove_inner(parent: &Directory, name: &CStr) -> Result<()> {
    let there = parent.own_stat().at("cannot look at", name.to_bytes())?;
    remove_on(Some(there.id.0), parent, name)
}

fn remove_on(device: Option<u64>, parent: &Directory, name: &CStr) -> Result<()> {
    let path = name.to_bytes();
    match parent.find(name).at("cannot look at", path)? {
        None => return Ok(()),
        Some(found) if found.kind != FileKind::Directory => {
            return unlinkat(parent, name, AtFlags::empty()).at("cannot remove", path);
        }
        Some(_) => {}
    }
    let mut levels = vec![Level::open(parent, device, name)?];
    while let Some(level) = levels.last_mut() {
        if let Some(inner) = level.next()? {
            levels.push(inner);
            continue;
        }
        let Some(empty) = levels.pop() else { break };
        let above = levels.last().map_or(parent, |above| &above.directory);
        let removed = unlinkat(above, &*empty.name, AtFlags::REMOVEDIR);
        removed.at("cannot remove", empty.name.to_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_link_leads_to_stays() {
        let place = tempfile::tempdir().unwrap();
        let tree = place.path().join("tree");
        std::fs::create_dir_all(tree.join("a/b/c")).unwrap();
        std::fs::write(place.path().join("kept"), "x").unwrap();
        std::os::unix::fs::symlink(place.path(), tree.join("a/up")).unwrap();
        std::fs::write(tree.join("a/b/file"), "x").unwrap();
        let parent = Directory::at(place.path()).unwrap();
        remove(&parent, c"tree").unwrap();
        remove(&parent, c"tree").unwrap();
        assert!(!tree.exists() && place.path().join("kept").exists());
    }
}
