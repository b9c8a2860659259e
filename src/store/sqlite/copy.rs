//! Whole databases, page by page, through SQLite's backup interface (<https://sqlite.org/c3ref/backup_finish.html>).

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use tokio_util::sync::CancellationToken;

use super::connection::{explain, on, open_write, stopped};
use super::place::remove;
use crate::error::{Error, Kind, Result, io};

/// Pages of one step: some megabytes, so that a cancelled run ends at once.
pub(super) const STEP: i32 = 1024;

/// Makes an empty file that nobody else can read yet; what was left under its name goes.
pub(super) fn create(path: &Path) -> Result<()> {
    remove(path)?;
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(io(format!("cannot make {}", path.display())))
}

/// Gives a file the permissions of another, and its owner as far as we may.
pub(super) fn dress(path: &Path, like: &Path) -> Result<()> {
    let cannot = || format!("cannot set the permissions of {}", path.display());
    let found = like.metadata().map_err(io(cannot()))?;
    // Only root may give files away; then a file of ours has to do.
    let _ = std::os::unix::fs::chown(path, Some(found.uid()), Some(found.gid()));
    let owned = path.metadata().map_err(io(cannot()))?;
    if owned.uid() == found.uid() && owned.gid() == found.gid() {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(found.mode() & 0o777))
            .map_err(io(cannot()))?;
    }
    Ok(())
}

/// Gives a file that nobody had before the permissions that the kernel, with our umask, would give a new one.
pub(super) fn dress_new(path: &Path, mode: u32) -> Result<()> {
    let cannot = || format!("cannot set the permissions of {}", path.display());
    let probe = super::place::companion(path, ".again");
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&probe)
        .and_then(|file| file.metadata())
        .map_err(io(cannot()))?;
    remove(&probe)?;
    std::fs::set_permissions(path, made.permissions()).map_err(io(cannot()))
}

/// Opens a file that is being built: nothing of it has to survive a crash before [`sync`].
pub(super) fn open_building(path: &Path) -> Result<Connection> {
    let connection = open_write(path)?;
    connection
        .execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -8000")
        .map_err(on(path))?;
    Ok(connection)
}

/// Copies a database into an empty file. `progress` is called with pages done and pages in all.
pub(super) fn copy(
    from: &Connection,
    to: &Path,
    stop: &CancellationToken,
    progress: &mut dyn FnMut(i64, i64),
) -> Result<()> {
    create(to)?;
    let mut connection = open_building(to)?;
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
        .map_err(|(_, error)| explain(error, &to.display().to_string()))
}

/// Makes a file's content durable.
pub(super) fn sync(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(io(format!("cannot sync {}", path.display())))
}

/// The error of a database that others would not let go of.
pub(super) fn in_use(what: &str) -> Error {
    Error::new(Kind::Busy, format!("{what} is in use: nobody let go of it within 30 seconds"))
        .hint("`fuser FILE` tells which process has it open; end its long transaction and run the job again")
}
