//! Some rows of a table: the first, and some of blocks all over it.

use super::relation::{column_list, table_name};
use crate::error::Result;
use crate::store::postgresql::connection::cells::Row;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::{large_objects, search_path};
use crate::store::postgresql::sql::quoting::quoted;
use crate::store::{Comment, Part, SAMPLED, Sample};

/// A block's bytes, unless the server was built otherwise, and how many blocks are looked into.
const BLOCK: u64 = 8192;
const BLOCKS: f64 = 48.0;

/// Reads them. The session is in a transaction, and has another search path afterwards if the query needs one.
pub(in crate::store::postgresql) async fn read(
    session: &Session,
    part: &Part,
    condition: &str,
    rows: u64,
) -> Result<Sample> {
    let mut sample = Sample::default();
    if large_objects::is(part) || part.columns.is_empty() || rows == 0 {
        return Ok(sample);
    }
    let query = statement(part, condition, rows);
    search_path::make_ready(session, part, &query).await?;
    let take = |row: &Row| {
        let values: Vec<Option<&[u8]>> = (0..row.len())
            .map(|at| row.read(at))
            .collect::<Result<_>>()?;
        sample.push(values.into_iter());
        Ok(())
    };
    session
        .each_row(&query, take)
        .await
        .map_err(|error| error.within(format!("a sample of {}", part.label())))?;
    Ok(sample)
}

fn statement(part: &Part, condition: &str, rows: u64) -> String {
    // Whatever the encoding of the database is, its bytes come as they are.
    let value = |name: &String| {
        format!(
            "pg_catalog.textsend(pg_catalog.left({}::pg_catalog.text, {SAMPLED}))",
            quoted(name)
        )
    };
    let values: Vec<String> = part.columns.iter().map(value).collect();
    let (values, table) = (values.join(", "), table_name(part));
    let first =
        |count: u64| format!("(SELECT {values} FROM ONLY {table} {condition} LIMIT {count})");
    // What is known of a table's size is an estimate, and of a new one there is none.
    if part.rows <= rows.saturating_mul(2) {
        return first(rows);
    }
    // Blocks are taken as a whole ("TABLESAMPLE", PostgreSQL's manual): more of them than are needed, as they may be half empty, and
    // so many that they are from all over the table. Of their rows some are taken.
    let blocks = (part.bytes / BLOCK).max(1) as f64;
    let percent = (150.0 * rows as f64 / part.rows as f64).max(100.0 * BLOCKS / blocks);
    let (percent, count) = (percent.clamp(0.000_1, 100.0), rows / 4 + 1);
    format!(
        "{} UNION ALL (SELECT {values} FROM (SELECT {} FROM ONLY {table} TABLESAMPLE SYSTEM ({percent}) {condition} \
         ORDER BY pg_catalog.random() LIMIT {}) AS sampled)",
        first(count),
        column_list(&part.columns),
        rows.saturating_sub(count)
    )
}

/// What was written beside tables and their columns.
pub(in crate::store::postgresql) async fn comments(session: &Session) -> Result<Vec<Comment>> {
    let query = "SELECT n.nspname::pg_catalog.text, c.relname::pg_catalog.text, a.attname::pg_catalog.text, d.description \
         FROM pg_catalog.pg_description d JOIN pg_catalog.pg_class c ON c.oid = d.objoid AND c.relkind IN ('r', 'p') \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0 \
         WHERE d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass AND n.nspname <> 'pg_catalog'";
    let mut found = Vec::new();
    let take = |row: &Row| {
        found.push(Comment {
            schema: Some(row.read(0)?),
            table: row.read(1)?,
            column: row.read(2)?,
            text: row.read(3)?,
        });
        Ok(())
    };
    session.each_row(query, take).await?;
    Ok(found)
}
