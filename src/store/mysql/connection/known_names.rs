//! Names that an error may tell because the schema has them.

use std::time::Duration;

use super::server_error;
use super::session::Session;
use crate::error::Error;
use crate::store::mysql::sql::names::literal;

/// An error is not waited for longer than that: a server with many tables may have to open them all.
const PATIENCE: Duration = Duration::from_secs(5);

/// No name is longer (in characters; both servers' "Identifier Names").
const LONGEST: usize = 64;

/// The same error, with the names told that are of tables, columns, keys and constraints in the session's schema. Whatever
/// else stands where a name should may come from a SIGNAL with the server's own number, and stays `?`.
pub(in crate::store::mysql) async fn named(session: &mut Session, error: Error) -> Error {
    let Some(server) = server_error::server(&error) else {
        return error;
    };
    let mut asked: Vec<String> = server
        .unknown()
        .iter()
        .flat_map(|name| name.split(['.', ' ', ',', '(', ')']))
        .map(|part| part.trim_matches(['`', '\'', '"']).to_owned())
        .filter(|part| !part.is_empty() && part.chars().count() <= LONGEST)
        .collect();
    asked.sort();
    asked.dedup();
    asked.truncate(16);
    if asked.is_empty() || !session.is_usable() {
        return error;
    }
    let list: Vec<String> = asked.iter().map(|name| literal(name)).collect();
    let list = list.join(", ");
    let part = |column: &str, table: &str, schema: &str| {
        format!(
            "SELECT {column} AS name FROM information_schema.{table} WHERE {schema} = DATABASE() AND {column} IN ({list})"
        )
    };
    let sql = [
        part("TABLE_NAME", "TABLES", "TABLE_SCHEMA"),
        part("COLUMN_NAME", "COLUMNS", "TABLE_SCHEMA"),
        part("INDEX_NAME", "STATISTICS", "TABLE_SCHEMA"),
        part("CONSTRAINT_NAME", "TABLE_CONSTRAINTS", "CONSTRAINT_SCHEMA"),
    ]
    .join(" UNION ");
    if let Ok(Ok(rows)) = tokio::time::timeout(PATIENCE, session.query(&sql)).await {
        for name in rows.iter().filter_map(|row| row.text(0).ok()) {
            server.know(&name);
        }
    }
    error
}
