//! Connections on threads of their own, that a cancelled run interrupts; and what SQLite's error codes mean to an operator.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::messages;
use crate::error::{Error, Kind, Result, io};

/// How long we wait for someone else's lock.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How often a cancelled piece of work is interrupted until it notices.
const NUDGE: Duration = Duration::from_millis(20);

/// How many steps of SQLite's virtual machine go by until a piece of work looks whether it was told to stop.
const STEPS: i32 = 100_000;

/// The longest value or row. Rows that go one by one are in memory several times.
const LONGEST_ROW: i32 = 512 << 20;

/// The longest definition.
const LONGEST_DEFINITION: i32 = 1 << 20;

/// A thread's stack; only what is used of it takes memory.
const STACK: usize = 48 << 20;

/// SQLite's own limits, where a statement is the job's.
const LONGEST_STATEMENT: i32 = 1_000_000_000;
const MOST_ATTACHED: i32 = 10;

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
    joined(thread(move || work(&stop))?.await)
}

/// Runs something on a thread that has room for a definition of [`LONGEST_DEFINITION`]: SQLite reads it with a recursion for each
/// query in a query (some 300 bytes for 14 of text), and where the stack ends the process does.
pub(super) fn thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<oneshot::Receiver<T>> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("sqlite".to_owned())
        .stack_size(STACK)
        .spawn(move || {
            let _ = sender.send(work());
        })
        .map_err(io("cannot start a thread"))?;
    Ok(receiver)
}

fn joined<T>(done: std::result::Result<Result<T>, oneshot::error::RecvError>) -> Result<T> {
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
        let mut job = thread(move || {
            let mut connection = held(&connection);
            stopped(&inside)?;
            work(&mut connection, &inside)
        })?;
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
    // Where a link leads that somebody has put there since the path was resolved is not the place that was asked for.
    let flags = flags | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags).map_err(on(path))?;
    connection.busy_timeout(PATIENCE).map_err(on(path))?;
    guard(&connection).map_err(on(path))?;
    // Foreign keys are enforced where a script works, not while rows are loaded in the order of tables. Triggers of
    // the data must not fire while it is copied.
    connection
        .execute_batch("PRAGMA foreign_keys = OFF; PRAGMA cache_size = -8000")
        .map_err(on(path))?;
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)
        .map_err(on(path))?;
    Ok(connection)
}

/// Keeps a connection from what a file that is not ours may ask of it (<https://sqlite.org/security.html>).
pub(super) fn guard(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, LONGEST_ROW)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, LONGEST_DEFINITION)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    // Views over views can be made to grow without end while a statement is prepared, where nothing interrupts it. This is of
    // the whole process, and cannot be taken back by a pragma.
    connection.execute_batch("PRAGMA hard_heap_limit = 805306368")
}

/// Lets a connection to incoming do what building it takes.
pub(super) fn unguard(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, LONGEST_STATEMENT)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, MOST_ATTACHED)?;
    Ok(())
}

/// Ends what a connection does when a piece of work is told to stop; for connections that live no longer than it.
pub(super) fn watched(connection: &Connection, stop: &CancellationToken) -> rusqlite::Result<()> {
    let stop = stop.clone();
    connection.progress_handler(STEPS, Some(move || stop.is_cancelled()))
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
        Some(ErrorCode::CannotOpen)
            if extended(&error) == rusqlite::ffi::SQLITE_CANTOPEN_SYMLINK =>
        {
            (
                Kind::Permission,
                "is a link by now, or lies behind one",
                "somebody has put it there since the run began: see who can write to that directory",
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
