//! What a source has, and about how much: read inside the transaction that fixes the point in time.

use std::path::Path;

use chrono::{DateTime, Utc};
use rusqlite::Connection;

use crate::error::{Error, Kind, Result};
use crate::store::sqlite::connection::errors::on;
use crate::store::sqlite::rows::inserts;
use crate::store::sqlite::rows::values::encode;
use crate::store::sqlite::schema::definitions::Definitions;
use crate::store::sqlite::schema::foreign_keys::broken_keys;
use crate::store::sqlite::schema::names::quoted;
use crate::store::sqlite::schema::objects::Table;
use crate::store::sqlite::schema::requirements::{self, LeftOut};
use crate::store::sqlite::schema::shapes;
use crate::store::sqlite::schema::{extensions, nested_views, statistics};
use crate::store::{Fate, Interner, Part, Selection, Unit};

/// Reads what there is, and about how much, inside the transaction.
pub(super) fn read(
    connection: &Connection,
    selection: &Selection,
    row_by_row: bool,
    is_archive: bool,
    file: &Path,
) -> Result<(Definitions, Vec<Part>, DateTime<Utc>)> {
    let begin = || {
        if !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
        }
        connection.execute_batch("BEGIN")?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
    };
    begin().map_err(on(file))?;
    let taken_at = Utc::now();
    let mut definitions = Definitions::read(connection, selection).map_err(on(file))?;
    definitions
        .flawed
        .extend(nested_views::overgrown(&definitions.others));
    if let Some((object, flaw)) = definitions.flawed.first() {
        return Err(flawed(file, object, flaw));
    }
    extensions::stand_in(connection).map_err(on(file))?;
    follow_references(connection, &definitions, selection).map_err(on(file))?;
    requirements::settle(&mut definitions, selection, is_archive)?
        .iter()
        .for_each(LeftOut::tell);
    if row_by_row {
        definitions.broken_keys = broken_keys(connection).map_err(on(file))?;
        definitions.statistics = statistics::read(connection, |name| {
            definitions
                .table(name)
                .is_some_and(|table| table.fate == Fate::Copy)
                // They have samples of values.
                && !selection.is_altered(name)
        })
        .map_err(on(file))?;
    }
    let parts = parts(connection, &definitions).map_err(on(file))?;
    Ok((definitions, parts, taken_at))
}

/// Lets masks go on along the references of tables that are copied.
fn follow_references(
    connection: &Connection,
    definitions: &Definitions,
    selection: &Selection,
) -> rusqlite::Result<()> {
    if selection.describes_columns {
        let tables = definitions.tables.iter();
        let copied = tables.filter(|table| !table.is_virtual && table.fate == Fate::Copy);
        let shapes = copied.map(|table| shapes::read(connection, table, selection));
        selection.follow(&shapes.collect::<rusqlite::Result<Vec<_>>>()?);
    }
    Ok(())
}

/// The parts of a copy.
fn parts(connection: &Connection, definitions: &Definitions) -> rusqlite::Result<Vec<Part>> {
    let all = definitions.settings.bytes();
    let mut parts = Vec::new();
    for table in definitions
        .tables
        .iter()
        .filter(|table| !table.is_virtual && table.fate == Fate::Copy)
    {
        let (rows, bytes) = size(connection, table, all)?;
        parts.push(Part {
            id: 0,
            schema: None,
            name: table.name.clone(),
            columns: table.names().into(),
            unit: Unit::Rows,
            encoding: inserts::ENCODING,
            rows,
            bytes,
            slice: None,
            condition: None,
        });
    }
    parts.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
    let mut lists = Interner::default();
    for (id, part) in parts.iter_mut().enumerate() {
        part.id = id;
        lists.intern_list(&mut part.columns);
    }
    Ok(parts)
}

pub(super) fn warn_of_widest(definitions: &Definitions) {
    let is_copied = |table: &&Table| table.is_widest && table.fate == Fate::Copy;
    for table in definitions.tables.iter().filter(is_copied) {
        tracing::warn!(
            table = table.name,
            "has as many columns as SQLite allows: its rows come without their rowids, and are numbered anew in their order"
        );
    }
}

/// A definition is text on its way, unless it goes along with its page.
pub(super) fn not_utf8(file: &Path, objects: &[String]) -> Error {
    Error::new(
        Kind::Verify,
        format!(
            "{}: the definition of {} is not valid UTF-8, and would not arrive as it is",
            file.display(),
            objects.join(", ")
        ),
    )
    .hint("copy the whole file: no `exclude`, `schema_only`, `keep` or overlay, and not into an archive; or define it anew")
}

/// A definition that was not written by SQLite, and that nobody should run.
fn flawed(file: &Path, object: &str, flaw: &str) -> Error {
    Error::new(
        Kind::Verify,
        format!("{}: the definition of {object} {flaw}", file.display()),
    )
    .hint(
        "SQLite never writes such a definition: find out who wrote to the file, and define it anew",
    )
}

/// About how many rows and bytes: the highest rowid, and the first rows' length. Counting would read everything.
fn size(connection: &Connection, table: &Table, all: u64) -> rusqlite::Result<(u64, u64)> {
    const SAMPLE: u64 = 64;
    let mut sample = Vec::new();
    let mut seen = 0;
    {
        let mut statement =
            connection.prepare(&format!("{} LIMIT {SAMPLE}", table.select(&[], None)))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            encode(row, table.values(), &mut sample)?;
            seen += 1;
        }
    }
    if seen < SAMPLE {
        return Ok((seen, sample.len() as u64));
    }
    let length = (sample.len() as u64 / seen).max(1);
    let name = quoted(&table.name);
    // Tables WITHOUT ROWID, and those that hide it, have to be counted.
    let rows: i64 = connection
        .query_row(
            &format!("SELECT coalesce(max(rowid) - min(rowid) + 1, 0) FROM main.{name}"),
            [],
            |row| row.get(0),
        )
        .or_else(|_| {
            connection.query_row(&format!("SELECT count(*) FROM main.{name}"), [], |row| {
                row.get(0)
            })
        })?;
    let rows = (rows.max(0) as u64).min(all / length + 1);
    Ok((rows, rows * length))
}
