//! Connections on threads of their own, that a cancelled run interrupts; and what SQLite's error codes mean to an operator.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags};
use tokio_util::sync::CancellationToken;

use super::messages;
use crate::error::{Error, Kind, Result};

/// How long we wait for someone else's lock.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How often a cancelled piece of work is interrupted until it notices.
const NUDGE: Duration = Duration::from_millis(20);

/// Locks a mutex; what it guards stays usable after a panic elsewhere, since SQLite rolls back by itself.
pub(super) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs blocking work on a thread. `cancel` is cancelled for the work when the run's is, and when our caller loses interest.
pub(super) async fn blocking<T, F>(cancel: &CancellationToken, work: F) -> Result<T>
where
    T: Send + 'static,
    F: FnOnce(&CancellationToken) -> Result<T> + Send + 'static,
{
    let stop = cancel.child_token();
    let _stops_when_dropped = stop.clone().drop_guard();
    joined(tokio::task::spawn_blocking(move || work(&stop)).await)
}

fn joined<T>(done: std::result::Result<Result<T>, tokio::task::JoinError>) -> Result<T> {
    done.unwrap_or_else(
        |lost| Err(Error::new(Kind::Internal, "a worker thread died").because(lost)),
    )
}

/// The error of a run that was told to stop.
pub(super) fn stopped(stop: &CancellationToken) -> Result<()> {
    if stop.is_cancelled() {
        return Err(Error::new(Kind::Cancelled(15), "cancelled"));
    }
    Ok(())
}

/// One connection, shared by tasks; its work happens on blocking threads.
#[derive(Clone)]
pub(super) struct Session {
    connection: Arc<Mutex<Connection>>,
    interrupt: Arc<InterruptHandle>,
    cancel: CancellationToken,
}

impl Session {
    pub(super) fn new(connection: Connection, cancel: &CancellationToken) -> Self {
        Self {
            interrupt: Arc::new(connection.get_interrupt_handle()),
            connection: Arc::new(Mutex::new(connection)),
            cancel: cancel.clone(),
        }
    }

    /// Runs work with the connection. When the run is cancelled, the statement that is running is interrupted.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection, &CancellationToken) -> Result<T> + Send + 'static,
    {
        let stop = self.cancel.child_token();
        let _stops_when_dropped = stop.clone().drop_guard();
        let connection = Arc::clone(&self.connection);
        let inside = stop.clone();
        let mut job = tokio::task::spawn_blocking(move || {
            let mut connection = held(&connection);
            stopped(&inside)?;
            work(&mut connection, &inside)
        });
        loop {
            tokio::select! {
                done = &mut job => return joined(done),
                () = async {
                    stop.cancelled().await;
                    tokio::time::sleep(NUDGE).await;
                } => self.interrupt.interrupt(),
            }
        }
    }

    /// The connection itself, for work that is on a blocking thread already.
    pub(super) fn lock(&self) -> MutexGuard<'_, Connection> {
        held(&self.connection)
    }
}

/// Opens a file for reading only.
pub(super) fn open_read(path: &Path) -> Result<Connection> {
    open(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
}

/// Opens a file that is there for writing.
pub(super) fn open_write(path: &Path) -> Result<Connection> {
    open(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let connection = Connection::open_with_flags(path, flags).map_err(on(path))?;
    connection.busy_timeout(PATIENCE).map_err(on(path))?;
    // Foreign keys are enforced where a script works, not while rows are loaded in the order of tables. Triggers of
    // the data must not fire while it is copied.
    connection
        .execute_batch("PRAGMA foreign_keys = OFF; PRAGMA cache_size = -8000")
        .map_err(on(path))?;
    connection
        .set_db_config(
            rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER,
            false,
        )
        .map_err(on(path))?;
    Ok(connection)
}

/// A name as SQL spells it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Adds the file to an error of SQLite.
pub(super) fn on(path: &Path) -> impl Fn(rusqlite::Error) -> Error + '_ {
    move |error| explain(error, &path.display().to_string())
}

/// What an error of SQLite means to an operator; `what` names the object.
#[allow(clippy::needless_pass_by_value)] // map_err hands it over
pub(super) fn explain(error: rusqlite::Error, what: &str) -> Error {
    let (kind, said, hint) = match messages::code(&error) {
        Some(ErrorCode::DiskFull) => (
            Kind::Full,
            "no space left",
            "free space on that disk and run the job again",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Kind::Busy,
            "in use by someone else for too long",
            "`fuser FILE` tells which process has it open; end its long transaction and run the job again",
        ),
        Some(ErrorCode::ReadOnly)
            if extended(&error) == rusqlite::ffi::SQLITE_READONLY_ROLLBACK =>
        {
            (
                Kind::Permission,
                "its last writer died half-way, and we may not roll that back",
                "let its application open it once, or allow us to write to it",
            )
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => (
            Kind::Permission,
            "cannot be opened or written",
            "check that the file and its directory can be read and written by the user that runs envsyncd (a database \
             in WAL mode needs its -wal and -shm files, or a directory in which they can be made)",
        ),
        Some(ErrorCode::NotADatabase) => (
            Kind::Verify,
            "not an SQLite database, or an encrypted one",
            "check the path; encrypted databases are not supported",
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            Kind::Verify,
            "damaged",
            "`PRAGMA integrity_check` tells where; restore it from a backup",
        ),
        Some(ErrorCode::SystemIoFailure) => (
            Kind::Io,
            "reading or writing failed",
            "check the disk and the kernel's log",
        ),
        Some(ErrorCode::OperationInterrupted) => (Kind::Cancelled(15), "interrupted", ""),
        _ => (Kind::Statement, "SQLite refused a statement", ""),
    };
    let made = Error::new(kind, format!("{what}: {said}")).because(plain(&error));
    if hint.is_empty() {
        made
    } else {
        made.hint(hint)
    }
}

/// Whether someone else's lock is in the way.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        messages::code(error),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

fn extended(error: &rusqlite::Error) -> i32 {
    error.sqlite_error().map_or(0, |error| error.extended_code)
}

/// What may be told of SQLite's own sentence, where the statement is one of ours.
pub(super) fn plain(error: &rusqlite::Error) -> String {
    messages::told(error, "")
}
