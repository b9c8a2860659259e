//! The directories of a tree whose files came from elsewhere. They get their owners, permissions and times at the end, when
//! nobody writes into them any more.

use std::ffi::CStr;
use std::sync::Arc;

use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::metadata::{Metadata, without_attributes};
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::stat::Stat;
use crate::store::files::connection::told::At;
use crate::store::files::rows::pair::{SOURCE, TARGET};
use crate::store::files::rows::warnings::Warnings;
use crate::store::files::rows::work::{Action, Work};

/// A directory that is not finished yet.
struct Level {
    path: Vec<u8>,
    /// `None`: there was no need to make it.
    made: Option<Arc<Directory>>,
    /// What it is to have; `None`: it has it.
    like: Option<Stat>,
    /// The one of the same path where its files were built.
    built: Option<Arc<Directory>>,
    /// The one of the same path in live, if that lends what it has.
    live: Option<Arc<Directory>>,
    /// The run has made it.
    is_new: bool,
}

/// The permissions of a directory whose source has none.
const USUAL: u32 = 0o755;

/// Gives a directory what it has where its source has nothing: the usual permissions, and the owner of the tree.
fn give_usual(made: &Directory, owner: Option<(u32, u32)>, path: &[u8]) -> Result<()> {
    if let Some((user, group)) = owner {
        let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
        fchown(made, Some(user), Some(group)).at("cannot set the owner of", path)?;
    }
    fchmod(made, Mode::from_raw_mode(USUAL)).at("cannot set the permissions of", path)
}

/// A directory in another one, if it is there.
fn open(
    above: Option<&Arc<Directory>>,
    name: &CStr,
    path: &[u8],
) -> Result<Option<Arc<Directory>>> {
    match above.map(|above| above.open(name)) {
        None | Some(Err(Errno::NOENT)) => Ok(None),
        Some(opened) => Ok(Some(Arc::new(opened.at("cannot open directory", path)?))),
    }
}

/// The same of live, in which something else may have taken its place.
fn open_live(
    above: Option<&Arc<Directory>>,
    name: &CStr,
    path: &[u8],
) -> Result<Option<Arc<Directory>>> {
    match above.map(|above| above.open(name)) {
        None | Some(Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) => Ok(None),
        Some(opened) => Ok(Some(Arc::new(opened.at("cannot open directory", path)?))),
    }
}

/// Trees in which directories are finished.
pub(in crate::store::files) struct Trees {
    /// The one that is finished.
    pub(in crate::store::files) root: Arc<Directory>,
    /// Where files were built that are put into it one by one: directories that were made in it for them get the attributes of
    /// those that they were built in, and those of somebody else keep what they have.
    pub(in crate::store::files) built: Option<Arc<Directory>>,
    /// Live, where the source's directories have nothing of their own: those of the same paths get its directories' attributes,
    /// as they get their permissions.
    pub(in crate::store::files) live: Option<Arc<Directory>>,
}

/// Finishes all that the source has, the innermost first.
pub(in crate::store::files) fn finish(
    work: &Work,
    trees: Trees,
    keeps_owners: bool,
    warnings: &Warnings,
    stop: &CancellationToken,
) -> Result<()> {
    let owner = work
        .root
        .filter(|root| !root.is_vague())
        .map(|root| root.owner);
    let finish = |level: Level| match (&level.made, &level.like) {
        (Some(made), Some(like)) if like.is_vague() => {
            give_usual(made, owner.filter(|_| keeps_owners), &level.path)
        }
        (Some(made), Some(like)) => {
            let metadata = Metadata {
                like,
                mode: like.mode,
                keeps_owner: keeps_owners,
            };
            let built = level.built.as_ref().filter(|_| level.is_new);
            let Some(from) = built.or(level.live.as_ref()) else {
                return metadata.give_if_ours(made, &level.path, warnings);
            };
            if built.is_some() {
                // It may have an ACL of the directory that it was made in.
                without_attributes(made, &level.path)?;
            }
            metadata.give(made, Some(from), &level.path, warnings)
        }
        _ => Ok(()),
    };
    let mut levels = vec![Level {
        path: Vec::new(),
        made: Some(trees.root),
        like: work.root,
        built: trees.built,
        live: trees.live,
        is_new: false,
    }];
    let mut tasks = work.tasks()?;
    while let Some((entry, action)) = tasks.task()? {
        stopped(stop)?;
        if let Action::Enter { sides, .. } = action {
            let (above, name) = entry.place()?;
            while levels.last().is_some_and(|level| level.path != above) {
                levels.pop().map_or(Ok(()), finish)?;
            }
            let broken = || Error::new(Kind::Internal, "the list of a run's work is broken");
            let parent = levels.last().ok_or_else(broken)?;
            let made = open(parent.made.as_ref(), &name, &entry.path)?;
            let built = open(parent.built.as_ref(), &name, &entry.path)?;
            let lends = parent.live.as_ref().filter(|_| sides[TARGET]);
            let live = open_live(lends, &name, &entry.path)?;
            levels.push(Level {
                path: entry.path.clone(),
                made,
                like: sides[SOURCE].then_some(entry.stat),
                built,
                live,
                is_new: !sides[TARGET],
            });
        }
        tasks.advance()?;
    }
    while let Some(level) = levels.pop() {
        finish(level)?;
    }
    Ok(())
}
