//! The exchange of two trees, in one step.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{RenameFlags, renameat_with};
use rustix::io::Errno;

use super::folder::{self, Folder, PREVIOUS};
use super::place::Place;
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::mounts::{below, not_exchanged};
use crate::store::files::connection::told::{At, failed, told};

/// Refuses to exchange what has this name in the folder for live while something is mounted in one of the two: it would go with
/// its tree, where nobody looks for it, and be in the way when that is removed.
pub(in crate::store::files) fn refuse_mounts(place: &Place, name: &CStr) -> Result<()> {
    let name = name.to_bytes();
    let new = place.folder_path().join(OsStr::from_bytes(name));
    for (tree, called) in [(&place.path, "live"), (&new, &*told(name))] {
        if let Some(path) = below(tree) {
            return Err(not_exchanged(&path, called));
        }
    }
    Ok(())
}

/// Exchanges what has this name in the folder for live. Where nothing is live yet, it only becomes it.
pub(in crate::store::files) fn exchange(
    place: &Place,
    folder: &Folder,
    name: &CStr,
    has_live: bool,
) -> Result<()> {
    let flags = if has_live {
        RenameFlags::EXCHANGE
    } else {
        RenameFlags::NOREPLACE
    };
    let shown = place.path.display().to_string();
    renameat_with(
        &*folder.directory,
        name,
        &*place.parent,
        &*place.name,
        flags,
    )
    .map_err(|error| match error {
        Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP => {
            let what = format!("the file system of {shown} cannot exchange two directories");
            Error::new(Kind::Io, what)
                .because(std::io::Error::from(error))
                .hint("put the target on a file system that can (ext4, XFS, Btrfs, tmpfs), or have files put in place one by one: publish = \"in_place\"")
        }
        error => failed(
            "cannot put the new tree in place as",
            shown.as_bytes(),
            error,
        ),
    })?;
    // It is done: whoever heard of a failure now would take it back, or take the old tree for one of ours.
    for synced in [folder::sync(&place.parent, &shown), folder.sync()] {
        if let Err(error) = synced {
            tracing::warn!(%error, "the exchange may be undone by a power cut");
        }
    }
    Ok(())
}

/// Keeps a tree of the folder as previous, in the place of an older one; returns whether there was one, which is `dropped` now.
pub(in crate::store::files) fn keep(folder: &Folder, name: &CStr, dropped: &CStr) -> Result<bool> {
    let (directory, none) = (&*folder.directory, RenameFlags::NOREPLACE);
    let was_there = match renameat_with(directory, PREVIOUS, directory, dropped, none) {
        Ok(()) => true,
        Err(Errno::NOENT) => false,
        Err(error) => return Err(error).at("cannot move away", PREVIOUS.to_bytes()),
    };
    renameat_with(directory, name, directory, PREVIOUS, none)
        .at("cannot keep", PREVIOUS.to_bytes())?;
    folder.sync()?;
    Ok(was_there)
}

/// Makes previous live again, and what is live previous.
pub(in crate::store::files) fn roll_back(place: &Place, folder: &Folder) -> Result<()> {
    let previous = folder.directory.find(PREVIOUS);
    if previous
        .at("cannot look at", PREVIOUS.to_bytes())?
        .is_none()
    {
        return Err(no_previous(place));
    }
    refuse_mounts(place, PREVIOUS)?;
    let live = place.live()?;
    exchange(place, folder, PREVIOUS, live.is_some())
}

/// There is nothing to go back to.
pub(in crate::store::files) fn no_previous(place: &Place) -> Error {
    let what = format!("there is no previous copy of {}", place.path.display());
    Error::new(Kind::Statement, what)
        .hint("it is kept by runs with `previous = \"keep\"`, until the next run")
}
