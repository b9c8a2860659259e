//! Makes anew what is computed from rows, after the job's scripts: search indexes and the planner's statistics.

use rusqlite::Connection;

use crate::error::{Error, Kind, Result};
use crate::store::sqlite::connection::errors::{explain, own_message};
use crate::store::sqlite::schema::modules::{Content, Module};
use crate::store::sqlite::schema::names::quoted;

/// Makes search indexes and statistics anew.
pub(in crate::store::sqlite) fn renew(connection: &Connection) -> Result<()> {
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
                "is of a module that envsyncd does not have: what a script removed may still be in it"
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
            .because(own_message(&error))
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
