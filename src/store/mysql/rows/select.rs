//! How a table's values are asked for, so that the bytes that `LOAD DATA` is given make the same value. Pure.

use super::slices::Rows;
use super::typed;
use crate::error::Result;
use crate::store::Part;
use crate::store::mysql::schema::definitions::{Column, Table};
use crate::store::mysql::sql::lexer::{self, Dialect, Shape};
use crate::store::mysql::sql::names::{literal, quoted};
use crate::store::mysql::sql::version::Flavour;

/// The expression that gives a column's bytes.
pub(in crate::store::mysql) fn value(column: &Column) -> String {
    let name = quoted(&column.name);
    match column.data_type.as_str() {
        // Printed with six digits otherwise; as a double it has all that it needs.
        "float" => format!("{name} * 1e0"),
        // Texts of these are not taken where a string is binary; their bytes are.
        "uuid" | "inet6" => format!("CAST({name} AS BINARY(16))"),
        "inet4" => format!("CAST({name} AS BINARY(4))"),
        "enum" => match error_mark(column) {
            // It would be the member '' otherwise.
            Some(mark) if !mark.is_empty() => {
                format!("IF({name} + 0 = 0, {}, {name})", literal(&mark))
            }
            _ => name,
        },
        _ => name,
    }
}

/// As what an ENUM's error value travels: '', which it is, or else something that is no member, either. The server stores it
/// as the error value again, and warns.
fn error_mark(column: &Column) -> Option<String> {
    if column.data_type != "enum" {
        return None;
    }
    let members: Vec<String> = lexer::tokens(&column.column_type, Dialect::default())
        .iter()
        .filter(|token| token.shape == Shape::Text)
        .map(|token| token.text.trim_matches('\'').to_owned())
        .collect();
    let mut mark = String::new();
    // Blanks at its end are no part of a member, and how letters compare is up to collations.
    while members.iter().any(|member| member.trim() == mark) {
        mark.push('?');
    }
    Some(mark)
}

/// What stands for an ENUM's error value in each of a part's fields.
pub(in crate::store::mysql) fn error_marks(table: &Table, part: &Part) -> Vec<Option<Vec<u8>>> {
    copied(table, part)
        .map(|column| error_mark(column).map(String::into_bytes))
        .collect()
}

/// The rows of a part; values of these JSON columns travel with their types. The truth of `marks`, which are conditions, stands
/// in front of each row.
pub(in crate::store::mysql) fn statement(
    table: &Table,
    part: &Part,
    typed: &[String],
    marks: &[&str],
) -> Result<String> {
    // A comment at a condition's end ends with its line.
    let marks = marks.iter().map(|mark| format!("((\n{mark}\n) IS TRUE)"));
    let values: Vec<String> = marks
        .chain(copied(table, part).map(|column| {
            if typed.contains(&column.name) {
                typed::value(&table.name, &column.name)
            } else {
                value(column)
            }
        }))
        .collect();
    let values = if values.is_empty() {
        "NULL".to_owned()
    } else {
        values.join(", ")
    };
    Ok(format!(
        "SELECT {values} FROM {}{}",
        rows_of(table, part),
        condition(table, part)?
    ))
}

/// At most so many of a table's rows for which a condition is true; none of their values.
pub(in crate::store::mysql) fn rows_with(part: &Part, condition: &str, most: u8) -> String {
    format!(
        "SELECT 1 FROM {} WHERE (\n{condition}\n) IS TRUE LIMIT {most}",
        quoted(&part.name)
    )
}

/// The table, with what its rows were before if that is copied ("System-Versioned Tables", MariaDB's documentation).
pub(in crate::store::mysql) fn rows_of(table: &Table, part: &Part) -> String {
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

fn condition(table: &Table, part: &Part) -> Result<String> {
    let mut parts = Vec::new();
    if let (Some(slice), Some(key)) = (&part.slice, &table.split_key) {
        let Rows::Keys { from, until } = slice.read()?;
        let key = quoted(key);
        if let Some(from) = from {
            parts.push(format!("{key} >= {from}"));
        }
        if let Some(until) = until {
            parts.push(format!("{key} < {until}"));
        }
    }
    // A comment at its end ends with its line.
    parts.extend((part.condition.iter()).map(|condition| format!("(\n{condition}\n) IS TRUE")));
    Ok(if parts.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", parts.join(" AND "))
    })
}

/// The statement that takes a part's rows from a file of this name on the client's side.
pub(in crate::store::mysql) fn load(
    table: &Table,
    part: &Part,
    flavour: Flavour,
    file: &str,
) -> String {
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
pub(in crate::store::mysql) fn insert(table: &Table, part: &Part) -> String {
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
pub(in crate::store::mysql) fn texts(table: &Table, part: &Part, flavour: Flavour) -> Vec<bool> {
    copied(table, part)
        .map(|column| flavour == Flavour::MySql && column.data_type == "json")
        .collect()
}
