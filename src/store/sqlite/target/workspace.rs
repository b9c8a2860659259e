//! What a run works with from its lock until it ends: its files, and the connection to incoming.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use crate::config::job::{KeepPrevious, Task, Verify};
use crate::error::{Error, Kind, Result};
use crate::store::sqlite::connection::errors::on;
use crate::store::sqlite::connection::files::CreatedFile;
use crate::store::sqlite::connection::location::Location;
use crate::store::sqlite::connection::open::{
    fixed_page_size, open_building, open_read, page_size,
};
use crate::store::sqlite::connection::session::{Session, blocking, locked};
use crate::store::sqlite::incoming::rewrite;
use crate::store::sqlite::publish::live::Watch;
use crate::store::sqlite::publish::run_files::RunFiles;
use crate::store::sqlite::schema::definitions::Definitions;
use crate::store::sqlite::schema::extensions;
use crate::store::sqlite::schema::objects::Table;
use crate::store::{Context, Part};
use crate::sync::Mutex;

/// A run's files and connections, which its target, incoming and complete copy share.
pub(super) struct Workspace {
    pub(super) files: RunFiles,
    pub(super) context: Context,
    pub(super) verify: Verify,
    pub(super) previous: KeepPrevious,
    pub(super) has_scripts: bool,
    /// Incoming, while it is open.
    session: Mutex<Option<Session>>,
    /// Threads that make files beside live, even if nobody waits for them any more: until they are done, nothing is removed.
    creating: Arc<RwLock<()>>,
    /// Tells whether the snapshot still is what is live; `None`: there is no snapshot.
    watch: Mutex<Option<Watch>>,
    is_published: AtomicBool,
}

impl Workspace {
    pub(super) fn new(location: Location, task: &Task, context: &Context) -> Self {
        Self {
            files: RunFiles {
                location,
                claim: context.claim.clone(),
            },
            context: context.clone(),
            verify: task.verify,
            previous: task.previous,
            has_scripts: !task.scripts.is_empty(),
            session: Mutex::new(None),
            creating: Arc::default(),
            watch: Mutex::new(None),
            is_published: AtomicBool::new(false),
        }
    }

    pub(super) fn incoming(&self) -> PathBuf {
        self.files.incoming()
    }

    /// The connection to incoming.
    pub(super) fn session(&self) -> Result<Session> {
        locked(&self.session)
            .clone()
            .ok_or_else(|| Error::new(Kind::Internal, "incoming is not open"))
    }

    pub(super) fn set_session(&self, connection: Connection) {
        *locked(&self.session) = Some(Session::new(connection, &self.context.cancel));
    }

    /// Lets go of incoming and of live.
    pub(super) fn close(&self) {
        self.close_session();
        drop(self.take_watch());
    }

    /// Watches live from its snapshot on.
    pub(super) fn set_watch(&self, watch: Watch) {
        *locked(&self.watch) = Some(watch);
    }

    /// What watches live; `None`: there is no live.
    pub(super) fn take_watch(&self) -> Option<Watch> {
        locked(&self.watch).take()
    }

    /// Whether there is a snapshot of live.
    pub(super) fn has_snapshot(&self) -> bool {
        locked(&self.watch).is_some()
    }

    pub(super) fn close_session(&self) {
        drop(locked(&self.session).take());
    }

    /// Incoming for reading alone, which goes without what its application brings along.
    pub(super) fn reader(&self) -> Result<Session> {
        let path = self.incoming();
        let connection = open_read(&path)?;
        extensions::stand_in(&connection).map_err(on(&path))?;
        Ok(Session::new(connection, &self.context.cancel))
    }

    /// Closes incoming and opens it again, so that nothing of its schema or a virtual table is remembered.
    pub(super) async fn reopen(&self, file: &Arc<CreatedFile>) -> Result<()> {
        self.close_session();
        let (path, file) = (self.incoming(), Arc::clone(file));
        let connection = blocking(&self.context.cancel, move |_| {
            let connection = open_building(&path)?;
            file.is_there()?;
            Ok(connection)
        })
        .await?;
        self.set_session(connection);
        Ok(())
    }

    /// Held by whoever makes a file beside live.
    pub(super) async fn creating(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.creating).read_owned().await
    }

    /// The page size that incoming has to have: that of a live file in WAL mode.
    pub(super) async fn wanted_page_size(&self) -> Result<Option<i64>> {
        if !self.files.location.exists() {
            return Ok(None);
        }
        let live = self.files.live();
        blocking(&self.context.cancel, move |_| fixed_page_size(&live)).await
    }

    /// Writes incoming anew if its pages are not of the size that they have to be.
    pub(super) async fn fit_pages(&self, file: Arc<CreatedFile>) -> Result<Arc<CreatedFile>> {
        let Some(wanted) = self.wanted_page_size().await? else {
            return Ok(file);
        };
        let incoming = self.incoming();
        let has = self
            .session()?
            .run(move |connection, _| page_size(connection).map_err(on(&incoming)))
            .await?;
        if has == wanted {
            return Ok(file);
        }
        self.rewrite(&file, Some(wanted)).await
    }

    /// Writes incoming anew, and opens what was written.
    pub(super) async fn rewrite(
        &self,
        file: &Arc<CreatedFile>,
        page_size: Option<i64>,
    ) -> Result<Arc<CreatedFile>> {
        self.reopen(file).await?;
        let incoming = self.incoming();
        let written = self
            .session()?
            .run(move |connection, _| rewrite::rewrite(connection, &incoming, page_size))
            .await?;
        self.close_session();
        let file = Arc::new(rewrite::take_place(written, &self.incoming())?);
        self.reopen(&file).await?;
        Ok(file)
    }

    /// From here on what is live is what was built: there is nothing to discard.
    pub(super) fn set_published(&self) {
        self.is_published.store(true, Ordering::Relaxed);
    }

    /// Removes what is being built, unless it was published.
    pub(super) async fn discard(&self) -> Result<()> {
        let session = locked(&self.session).take();
        if self.is_published.load(Ordering::Relaxed) {
            return Ok(());
        }
        // Who was interrupted may still be at it, and would leave files behind.
        let _nobody_creates = self.creating.write().await;
        if let Some(session) = session {
            let _ = tokio::task::spawn_blocking(move || drop(session.lock())).await;
        }
        drop(self.take_watch());
        self.files.remove_building()
    }
}

/// The part's table.
pub(super) fn table(definitions: &Definitions, part: &Part) -> Result<Table> {
    definitions.table(&part.name).cloned().ok_or_else(|| {
        Error::new(
            Kind::Internal,
            format!("incoming has no table `{}`", part.name),
        )
    })
}
