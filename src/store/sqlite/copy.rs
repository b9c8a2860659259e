//! Whole databases, page by page, through SQLite's backup interface (<https://sqlite.org/c3ref/backup_finish.html>).

use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use tokio_util::sync::CancellationToken;

use super::connection::{explain, on, open_write, stopped, unguard};
use super::handle::Made;
use crate::error::{Error, Kind, Result};

/// Pages of one step: some megabytes, so that a cancelled run ends at once.
pub(super) const STEP: i32 = 1024;

/// Opens a file that is being built: nothing of it has to survive a crash before [`sync`].
pub(super) fn open_building(path: &Path) -> Result<Connection> {
    let connection = open_write(path)?;
    unguard(&connection)
        .and_then(|()| {
            connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -8000")
        })
        .map_err(on(path))?;
    Ok(connection)
}

/// Copies a database into a new file. `progress` is called with pages done and pages in all.
pub(super) fn copy(
    from: &Connection,
    to: &Path,
    stop: &CancellationToken,
    progress: &mut dyn FnMut(i64, i64),
) -> Result<Made> {
    let made = Made::create(to)?;
    let mut connection = open_building(to)?;
    made.is_there()?;
    // Each page is seen once.
    for one in [from, &connection] {
        one.pragma_update(None, "cache_size", -2000)
            .map_err(on(to))?;
    }
    {
        let backup = Backup::new(from, &mut connection).map_err(on(to))?;
        loop {
            let step = backup.step(STEP).map_err(on(to))?;
            let at = backup.progress();
            progress(
                i64::from(at.pagecount - at.remaining),
                i64::from(at.pagecount),
            );
            match step {
                StepResult::Done => break,
                StepResult::More => stopped(stop)?,
                _ => return Err(in_use(&to.display().to_string())),
            }
        }
    }
    // The copy of a database in WAL mode says that it is in WAL mode: until it is live, one file is all there is.
    connection
        .pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
        .map_err(on(to))?;
    connection
        .close()
        .map_err(|(_, error)| explain(error, &to.display().to_string()))?;
    Ok(made)
}

/// The error of a database that others would not let go of.
pub(super) fn in_use(what: &str) -> Error {
    Error::new(Kind::Busy, format!("{what} is in use: nobody let go of it within 30 seconds"))
        .hint("`fuser FILE` tells which process has it open; end its long transaction and run the job again")
}
