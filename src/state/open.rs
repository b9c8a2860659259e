//! Opening `state.db`: its directory, its version, and what SQLite's errors mean to an operator.

use std::fmt::Write;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::{Inner, State, Store};
use crate::error::{Error, Kind, Result};
use crate::sync::Mutex;
use crate::trust::Rights;

/// How long a process waits for another one's change.
const PATIENCE: Duration = Duration::from_secs(10);

/// Marks the file as ours ("ENVS").
const APPLICATION: i32 = 0x454e_5653;

/// What each version adds to the one before; never changed once released. The database's `user_version` counts them.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE runs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        job TEXT NOT NULL,
        file BLOB NOT NULL,
        verb TEXT NOT NULL,
        from_environment TEXT NOT NULL,
        to_environment TEXT NOT NULL,
        trigger TEXT NOT NULL,
        by TEXT NOT NULL,
        host TEXT NOT NULL,
        pid INTEGER,
        process_started INTEGER,
        boot TEXT,
        timeout_ms INTEGER,
        state TEXT NOT NULL,
        step TEXT NOT NULL DEFAULT '',
        started_at INTEGER NOT NULL,
        finished_at INTEGER,
        message TEXT NOT NULL DEFAULT '',
        errors INTEGER NOT NULL DEFAULT 0,
        warnings INTEGER NOT NULL DEFAULT 0,
        exit_code INTEGER
    );
    CREATE INDEX runs_of_job ON runs (job, seq);
    CREATE INDEX runs_of_job_by_end ON runs (job, verb, state, seq);
    CREATE INDEX runs_unfinished ON runs (seq) WHERE finished_at IS NULL;
    CREATE TABLE tasks (
        run INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        progress_percent REAL NOT NULL DEFAULT 0,
        rows INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        duration_seconds REAL NOT NULL DEFAULT 0,
        message TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (run, position),
        UNIQUE (run, name)
    ) WITHOUT ROWID;
    CREATE TABLE logs (
        run INTEGER NOT NULL REFERENCES runs (seq) ON DELETE CASCADE,
        seq INTEGER NOT NULL,
        at INTEGER NOT NULL,
        level TEXT NOT NULL,
        task TEXT NOT NULL,
        message TEXT NOT NULL,
        PRIMARY KEY (run, seq)
    ) WITHOUT ROWID;
    CREATE TABLE holds (
        environment TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        by TEXT NOT NULL,
        host TEXT NOT NULL,
        since INTEGER NOT NULL,
        pid INTEGER,
        process_started INTEGER,
        boot TEXT
    ) WITHOUT ROWID;
",
    "
    -- Who ended a run, or asked for it.
    ALTER TABLE runs ADD COLUMN cancelled_by TEXT;
    -- What the daemon knows of each job: by its file's name, without what the file says.
    CREATE TABLE jobs (
        job TEXT PRIMARY KEY,
        timetable TEXT NOT NULL,
        handled_until INTEGER NOT NULL,
        next_run_at INTEGER,
        problem TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE pauses (
        job TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        by TEXT NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE daemon (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        version TEXT NOT NULL,
        host TEXT NOT NULL,
        pid INTEGER,
        process_started INTEGER,
        boot TEXT,
        since INTEGER NOT NULL,
        seen_at INTEGER NOT NULL,
        problem TEXT NOT NULL
    );
", "
    CREATE TABLE totals (
        job TEXT NOT NULL,
        verb TEXT NOT NULL,
        state TEXT NOT NULL,
        runs INTEGER NOT NULL,
        micros INTEGER NOT NULL,
        rows INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (job, verb, state)
    ) WITHOUT ROWID;
    INSERT INTO totals (job, verb, state, runs, micros, rows, bytes)
        SELECT job, verb, state, count(*), sum(max(0, finished_at - started_at)),
               sum((SELECT coalesce(sum(rows), 0) FROM tasks WHERE run = runs.seq)),
               sum((SELECT coalesce(sum(bytes), 0) FROM tasks WHERE run = runs.seq))
        FROM runs WHERE finished_at IS NOT NULL GROUP BY job, verb, state;
    -- What is written by all who end a run, and by nobody twice, is not left to those who end runs.
    CREATE TRIGGER runs_end AFTER UPDATE OF finished_at ON runs
    WHEN OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL BEGIN
        INSERT INTO totals (job, verb, state, runs, micros, rows, bytes)
        VALUES (NEW.job, NEW.verb, NEW.state, 1, max(0, NEW.finished_at - NEW.started_at),
                (SELECT coalesce(sum(rows), 0) FROM tasks WHERE run = NEW.seq),
                (SELECT coalesce(sum(bytes), 0) FROM tasks WHERE run = NEW.seq))
        ON CONFLICT (job, verb, state) DO UPDATE SET runs = runs + excluded.runs,
            micros = micros + excluded.micros, rows = rows + excluded.rows, bytes = bytes + excluded.bytes;
    END;
    CREATE TRIGGER runs_begin_ended AFTER INSERT ON runs WHEN NEW.finished_at IS NOT NULL BEGIN
        INSERT INTO totals (job, verb, state, runs, micros, rows, bytes)
        VALUES (NEW.job, NEW.verb, NEW.state, 1, max(0, NEW.finished_at - NEW.started_at), 0, 0)
        ON CONFLICT (job, verb, state) DO UPDATE SET runs = runs + excluded.runs,
            micros = micros + excluded.micros;
    END;
    -- A job that is skipped for days must not make its last run hard to find.
    CREATE INDEX runs_of_job_begun ON runs (job, seq) WHERE state != 'skipped';
",
    "
    -- The point in time that a task's copy is of.
    ALTER TABLE tasks ADD COLUMN surveyed_at INTEGER;
    ",
    "
    -- What a process id means something for, and when its process last gave a sign of life.
    ALTER TABLE runs ADD COLUMN machine TEXT;
    ALTER TABLE runs ADD COLUMN pid_namespace INTEGER;
    ALTER TABLE runs ADD COLUMN beat_at INTEGER;
    ALTER TABLE holds ADD COLUMN machine TEXT;
    ALTER TABLE holds ADD COLUMN pid_namespace INTEGER;
    ALTER TABLE holds ADD COLUMN beat_at INTEGER;
    ALTER TABLE daemon ADD COLUMN machine TEXT;
    ALTER TABLE daemon ADD COLUMN pid_namespace INTEGER;
    ",
    "
    -- The tasks of a run that is of a part of its job, with commas between; NULL: of the whole job.
    ALTER TABLE runs ADD COLUMN only_tasks TEXT;
    ",
];

/// The version that this program writes.
const VERSION: u32 = MIGRATIONS.len() as u32;

impl State {
    /// Opens `dir/state.db`; makes the directory and the file where they are missing, and brings an older version up to date.
    ///
    /// Root refuses a directory that others may write, and in one that is somebody else's has no more rights than they.
    pub fn open(dir: &Path) -> Result<Self> {
        let rights = rights(dir)?;
        let _used = rights.used();
        let store = anew(dir, None)?;
        Ok(Self::around(store, &dir.join("state.db"), rights, true))
    }

    /// A state store that is gone with its process, for who has nothing to record.
    pub fn in_memory() -> Result<Self> {
        let file = Path::new(":memory:");
        let mut connection = Connection::open_in_memory().map_err(|e| opening(file, e))?;
        migrate(&mut connection, file)?;
        let store = Store {
            connection,
            files: None,
        };
        Ok(Self::around(store, file, Rights::own(), false))
    }

    /// As [`Self::open`] for those who only look: makes nothing (`None` where there is no history yet), and is content
    /// with a file that it may only read.
    pub fn open_if_there(dir: &Path) -> Result<Option<Self>> {
        let file = dir.join("state.db");
        let rights = rights(dir)?;
        let _used = rights.used();
        refuse_link(&file)?;
        match fs::metadata(&file) {
            Ok(found) if found.len() > 0 => {}
            // Empty: someone is making it this very moment.
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(dir, error)),
        }
        if OpenOptions::new().write(true).open(&file).is_ok() {
            return Ok(Some(Self::around(anew(dir, None)?, &file, rights, false)));
        }
        let connection = read_only(&file).map_err(|e| opening(&file, e))?;
        let version = version(&connection).map_err(|e| opening(&file, e))?;
        if version == 0 {
            return Ok(None);
        }
        known(version, &file)?;
        if version < VERSION {
            return Err(Error::new(
                Kind::State,
                format!(
                    "{} is of the older version {version} and may not be written",
                    file.display()
                ),
            )
            .hint("run this once as the user that envsyncd runs as, or as root"));
        }
        refuse_foreign(&connection, &file)?;
        let store = Store {
            files: Files::of(&file),
            connection,
        };
        Ok(Some(Self::around(store, &file, rights, false)))
    }

    fn around(store: Store, file: &Path, rights: Rights, makes: bool) -> Self {
        Self {
            inner: Arc::new(Inner {
                store: Mutex::new(store),
                file: file.to_owned(),
                rights,
                makes,
                renewed: AtomicU64::new(0),
            }),
        }
    }
}

/// Opens the file that there is, or makes one. `before` is what was open and was taken away.
pub(super) fn anew(dir: &Path, before: Option<&Files>) -> Result<Store> {
    let file = dir.join("state.db");
    refuse_link(&file)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(dir)
        .and_then(|()| make(dir, &file, before))
        .map_err(|error| unusable(dir, error))?;
    let mut connection =
        connect(&file, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|e| opening(&file, e))?;
    write_ahead(&connection).map_err(|e| opening(&file, e))?;
    migrate(&mut connection, &file)?;
    refuse_foreign(&connection, &file)?;
    Ok(Store {
        files: Files::of(&file),
        connection,
    })
}

/// Whoever owns the directory could have root write into any file: SQLite follows links.
fn refuse_link(file: &Path) -> Result<()> {
    for file in [file.to_owned(), beside(file, "-wal"), beside(file, "-shm")] {
        if fs::symlink_metadata(&file).is_ok_and(|found| found.is_symlink()) {
            return Err(Error::new(
                Kind::State,
                format!("{} is a symbolic link, and is not followed", file.display()),
            )
            .hint("remove it; to keep the state elsewhere, set state_dir in envsyncd.toml"));
        }
    }
    Ok(())
}

/// Whose rights this process uses in a state directory.
fn rights(dir: &Path) -> Result<Rights> {
    Rights::in_directory(dir, &format!("state_dir {}", dir.display()))
}

/// A view or a trigger of somebody else's would do what it says with each of our statements.
fn refuse_foreign(connection: &Connection, file: &Path) -> Result<()> {
    let foreign = || -> rusqlite::Result<Option<String>> {
        let mut schema = connection.prepare(
            "SELECT type, sql FROM sqlite_schema
             WHERE type IN ('view', 'trigger') OR sql LIKE 'CREATE VIRTUAL%'",
        )?;
        let mut rows = schema.query([])?;
        while let Some(row) = rows.next()? {
            let what: String = row.get(0)?;
            let sql: Option<String> = row.get(1)?;
            let ours = |sql: &str| MIGRATIONS.iter().any(|migration| migration.contains(sql));
            if what != "trigger" || !sql.is_some_and(|sql| ours(&sql)) {
                return Ok(Some(what));
            }
        }
        Ok(None)
    };
    match foreign().map_err(|e| opening(file, e))? {
        None => Ok(()),
        Some(what) => Err(Error::new(
            Kind::State,
            format!(
                "{} has a {what} in it that envsyncd has not made",
                file.display()
            ),
        )
        .hint("move it away: a new one is made, without the history")),
    }
}

/// What tells a database from another that has taken its name: devices and inodes.
pub(super) struct Files {
    database: (u64, u64),
    /// Its write-ahead log, which is there as long as somebody has it open.
    log: Option<(u64, u64)>,
}

impl Files {
    fn of(file: &Path) -> Option<Self> {
        Some(Self {
            database: inode(file)?,
            log: inode(&beside(file, "-wal")),
        })
    }

    /// Whether the database still has its name.
    pub(super) fn are_there(&self, file: &Path) -> bool {
        inode(file) == Some(self.database)
    }
}

fn inode(file: &Path) -> Option<(u64, u64)> {
    let found = fs::metadata(file).ok()?;
    Some((found.dev(), found.ino()))
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// SQLite would make it readable by all; `-wal` and `-shm` take after it. Those of a database that was taken away from
/// between them belong to no other: SQLite would play the log into the new one.
fn make(dir: &Path, file: &Path, before: Option<&Files>) -> io::Result<()> {
    let log = beside(file, "-wal");
    let is_lost = || match inode(file) {
        None => log.exists() || beside(file, "-shm").exists(),
        Some(_) => before.is_some_and(|before| before.log.is_some() && before.log == inode(&log)),
    };
    if is_lost() {
        // One at a time, so that nobody removes what another has begun anew.
        let locked = File::open(dir)?;
        fs2::FileExt::lock_exclusive(&locked)?;
        if is_lost() {
            for ending in ["-wal", "-shm"] {
                match fs::remove_file(beside(file, ending)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        return create(file);
    }
    create(file)
}

fn create(file: &Path) -> io::Result<()> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(file);
    match made {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn connect(file: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    // SQLite's own word for it refuses a link anywhere on the way, where it may well be one of the system's.
    let own = match (file.parent().map(fs::canonicalize), file.file_name()) {
        (Some(Ok(directory)), Some(name)) => Some(directory.join(name)),
        // A URI.
        _ => None,
    };
    let (file, unlinked) = match &own {
        Some(file) => (file.as_path(), OpenFlags::SQLITE_OPEN_NOFOLLOW),
        None => (file, OpenFlags::empty()),
    };
    let flags = flags | unlinked | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    // The first that looks into the file.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// A file without `-wal` has no writer just now and all its content: then nothing but the file is needed to read it.
fn read_only(file: &Path) -> rusqlite::Result<Connection> {
    match connect(file, OpenFlags::SQLITE_OPEN_READ_ONLY) {
        Ok(connection) => Ok(connection),
        Err(error)
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)
            ) =>
        {
            let mut wal = file.as_os_str().to_owned();
            wal.push("-wal");
            if Path::new(&wal).exists() {
                return Err(error);
            }
            let mut uri = String::from("file:");
            for byte in file.as_os_str().as_encoded_bytes() {
                match byte {
                    b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                        uri.push(char::from(*byte));
                    }
                    // Writing to a String cannot fail.
                    _ => drop(write!(uri, "%{byte:02X}")),
                }
            }
            uri.push_str("?immutable=1");
            connect(
                Path::new(&uri),
                OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
            )
        }
        Err(error) => Err(error),
    }
}

/// The busy timeout does not cover the change into WAL, which several processes may want of a new file at once.
fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let mode = connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match mode {
            Ok(_) => return Ok(()),
            Err(error) if busy(&error) && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error),
        }
    }
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn known(version: u32, file: &Path) -> Result<()> {
    if version <= VERSION {
        return Ok(());
    }
    Err(Error::new(
        Kind::State,
        format!(
            "{} was written by a newer envsyncd (version {version}; this one knows up to {})",
            file.display(),
            VERSION
        ),
    )
    .hint("install the newer envsyncd, or set state_dir to another directory"))
}

fn migrate(connection: &mut Connection, file: &Path) -> Result<()> {
    let found = version(connection).map_err(|e| opening(file, e))?;
    if found == VERSION {
        return Ok(());
    }
    known(found, file)?;
    let changed = |connection: &mut Connection| -> rusqlite::Result<bool> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been first.
        let found = version(&transaction)?;
        let foreign: bool = transaction.query_row(
            "SELECT ?1 = 0 AND EXISTS (SELECT 1 FROM sqlite_schema)",
            [found],
            |row| row.get(0),
        )?;
        if foreign {
            return Ok(false);
        }
        for migration in MIGRATIONS.iter().skip(found as usize) {
            transaction.execute_batch(migration)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", found.max(VERSION))?;
        transaction.commit()?;
        Ok(true)
    };
    if changed(connection).map_err(|e| opening(file, e))? {
        return Ok(());
    }
    Err(Error::new(
        Kind::State,
        format!(
            "{} is a SQLite database, and not one of envsyncd's",
            file.display()
        ),
    )
    .hint("set state_dir (or ENVSYNCD_STATE_DIR) to a directory of envsyncd's own"))
}

fn busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

fn opening(file: &Path, cause: rusqlite::Error) -> Error {
    error(file, "cannot open the state store", cause)
}

/// What was being done to the state store, and what SQLite's answer means.
pub(super) fn error(file: &Path, what: &str, cause: rusqlite::Error) -> Error {
    let what = format!("{what}: {}", file.display());
    let dir = file.parent().unwrap_or(file);
    let code = cause.sqlite_error_code();
    let full = code == Some(ErrorCode::DiskFull)
        || (code == Some(ErrorCode::SystemIoFailure) && is_full(dir));
    let (kind, hint) = match code {
        _ if full => (
            Kind::Full,
            format!("free space in {} and try again", dir.display()),
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Kind::State,
            format!(
                "another process has been writing to it for more than {} seconds; find it with `fuser`",
                PATIENCE.as_secs()
            ),
        ),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
            Kind::State,
            "move it away: a new one is made, without the history".to_owned(),
        ),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
            Kind::State,
            format!(
                "run this as root, or as {}",
                owner(file).map_or_else(
                    || "the user that envsyncd runs as".to_owned(),
                    |name| { format!("the user {name}, whose it is") }
                )
            ),
        ),
        _ => (Kind::State, format!("look after {}", dir.display())),
    };
    let error = Error::new(kind, what).hint(hint);
    if code == Some(ErrorCode::SystemIoFailure) {
        // Only SQLite's extended code, one error further in, tells which.
        error.because(cause)
    } else {
        error.because(cause.to_string())
    }
}

/// Whose a file is, unless it is root's.
fn owner(file: &Path) -> Option<String> {
    let uid = fs::metadata(file).ok()?.uid();
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid))
        .ok()
        .flatten();
    (uid != 0).then(|| user.map_or_else(|| uid.to_string(), |user| user.name))
}

/// SQLite calls a full disk a plain I/O error where it makes its shared memory.
fn is_full(dir: &Path) -> bool {
    nix::sys::statvfs::statvfs(dir).is_ok_and(|disk| disk.blocks_available() == 0)
}

fn unusable(dir: &Path, cause: io::Error) -> Error {
    let what = format!("cannot use {} as the state directory", dir.display());
    if matches!(
        cause.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    ) {
        return Error::new(Kind::Full, what)
            .because(cause)
            .hint(format!("free space in {} and try again", dir.display()));
    }
    let error = Error::new(Kind::State, what).because(cause);
    if Rights::of_owner(dir).are_anothers() {
        return error.hint(format!(
            "root has no more rights there than its owner: let the owner reach it, or run: chown root {}",
            dir.display()
        ));
    }
    error.hint(
        "make it writable for this user, or set state_dir (or ENVSYNCD_STATE_DIR) to a directory that is",
    )
}

#[cfg(test)]
mod tests;
