//! What the target keeps of its own: rows of `keep` tables, and in overlay the tables that only it has. They come from
//! the snapshot of live, never from live itself, so that live is not held up.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::connection::{explain, on, open_read, quoted};
use super::schema::{Definitions, Object, Table};
use crate::error::{Error, Kind, Result};
use crate::store::{Fate, Selection};

/// What incoming takes of live.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// Tables of the source that get live's rows: as live has them.
    rows: Vec<Table>,
    /// Tables that only live has.
    tables: Vec<Table>,
    /// Indexes, triggers and views that come with them.
    others: Vec<Object>,
}

impl Kept {
    /// Where there is no live, nothing stays.
    pub(super) fn none() -> Self {
        Self {
            rows: Vec::new(),
            tables: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Decides what stays. A column that the source lacks is an error, since its values would be lost.
    pub(super) fn plan(
        source: &Definitions,
        live: &Definitions,
        selection: &Selection,
    ) -> Result<Self> {
        let arrives = |name: &str| {
            source
                .tables
                .iter()
                .find(|table| table.fate != Fate::Exclude && table.name.eq_ignore_ascii_case(name))
        };
        let mut kept = Self::none();
        for table in &live.tables {
            match arrives(&table.name) {
                Some(theirs) if theirs.fate == Fate::Keep => {
                    if theirs.is_virtual != table.is_virtual {
                        return Err(Error::new(
                            Kind::Verify,
                            format!(
                                "`{}` cannot be kept: it is a virtual table on one side only",
                                table.name
                            ),
                        ));
                    }
                    for column in &table.columns {
                        if !theirs
                            .columns
                            .iter()
                            .any(|other| other.eq_ignore_ascii_case(column))
                        {
                            return Err(Error::new(
                                Kind::Verify,
                                format!("`{}` cannot be kept: the source's table has no column `{column}`", table.name),
                            )
                            .hint("add the column to the source, drop it from the target, or do not keep the table"));
                        }
                    }
                    if !table.is_virtual {
                        let mut table = table.clone();
                        if theirs.rowid.is_none() {
                            table.rowid = None;
                        }
                        if theirs.key != table.key {
                            table.key = None;
                        }
                        kept.rows.push(table);
                    }
                }
                Some(_) => {}
                None => {
                    if selection.overlay || table.fate == Fate::Keep {
                        kept.tables.push(table.clone());
                    }
                }
            }
        }
        for object in &live.others {
            let is_ours = kept
                .tables
                .iter()
                .any(|table| table.name.eq_ignore_ascii_case(&object.table))
                || (selection.overlay && object.kind == "view");
            let is_there = source.others.iter().any(|other| {
                source.comes_along(other) && other.name.eq_ignore_ascii_case(&object.name)
            });
            if is_ours && is_there && object.kind != "view" {
                return Err(Error::new(
                    Kind::Verify,
                    format!(
                        "`{}` cannot be kept: the source has another {} `{}`",
                        object.table, object.kind, object.name
                    ),
                )
                .hint("rename one of them"));
            }
            // A trigger on a view that stays, stays as well.
            let on_view = selection.overlay
                && object.kind == "trigger"
                && kept
                    .others
                    .iter()
                    .any(|view| view.name.eq_ignore_ascii_case(&object.table));
            if !is_there && (is_ours || on_view) {
                kept.others.push(object.clone());
            }
        }
        let mut kept_names = kept
            .tables
            .iter()
            .map(|table| format!("table `{}`", table.name))
            .chain(
                kept.others
                    .iter()
                    .map(|object| format!("{} `{}`", object.kind, object.name)),
            );
        if let Some(object) = kept_names.find(|name| live.not_utf8.contains(name)) {
            return Err(Error::new(
                Kind::Verify,
                format!("{object} of the target cannot be kept: its definition is not valid UTF-8"),
            )
            .hint("define it anew"));
        }
        drop(kept_names);
        Ok(kept)
    }

    /// Whether nothing stays.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.tables.is_empty() && self.others.is_empty()
    }

    /// The names that incoming has from live.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.tables
            .iter()
            .map(|table| table.name.clone())
            .chain(self.others.iter().map(|object| object.name.clone()))
            .collect()
    }

    pub(super) fn virtual_tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter(|table| table.is_virtual)
    }

    pub(super) fn others(&self) -> &[Object] {
        &self.others
    }

    /// Makes the tables, and fills them and the kept ones.
    pub(super) fn fill(
        &self,
        incoming: &Connection,
        snapshot: &Path,
        live: &Definitions,
    ) -> Result<()> {
        attached(incoming, &[("live", snapshot)], |incoming| {
            for table in self.tables.iter().filter(|table| !table.is_virtual) {
                // Something else of the source may have that name.
                incoming
                    .execute_batch(&table.sql)
                    .map_err(|error| explain(error, &format!("kept table `{}`", table.name)))?;
            }
            for table in self
                .rows
                .iter()
                .chain(&self.tables)
                .filter(|table| !table.is_virtual)
            {
                all_rows(incoming, table, "live")?;
            }
            self.sequences(incoming, live)
        })
    }

    /// AUTOINCREMENT goes on where live's left off.
    fn sequences(&self, incoming: &Connection, live: &Definitions) -> Result<()> {
        for table in self.rows.iter().chain(&self.tables) {
            if let Some(value) = live.sequences.get(&table.name) {
                set_sequence(incoming, &table.name, *value)
                    .map_err(|error| explain(error, &format!("kept table `{}`", table.name)))?;
            }
        }
        Ok(())
    }

    /// Brings what changed on live between two snapshots into incoming, and leaves alone what a script changed there.
    pub(super) fn catch_up(
        &self,
        incoming: &Connection,
        old: &Path,
        new: &Path,
        source: &Definitions,
        selection: &Selection,
    ) -> Result<()> {
        let now = read(new, selection)?;
        let again = Self::plan(source, &now, selection)?;
        let shape = |kept: &Self| {
            (
                kept.rows
                    .iter()
                    .chain(&kept.tables)
                    .map(|table| (table.name.clone(), table.sql.clone()))
                    .collect::<BTreeSet<_>>(),
                kept.others
                    .iter()
                    .map(|object| (object.name.clone(), object.sql.clone()))
                    .collect::<BTreeSet<_>>(),
            )
        };
        if shape(self) != shape(&again) {
            return Err(Error::new(
                Kind::Verify,
                "the target's own tables were altered while the copy was made",
            )
            .hint("run the job again"));
        }
        attached(incoming, &[("live", new), ("before", old)], |incoming| {
            for table in self
                .rows
                .iter()
                .chain(&self.tables)
                .filter(|table| !table.is_virtual)
            {
                changed_rows(incoming, table)?;
            }
            self.sequences(incoming, &now)
        })
    }
}

/// Reads a snapshot's schema.
pub(super) fn read(snapshot: &Path, selection: &Selection) -> Result<Definitions> {
    Definitions::read(&open_read(snapshot)?, selection).map_err(on(snapshot))
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

/// Does something in one transaction with other files in reach.
fn attached(
    connection: &Connection,
    files: &[(&str, &Path)],
    work: impl FnOnce(&Connection) -> Result<()>,
) -> Result<()> {
    let mut done = Ok(());
    for (name, path) in files {
        let text = ToSqlOutput::Borrowed(ValueRef::Text(path.as_os_str().as_bytes()));
        done = connection
            .execute(&format!("ATTACH ?1 AS {name}"), [text])
            .map(drop)
            .map_err(on(path));
        if done.is_err() {
            break;
        }
    }
    let done = done.and_then(|()| {
        let transaction = connection
            .unchecked_transaction()
            .map_err(|error| explain(error, "incoming"))?;
        work(&transaction)?;
        transaction
            .commit()
            .map_err(|error| explain(error, "incoming"))
    });
    for (name, _) in files {
        let _ = connection.execute_batch(&format!("DETACH {name}"));
    }
    done
}

fn all_rows(incoming: &Connection, table: &Table, from: &str) -> Result<()> {
    let (name, list) = (quoted(&table.name), table.list());
    incoming
        .execute_batch(&format!(
            "DELETE FROM main.{name}; INSERT INTO main.{name} ({list}) SELECT {list} FROM {from}.{name} NOT INDEXED"
        ))
        .map_err(|error| explain(error, &format!("kept table `{}`", table.name)))
}

fn changed_rows(incoming: &Connection, table: &Table) -> Result<()> {
    let Some(key) = table.key else {
        return all_rows(incoming, table, "live");
    };
    let (name, list) = (quoted(&table.name), table.list());
    // A column's own collation may call different texts equal.
    let exact = std::iter::once(key.to_owned())
        .chain(
            table
                .columns
                .iter()
                .map(|column| format!("{} COLLATE BINARY", quoted(column))),
        )
        .collect::<Vec<_>>()
        .join(", ");
    let differ = |one: &str, other: &str| {
        format!("(SELECT 1 FROM (SELECT {exact} FROM {one}.{name} EXCEPT SELECT {exact} FROM {other}.{name}))")
            .replacen("SELECT 1", &format!("SELECT {key}"), 1)
    };
    let (gone, new) = (differ("before", "live"), differ("live", "before"));
    incoming
        .execute_batch(&format!(
            "DELETE FROM main.{name} WHERE {key} IN {gone}; \
             INSERT OR REPLACE INTO main.{name} ({list}) SELECT {list} FROM live.{name} WHERE {key} IN {new}"
        ))
        .map_err(|error| explain(error, &format!("kept table `{}`", table.name)))
}
