//! A new tree that is live, until the run has ended.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::workspace::Workspace;
use crate::config::job::KeepPrevious;
use crate::error::Result;
use crate::store::Published;
use crate::store::files::connection::blocking::blocking;
use crate::store::files::connection::remove::remove;
use crate::store::files::connection::told::At;
use crate::store::files::publish::folder::{Folder, PREVIOUS};
use crate::store::files::publish::{apply, swap};

/// What a publish replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Replaced {
    /// Nothing was published, as nothing had changed.
    Unchanged,
    /// There was nothing live.
    Nothing,
    /// A tree, which is where incoming was.
    Tree,
    /// Files, one by one.
    Files,
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

    pub(super) fn file_by_file(workspace: &Arc<Workspace>) -> Self {
        Self {
            workspace: Arc::clone(workspace),
            replaced: Replaced::Files,
        }
    }

    pub(super) fn of(workspace: &Arc<Workspace>, had_live: bool) -> Self {
        let replaced = if had_live {
            Replaced::Tree
        } else {
            Replaced::Nothing
        };
        Self {
            workspace: Arc::clone(workspace),
            replaced,
        }
    }
}

#[async_trait]
impl Published for TreePublished {
    async fn revert(&self) -> Result<()> {
        let (place, folder) = (self.workspace.place.clone(), self.workspace.folder()?);
        let name = Folder::incoming(self.workspace.context.claim.short())?;
        let replaced = self.replaced;
        blocking(&CancellationToken::new(), move |_| {
            match replaced {
                Replaced::Unchanged => return Ok(()),
                Replaced::Files => {
                    return Err(apply::cannot_be_undone(&place.path.display().to_string()));
                }
                Replaced::Tree => swap::exchange(&place, &folder, &name, true)?,
                Replaced::Nothing => {
                    let none = rustix::fs::RenameFlags::NOREPLACE;
                    let (from, to) = (&*place.parent, &*folder.directory);
                    rustix::fs::renameat_with(from, &*place.name, to, &*name, none)
                        .at("cannot take back", place.name.to_bytes())?;
                }
            }
            remove(&folder.directory, &name)
        })
        .await
    }

    async fn settle(&self) -> Result<()> {
        let folder = self.workspace.folder()?;
        let run = self.workspace.context.claim.short();
        let (name, dropped) = (Folder::incoming(run)?, Folder::dropped(run)?);
        let file_by_file = self.workspace.place.file_by_file;
        let drops = self.workspace.previous == KeepPrevious::Drop || file_by_file;
        let has_replaced = self.replaced == Replaced::Tree;
        blocking(&CancellationToken::new(), move |_| {
            if drops {
                remove(&folder.directory, PREVIOUS)?;
                return remove(&folder.directory, &name);
            }
            if has_replaced {
                swap::keep(&folder, &name, &dropped)?;
            }
            Ok(())
        })
        .await
    }
}
