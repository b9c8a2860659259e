//! Whole databases, page by page, through SQLite's backup interface (<https://sqlite.org/c3ref/backup_finish.html>).

use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use tokio_util::sync::CancellationToken;

use super::errors::{explain, in_use, on};
use super::files::CreatedFile;
use super::open::open_building;
use super::session::stopped;
use crate::error::Result;
use crate::store::Selection;

/// Pages of one step: some megabytes, so that a cancelled run ends at once.
pub(in crate::store::sqlite) const STEP: i32 = 1024;

/// Copies a database into a new file. `progress` is called with pages done and pages in all.
pub(in crate::store::sqlite) fn copy(
    from: &Connection,
    to: &Path,
    stop: &CancellationToken,
    progress: &mut dyn FnMut(i64, i64),
) -> Result<CreatedFile> {
    let made = CreatedFile::create(to)?;
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

/// Whether a copy takes the whole source and nothing of live: then it can be taken page by page.
pub(in crate::store::sqlite) fn can_take_all(selection: &Selection) -> bool {
    selection.is_everything() && !selection.overlay
}
