//! Opening `state.db`: its directory, its file, and what SQLite has to be told first.

use std::fmt::Write;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::errors::{PATIENCE, busy, opening, unusable};
use super::schema::{MIGRATIONS, migrate};
use crate::error::{Error, Kind, Result};
use crate::trust::Rights;

/// The open file.
pub(super) struct Store {
    pub(super) connection: Connection,
    /// What tells it from one that has taken its place; `None`: it is in memory.
    pub(super) files: Option<Files>,
}

impl Deref for Store {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Store {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
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

/// Refuses a symbolic link: SQLite follows links, so the directory's owner could have root write into any file.
pub(super) fn refuse_link(file: &Path) -> Result<()> {
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

/// The rights that this process uses in a state directory.
pub(super) fn rights(dir: &Path) -> Result<Rights> {
    Rights::in_directory(dir, &format!("state_dir {}", dir.display()))
}

/// A view or a trigger of somebody else's would do what it says with each of our statements.
pub(super) fn refuse_foreign(connection: &Connection, file: &Path) -> Result<()> {
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
    pub(super) fn of(file: &Path) -> Option<Self> {
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
pub(super) fn read_only(file: &Path) -> rusqlite::Result<Connection> {
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

#[cfg(test)]
mod tests;
