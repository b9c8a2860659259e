//! Opens database files, guarded against what a file that is not ours may ask for.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};
use tokio_util::sync::CancellationToken;

use super::errors::on;
use crate::error::Result;

/// How long we wait for someone else's lock. What tests lock stays so.
pub(in crate::store::sqlite) const PATIENCE: Duration =
    Duration::from_secs(if cfg!(test) { 10 } else { 30 });

/// How many steps of SQLite's virtual machine go by until a piece of work looks whether it was told to stop.
const STEPS: i32 = 100_000;

/// The longest value or row. Rows that go one by one are in memory several times.
const LONGEST_ROW: i32 = 512 << 20;

/// The longest definition.
const LONGEST_DEFINITION: i32 = 1 << 20;

/// SQLite's own limits, where a statement is the job's.
const LONGEST_STATEMENT: i32 = 1_000_000_000;

const MOST_ATTACHED: i32 = 10;

/// Opens a file for reading only.
pub(in crate::store::sqlite) fn open_read(path: &Path) -> Result<Connection> {
    open(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
}

/// Opens a file that is there for writing.
pub(in crate::store::sqlite) fn open_write(path: &Path) -> Result<Connection> {
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
pub(in crate::store::sqlite) fn guard(connection: &Connection) -> rusqlite::Result<()> {
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
fn unguard(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, LONGEST_STATEMENT)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, MOST_ATTACHED)?;
    Ok(())
}

/// Ends what a connection does when a piece of work is told to stop; for connections that live no longer than it.
pub(in crate::store::sqlite) fn watched(
    connection: &Connection,
    stop: &CancellationToken,
) -> rusqlite::Result<()> {
    let stop = stop.clone();
    connection.progress_handler(STEPS, Some(move || stop.is_cancelled()))
}

/// Opens a file that is being built: nothing of it has to survive a crash until it is synced.
pub(in crate::store::sqlite) fn open_building(path: &Path) -> Result<Connection> {
    let connection = open_write(path)?;
    unguard(&connection)
        .and_then(|()| {
            connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -8000")
        })
        .map_err(on(path))?;
    Ok(connection)
}

/// Whether a connection's file is in WAL mode.
pub(in crate::store::sqlite) fn is_wal(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))
        .map(|mode| mode.eq_ignore_ascii_case("wal"))
}

/// A file's page size.
pub(in crate::store::sqlite) fn page_size(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "page_size", |row| row.get(0))
}

/// SQLite maps no more than about 2 GiB of a file (`SQLITE_MAX_MMAP_SIZE`), and reads the rest.
pub(in crate::store::sqlite) const MAPPED: i64 = 1 << 31;

/// The page size of a file in WAL mode, which SQLite cannot change; `None` of others.
pub(in crate::store::sqlite) fn fixed_page_size(path: &Path) -> Result<Option<i64>> {
    let connection = open_write(path)?;
    if is_wal(&connection).map_err(on(path))? {
        page_size(&connection).map(Some).map_err(on(path))
    } else {
        Ok(None)
    }
}
