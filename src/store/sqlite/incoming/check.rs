//! Checks that a copy is sound: SQLite's own integrity check, and foreign keys.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use crate::error::{Error, Kind, Result};
use crate::store::sqlite::connection::errors::{on, own_message};
use crate::store::sqlite::connection::messages;
use crate::store::sqlite::connection::open::MAPPED;
use crate::store::sqlite::schema::definitions::Definitions;
use crate::store::sqlite::schema::foreign_keys::broken_keys;
use crate::store::sqlite::schema::names::quoted;

/// How many problems an error tells.
const SHOWN: usize = 3;

/// Reads everything once and says what is not sound.
pub(in crate::store::sqlite) fn integrity(connection: &Connection, path: &Path) -> Result<()> {
    // The check jumps about in indexes: mapped, their pages are read where they lie in the system's cache, which takes
    // a third of its time away. Nobody else has the file, so nobody can cut it short under us.
    let mapped = |size: i64| connection.pragma_update(None, "mmap_size", size);
    mapped(MAPPED).map_err(on(path))?;
    let problems = problems(connection).map_err(on(path))?;
    mapped(0).map_err(on(path))?;
    if problems.is_empty() {
        return Ok(());
    }
    let first: Vec<&str> = problems.iter().map(String::as_str).take(SHOWN).collect();
    Err(Error::new(
        Kind::Verify,
        format!("the copy is not sound: {}", first.join(", ")),
    )
    .hint("run `PRAGMA integrity_check` on the source: most likely it is damaged there as well"))
}

fn problems(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let ask = |of: &str| -> rusqlite::Result<Vec<String>> {
        let found: Vec<String> = connection
            .prepare(&format!("PRAGMA integrity_check({of})"))?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        Ok(if found == ["ok"] { Vec::new() } else { found })
    };
    let whole = ask("10");
    let Err(error) = whole else {
        return whole;
    };
    // A virtual table that cannot be opened here, for want of a tokenizer say, ends the check of all that there is, and so
    // does an index in the order of an application's collation.
    let is_lacking = |error: &rusqlite::Error| messages::code(error) == Some(ErrorCode::Unknown);
    if !is_lacking(&error) {
        return Err(error);
    }
    let mut statement = connection
        .prepare("SELECT name FROM main.sqlite_schema WHERE type = 'table' AND rootpage > 0")?;
    let names: Vec<String> = statement
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut all = Vec::new();
    for name in names {
        let of = quoted(&name);
        let mut found = ask(&of);
        if found.as_ref().is_err_and(is_lacking) {
            connection.pragma_update(None, "ignore_check_constraints", true)?;
            found = ask(&of);
            connection.pragma_update(None, "ignore_check_constraints", false)?;
        }
        match found {
            Err(error) if is_lacking(&error) => tracing::warn!(
                table = name,
                why = own_message(&error),
                "its indexes cannot be checked without its application; its rows are held against the source's"
            ),
            found => all.extend(found?),
        }
    }
    Ok(all)
}

/// Foreign keys that hold on the source have to hold in incoming.
pub(in crate::store::sqlite) fn keys(
    connection: &Connection,
    definitions: &Definitions,
    path: &Path,
) -> Result<()> {
    let Some(before) = &definitions.broken_keys else {
        return Ok(());
    };
    let broken: Vec<String> = broken_keys(connection)
        .map_err(on(path))?
        .unwrap_or_default()
        .difference(before)
        .take(SHOWN)
        .map(|(table, parent)| {
            format!("rows of `{table}` refer to rows of `{parent}` that are not there")
        })
        .collect();
    if broken.is_empty() {
        return Ok(());
    }
    Err(Error::new(Kind::Verify, broken.join(", "))
        .hint("leave out both tables, or neither; `verify = \"none\"` publishes them as they are"))
}
