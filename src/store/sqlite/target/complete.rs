//! A copy that has everything: it is verified, scripts run on it, and then it is published.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::published::{Replaced, SqlitePublished};
use super::workspace::{Workspace, table};
use crate::error::Result;
use crate::store::sqlite::connection::errors::{explain, on};
use crate::store::sqlite::connection::files::{self, CreatedFile};
use crate::store::sqlite::connection::session::{blocking, locked, stopped};
use crate::store::sqlite::incoming::derive;
use crate::store::sqlite::incoming::preserve::Preserved;
use crate::store::sqlite::publish::live::Watch;
use crate::store::sqlite::publish::swap::{Publishing, after_publish, publish_new};
use crate::store::sqlite::rows::{checksum, reading, sample};
use crate::store::sqlite::schema::definitions::Definitions;
use crate::store::sqlite::schema::extensions;
use crate::store::sqlite::script;
use crate::store::{Catalogue, Checksum, Chunks, Complete, Part, Published, Sample, Samples};
use crate::sync::Mutex;

/// Incoming with all its rows, indexes and what the target keeps.
pub(super) struct SqliteComplete {
    workspace: Arc<Workspace>,
    definitions: Arc<Definitions>,
    /// Incoming's file, which a rewrite replaces.
    file: Mutex<Arc<CreatedFile>>,
    /// What the target keeps of its own; `None`: incoming is the source, page by page.
    preserved: Option<Arc<Preserved>>,
}

impl SqliteComplete {
    pub(super) fn new(
        workspace: &Arc<Workspace>,
        definitions: &Arc<Definitions>,
        file: Arc<CreatedFile>,
        preserved: Option<Arc<Preserved>>,
    ) -> Self {
        Self {
            workspace: Arc::clone(workspace),
            definitions: Arc::clone(definitions),
            file: Mutex::new(file),
            preserved,
        }
    }

    fn file(&self) -> Arc<CreatedFile> {
        Arc::clone(&locked(&self.file))
    }

    /// Refuses what a script has done to rows that the target keeps.
    async fn check_preserved(&self) -> Result<()> {
        let preserved = self.preserved.clone();
        let Some(preserved) = preserved.filter(|preserved| !preserved.is_empty()) else {
            return Ok(());
        };
        let snapshot = self.workspace.files.snapshot();
        self.workspace
            .session()?
            .run(move |connection, _| preserved.is_untouched(connection, &snapshot))
            .await
    }

    /// Puts incoming where no file is.
    async fn publish_new(&self) -> Result<Box<dyn Published>> {
        let files = &self.workspace.files;
        let (incoming, live) = (files.incoming(), files.live());
        let (file, definitions) = (self.file(), Arc::clone(&self.definitions));
        let inode = file.inode();
        let copy = blocking(&self.workspace.context.cancel, move |_| {
            publish_new(&file, &incoming, &live, &definitions)
        })
        .await?;
        self.workspace.set_published();
        files::remove(&files.incoming())
            .and_then(|()| files.location.sync_directory())
            .and_then(|()| files.mark_cleared())
            .map_err(after_publish)?;
        Ok(Box::new(SqlitePublished::new(
            &self.workspace,
            Replaced::Nothing(inode),
            copy,
        )))
    }

    /// Writes incoming's content into the file that is live.
    async fn publish_over(&self, watch: Watch) -> Result<Box<dyn Published>> {
        let files = &self.workspace.files;
        let publishing = Publishing {
            live: files.live(),
            incoming: files.incoming(),
            file: self.file(),
            snapshot: files.snapshot(),
            definitions: Arc::clone(&self.definitions),
            selection: Arc::clone(&self.workspace.context.selection),
            preserved: self.preserved.clone(),
        };
        let copy = blocking(&self.workspace.context.cancel, move |stop| {
            publishing.run(watch, stop)
        })
        .await?;
        self.workspace.set_published();
        files
            .keep_previous()
            .and_then(|()| files::remove(&files.incoming()))
            .and_then(|()| files.mark_cleared())
            .map_err(after_publish)?;
        Ok(Box::new(SqlitePublished::new(
            &self.workspace,
            Replaced::Previous,
            copy,
        )))
    }
}

#[async_trait]
impl Complete for SqliteComplete {
    async fn catalogue(&self) -> Result<Catalogue> {
        let selection = Arc::clone(&self.workspace.context.selection);
        let preserved = self.preserved.clone();
        let definitions = Arc::clone(&self.definitions);
        let path = self.workspace.incoming();
        self.workspace
            .session()?
            .run(move |connection, _| {
                let incoming = Definitions::read(connection, &selection).map_err(on(&path))?;
                Ok(match preserved {
                    Some(preserved) => preserved.in_place_of(&definitions, &incoming),
                    None => incoming.everything(&BTreeSet::new()),
                })
            })
            .await
    }

    async fn read_back(&self, part: &Part) -> Result<Option<Chunks>> {
        if self.workspace.context.selection.takes_rows_as_they_are() {
            return Ok(None);
        }
        let table = table(&self.definitions, part)?;
        let stop = self.workspace.context.cancel.clone();
        let session = self.workspace.reader()?;
        Ok(Some(reading::stream(
            session,
            table,
            Vec::new(),
            None,
            stop,
        )))
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        let table = table(&self.definitions, part)?;
        let session = if extensions::is_missing(&self.definitions, &table.name) {
            self.workspace.reader()?
        } else {
            self.workspace.session()?
        };
        session
            .run(move |connection, stop| {
                let sum = checksum::sum(connection, &table).map_err(|error| {
                    explain(error, &format!("table `{}` of incoming", table.name))
                });
                stopped(stop)?;
                sum
            })
            .await
    }

    async fn is_true_for_any(&self, part: &Part, condition: &str) -> Result<Option<bool>> {
        let table = table(&self.definitions, part)?;
        let query = table.select(&[], Some(condition));
        let session = self.workspace.reader()?;
        let found = session.run(move |connection, _| {
            let found = connection
                .prepare(&query)
                .and_then(|mut found| found.exists([]));
            found.map_err(|error| explain(error, &format!("table `{}` of incoming", table.name)))
        });
        found.await.map(Some)
    }

    async fn run_script(&self, file: &Path, text: &str) -> Result<()> {
        let (script, text) = (file.to_owned(), text.to_owned());
        // What one has set, attached or made for the time of its session is not there for the next.
        self.workspace.reopen(&self.file()).await?;
        self.workspace
            .session()?
            .run(move |connection, stop| script::run::run(connection, &script, &text, stop))
            .await
    }

    async fn derive(&self) -> Result<()> {
        self.workspace.reopen(&self.file()).await?;
        self.check_preserved().await?;
        self.workspace
            .session()?
            .run(|connection, _| derive::renew(connection))
            .await?;
        // A script may have changed the page size.
        let wanted = self.workspace.wanted_page_size().await?;
        let file = self.workspace.rewrite(&self.file(), wanted).await?;
        *locked(&self.file) = file;
        Ok(())
    }

    async fn publish(self: Box<Self>) -> Result<Box<dyn Published>> {
        self.workspace.close_session();
        self.workspace.files.marks()?.spare_previous()?;
        match self.workspace.take_watch() {
            Some(watch) => self.publish_over(watch).await,
            None => self.publish_new().await,
        }
    }
    fn samples(&self) -> Option<&dyn Samples> {
        Some(self)
    }
}

#[async_trait]
impl Samples for SqliteComplete {
    async fn sample(&self, part: &Part, rows: u64) -> Result<Sample> {
        let table = table(&self.definitions, part)?;
        self.workspace
            .reader()?
            .run(move |connection, _| {
                sample::read(connection, &table, rows)
                    .map_err(|error| explain(error, &format!("table `{}` of incoming", table.name)))
            })
            .await
    }
}
