//! What comes after the rows: indexes, virtual tables, views, counters, statistics, triggers; and whether it is sound.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

use super::connection::{explain, on};
use super::kept::{Kept, set_sequence};
use super::messages;
use super::schema::{Definitions, Object, Table, broken_keys};
use crate::error::{Error, Kind, Result};
use crate::store::Fate;

/// How many problems an error tells.
const SHOWN: usize = 3;

/// SQLite maps no more than about 2 GiB of a file (`SQLITE_MAX_MMAP_SIZE`), and reads the rest.
pub(super) const MAPPED: i64 = 1 << 31;

/// Completes an incoming whose rows came one by one.
pub(super) fn complete(
    connection: &Connection,
    definitions: &Definitions,
    kept: &Kept,
) -> Result<()> {
    let ours: Vec<&Object> = definitions
        .others
        .iter()
        .filter(|object| {
            definitions.comes_along(object)
                && (object.kind != "index" || !kept.has_index_of(&object.table))
        })
        .chain(kept.others())
        .collect();
    make(connection, &ours, "index")?;
    let virtuals: Vec<&Table> = definitions
        .tables
        .iter()
        .filter(|table| table.is_virtual && table.fate == Fate::Copy)
        .chain(kept.virtual_tables())
        .collect();
    enter(connection, &virtuals).map_err(|error| explain(error, "virtual tables of incoming"))?;
    make(connection, &ours, "view")?;
    kept.renew(connection, definitions)?;
    counters(connection, definitions).map_err(|error| explain(error, "counters of incoming"))?;
    statistics(connection, definitions)
        .map_err(|error| explain(error, "statistics of incoming"))?;
    // Last, so that no trigger saw a row arrive.
    make(connection, &ours, "trigger")
}

fn make(connection: &Connection, objects: &[&Object], kind: &str) -> Result<()> {
    for object in objects.iter().filter(|object| object.kind == kind) {
        object
            .make(connection)
            .map_err(|error| explain(error, &format!("{kind} `{}`", object.name)))?;
    }
    Ok(())
}

/// Enters virtual tables whose shadows are there already, as the shell's `.dump` does.
fn enter(connection: &Connection, tables: &[&Table]) -> rusqlite::Result<()> {
    if tables.is_empty() {
        return Ok(());
    }
    connection.execute_batch("PRAGMA writable_schema = ON")?;
    for table in tables {
        connection.execute(
            "INSERT INTO main.sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES ('table', ?1, ?1, 0, ?2)",
            [&table.name, &table.sql],
        )?;
    }
    connection.execute_batch("PRAGMA writable_schema = RESET")
}

fn counters(connection: &Connection, definitions: &Definitions) -> rusqlite::Result<()> {
    for (name, value) in &definitions.sequences {
        if definitions
            .table(name)
            .is_some_and(|table| table.fate == Fate::Copy)
        {
            set_sequence(connection, name, *value)?;
        }
    }
    Ok(())
}

fn statistics(connection: &Connection, definitions: &Definitions) -> rusqlite::Result<()> {
    if definitions.statistics.is_empty() {
        return Ok(());
    }
    // Makes the tables, and fills nothing in.
    connection.execute_batch("ANALYZE sqlite_schema")?;
    for name in ["sqlite_stat1", "sqlite_stat4"] {
        let Some((_, rows)) = definitions
            .statistics
            .iter()
            .find(|(table, _)| table == name)
        else {
            connection.execute_batch(&format!("DROP TABLE IF EXISTS main.{name}"))?;
            continue;
        };
        connection.execute_batch(&format!("DELETE FROM main.{name}"))?;
        for row in rows {
            connection.execute(
                &format!(
                    "INSERT INTO main.{name} VALUES ({})",
                    vec!["?"; row.len()].join(", ")
                ),
                rusqlite::params_from_iter(row),
            )?;
        }
    }
    Ok(())
}

/// Reads everything once and says what is not sound.
pub(super) fn integrity(connection: &Connection, path: &Path) -> Result<()> {
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
        let of = super::connection::quoted(&name);
        let mut found = ask(&of);
        if found.as_ref().is_err_and(is_lacking) {
            connection.pragma_update(None, "ignore_check_constraints", true)?;
            found = ask(&of);
            connection.pragma_update(None, "ignore_check_constraints", false)?;
        }
        match found {
            Err(error) if is_lacking(&error) => tracing::warn!(
                table = name,
                why = super::connection::plain(&error),
                "its indexes cannot be checked without its application; its rows are held against the source's"
            ),
            found => all.extend(found?),
        }
    }
    Ok(all)
}

/// Foreign keys that hold on the source have to hold in incoming.
pub(super) fn keys(connection: &Connection, definitions: &Definitions, path: &Path) -> Result<()> {
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
