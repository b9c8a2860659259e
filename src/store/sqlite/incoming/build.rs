//! Builds what comes after the rows: indexes, virtual tables, views, counters, statistics, triggers.

use std::path::Path;

use rusqlite::Connection;

use super::preserve::{self, Preserved};
use super::sequences::set_sequence;
use crate::error::Result;
use crate::store::sqlite::connection::errors::explain;
use crate::store::sqlite::schema::definitions::Definitions;
use crate::store::sqlite::schema::objects::{Object, Table};
use crate::store::{Fate, Selection};

/// Completes an incoming whose rows came one by one, with what the target keeps of the live file that `snapshot` is of.
pub(in crate::store::sqlite) fn complete_over(
    connection: &Connection,
    definitions: &Definitions,
    snapshot: Option<&Path>,
    selection: &Selection,
) -> Result<Preserved> {
    let Some(snapshot) = snapshot else {
        complete(connection, definitions, &Preserved::none())?;
        return Ok(Preserved::none());
    };
    let live = preserve::read(snapshot, selection)?;
    let mut preserved = Preserved::plan(definitions, &live, selection)?;
    preserved.can_stay(definitions, &live)?;
    preserved.fill(connection, snapshot, definitions, &live)?;
    complete(connection, definitions, &preserved)?;
    preserved.serves(definitions, &live, connection, selection)?;
    Ok(preserved)
}

fn complete(
    connection: &Connection,
    definitions: &Definitions,
    preserved: &Preserved,
) -> Result<()> {
    let ours: Vec<&Object> = definitions
        .others
        .iter()
        .filter(|object| {
            definitions.comes_along(object)
                && (object.kind != "index" || !preserved.has_index_of(&object.table))
        })
        .chain(preserved.others())
        .collect();
    make(connection, &ours, "index")?;
    let virtuals: Vec<&Table> = definitions
        .tables
        .iter()
        .filter(|table| table.is_virtual && table.fate == Fate::Copy)
        .chain(preserved.virtual_tables())
        .collect();
    enter(connection, &virtuals).map_err(|error| explain(error, "virtual tables of incoming"))?;
    make(connection, &ours, "view")?;
    preserved.renew(connection, definitions)?;
    counters(connection, definitions).map_err(|error| explain(error, "counters of incoming"))?;
    statistics(connection, definitions)
        .map_err(|error| explain(error, "statistics of incoming"))?;
    // Last, so that no trigger saw a row arrive.
    make(connection, &ours, "trigger")
}

fn make(connection: &Connection, objects: &[&Object], kind: &str) -> Result<()> {
    for object in objects.iter().filter(|object| object.kind == kind) {
        object
            .create(connection)
            .map_err(|error| explain(error, &format!("{kind} `{}`", object.name)))?;
    }
    Ok(())
}

/// Enters virtual tables whose shadows are there already, as the shell's `.dump` does.
fn enter(connection: &Connection, tables: &[&Table]) -> rusqlite::Result<()> {
    if tables.is_empty() {
        return Ok(());
    }
    connection.execute_batch("PRAGMA writable_schema = ON")?;
    for table in tables {
        connection.execute(
            "INSERT INTO main.sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES ('table', ?1, ?1, 0, ?2)",
            [&table.name, &table.sql],
        )?;
    }
    connection.execute_batch("PRAGMA writable_schema = RESET")
}

fn counters(connection: &Connection, definitions: &Definitions) -> rusqlite::Result<()> {
    for (name, value) in &definitions.sequences {
        if definitions
            .table(name)
            .is_some_and(|table| table.fate == Fate::Copy)
        {
            set_sequence(connection, name, *value)?;
        }
    }
    Ok(())
}

fn statistics(connection: &Connection, definitions: &Definitions) -> rusqlite::Result<()> {
    if definitions.statistics.is_empty() {
        return Ok(());
    }
    // Makes the tables, and fills nothing in.
    connection.execute_batch("ANALYZE sqlite_schema")?;
    for name in ["sqlite_stat1", "sqlite_stat4"] {
        let Some((_, rows)) = definitions
            .statistics
            .iter()
            .find(|(table, _)| table == name)
        else {
            connection.execute_batch(&format!("DROP TABLE IF EXISTS main.{name}"))?;
            continue;
        };
        connection.execute_batch(&format!("DELETE FROM main.{name}"))?;
        for row in rows {
            connection.execute(
                &format!(
                    "INSERT INTO main.{name} VALUES ({})",
                    vec!["?"; row.len()].join(", ")
                ),
                rusqlite::params_from_iter(row),
            )?;
        }
    }
    Ok(())
}
