//! How a table's values are asked for, so that the bytes that `LOAD DATA` is given make the same value; and how they are
//! summed up. Pure.

use super::definitions::{Column, Table};
use super::json;
use super::names::{literal, quoted};
use super::version::Flavour;
use crate::store::{Part, Slice};

/// The expression that gives a column's bytes.
fn value(column: &Column) -> String {
    let name = quoted(&column.name);
    match column.data_type.as_str() {
        // Printed with six digits otherwise; as a double it has all that it needs.
        "float" => format!("{name} * 1e0"),
        // Texts of these are not taken where a string is binary; their bytes are.
        "uuid" | "inet6" => format!("CAST({name} AS BINARY(16))"),
        "inet4" => format!("CAST({name} AS BINARY(4))"),
        _ => name,
    }
}

/// The rows of a part.
pub(super) fn statement(table: &Table, part: &Part) -> String {
    let values: Vec<String> = copied(table, part).map(value).collect();
    let values = if values.is_empty() {
        "NULL".to_owned()
    } else {
        values.join(", ")
    };
    format!(
        "SELECT {values} FROM {}{}",
        rows_of(table, part),
        condition(table, part)
    )
}

/// The table, with what its rows were before if that is copied ("System-Versioned Tables", MariaDB's documentation).
fn rows_of(table: &Table, part: &Part) -> String {
    let name = quoted(&table.name);
    if copied(table, part).any(|column| column.is_period) {
        format!("{name} FOR SYSTEM_TIME ALL")
    } else {
        name
    }
}

fn copied<'a>(table: &'a Table, part: &'a Part) -> impl Iterator<Item = &'a Column> {
    part.columns.iter().filter_map(|name| {
        let found = table.columns.iter().find(|column| column.name == *name);
        debug_assert!(found.is_some(), "a part's columns are its table's");
        found
    })
}

fn condition(table: &Table, part: &Part) -> String {
    let (Some(Slice::Keys { from, until }), Some(key)) = (&part.slice, &table.split_key) else {
        return String::new();
    };
    let key = quoted(key);
    let mut parts = Vec::new();
    if let Some(from) = from {
        parts.push(format!("{key} >= {from}"));
    }
    if let Some(until) = until {
        parts.push(format!("{key} < {until}"));
    }
    if parts.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", parts.join(" AND "))
    }
}

/// The statement that takes a part's rows from a file of this name on the client's side.
pub(super) fn load(table: &Table, part: &Part, flavour: Flavour, file: &str) -> String {
    let (mut columns, texts) = targets(table, part, flavour);
    if columns.is_empty() {
        // A line has one NULL that is no column's; no list at all would be all columns.
        columns.push("@nothing".to_owned());
    }
    let set = if texts.is_empty() {
        String::new()
    } else {
        format!(" SET {}", texts.join(", "))
    };
    format!(
        "LOAD DATA LOCAL INFILE {} INTO TABLE {} CHARACTER SET binary \
         FIELDS TERMINATED BY '\\t' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ({}){set}",
        literal(file),
        quoted(&table.name),
        columns.join(", ")
    )
}

/// Where each field goes: a column, or a variable for what MySQL does not take as a binary string.
fn targets(table: &Table, part: &Part, flavour: Flavour) -> (Vec<String>, Vec<String>) {
    let mut texts = Vec::new();
    let columns = copied(table, part)
        .enumerate()
        .map(|(place, column)| {
            let name = quoted(&column.name);
            if flavour == Flavour::MySql && column.data_type == "json" {
                texts.push(format!("{name} = CONVERT(@v{place} USING utf8mb4)"));
                format!("@v{place}")
            } else {
                name
            }
        })
        .collect();
    (columns, texts)
}

/// What stands before the rows of an INSERT.
pub(super) fn insert(table: &Table, part: &Part) -> String {
    let columns: Vec<String> = copied(table, part)
        .map(|column| quoted(&column.name))
        .collect();
    format!(
        "INSERT INTO {} ({}) VALUES ",
        quoted(&table.name),
        columns.join(", ")
    )
}

/// Which of a part's fields are no binary strings to an INSERT.
pub(super) fn texts(table: &Table, part: &Part, flavour: Flavour) -> Vec<bool> {
    copied(table, part)
        .map(|column| flavour == Flavour::MySql && column.data_type == "json")
        .collect()
}

/// Rows and two sums over parts of each row's hash, which do not depend on the order. Generated columns are in it, if
/// they are the table's: they were computed anew.
pub(super) fn checksum(table: &Table, part: &Part, flavour: Flavour) -> String {
    let fields: Vec<String> = table
        .columns
        .iter()
        .filter(|column| !column.is_period || part.columns.contains(&column.name))
        .map(summed)
        .collect();
    let row = if fields.is_empty() {
        "''".to_owned()
    } else {
        format!("CONCAT({})", fields.join(", "))
    };
    let hash = match flavour {
        Flavour::MariaDb => format!("MD5({row})"),
        // Newer ones know no MD5 any more.
        Flavour::MySql => format!("SHA2({row}, 256)"),
    };
    format!(
        "SELECT COUNT(*), CONCAT(COALESCE(SUM(CAST(CONV(LEFT(h, 16), 16, 10) AS UNSIGNED)), 0), '/', \
         COALESCE(SUM(CAST(CONV(RIGHT(h, 16), 16, 10) AS UNSIGNED)), 0)) \
         FROM (SELECT {hash} AS h FROM {}) AS sums",
        rows_of(table, part)
    )
}

/// Each with its length, so that no two rows make one text.
fn summed(column: &Column) -> String {
    let bytes = match column.data_type.as_str() {
        "float" | "uuid" | "inet6" | "inet4" => value(column),
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" => {
            format!("HEX({})", quoted(&column.name))
        }
        "bit" => format!("BIN({})", quoted(&column.name)),
        // Of MySQL alone: what its text says is what a copy has.
        "json" => json::as_copied(&quoted(&column.name)),
        _ => quoted(&column.name),
    };
    let bytes = format!("CAST({bytes} AS BINARY)");
    format!("IFNULL(CONCAT(LENGTH({bytes}), ':', {bytes}), '-')")
}
