//! Incoming: the copy that is being built, until it has everything.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::complete::SqliteComplete;
use super::workspace::{Workspace, table};
use crate::config::job::Verify;
use crate::error::Result;
use crate::store::sqlite::connection::errors::explain;
use crate::store::sqlite::connection::files::CreatedFile;
use crate::store::sqlite::connection::open::open_read;
use crate::store::sqlite::connection::session::{Session, blocking, locked};
use crate::store::sqlite::incoming::preserve::Preserved;
use crate::store::sqlite::incoming::{build, check, create, load};
use crate::store::sqlite::publish::live;
use crate::store::sqlite::schema::definitions::Definitions;
use crate::store::{Chunks, Complete, Incoming, Part, Transfer};
use crate::sync::Mutex;

/// A file beside live that rows are written into.
pub(super) struct SqliteIncoming {
    pub(super) workspace: Arc<Workspace>,
    pub(super) definitions: Arc<Definitions>,
    content: Mutex<Content>,
    /// SQLite has one writer; whoever waits here has not begun to read.
    writing: tokio::sync::Mutex<()>,
}

/// What is in incoming.
#[derive(Clone)]
struct Content {
    file: Arc<CreatedFile>,
    /// It is the source, page by page.
    is_page_copy: bool,
}

impl SqliteIncoming {
    /// Creates incoming with the source's settings and tables.
    pub(super) async fn create(
        workspace: &Arc<Workspace>,
        definitions: Arc<Definitions>,
    ) -> Result<Self> {
        workspace.files.marks()?.begin()?;
        let (path, wanted) = (workspace.incoming(), Arc::clone(&definitions));
        let creating = workspace.creating().await;
        let (connection, file) = blocking(&workspace.context.cancel, move |_| {
            let _until_done = creating;
            create::prepare(&path, &wanted)
        })
        .await?;
        workspace.set_session(connection);
        Ok(Self {
            workspace: Arc::clone(workspace),
            definitions,
            content: Mutex::new(Content {
                file: Arc::new(file),
                is_page_copy: false,
            }),
            writing: tokio::sync::Mutex::new(()),
        })
    }

    /// Notes that incoming is the source now, page by page.
    pub(super) fn set_page_copy(&self, file: Arc<CreatedFile>) {
        *locked(&self.content) = Content {
            file,
            is_page_copy: true,
        };
    }

    /// Takes the snapshot of live, unless there is one, or no live.
    async fn take_snapshot(&self, stop: &CancellationToken) -> Result<()> {
        let files = &self.workspace.files;
        if self.workspace.has_snapshot() || !files.location.exists() {
            return Ok(());
        }
        let (live, to) = (files.live(), files.snapshot());
        let creating = self.workspace.creating().await;
        let watch = blocking(stop, move |stop| {
            let _until_done = creating;
            live::snapshot(&live, &to, stop)
        })
        .await?;
        self.workspace.set_watch(watch);
        Ok(())
    }

    /// Adds live's rows and tables, then all that comes after rows.
    async fn build_rest(&self) -> Result<Preserved> {
        let workspace = &self.workspace;
        self.take_snapshot(&workspace.context.cancel).await?;
        let selection = Arc::clone(&workspace.context.selection);
        let definitions = Arc::clone(&self.definitions);
        let snapshot = workspace.has_snapshot().then(|| workspace.files.snapshot());
        workspace
            .session()?
            .run(move |connection, _| {
                build::complete_over(connection, &definitions, snapshot.as_deref(), &selection)
            })
            .await
    }

    /// Checks incoming while live is copied: one reads and computes, the other reads and writes. What fails ends the other.
    async fn check_and_snapshot(&self) -> Result<()> {
        let stop = self.workspace.context.cancel.child_token();
        let failed = Mutex::new(None);
        let ended = |done: Result<()>| {
            if let Err(error) = done {
                locked(&failed).get_or_insert(error);
                stop.cancel();
            }
        };
        let checked = async { ended(self.check_integrity(&stop).await) };
        let copied = async { ended(self.take_snapshot(&stop).await) };
        tokio::join!(checked, copied);
        failed.into_inner().map_or(Ok(()), Err)
    }

    async fn check_integrity(&self, stop: &CancellationToken) -> Result<()> {
        if self.workspace.verify == Verify::None {
            return Ok(());
        }
        let (path, definitions) = (self.workspace.incoming(), Arc::clone(&self.definitions));
        let connection = open_read(&path)?;
        Session::new(connection, stop)
            .run(move |connection, _| {
                check::integrity(connection, &path)?;
                check::keys(connection, &definitions, &path)
            })
            .await
    }
}

#[async_trait]
impl Incoming for SqliteIncoming {
    async fn write(&self, part: &Part, mut chunks: Chunks) -> Result<u64> {
        let _one_at_a_time = self.writing.lock().await;
        let table = table(&self.definitions, part)?;
        let session = self.workspace.session()?;
        let (sender, receiver) = mpsc::channel(2);
        let is_masked = (self.workspace.context.selection).is_masked(None, &table.name);
        let writing = session.run(move |connection, stop| {
            // What is masked was never checked.
            let ignores = |ignores: bool| {
                let set = connection.pragma_update(None, "ignore_check_constraints", ignores);
                set.map_err(|error| explain(error, &format!("table `{}`", table.name)))
            };
            if is_masked {
                ignores(false)?;
            }
            let taken = load::write(connection, &table, receiver, stop)?;
            if is_masked {
                ignores(true)?;
            }
            Ok(taken)
        });
        let reading = async move {
            while let Some(chunk) = chunks.next().await {
                if sender.send(Some(chunk?)).await.is_err() {
                    // The writer has failed, and says why.
                    return Ok(());
                }
            }
            let _ = sender.send(None).await;
            Ok(())
        };
        let (taken, read): (Result<u64>, Result<()>) = tokio::join!(writing, reading);
        read?;
        taken
    }

    /// What is masked, or a part of a table, is not what the source has: it is read back to be held against what was sent.
    fn is_read_back(&self, part: &Part) -> bool {
        self.workspace.context.selection.is_altered(&part.name)
    }

    async fn complete(self: Arc<Self>) -> Result<Box<dyn Complete>> {
        let Content { file, is_page_copy } = locked(&self.content).clone();
        let preserved = if is_page_copy {
            None
        } else {
            Some(Arc::new(self.build_rest().await?))
        };
        let file = self.workspace.fit_pages(file).await?;
        self.check_and_snapshot().await?;
        self.workspace.reopen(&file).await?;
        Ok(Box::new(SqliteComplete::new(
            &self.workspace,
            &self.definitions,
            file,
            preserved,
        )))
    }

    fn transfer(&self) -> Option<&dyn Transfer> {
        Some(self)
    }
}
