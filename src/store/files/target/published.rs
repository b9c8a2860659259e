//! A new tree that is live, until the run has ended.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::workspace::Workspace;
use crate::config::job::KeepPrevious;
use crate::error::{Error, Kind, Result};
use crate::store::Published;
use crate::store::files::connection::blocking::blocking;
use crate::store::files::connection::remove::remove;
use crate::store::files::connection::stat::Moment;
use crate::store::files::connection::told::At;
use crate::store::files::publish::changed;
use crate::store::files::publish::folder::{Folder, PREVIOUS};
use crate::store::files::publish::place::Place;
use crate::store::files::publish::spare;
use crate::store::files::publish::swap;
use crate::store::files::publish::unsettled;

/// What a publish replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Replaced {
    /// Nothing was published, as nothing had changed.
    Unchanged,
    /// There was nothing live.
    Nothing,
    /// A tree, which is where incoming was, at this moment if it is known.
    Tree { at: Option<Moment> },
    /// Files, one by one; so many of them could not be kept.
    Files { lost: u64 },
}

/// A tree that this run has published.
pub(super) struct TreePublished {
    workspace: Arc<Workspace>,
    replaced: Replaced,
}

impl TreePublished {
    pub(super) fn unchanged(workspace: &Arc<Workspace>) -> Self {
        Self {
            workspace: Arc::clone(workspace),
            replaced: Replaced::Unchanged,
        }
    }

    pub(super) fn file_by_file(workspace: &Arc<Workspace>, lost: u64) -> Self {
        Self {
            workspace: Arc::clone(workspace),
            replaced: Replaced::Files { lost },
        }
    }

    pub(super) fn of(workspace: &Arc<Workspace>, had_live: bool, at: Option<Moment>) -> Self {
        let replaced = if had_live {
            Replaced::Tree { at }
        } else {
            Replaced::Nothing
        };
        Self {
            workspace: Arc::clone(workspace),
            replaced,
        }
    }
}

/// What was live before cannot be had again.
fn not_all_undone(place: &Place, lost: u64) -> Error {
    let shown = place.path.display();
    let what = format!(
        "{lost} files of {shown} could not be kept, as its file system has no hard links: they stay as the run has made them"
    );
    Error::new(Kind::Io, what)
        .hint("run the job again; with previous = \"keep\" they would have been kept")
}

#[async_trait]
impl Published for TreePublished {
    async fn revert(&self) -> Result<()> {
        let (place, folder) = (self.workspace.place.clone(), self.workspace.folder()?);
        let in_place = self.workspace.in_place()?;
        let run = self.workspace.context.claim.short().to_owned();
        let (name, dropped) = (Folder::incoming(&run)?, Folder::dropped(&run)?);
        let replaced = self.replaced;
        blocking(&CancellationToken::new(), move |_| {
            match replaced {
                Replaced::Unchanged => return Ok(()),
                Replaced::Files { lost } => {
                    if let Some(in_place) = in_place {
                        let opened = folder.directory.open(&name);
                        let new = opened.at("cannot open", name.to_bytes())?;
                        in_place.undo(&run, &Arc::new(new))?;
                    }
                    if lost > 0 {
                        return Err(not_all_undone(&place, lost));
                    }
                }
                Replaced::Tree { .. } => {
                    swap::exchange(&place, &folder, &name, true)?;
                    unsettled::forget(&folder)?;
                }
                Replaced::Nothing => {
                    let none = rustix::fs::RenameFlags::NOREPLACE;
                    let (from, to) = (&*place.parent, &*folder.directory);
                    rustix::fs::renameat_with(from, &*place.name, to, &*name, none)
                        .at("cannot take back", place.name.to_bytes())?;
                }
            }
            remove(&folder.directory, &dropped)?;
            remove(&folder.directory, &name)
        })
        .await
    }

    async fn settle(&self) -> Result<()> {
        let folder = self.workspace.folder()?;
        let in_place = self.workspace.in_place()?;
        let run = self.workspace.context.claim.short().to_owned();
        let (name, dropped) = (Folder::incoming(&run)?, Folder::dropped(&run)?);
        let drops = self.workspace.previous == KeepPrevious::Drop;
        let (place, replaced) = (self.workspace.place.clone(), self.replaced);
        let keeps_spare = self.workspace.keeps_spare();
        let open = self.workspace.open.lock().clone();
        blocking(&CancellationToken::new(), move |_| {
            if let Some(in_place) = in_place {
                if drops {
                    in_place.drop_all(&run)?;
                } else {
                    in_place.keep(&run)?;
                    in_place.forget_rollback()?;
                }
                return remove(&folder.directory, &name);
            }
            let (mut old, mut known) = (None, None);
            if drops {
                remove(&folder.directory, PREVIOUS)?;
                changed::forget(&folder)?;
            }
            if let (Replaced::Tree { at }, Some(open)) = (replaced, open) {
                let changed = open.work.and_then(|work| work.changed);
                if drops {
                    old = Some(&name);
                    known = changed.map(|changed| vec![changed]);
                } else {
                    let earlier = changed::earlier(&folder, &name, open.touched);
                    old = swap::keep(&folder, &name, &dropped)?.then_some(&dropped);
                    changed::note(&folder, &place, changed.as_deref(), at);
                    known = earlier
                        .zip(changed)
                        .map(|(earlier, now)| vec![Arc::new(earlier), now]);
                }
                unsettled::forget(&folder)?;
            }
            match old {
                Some(old) if keeps_spare => spare::keep(&folder, &place, old, &known),
                Some(old) => remove(&folder.directory, old),
                // The one that was made of the first copy.
                None if replaced == Replaced::Nothing => spare::put_if_made(&folder, &dropped),
                None => Ok(()),
            }
        })
        .await
    }
}
