//! Directories of a tree that an earlier run made: what they have that the new tree is to have stays where it is, and all else
//! makes way. Nothing in them is ever opened or changed, as it is live's, too: names are left or removed.

use std::ffi::CStr;
use std::os::fd::AsFd;
use std::sync::OnceLock;

use rustix::fs::{AtFlags, Mode, chmodat, fstatfs, unlinkat};
use rustix::io::Errno;

use super::metadata::reset;
use crate::error::Result;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::mounts::{is_elsewhere, not_removed};
use crate::store::files::connection::names::Names;
use crate::store::files::connection::remove::{remove, remove_inner};
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::At;

/// File systems whose directories say the inodes that their files have: ext4, XFS, Btrfs, tmpfs (statfs(2)).
const SAY_INODES: [u32; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994];

/// Whether a directory's file system says in its directories which inodes its files have: two names with one inode are one file.
pub(in crate::store::files) fn says_inodes(directory: impl AsFd) -> bool {
    fstatfs(directory).is_ok_and(|found| SAY_INODES.contains(&(found.f_type as u32)))
}

/// A directory that is used again: the names that it and live's have, as soon as somebody asks.
#[derive(Default)]
pub(super) struct Recycled(OnceLock<rustix::io::Result<[Names; 2]>>);

/// What live has of a directory.
#[derive(Clone, Copy)]
pub(super) enum Live<'a> {
    /// Nothing.
    None,
    /// What it had when the run was planned: since then no name in it has changed.
    AsPlanned,
    /// What is to be looked up.
    Now(&'a Directory),
}

impl Recycled {
    /// What it has, from behind this name on.
    pub(super) fn behind<'a>(
        &'a self,
        behind: Option<&CStr>,
        own: &'a Directory,
        live: Live<'_>,
    ) -> rustix::io::Result<Old<'a>> {
        let read = || {
            let live = match live {
                Live::Now(live) => live.names()?,
                Live::None | Live::AsPlanned => Names::default(),
            };
            Ok([own.names()?, live])
        };
        let names = self.0.get_or_init(read).as_ref().map_err(|error| *error)?;
        let begin = |names: &Names| {
            let behind = behind.map(|name| (name, names.place_of(name)));
            let is_it =
                |(name, at): &(&CStr, usize)| names.get(*at).is_some_and(|it| it.0 == *name);
            behind.map_or(0, |place| place.1 + usize::from(is_it(&place)))
        };
        Ok(Old {
            at: [&names[0], &names[1]].map(begin),
            own,
            names,
            goes_by_plan: matches!(live, Live::AsPlanned),
        })
    }
}

/// What a directory has, up to where it has been looked through.
pub(super) struct Old<'a> {
    own: &'a Directory,
    /// Its names, and those of live's.
    names: &'a [Names; 2],
    at: [usize; 2],
    /// Live's are as they were planned.
    goes_by_plan: bool,
}

impl Old<'_> {
    /// Whether it has something of this name, which comes after all that were asked for. What nobody asked for is removed.
    pub(super) fn has(&mut self, name: &CStr) -> Result<bool> {
        while let Some((old, kind)) = self.names[0].get(self.at[0]) {
            if old >= name {
                return Ok(old == name);
            }
            self.at[0] += 1;
            clear(self.own, old, kind)?;
        }
        Ok(false)
    }

    /// Whether the name that was asked for is this file, which live has, too.
    pub(super) fn is(&mut self, name: &CStr, inode: u64) -> bool {
        if inode == 0 || self.names[0].inode(self.at[0]) != inode {
            return false;
        }
        if self.goes_by_plan {
            return true;
        }
        while (self.names[1].get(self.at[1])).is_some_and(|(live, _)| live < name) {
            self.at[1] += 1;
        }
        let is_in_live = (self.names[1].get(self.at[1])).is_some_and(|(live, _)| live == name);
        is_in_live && self.names[1].inode(self.at[1]) == inode
    }

    /// Removes what has the name that was asked for.
    pub(super) fn make_way(&self) -> Result<()> {
        let there = self.names[0].get(self.at[0]);
        there.map_or(Ok(()), |(name, kind)| clear(self.own, name, kind))
    }

    /// Goes on behind the name that was asked for, if it was there.
    pub(super) fn pass(&mut self, name: &CStr) {
        let there = self.names[0].get(self.at[0]);
        self.at[0] += usize::from(there.is_some_and(|(old, _)| old == name));
    }

    /// Removes all that nobody asked for.
    pub(super) fn clear_rest(mut self) -> Result<()> {
        while let Some((old, kind)) = self.names[0].get(self.at[0]) {
            self.at[0] += 1;
            clear(self.own, old, kind)?;
        }
        Ok(())
    }
}

/// Removes what has a name in a directory of ours, of this kind if the directory says it.
pub(super) fn clear(directory: &Directory, name: &CStr, kind: Option<FileKind>) -> Result<()> {
    if !matches!(kind, None | Some(FileKind::Directory)) {
        match unlinkat(directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR) => {}
            Err(error) => return Err(error).at("cannot remove", name.to_bytes()),
        }
    }
    remove_inner(directory, name)
}

/// Opens a directory of this name in one that is used again, and makes it what a new one is. `None`: there is none that could
/// be used, and nothing else of this name. One on which something is mounted is an error, and is not touched.
pub(super) fn reuse(above: &Directory, name: &CStr, path: &[u8]) -> Result<Option<Directory>> {
    let there = above.own_stat().at("cannot look at", path)?;
    let is_mount = |found: &Stat| is_elsewhere(found, Some(there.id.0));
    let opened = match above.open(name) {
        // It has the permissions of one whose owner may not read it.
        Err(Errno::ACCESS) => {
            if is_mount(&above.stat(name).at("cannot look at", path)?) {
                return Err(not_removed(above, name.to_bytes()));
            }
            let _ = chmodat(above, name, Mode::RWXU, AtFlags::empty());
            above.open(name)
        }
        opened => opened,
    };
    let directory = match opened {
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::NOTDIR | Errno::LOOP) => return remove(above, name).map(|()| None),
        opened => opened.at("cannot open directory", path)?,
    };
    if is_mount(&directory.own_stat().at("cannot look at", path)?) {
        return Err(not_removed(above, name.to_bytes()));
    }
    reset(&directory, path)?;
    Ok(Some(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asked_for_is_removed_and_live_s_own_stays() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        for directory in ["old/b", "old/z/deep", "live"] {
            std::fs::create_dir_all(path(directory)).unwrap();
        }
        for file in ["live/c", "live/d", "old/a", "old/b/x", "old/d", "old/y"] {
            std::fs::write(path(file), file).unwrap();
        }
        std::fs::hard_link(path("live/c"), path("old/c")).unwrap();
        let [old, live] = ["old", "live"].map(|name| Directory::at(&path(name)).unwrap());
        let inode = |name: &CStr| live.stat(name).unwrap().id.1;
        let recycled = Recycled::default();
        let mut names = recycled.behind(None, &old, Live::Now(&live)).unwrap();
        assert!(names.has(c"c").unwrap() && names.is(c"c", inode(c"c")));
        names.pass(c"c");
        // In pieces, as it is done.
        let mut names = recycled.behind(Some(c"c"), &old, Live::Now(&live)).unwrap();
        assert!(names.has(c"d").unwrap() && !names.is(c"d", inode(c"d")));
        names.make_way().unwrap();
        names.pass(c"d");
        assert!(!names.has(c"e").unwrap() && !names.is(c"e", 0));
        names.pass(c"e");
        names.clear_rest().unwrap();
        let left: Vec<_> = std::fs::read_dir(path("old")).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(std::fs::read_to_string(path("live/d")).unwrap(), "live/d");
        // Where no name of live's has changed, its inode is the one that was planned.
        for (is_it, live) in [(true, Live::AsPlanned), (false, Live::None)] {
            let recycled = Recycled::default();
            let mut names = recycled.behind(None, &old, live).unwrap();
            assert!(names.has(c"c").unwrap());
            assert_eq!(names.is(c"c", inode(c"c")), is_it);
            assert!(!names.is(c"c", 0) && !names.is(c"c", inode(c"d")));
        }
    }

    #[test]
    fn a_directory_is_used_again_as_if_it_was_new_and_anything_else_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let above = Directory::at(place.path()).unwrap();
        std::fs::create_dir(place.path().join("d")).unwrap();
        let mode = |mode| {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(place.path().join("d"), mode).unwrap();
        };
        for old in [0o700, 0o2755, 0o000] {
            mode(old);
            let reused = reuse(&above, c"d", b"d").unwrap().unwrap();
            assert_eq!(reused.own_stat().unwrap().mode, 0o700, "{old:o}");
        }
        std::os::unix::fs::symlink("d", place.path().join("link")).unwrap();
        std::fs::write(place.path().join("file"), "").unwrap();
        for name in [c"link", c"file", c"none"] {
            assert!(reuse(&above, name, b"x").unwrap().is_none());
            assert!(above.find(name).unwrap().is_none());
        }
        assert!(place.path().join("d").is_dir());
    }
}
