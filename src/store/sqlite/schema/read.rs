//! Reads a database's definitions.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;

use super::definitions::{Definitions, Settings};
use super::modules::Module;
use super::objects::{Object, Table, has_table};
use super::rowid::ALIASES;
use super::tokens::{Token, tokens};
use crate::store::{Fate, Selection};

/// How many columns a table or an answer of SQLite has at the most (<https://sqlite.org/limits.html>, section 2).
const MOST_COLUMNS: usize = 2000;

impl Definitions {
    /// Reads the schema; the caller holds a transaction open if that matters.
    pub(in crate::store::sqlite) fn read(
        connection: &Connection,
        selection: &Selection,
    ) -> rusqlite::Result<Self> {
        let mut listed = Listed::read(connection, selection)?;
        let virtuals = virtual_tables(connection, &listed.tables)?;
        for table in listed.tables.iter_mut().filter(|table| !table.is_virtual) {
            shape(connection, table)?;
            if let Some(owner) = owner(table, &virtuals) {
                // A virtual table is copied with all that it is made of, or not at all.
                table.shadow_of = Some(owner.name.clone());
                table.fate = owner.fate;
            }
        }
        Ok(Self {
            tables: listed.tables,
            others: listed.others,
            settings: Settings::read(connection)?,
            sequences: sequences(connection)?,
            statistics: Vec::new(),
            mode: 0o600,
            not_utf8: listed.not_utf8,
            flawed: listed.flawed,
            views: Vec::new(),
            renewed: Vec::new(),
            missing_extensions: Vec::new(),
            broken_keys: None,
        })
    }
}

/// What `sqlite_schema` lists.
#[derive(Default)]
struct Listed {
    tables: Vec<Table>,
    /// Indexes, views and triggers.
    others: Vec<Object>,
    not_utf8: Vec<String>,
    flawed: Vec<(String, &'static str)>,
}

impl Listed {
    fn read(connection: &Connection, selection: &Selection) -> rusqlite::Result<Self> {
        let mut listed = Self::default();
        let mut statement = connection.prepare(
            "SELECT type, name, tbl_name, rootpage, sql FROM main.sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let sql = row.get_ref(4)?.as_bytes().unwrap_or_default();
            let object = Object {
                kind: row.get(0)?,
                name: row.get(1)?,
                table: row.get(2)?,
                sql: String::from_utf8_lossy(sql).into_owned(),
            };
            if object.sql.as_bytes() != sql {
                listed.not_utf8.push(object.label());
            }
            if let Some(flaw) = object.flaw() {
                listed.flawed.push((object.label(), flaw));
            }
            if object.kind != "table" {
                listed.others.push(object);
            } else if !object.name.starts_with("sqlite_") {
                let fate = selection.fate(None, &object.name);
                let is_virtual = row.get::<_, Option<i64>>(3)?.unwrap_or(0) == 0;
                listed.tables.push(Table::unread(object, fate, is_virtual));
            }
        }
        Ok(listed)
    }
}

/// A virtual table.
struct Virtual {
    name: String,
    fate: Fate,
    /// `None`: our SQLite has not got it.
    module: Option<Module>,
}

fn virtual_tables(connection: &Connection, tables: &[Table]) -> rusqlite::Result<Vec<Virtual>> {
    let known = modules(connection)?;
    let all = tables.iter().filter(|table| table.is_virtual);
    Ok(all
        .map(|table| Virtual {
            name: table.name.clone(),
            fate: table.fate,
            module: Some(Module::of(&table.sql)).filter(|module| known.contains(&module.name)),
        })
        .collect())
}

/// The virtual table whose shadow a table is. Which tables are a shadow only its module knows: of one that we have not got, all that
/// are called like it.
fn owner<'a>(table: &Table, virtuals: &'a [Virtual]) -> Option<&'a Virtual> {
    let owns = |owner: &&Virtual| {
        let Some((start, end)) = table.name.split_at_checked(owner.name.len()) else {
            return false;
        };
        let end = end
            .strip_prefix('_')
            .filter(|_| start.eq_ignore_ascii_case(&owner.name));
        end.is_some_and(|end| match &owner.module {
            Some(module) => module.keeps(end),
            None => owner.fate != Fate::Copy,
        })
    };
    virtuals
        .iter()
        .filter(owns)
        .max_by_key(|owner| owner.name.len())
}

/// Whether a definition's last words make a table WITHOUT ROWID.
fn is_without_rowid(sql: &str) -> bool {
    let tokens = tokens(sql);
    let end = tokens
        .iter()
        .rposition(|token| *token == Token::Other(')'))
        .unwrap_or(0);
    tokens[end..]
        .windows(2)
        .any(|pair| pair[0].is("without") && pair[1].is("rowid"))
}

/// The modules that our SQLite has, in lower case.
fn modules(connection: &Connection) -> rusqlite::Result<BTreeSet<String>> {
    connection
        .prepare("SELECT lower(name) FROM pragma_module_list")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Fills in a table's columns, and how its rowid is reached.
fn shape(connection: &Connection, table: &mut Table) -> rusqlite::Result<()> {
    let mut names = BTreeSet::new();
    let mut keys = Vec::new();
    let mut statement = connection.prepare_cached(
        "SELECT name, type, pk, hidden FROM pragma_table_xinfo(?1, 'main') ORDER BY cid",
    )?;
    let mut rows = statement.query([&table.name])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        names.insert(name.to_lowercase());
        if row.get::<_, i64>(2)? > 0 {
            keys.push(row.get::<_, String>(1)?);
        }
        // 2 and 3 are generated columns (https://sqlite.org/pragma.html#pragma_table_xinfo).
        match row.get(3)? {
            0 => table.columns.push(name),
            2 => table.seen.push(name),
            3 => table.computed.push(name),
            _ => {}
        }
    }
    // An INTEGER PRIMARY KEY is the rowid itself; the one that is not (`DESC`) has an index of its own.
    let is_rowid = matches!(&keys[..], [only] if only.eq_ignore_ascii_case("integer"))
        && !connection
            .prepare_cached("SELECT 1 FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'")?
            .exists([&table.name])?;
    if !is_without_rowid(&table.sql) {
        table.key = ALIASES.into_iter().find(|name| !names.contains(*name));
        table.is_widest = !is_rowid && table.columns.len() + table.computed.len() >= MOST_COLUMNS;
        if !is_rowid && !table.is_widest {
            table.rowid = table.key;
        }
    }
    Ok(())
}

/// AUTOINCREMENT's counters.
pub(in crate::store::sqlite) fn sequences(
    connection: &Connection,
) -> rusqlite::Result<BTreeMap<String, i64>> {
    if !has_table(connection, "sqlite_sequence")? {
        return Ok(BTreeMap::new());
    }
    connection
        .prepare(
            "SELECT name, seq FROM main.sqlite_sequence WHERE typeof(seq) = 'integer' AND typeof(name) = 'text' \
             AND name IN (SELECT name FROM main.sqlite_schema WHERE type = 'table')",
        )?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}
