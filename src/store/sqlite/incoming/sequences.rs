//! AUTOINCREMENT's counters and search indexes of incoming.

use rusqlite::Connection;

use crate::error::Result;
use crate::store::sqlite::connection::errors::explain;
use crate::store::sqlite::schema::names::quoted;

/// Fills search indexes from their content.
pub(super) fn rebuild(incoming: &Connection, indexes: &[(&str, String)]) -> Result<()> {
    for (name, content) in indexes {
        let table = quoted(name);
        incoming
            .execute(
                &format!("INSERT INTO main.{table} ({table}) VALUES ('rebuild')"),
                [],
            )
            .map_err(|error| {
                explain(error, &format!("search index `{name}` over `{content}`"))
                    .hint("leave it out with `exclude`")
            })?;
    }
    Ok(())
}

/// Sets AUTOINCREMENT's counter.
pub(super) fn set_sequence(
    connection: &Connection,
    table: &str,
    value: i64,
) -> rusqlite::Result<()> {
    connection.execute("DELETE FROM main.sqlite_sequence WHERE name = ?1", [table])?;
    connection
        .execute(
            "INSERT INTO main.sqlite_sequence (name, seq) VALUES (?1, ?2)",
            rusqlite::params![table, value],
        )
        .map(drop)
}
