//! The live file: takes a snapshot of it, and replaces its content in one transaction.
//!
//! POSIX drops all of a process's locks on a file when it closes any descriptor of it
//! (<https://sqlite.org/howtocorrupt.html>, section 2.2). So the live file is opened outside of SQLite in one place
//! here, only where it has a rollback journal, and closed when no connection of ours needs a lock on it.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result, io};
use crate::store::sqlite::connection::backup::{self, STEP};
use crate::store::sqlite::connection::errors::{self, explain, on};
use crate::store::sqlite::connection::files::{self, CreatedFile};
use crate::store::sqlite::connection::open::{PATIENCE, is_wal, open_write};
use crate::store::sqlite::connection::session::stopped;

/// How much is copied at a time.
const BLOCK: u64 = 16 << 20;

/// How long one attempt at the lock keeps new readers out, where live has a rollback journal.
const ATTEMPT: Duration = Duration::from_secs(1);

/// Tells whether live changed since a snapshot of it was taken.
pub(in crate::store::sqlite) struct Watch {
    // Fields are dropped in this order: SQLite closes the file first.
    connection: Connection,
    /// Live itself, unless it is in WAL mode.
    file: Option<File>,
    seen: i64,
    live: PathBuf,
    /// Device and inode of the file that was looked at.
    looked_at: Option<(u64, u64)>,
}

fn which(file: &Path) -> Option<(u64, u64)> {
    let found = file.symlink_metadata().ok()?;
    found.is_file().then(|| (found.dev(), found.ino()))
}

impl Watch {
    /// A number that differs after someone else's commit. With a rollback journal it is the change counter in the file
    /// (<https://sqlite.org/fileformat2.html>, section 1.3.8), which can be read while we hold the exclusive lock
    /// through another connection; in WAL mode, where readers are never locked out, SQLite's own.
    fn version(&self) -> Result<i64> {
        let Some(file) = &self.file else {
            return data_version(&self.connection).map_err(|error| explain(error, "the live file"));
        };
        let mut counter = [0; 4];
        match file.read_exact_at(&mut counter, 24) {
            Ok(()) => Ok(i64::from(u32::from_be_bytes(counter))),
            // An empty file is an empty database.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(0),
            Err(error) => Err(io("cannot read the live file")(error)),
        }
    }

    /// Whether somebody has written to live since; an error if it is another file by now, or gone.
    pub(in crate::store::sqlite) fn is_changed(&self) -> Result<bool> {
        self.is_the_same()?;
        Ok(self.version()? != self.seen)
    }

    fn is_the_same(&self) -> Result<()> {
        let is_other = |file: &File| {
            let found = file.metadata().map(|found| (found.dev(), found.ino()));
            found.ok() != self.looked_at
        };
        if self.file.as_ref().is_some_and(is_other)
            || self.looked_at.is_none()
            || which(&self.live) != self.looked_at
        {
            return Err(Error::new(
                Kind::Statement,
                format!(
                    "{} is not the file any more that the run began with: a hook or an application has moved or replaced it",
                    self.live.display()
                ),
            )
            .hint("let nothing move the target's file while a run is under way; what is there now was left as it is"));
        }
        Ok(())
    }

    /// Gives a copy of live its owner and permissions, and makes it durable.
    fn dress(&self, made: &CreatedFile) -> Result<()> {
        let like = self
            .live
            .symlink_metadata()
            .map_err(io(format!("cannot reach {}", self.live.display())))?;
        self.is_the_same()?;
        made.is_there()?;
        made.dress(&like)?;
        made.sync()
    }
}

/// Copies live as it is at one moment, durably, and watches it from then on.
pub(in crate::store::sqlite) fn snapshot(
    live: &Path,
    to: &Path,
    stop: &CancellationToken,
) -> Result<Watch> {
    let looked_at = which(live);
    let connection = open_write(live)?;
    let file = if is_wal(&connection).map_err(on(live))? {
        None
    } else {
        let file = files::open(live, OFlag::O_RDONLY)
            .map_err(io(format!("cannot read {}", live.display())))?;
        Some(file)
    };
    let mut watch = Watch {
        connection,
        file,
        seen: 0,
        live: live.to_owned(),
        looked_at,
    };
    watch.is_the_same()?;
    watch
        .connection
        .execute_batch("PRAGMA cache_size = -2000; BEGIN")
        .and_then(|()| {
            watch
                .connection
                .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        })
        .map_err(on(live))?;
    watch.seen = watch.version()?;
    // While we read, nobody can commit to a file with a rollback journal: its bytes are one point in time, and the
    // kernel copies them at less cost than SQLite, which a check of incoming keeps busy meanwhile.
    let made = match &watch.file {
        Some(file) => bytes(file, live, to, stop)?,
        None => backup::copy(&watch.connection, to, stop, &mut |_, _| ())?,
    };
    watch.connection.execute_batch("COMMIT").map_err(on(live))?;
    watch.dress(&made)?;
    Ok(watch)
}

/// Copies live while nobody can write it, because we hold its lock.
pub(in crate::store::sqlite) fn snapshot_under_lock(
    watch: &Watch,
    live: &Path,
    to: &Path,
    stop: &CancellationToken,
) -> Result<()> {
    let Some(file) = &watch.file else {
        return snapshot(live, to, stop).map(drop);
    };
    // No connection but the one with the lock can read it: its bytes can, and no journal belongs to them yet.
    let made = bytes(file, live, to, stop)?;
    watch.dress(&made)
}

/// Copies a file's bytes.
fn bytes(mut file: &File, live: &Path, to: &Path, stop: &CancellationToken) -> Result<CreatedFile> {
    let made = CreatedFile::create(to)?;
    let cannot = || format!("cannot copy {} to {}", live.display(), to.display());
    let mut out = made.file();
    file.rewind().map_err(io(cannot()))?;
    // Blocks, so that a cancelled run ends at once.
    while std::io::copy(&mut file.take(BLOCK), &mut out).map_err(io(cannot()))? > 0 {
        stopped(stop)?;
    }
    Ok(made)
}

/// A connection that has written live, and tells whether somebody else has since.
pub(in crate::store::sqlite) struct Witness {
    connection: Connection,
    /// `None`: nobody can tell.
    seen: Option<i64>,
}

impl Witness {
    /// Whether somebody else has committed to live since it was replaced.
    pub(in crate::store::sqlite) fn is_changed(&self) -> rusqlite::Result<bool> {
        Ok(self.seen != Some(data_version(&self.connection)?))
    }

    /// Live, through the connection that has written it.
    pub(in crate::store::sqlite) fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// SQLite's own number, which differs after someone else's commit.
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "data_version", |row| row.get(0))
}

/// Puts another database's content into live, in one durable transaction. `under_lock` is called when nobody else can
/// write any more, and before anything is written. Live keeps its journal mode; if it fails, live is as it was.
pub(in crate::store::sqlite) fn replace(
    live: &Path,
    from: &Connection,
    under_lock: &mut dyn FnMut() -> Result<()>,
    stop: &CancellationToken,
) -> Result<Witness> {
    let mut connection = open_write(live)?;
    connection.busy_timeout(ATTEMPT).map_err(on(live))?;
    // EXTRA also syncs the directory after the journal is gone: only then is the commit durable.
    connection
        .execute_batch("PRAGMA synchronous = EXTRA; PRAGMA cache_size = -8000")
        .map_err(on(live))?;
    let is_wal = is_wal(&connection).map_err(on(live))?;
    {
        let backup = Backup::new(from, &mut connection).map_err(on(live))?;
        let since = Instant::now();
        // A step of no pages takes the lock and writes nothing.
        while matches!(
            backup.step(0).map_err(on(live))?,
            StepResult::Busy | StepResult::Locked
        ) {
            stopped(stop)?;
            if since.elapsed() > PATIENCE {
                return Err(errors::in_use(&live.display().to_string()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        under_lock()?;
        loop {
            stopped(stop)?;
            match backup.step(STEP).map_err(on(live))? {
                StepResult::Done => break,
                StepResult::More => {}
                _ => return Err(errors::in_use(&live.display().to_string())),
            }
        }
    }
    // It is live: nothing may fail from here on.
    let seen = data_version(&connection).ok();
    if is_wal {
        // The commit is durable in the log; moving it into the file is a courtesy to the next reader, as far as others let us.
        for mode in ["PASSIVE", "TRUNCATE"] {
            let _ = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()));
        }
    }
    let _ = connection.busy_timeout(PATIENCE);
    Ok(Witness { connection, seen })
}
