//! Some rows of a table: the first, and some from other places of its key.

use crate::error::Result;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::definitions::{Column, Table};
use crate::store::mysql::sql::names::{literal, quoted};
use crate::store::{Comment, PLACES, Part, SAMPLED, Sample};

/// Reads them.
pub(in crate::store::mysql) async fn read(
    session: &mut Session,
    table: &Table,
    part: &Part,
    rows: u64,
) -> Result<Sample> {
    let mut sample = Sample::default();
    if part.columns.is_empty() || rows == 0 {
        return Ok(sample);
    }
    let query = statement(session, table, part, rows).await?;
    let columns = part.columns.len();
    let take = |row: crate::store::mysql::connection::row::Row| {
        sample.push((0..columns).map(|at| row.bytes(at)));
        Ok(())
    };
    let read = session.each(&query, take).await;
    read.map_err(|error| error.within(format!("a sample of {}", part.label())))?;
    Ok(sample)
}

async fn statement(session: &mut Session, table: &Table, part: &Part, rows: u64) -> Result<String> {
    let columns = part.columns.iter();
    let values: Vec<String> = columns
        .map(|name| {
            let column = table.columns.iter().find(|column| column.name == *name);
            column.map_or_else(|| "NULL".to_owned(), value)
        })
        .collect();
    let first = format!("SELECT {} FROM {}", values.join(", "), quoted(&table.name));
    let Some(key) = table.split_key.as_deref().filter(|_| rows >= 2 * PLACES) else {
        return Ok(format!("{first} LIMIT {rows}"));
    };
    let key = quoted(key);
    let query = format!("SELECT MIN({key}), MAX({key}) FROM {}", quoted(&table.name));
    let ends = session.query_one(&query).await?;
    let end = |text: Option<String>| text.and_then(|text| text.parse::<i128>().ok());
    let (Some(low), Some(high)) = (end(ends.maybe(0)?), end(ends.maybe(1)?)) else {
        return Ok(format!("{first} LIMIT {rows}"));
    };
    let step = (high - low) / i128::from(PLACES) + 1;
    let pieces: Vec<String> = (0..i128::from(PLACES))
        .map(|place| {
            let (from, until) = (low + place * step, low + (place + 1) * step);
            format!(
                "({first} WHERE {key} >= {from} AND {key} < {until} ORDER BY {key} LIMIT {})",
                rows / PLACES
            )
        })
        .collect();
    Ok(pieces.join(" UNION ALL "))
}

/// A column's text in UTF-8, or its bytes.
fn value(column: &Column) -> String {
    let name = quoted(&column.name);
    match column.data_type.as_str() {
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
            format!("LEFT({name}, {SAMPLED})")
        }
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" | "vector" => "NULL".to_owned(),
        _ if column.charset.is_some() => {
            format!("LEFT(CONVERT({name} USING utf8mb4), {})", SAMPLED / 4)
        }
        _ => format!(
            "LEFT(CONVERT(CAST({name} AS CHAR) USING utf8mb4), {})",
            SAMPLED / 4
        ),
    }
}

/// What was written beside tables and their columns.
pub(in crate::store::mysql) async fn comments(
    session: &mut Session,
    schema: &str,
) -> Result<Vec<Comment>> {
    let schema = literal(schema);
    let query = format!(
        "SELECT CONVERT(TABLE_NAME USING utf8mb4), CONVERT(COLUMN_NAME USING utf8mb4), CONVERT(COLUMN_COMMENT USING utf8mb4) \
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {schema} AND COLUMN_COMMENT <> '' \
         UNION ALL SELECT CONVERT(TABLE_NAME USING utf8mb4), NULL, CONVERT(TABLE_COMMENT USING utf8mb4) \
         FROM information_schema.TABLES WHERE TABLE_SCHEMA = {schema} AND TABLE_COMMENT <> '' AND TABLE_TYPE = 'BASE TABLE'"
    );
    let mut found = Vec::new();
    session
        .each(&query, |row| {
            found.push(Comment {
                schema: None,
                table: row.text(0)?,
                column: row.maybe(1)?,
                text: row.definition(2)?,
            });
            Ok(())
        })
        .await?;
    Ok(found)
}
