//! The directories of a tree whose files came from elsewhere. They get their owners, permissions and times at the end, when
//! nobody writes into them any more.

use std::sync::Arc;

use rustix::fs::{Gid, Mode, Uid, fchmod, fchown};
use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::metadata::Metadata;
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::directory::Directory;
use crate::store::files::connection::stat::Stat;
use crate::store::files::connection::told::At;
use crate::store::files::rows::walk::SOURCE;
use crate::store::files::rows::warnings::Warnings;
use crate::store::files::rows::work::{Action, Work};

/// A directory that is not finished yet.
struct Level {
    path: Vec<u8>,
    /// `None`: there was no need to make it.
    made: Option<Arc<Directory>>,
    /// What it is to have; `None`: it has it.
    like: Option<Stat>,
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

/// Finishes all that the source has, the innermost first.
pub(in crate::store::files) fn finish(
    work: &Work,
    root: Arc<Directory>,
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
            metadata.give(made, None::<&Directory>, &level.path, warnings)
        }
        _ => Ok(()),
    };
    let mut levels = vec![Level {
        path: Vec::new(),
        made: Some(root),
        like: work.root,
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
            let made = match parent.made.as_ref().map(|parent| parent.open(&name)) {
                None | Some(Err(Errno::NOENT)) => None,
                Some(opened) => Some(Arc::new(opened.at("cannot open directory", &entry.path)?)),
            };
            levels.push(Level {
                path: entry.path.clone(),
                made,
                like: sides[SOURCE].then_some(entry.stat),
            });
        }
        tasks.advance()?;
    }
    while let Some(level) = levels.pop() {
        finish(level)?;
    }
    Ok(())
}
