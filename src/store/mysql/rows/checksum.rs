//! How a table's rows are summed up, on either side: each row's hash, and two sums over parts of them, which do not depend on
//! their order.
//!
//! A server makes no text that is longer than its `max_allowed_packet`, but NULL, or an empty one, with a warning. So a long row
//! is the hash of its long values' hashes; and what could not be summed up for all that is an error, since two such sums say
//! nothing of two rows.

use super::json;
use super::select;
use super::typed;
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::definitions::{Column, Table};
use crate::store::mysql::sql::names::quoted;
use crate::store::mysql::sql::version::Flavour;
use crate::store::{Checksum, Part};

/// Values that can be long make one text with the others up to here, in bytes: with what else fits into a row (64 KiB) that is
/// less than the smallest packet that servers are run with, 1 MiB. Archives have sums of rows: it is never to be another one.
const LONG: u32 = 512 * 1024;

/// ER_WARN_ALLOWED_PACKET_OVERFLOWED.
const OVERFLOWED: u64 = 1301;

/// Sums up a part's rows; of a table in slices all of them. Of these JSON columns the types of values are summed up, too.
pub(in crate::store::mysql) async fn checksum(
    session: &mut Session,
    table: &Table,
    part: &Part,
    typed: &[String],
) -> Result<Checksum> {
    let sql = statement(table, part, typed, session.version().flavour);
    ask(session, &sql, &table.name).await
}

/// Number and sum of the rows of `rows`, each of them as the text `row`, which is NULL if it cannot be made.
pub(in crate::store::mysql) async fn over(
    session: &mut Session,
    row: &str,
    rows: &str,
    table: &str,
) -> Result<String> {
    let sql = sums(&hash(row, session.version().flavour), rows);
    let sum = ask(session, &sql, table).await?;
    Ok(format!("{} {}", sum.rows, sum.sum))
}

async fn ask(session: &mut Session, sql: &str, table: &str) -> Result<Checksum> {
    let within = |error: Error| error.within(format!("checksum of {table}"));
    let row = session.query_one(sql).await.map_err(within)?;
    let (rows, summed) = (row.number(0)?, row.number(1)?);
    let mut overflowed = rows != summed;
    if session.warnings() > 0 {
        let warnings = session.query("SHOW WARNINGS").await?;
        overflowed |= warnings
            .iter()
            .any(|warning| warning.number(1).is_ok_and(|code| code == OVERFLOWED));
    }
    if overflowed {
        return Err(within(Error::new(
            Kind::Verify,
            format!(
                "{}: some of its rows are too long to be summed up with the server's max_allowed_packet of {} bytes",
                session.label(),
                session.packet()
            ),
        ))
        .hint("raise max_allowed_packet on both servers to more than the longest value, and to 1M at least, or set verify = \"rows\""));
    }
    Ok(Checksum {
        rows,
        sum: row.text(2)?,
    })
}

/// Counts them.
pub(in crate::store::mysql) async fn count(
    session: &mut Session,
    table: &Table,
    part: &Part,
) -> Result<u64> {
    let sql = format!("SELECT COUNT(*) FROM {}", select::rows_of(table, part));
    session
        .query_one(&sql)
        .await
        .map_err(|error| error.within(format!("rows of {}", table.name)))?
        .number(0)
}

/// Rows, those that could be summed up, and the sums. Generated columns are in them, if they are the table's: they were computed
/// anew.
fn statement(table: &Table, part: &Part, typed: &[String], flavour: Flavour) -> String {
    let columns: Vec<&Column> = table
        .columns
        .iter()
        .filter(|column| !column.is_period || part.columns.contains(&column.name))
        .collect();
    let mut text = text_of(&columns, flavour);
    if !typed.is_empty() {
        let types: Vec<String> = typed
            .iter()
            .map(|column| typed::sum(&table.name, column))
            .collect();
        text = format!("CONCAT({text}, ' ', CONCAT_WS(' ', {}))", types.join(", "));
    }
    let row = hash(&text, flavour);
    sums(&row, &select::rows_of(table, part))
}

fn sums(row: &str, rows: &str) -> String {
    format!(
        "SELECT COUNT(*), COUNT(h), CONCAT(COALESCE(SUM(CAST(CONV(LEFT(h, 16), 16, 10) AS UNSIGNED)), 0), '/', \
         COALESCE(SUM(CAST(CONV(RIGHT(h, 16), 16, 10) AS UNSIGNED)), 0)) \
         FROM (SELECT {row} AS h FROM {rows}) AS sums"
    )
}

/// A text's hash, in hexadecimal digits.
pub(in crate::store::mysql) fn hash(text: &str, flavour: Flavour) -> String {
    match flavour {
        Flavour::MariaDb => format!("MD5({text})"),
        // Newer ones know no MD5 any more.
        Flavour::MySql => format!("SHA2({text}, 256)"),
    }
}

/// A row as one text, in which long values are hashed if there are too many bytes of them.
fn text_of(columns: &[&Column], flavour: Flavour) -> String {
    let joined = |fields: Vec<String>| {
        if fields.is_empty() {
            "''".to_owned()
        } else {
            format!("CONCAT({})", fields.join(", "))
        }
    };
    let whole = joined(columns.iter().map(|column| field(column)).collect());
    let lengths: Vec<String> = columns
        .iter()
        .filter(|column| can_be_long(column))
        .map(|column| {
            let times = if is_geometry(column) { " * 2" } else { "" };
            format!("IFNULL(LENGTH({}), 0){times}", value_of(column))
        })
        .collect();
    if lengths.is_empty() {
        return whole;
    }
    let in_hashes = joined(
        columns
            .iter()
            .map(|column| {
                if can_be_long(column) {
                    hashed(column, flavour)
                } else {
                    field(column)
                }
            })
            .collect(),
    );
    format!(
        "IF({} <= {LONG}, {whole}, {in_hashes})",
        lengths.join(" + ")
    )
}

/// Each with its length, so that no two rows make one text.
fn field(column: &Column) -> String {
    let name = quoted(&column.name);
    let bytes = match column.data_type.as_str() {
        "float" | "uuid" | "inet6" | "inet4" | "enum" => select::value(column),
        "bit" => format!("BIN({name})"),
        _ if is_geometry(column) => format!("HEX({name})"),
        _ => value_of(column),
    };
    let bytes = format!("CAST({bytes} AS BINARY)");
    format!("IFNULL(CONCAT(LENGTH({bytes}), ':', {bytes}), '-')")
}

/// A value, or MySQL's JSON as a copy has it: what its text says.
fn value_of(column: &Column) -> String {
    let name = quoted(&column.name);
    match column.data_type.as_str() {
        "json" => json::as_copied(&name),
        _ => name,
    }
}

/// A long value's, whose bytes are hashed as they are.
fn hashed(column: &Column, flavour: Flavour) -> String {
    let name = value_of(column);
    format!(
        "IFNULL(CONCAT(LENGTH({name}), '#', {}), '-')",
        hash(&name, flavour)
    )
}

/// Those of which a row has no more than an address of.
fn can_be_long(column: &Column) -> bool {
    let kind = column.data_type.as_str();
    kind.ends_with("blob") || kind.ends_with("text") || kind == "json" || is_geometry(column)
}

fn is_geometry(column: &Column) -> bool {
    matches!(
        column.data_type.as_str(),
        "geometry"
            | "point"
            | "linestring"
            | "polygon"
            | "multipoint"
            | "multilinestring"
            | "multipolygon"
            | "geometrycollection"
            | "geomcollection"
    )
}
