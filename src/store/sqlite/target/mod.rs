//! The target: a live file, and what a run does to it from its lock on.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use crate::config::job::Task;
use crate::error::Result;
use crate::policy::Identity;
use crate::store::room::Room;
use crate::store::sqlite::connection::library;
use crate::store::sqlite::connection::location::Location;
use crate::store::sqlite::connection::session::{blocking, locked};
use crate::store::sqlite::incoming::preflight::{check_live, check_room};
use crate::store::sqlite::publish::lock::{self, Lock};
use crate::store::sqlite::publish::{marks, rollback};
use crate::store::sqlite::schema::{archived, extensions};
use crate::store::sqlite::script;
use crate::store::{Context, Incoming, Survey, Taker, Target};
use crate::sync::Mutex;

mod complete;
mod incoming;
mod published;
mod transfer;
mod workspace;

use incoming::SqliteIncoming;
use workspace::Workspace;

/// A database file to write to.
pub(in crate::store::sqlite) struct SqliteTarget {
    workspace: Arc<Workspace>,
    lock: Mutex<Option<Lock>>,
}

impl SqliteTarget {
    pub(in crate::store::sqlite) fn new(
        location: Location,
        task: &Task,
        context: &Context,
    ) -> Self {
        Self {
            workspace: Arc::new(Workspace::new(location, task, context)),
            lock: Mutex::new(None),
        }
    }

    fn location(&self) -> &Location {
        &self.workspace.files.location
    }
}

#[async_trait]
impl Target for SqliteTarget {
    async fn identity(&self) -> Result<Identity> {
        self.location().identity()
    }

    async fn displaced(&self) -> Result<Vec<Identity>> {
        self.location().displaced()
    }

    async fn taker(&self) -> Result<Taker> {
        Ok(Taker::Server(library::server()))
    }

    async fn room(&self) -> Option<Room> {
        Room::of(self.location().directory())
    }

    async fn lock(&self) -> Result<()> {
        let path = self.location().beside("lock");
        let lock = Lock::take(&path, &self.workspace.files.claim)?;
        *locked(&self.lock) = Some(lock);
        Ok(())
    }

    async fn sweep(&self) -> Result<Vec<String>> {
        self.workspace.files.remove_leftovers()
    }

    async fn check(&self, survey: &Survey) -> Result<()> {
        let definitions = archived::of(survey)?;
        self.workspace.files.marks()?.spare_previous()?;
        let has_scripts = self.workspace.has_scripts;
        if has_scripts {
            extensions::refuse_scripts(&definitions)?;
        }
        let lock = self.location().beside("lock");
        if !lock::is_ours(&lock) {
            return Err(marks::foreign(&lock, lock::FOREIGN));
        }
        let location = self.location().clone();
        let selection = Arc::clone(&self.workspace.context.selection);
        blocking(&self.workspace.context.cancel, move |stop| {
            let incoming = definitions.settings.bytes();
            let needed = if location.exists() {
                let live = check_live(&location.file, &definitions, &selection, stop)?;
                // Incoming, the snapshot, and the journal of the transaction that publishes.
                incoming
                    .saturating_add(live)
                    .saturating_add(live.max(incoming))
            } else if has_scripts {
                // It is written anew once they have run.
                incoming.saturating_mul(2)
            } else {
                incoming
            };
            check_room(location.directory(), needed)
        })
        .await
    }

    async fn look_at_script(&self, file: &Path, text: &str) -> Result<()> {
        script::run::look(file, text)
    }

    async fn prepare(&self, survey: &Survey) -> Result<Arc<dyn Incoming>> {
        let definitions = archived::of(survey)?;
        let incoming = SqliteIncoming::create(&self.workspace, definitions).await?;
        Ok(Arc::new(incoming))
    }

    async fn discard(&self) -> Result<()> {
        self.workspace.discard().await
    }

    async fn rollback(&self) -> Result<()> {
        rollback::swap_with_previous(&self.workspace.files, &self.workspace.context.cancel).await
    }

    async fn close(&self) {
        self.workspace.close();
        drop(locked(&self.lock).take());
    }
}
