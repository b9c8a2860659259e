//! A copy that is live, until the run has ended.

use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::workspace::Workspace;
use crate::config::job::KeepPrevious;
use crate::error::{Error, Kind, Result};
use crate::store::Published;
use crate::store::sqlite::connection::files;
use crate::store::sqlite::connection::open::open_read;
use crate::store::sqlite::connection::session::{blocking, locked};
use crate::store::sqlite::publish::confirm::PublishedCopy;
use crate::store::sqlite::publish::live;
use crate::sync::Mutex;

/// The content that a publish replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Replaced {
    /// A file that is now previous.
    Previous,
    /// Nothing: the file is new, and has this inode.
    Nothing(u64),
}

/// A live file that this run has written.
pub(super) struct SqlitePublished {
    workspace: Arc<Workspace>,
    replaced: Replaced,
    /// What was published, until it is confirmed.
    copy: Mutex<Option<PublishedCopy>>,
}

impl SqlitePublished {
    pub(super) fn new(workspace: &Arc<Workspace>, replaced: Replaced, copy: PublishedCopy) -> Self {
        Self {
            workspace: Arc::clone(workspace),
            replaced,
            copy: Mutex::new(Some(copy)),
        }
    }

    /// Removes the file that was published, if it still is that.
    fn remove_new(&self, inode: u64) -> Result<()> {
        let live = self.workspace.files.live();
        if live
            .symlink_metadata()
            .is_ok_and(|found| found.ino() != inode)
        {
            return Err(Error::new(
                Kind::Io,
                format!(
                    "{} is another file than the one that was published",
                    live.display()
                ),
            ));
        }
        files::remove(&live)?;
        self.workspace.files.location.sync_directory()
    }
}

#[async_trait]
impl Published for SqlitePublished {
    async fn confirm(&self) -> Result<()> {
        let Some(copy) = locked(&self.copy).take() else {
            return Ok(());
        };
        let files = &self.workspace.files;
        let (live, incoming) = (files.live(), files.incoming());
        blocking(&self.workspace.context.cancel, move |_| {
            copy.confirm(&live, &incoming)
        })
        .await
    }

    async fn revert(&self) -> Result<()> {
        drop(locked(&self.copy).take());
        let files = &self.workspace.files;
        match self.replaced {
            Replaced::Nothing(inode) => self.remove_new(inode),
            Replaced::Previous => {
                let (live, previous) = (files.live(), files.location.previous());
                // A run that was cancelled is undone all the same.
                blocking(&CancellationToken::new(), move |stop| {
                    let from = open_read(&previous)?;
                    live::replace(&live, &from, &mut || Ok(()), stop).map(drop)
                })
                .await?;
                // It is what is live: there is nothing to go back to.
                files.drop_previous()
            }
        }
    }

    async fn settle(&self) -> Result<()> {
        drop(locked(&self.copy).take());
        if self.workspace.previous == KeepPrevious::Drop {
            self.workspace.files.drop_previous()?;
        }
        Ok(())
    }
}
