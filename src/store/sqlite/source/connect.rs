//! Opens a source's file, and looks at it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rusqlite::Connection;

use crate::error::{Error, Kind, Result};
use crate::store::sqlite::connection::errors::on;
use crate::store::sqlite::connection::files::{companion, remove_one};
use crate::store::sqlite::connection::open::open_read;

/// Opens the file and looks at it; says whether that left -wal and -shm.
pub(super) fn connect(file: &Path) -> Result<(Connection, bool)> {
    let shown = file.display();
    let found = file.metadata().map_err(|error| {
        let kind = if error.kind() == std::io::ErrorKind::PermissionDenied {
            Kind::Permission
        } else {
            Kind::Connection
        };
        Error::new(kind, format!("cannot reach the database {shown}"))
            .because(error)
            .hint("check the source's path")
    })?;
    if found.len() == 0 {
        // To SQLite it is a database without tables, and a target would be emptied.
        return Err(Error::new(
            Kind::Verify,
            format!("the source {shown} is an empty file and no database yet"),
        )
        .hint(
            "check the path, and that its disk is mounted; `sqlite3 FILE VACUUM` makes it a database without tables, if that is what you want",
        ));
    }
    let shared = companion(file, "-shm");
    let was_there = shared.exists();
    let connection = open_read(file)?;
    connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        .map_err(on(file))?;
    let litter = !was_there && shared.exists();
    if litter
        && shared
            .metadata()
            .is_ok_and(|made| made.uid() != found.uid())
    {
        drop(connection);
        // Only an empty log holds nothing of anyone's.
        let log = companion(file, "-wal");
        if log.metadata().is_ok_and(|log| log.len() == 0) {
            let _ = remove_one(&log);
            let _ = remove_one(&shared);
        }
        return Err(Error::new(
            Kind::Permission,
            format!("{shown} is in WAL mode and nobody has it open: reading it would leave files that its owner cannot write"),
        )
        .hint("run envsyncd as the file's owner or as root, or start the application that owns it"));
    }
    Ok((connection, litter))
}
