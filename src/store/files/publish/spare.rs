//! The spare in the folder beside live: see [`crate::store::files::incoming::spare`]. It only ever saves time: whatever is odd
//! about it, it is removed, and the new tree is built without it.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::{RenameFlags, renameat_with};

use super::changed::Known;
use super::folder::Folder;
use super::place::Place;
use crate::error::Result;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::mounts::{below, not_removed};
use crate::store::files::connection::remove::remove;
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::connection::told::At;
use crate::store::files::incoming::metadata::reset;
use crate::store::files::incoming::recycle::says_inodes;
use crate::store::files::incoming::spare;
use crate::store::files::rows::work::Changed;

/// Its name. It has it only while it has nothing that live does not have.
pub(in crate::store::files) const SPARE: &CStr = c"spare";

/// Makes it what a run builds, under this name, where `live` can be built from it. From then on it is incoming like any other.
pub(in crate::store::files) fn take(
    folder: &Folder,
    name: &CStr,
    live: Option<&Stat>,
) -> Result<Option<Directory>> {
    let directory = &*folder.directory;
    let path = SPARE.to_bytes();
    let Some(found) = directory.find(SPARE).at("cannot look at", path)? else {
        return Ok(None);
    };
    let is_near = live.is_some_and(|live| live.id.0 == found.id.0 && !found.is_mounted_on);
    if found.kind != FileKind::Directory || !is_near || !says_inodes(directory) {
        return remove(directory, SPARE).map(|()| None);
    }
    let flags = RenameFlags::NOREPLACE;
    renameat_with(directory, SPARE, directory, name, flags).at("cannot rename", path)?;
    let taken = directory.open(name).at("cannot open", path)?;
    reset(&taken, path)?;
    Ok(Some(taken))
}

/// Makes one of the tree of this name, which is needed no more, for the next run. Where that cannot be, the tree is removed.
pub(in crate::store::files) fn keep(
    folder: &Folder,
    place: &Place,
    name: &CStr,
    known: &Known,
) -> Result<()> {
    let directory = &*folder.directory;
    let path = place.folder_path().join(OsStr::from_bytes(name.to_bytes()));
    if let Some(path) = below(&path) {
        let path = [name.to_bytes(), b"/", &*path].concat();
        return Err(not_removed(directory, &path));
    }
    let pruned = match place.live()? {
        Some((live, _)) if says_inodes(directory) => prune(directory, name, &live, known),
        _ => Ok(false),
    };
    match pruned {
        Ok(true) => put(folder, name),
        Ok(false) => remove(directory, name),
        Err(error) => {
            tracing::info!(%error, "the old tree is removed: the next run cannot build on it");
            remove(directory, name)
        }
    }
}

/// Removes what the tree has and live does not: where runs have written down that they changed it, or else wherever it is.
fn prune(directory: &Directory, name: &CStr, live: &Arc<Directory>, known: &Known) -> Result<bool> {
    if let Some(lists) = known {
        match prune_at(directory, name, live, lists) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(error) => tracing::debug!(%error, "all of the old tree is read"),
        }
    }
    spare::prune(directory, name, live)
}

fn prune_at(
    directory: &Directory,
    name: &CStr,
    live: &Directory,
    lists: &[Arc<Changed>],
) -> Result<bool> {
    let path = name.to_bytes();
    let tree = directory.open(name).at("cannot open", path)?;
    let [one, other] = [&tree, live].map(|it| it.own_stat().at("cannot look at", path));
    if one?.id.0 != other?.id.0 {
        return Ok(false);
    }
    // Nobody else gets into what is in it.
    reset(&tree, path)?;
    let tree = Arc::new(tree);
    let each = |list: &Arc<Changed>| spare::prune_at(&tree, list);
    lists.iter().try_for_each(each).map(|()| true)
}

/// Keeps the one that [`make`] has made of a tree that is live now, if it has.
pub(in crate::store::files) fn put_if_made(folder: &Folder, name: &CStr) -> Result<()> {
    let made = folder.directory.find(name);
    match made.at("cannot look at", name.to_bytes())? {
        Some(_) => put(folder, name),
        None => Ok(()),
    }
}

fn put(folder: &Folder, name: &CStr) -> Result<()> {
    let directory = &*folder.directory;
    remove(directory, SPARE)?;
    let flags = RenameFlags::NOREPLACE;
    renameat_with(directory, name, directory, SPARE, flags).at("cannot keep", SPARE.to_bytes())
}

/// Makes one of what a run has built, while there is none: the first copy of a tree has nothing that it could be made of.
pub(in crate::store::files) fn make(
    folder: &Folder,
    name: &CStr,
    tree: &Arc<Directory>,
    stop: &tokio_util::sync::CancellationToken,
) -> Result<()> {
    let directory = &*folder.directory;
    if !says_inodes(directory) {
        return Ok(());
    }
    let Err(error) = spare::make(directory, name, tree, stop) else {
        return Ok(());
    };
    tracing::info!(%error, "no spare is kept: the next run links what has not changed");
    remove(directory, name)
}
