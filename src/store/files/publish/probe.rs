//! Finds out what a target's file system keeps, by giving it to a file of ours and reading it back.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, fchmod, fchown, futimens, linkat,
    openat, unlinkat,
};
use rustix::io::Errno;

use crate::error::Result;
use crate::store::files::connection::directory::{Directory, stat_of};
use crate::store::files::connection::remove::remove;
use crate::store::files::connection::told::At;
use crate::store::files::rows::precision::{Kept, TELLING};

/// The file's name, where it has to have one.
const PROBE: &CStr = c"probe";
/// Its second one.
const LINK: &CStr = c"probe.link";
/// Permissions and owners that no file has by itself.
const MODES: [u32; 2] = [0o640, 0o701];
const SOMEBODY: u32 = 54_321;

/// What is kept in the directory's file system. `ours`: nobody else makes files in it.
pub(in crate::store::files) fn probe(directory: &Directory, ours: bool) -> Result<Kept> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let file = match openat(directory, c".", flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Some(file),
        // Not every file system has files without a name.
        Err(_) if ours => Some(named(directory)?),
        Err(_) => None,
    };
    let Some(file) = file else {
        return Ok(Kept::default());
    };
    let kept = ask(&file);
    if ours {
        match unlinkat(directory, PROBE, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error).at("cannot remove", PROBE.to_bytes()),
        }
    }
    kept.at("cannot find out what is kept of", PROBE.to_bytes())
}

fn named(directory: &Directory) -> Result<OwnedFd> {
    let make = || directory.make_file(PROBE, 0o600);
    let made = match make() {
        // Of a run that was killed.
        Err(Errno::EXIST) => unlinkat(directory, PROBE, AtFlags::empty()).and_then(|()| make()),
        made => made,
    };
    made.at("cannot make", PROBE.to_bytes())
}

/// Whether a file can have two names in a directory's file system. Nobody else makes files in it.
pub(super) fn has_links(directory: &Directory) -> Result<bool> {
    let remove_both = || {
        [PROBE, LINK]
            .iter()
            .try_for_each(|name| remove(directory, name))
    };
    // Of a run that was killed.
    remove_both()?;
    drop(named(directory)?);
    let linked = linkat(directory, PROBE, directory, LINK, AtFlags::empty());
    remove_both()?;
    match linked {
        Ok(()) => Ok(true),
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::XDEV) => Ok(false),
        Err(error) => Err(error).at("cannot give a second name to", PROBE.to_bytes()),
    }
}

fn ask(file: &OwnedFd) -> rustix::io::Result<Kept> {
    let time = Timespec {
        tv_sec: TELLING.0,
        tv_nsec: TELLING.1.into(),
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    // What is refused is not kept, either.
    let _ = futimens(file, &times);
    let read_back = stat_of(file)?.modified;
    let mut modes = true;
    for mode in MODES {
        let _ = fchmod(file, Mode::from_raw_mode(mode));
        modes &= stat_of(file)?.mode == mode;
    }
    let mut owners = true;
    if nix::unistd::geteuid().is_root() {
        let (user, group) = (Uid::from_raw(SOMEBODY), Gid::from_raw(SOMEBODY));
        let _ = fchown(file, Some(user), Some(group));
        owners = stat_of(file)?.owner == (SOMEBODY, SOMEBODY);
    }
    Ok(Kept::of(read_back, modes, owners))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_leaves_nothing_behind() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::at(place.path()).unwrap();
        std::fs::write(place.path().join("probe"), "of a run that was killed").unwrap();
        let kept = probe(&directory, true).unwrap();
        assert!(kept.modes && kept.owners, "{kept:?}");
        drop(named(&directory).unwrap());
        assert_eq!(probe(&directory, true).unwrap(), kept);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
        assert_eq!(probe(&directory, false).unwrap(), kept);
        std::fs::write(place.path().join("probe.link"), "of a run that was killed").unwrap();
        assert!(has_links(&directory).unwrap());
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
