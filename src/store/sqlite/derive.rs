//! What is computed from rows, made anew after the job's scripts: search indexes, the planner's statistics, and the file
//! itself, so that no byte of it is of a value that a script overwrote or deleted.
//!
//! `PRAGMA secure_delete` alone would not do. It clears what is deleted, but not the copies of rows that SQLite leaves in a
//! page when it moves them to another (`rebuildPage` in its btree.c), and a copy of pages brings those of the source
//! along, with its free pages. So the file is written anew by `VACUUM INTO`, which keeps the rowids of all tables, where a plain
//! VACUUM may number rows anew that have no INTEGER PRIMARY KEY (`xferOptimization` in its insert.c).

use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::connection::{explain, on, open_read, plain, quoted};
use super::handle::{self, Made, companion};
use super::module::{Content, Module};
use crate::error::{Error, Kind, Result};

/// Ends the name of a file that is being written anew.
pub(super) const REWRITTEN: &str = ".rewritten";

/// Makes search indexes and statistics anew.
pub(super) fn renew(connection: &Connection) -> Result<()> {
    for (name, sql) in virtual_tables(connection).map_err(|error| explain(error, "incoming"))? {
        renew_virtual(connection, &name, &sql)?;
    }
    statistics(connection).map_err(|error| explain(error, "statistics of incoming"))
}

fn virtual_tables(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    connection
        .prepare(
            "SELECT name, sql FROM main.sqlite_schema \
             WHERE type = 'table' AND coalesce(rootpage, 0) = 0 AND sql IS NOT NULL",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// A search index keeps the words of a deleted row until its segments are merged (<https://sqlite.org/fts5.html>, section
/// 6.8), and one over another table's rows has what it was told, whatever became of them.
fn renew_virtual(connection: &Connection, name: &str, sql: &str) -> Result<()> {
    let module = Module::of(sql);
    let is_known = connection
        .prepare("SELECT 1 FROM pragma_module_list WHERE name = ?1 COLLATE NOCASE")
        .and_then(|mut statement| statement.exists([&module.name]))
        .map_err(|error| explain(error, "incoming"))?;
    if !module.is_search() {
        if !is_known {
            tracing::warn!(
                table = name,
                module = module.name,
                "is of a module that envsyncd has not got: what a script removed may still be in it"
            );
        }
        return Ok(());
    }
    let command = match module.content {
        Content::None => "optimize",
        Content::Own | Content::Of(_) => "rebuild",
    };
    let table = quoted(name);
    connection
        .execute_batch("SAVEPOINT envsyncd_renew")
        .and_then(|()| {
            connection.execute(
                &format!("INSERT INTO main.{table} ({table}) VALUES (?1)"),
                [command],
            )
        })
        .and_then(|_| connection.execute_batch("RELEASE envsyncd_renew"))
        .map_err(|error| {
            let of = match &module.content {
                Content::Of(other) => format!(" from `{other}`"),
                Content::Own | Content::None => String::new(),
            };
            Error::new(
                Kind::Statement,
                format!("search index `{name}` cannot be made anew{of} after the scripts, and might still have what they removed"),
            )
            .because(plain(&error))
            .hint("leave it out with `exclude`, or let a script drop it")
        })
}

/// Gathers statistics anew of the tables that have some. They come from the source, or from a script that went on afterwards:
/// their samples are values of rows.
fn statistics(connection: &Connection) -> rusqlite::Result<()> {
    let present: Vec<String> = connection
        .prepare(
            "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name GLOB 'sqlite_stat[1-4]'",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    if present.is_empty() {
        return Ok(());
    }
    let transaction = connection.unchecked_transaction()?;
    let mut analyzed: Vec<String> = Vec::new();
    for name in &present {
        let tables = connection
            .prepare(&format!(
                "SELECT DISTINCT t.name FROM main.{name} s JOIN main.sqlite_schema t \
                 ON t.type = 'table' AND t.rootpage > 0 AND t.name = s.tbl COLLATE NOCASE"
            ))
            .and_then(|mut statement| {
                statement
                    .query_map([], |row| row.get(0))?
                    .collect::<rusqlite::Result<Vec<String>>>()
            });
        match tables {
            Ok(tables) if matches!(&name[..], "sqlite_stat1" | "sqlite_stat4") => {
                analyzed.extend(tables);
                connection.execute_batch(&format!("DELETE FROM main.{name}"))?;
            }
            // Those of SQLite before 3.8.1, which no newer one reads or makes (https://sqlite.org/fileformat2.html, section 2.6);
            // and what is no statistics at all.
            _ => connection.execute_batch(&format!("DROP TABLE main.{name}"))?,
        }
    }
    analyzed.sort();
    analyzed.dedup();
    for table in analyzed {
        connection.execute_batch(&format!("ANALYZE main.{}", quoted(&table)))?;
    }
    // The source's SQLite may have been built without.
    for name in ["sqlite_stat1", "sqlite_stat4"] {
        if !present.iter().any(|there| there == name) {
            connection.execute_batch(&format!("DROP TABLE IF EXISTS main.{name}"))?;
        }
    }
    transaction.commit()
}

/// Writes a file anew from the rows that are in it, if need be with another page size. Only who opens it afterwards sees that.
pub(super) fn rewrite(
    connection: &Connection,
    path: &Path,
    page_size: Option<i64>,
) -> Result<Made> {
    let rewritten = companion(path, REWRITTEN);
    let made = Made::create(&rewritten)?;
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
pub(super) fn take_place(made: Made, path: &Path) -> Result<Made> {
    handle::remove(path)?;
    made.rename(path)
}

fn explain_rewrite(error: rusqlite::Error, path: &Path) -> Error {
    let said = plain(&error);
    let made = explain(error, &format!("writing {} anew", path.display()));
    if said.contains("no such collation") || said.contains("no such function") {
        return made.hint(
            "an application brings it along, and envsyncd has not got it: leave out what needs it with `exclude`, or let a \
             script drop it",
        );
    }
    made
}

/// What there is, by name.
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
