//! Writes incoming anew, so that no byte of the file is of a value that a script overwrote or deleted.
//!
//! `PRAGMA secure_delete` alone would not do. It clears what is deleted, but not the copies of rows that SQLite leaves in a
//! page when it moves them to another (`rebuildPage` in its btree.c), and a copy of pages brings those of the source
//! along, with its free pages. So the file is written anew by `VACUUM INTO`, which keeps the rowids of all tables, where a plain
//! VACUUM may number rows anew that have no INTEGER PRIMARY KEY (`xferOptimization` in its insert.c).

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, ValueRef};

use crate::error::{Error, Kind, Result};
use crate::store::sqlite::connection::errors::{explain, on, own_message};
use crate::store::sqlite::connection::files::{self, CreatedFile, companion};
use crate::store::sqlite::connection::open::open_read;

/// Ends the name of a file that is being written anew.
pub(in crate::store::sqlite) const REWRITTEN: &str = ".rewritten";

/// Writes a file anew from the rows that are in it, if need be with another page size. Only who opens it afterwards sees that.
pub(in crate::store::sqlite) fn rewrite(
    connection: &Connection,
    path: &Path,
    page_size: Option<i64>,
) -> Result<CreatedFile> {
    let rewritten = companion(path, REWRITTEN);
    let made = CreatedFile::create(&rewritten)?;
    let name = ToSqlOutput::Borrowed(ValueRef::Text(std::os::unix::ffi::OsStrExt::as_bytes(
        rewritten.as_os_str(),
    )));
    let before = objects(connection).map_err(on(path))?;
    if let Some(size) = page_size {
        connection
            .pragma_update(None, "page_size", size)
            .map_err(on(path))?;
    }
    connection
        .execute("VACUUM INTO ?1", [name])
        .map_err(|error| explain_rewrite(error, path))?;
    // A name that the database's encoding cannot say leads to another file.
    let after = objects(&open_read(&rewritten)?).map_err(on(&rewritten))?;
    if before != after {
        return Err(Error::new(
            Kind::Verify,
            format!(
                "{} cannot be written anew: what is in it does not arrive",
                path.display()
            ),
        )
        .hint("see that its name is UTF-8"));
    }
    made.is_there()?;
    Ok(made)
}

/// Puts what [`rewrite`] wrote in the file's place; no connection has the file open.
pub(in crate::store::sqlite) fn take_place(made: CreatedFile, path: &Path) -> Result<CreatedFile> {
    files::remove(path)?;
    made.rename(path)
}

fn explain_rewrite(error: rusqlite::Error, path: &Path) -> Error {
    let message = own_message(&error);
    let made = explain(error, &format!("writing {} anew", path.display()));
    if message.contains("no such collation") || message.contains("no such function") {
        return made.hint(
            "an application brings it along, and envsyncd does not have it: leave out what needs it with `exclude`, or let a \
             script drop it",
        );
    }
    made
}

/// The rows of `sqlite_schema`, by name.
fn objects(connection: &Connection) -> rusqlite::Result<Vec<Vec<u8>>> {
    let mut statement = connection
        .prepare("SELECT type || ' ' || name || ' ' || tbl_name FROM main.sqlite_schema WHERE name NOT GLOB 'sqlite_autoindex_*'")?;
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        all.push(row.get_ref(0)?.as_bytes().unwrap_or_default().to_vec());
    }
    all.sort();
    Ok(all)
}
