//! A schema tried out in memory, without rows: which of its views, triggers and virtual tables would work.

use std::cell::Cell;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode};

use super::names::quoted;
use super::objects::{Object, Table};
use super::tokens::placed;
use crate::error::Result;
use crate::store::sqlite::connection::errors::explain;
use crate::store::sqlite::connection::messages;
use crate::store::sqlite::connection::open::guard;

/// What SQLite says of one attempt; not for people, since it may quote a definition.
type Attempt = std::result::Result<(), String>;

/// How much SQLite's virtual machine may do in one scratch, in steps of so many instructions. Without rows a statement is done
/// after some hundred; what goes on is a view without end that a module reads.
const STEP: i32 = 10_000;

const STEPS: u32 = 1_000;

/// A database of definitions alone.
pub(in crate::store::sqlite) struct Scratch {
    connection: Connection,
    /// A statement took more memory than there is. Others might, one after the other.
    is_spent: Cell<bool>,
}

impl Scratch {
    /// Makes these tables and views. What cannot be made for want of a module is not there; whoever needs it fails alike in
    /// every scratch.
    pub(in crate::store::sqlite) fn of<'a>(
        tables: impl Iterator<Item = &'a Table>,
        others: impl Iterator<Item = &'a Object>,
    ) -> Result<Self> {
        let connection = Connection::open_in_memory()
            .and_then(|connection| {
                guard(&connection)?;
                let mut done = 0;
                connection.progress_handler(
                    STEP,
                    Some(move || {
                        done += 1;
                        done > STEPS
                    }),
                )?;
                connection.execute_batch("PRAGMA foreign_keys = OFF")?;
                connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, true)?;
                Ok(connection)
            })
            .map_err(|error| explain(error, "a schema in memory"))?;
        let (virtuals, plain): (Vec<&Table>, Vec<&Table>) = tables
            .filter(|table| table.shadow_of.is_none())
            .partition(|table| table.is_virtual);
        // A search index may ask its content for columns.
        for table in plain.into_iter().chain(virtuals) {
            // Of a table that an archive was made without there is the name alone.
            let _ = if table.sql.is_empty() {
                connection.execute_batch(&format!("CREATE TABLE {} (x)", quoted(&table.name)))
            } else {
                table.create(&connection)
            };
        }
        for view in others.filter(|object| object.kind == "view") {
            let _ = view.create(&connection);
        }
        Ok(Self {
            connection,
            is_spent: Cell::new(false),
        })
    }

    /// Takes a view or a virtual table out again.
    pub(in crate::store::sqlite) fn remove(&self, kind: &str, name: &str) {
        let _ = self
            .connection
            .execute_batch(&format!("DROP {kind} {}", quoted(name)));
    }

    /// Whether a view can be read.
    pub(in crate::store::sqlite) fn read(&self, view: &str) -> Attempt {
        self.prepared(&format!("SELECT * FROM main.{}", quoted(view)))
    }

    /// Whether a virtual table can be opened: only then some look for what they are over.
    pub(in crate::store::sqlite) fn open(&self, table: &str) -> Attempt {
        self.tried(|| {
            self.connection
                .prepare(&format!("SELECT * FROM main.{}", quoted(table)))
                .and_then(|mut statement| statement.query([])?.next().map(drop))
        })
    }

    /// Whether a trigger, alone, lets its table be written: for an INSERT, an UPDATE and a DELETE.
    pub(in crate::store::sqlite) fn write(&self, trigger: &Object) -> [Attempt; 3] {
        if let Err(error) = trigger.create(&self.connection) {
            return [(); 3].map(|()| Err(error.to_string()));
        }
        let table = quoted(&trigger.table);
        let tried = [
            self.prepared(&format!("INSERT INTO main.{table} DEFAULT VALUES")),
            self.update(&trigger.table)
                .map_err(|error| error.to_string())
                .and_then(|sql| self.prepared(&sql)),
            self.prepared(&format!("DELETE FROM main.{table}")),
        ];
        self.remove("TRIGGER", &trigger.name);
        tried
    }

    /// Whether an index can be made.
    pub(in crate::store::sqlite) fn index(&self, index: &Object) -> Attempt {
        self.tried(|| index.create(&self.connection))
    }

    fn prepared(&self, sql: &str) -> Attempt {
        self.tried(|| self.connection.prepare(sql).map(drop))
    }

    fn tried(&self, attempt: impl FnOnce() -> rusqlite::Result<()>) -> Attempt {
        if self.is_spent.get() {
            return Err("out of memory".to_owned());
        }
        attempt().map_err(|error| {
            if messages::code(&error) == Some(ErrorCode::OutOfMemory) {
                self.is_spent.set(true);
            }
            error.to_string()
        })
    }

    fn update(&self, table: &str) -> rusqlite::Result<String> {
        let columns: Vec<String> = self
            .connection
            .prepare("SELECT name FROM pragma_table_xinfo(?1, 'main') WHERE hidden = 0")?
            .query_map([table], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        let set: Vec<String> = columns
            .iter()
            .map(|column| format!("{} = NULL", quoted(column)))
            .collect();
        Ok(format!(
            "UPDATE main.{} SET {}",
            quoted(table),
            set.join(", ")
        ))
    }

    /// What a table is but for its foreign keys; and these, each with the table that it points to.
    pub(in crate::store::sqlite) fn shape(
        &self,
        table: &str,
    ) -> rusqlite::Result<(Vec<String>, Vec<Key>)> {
        let lines = |sql: &str| -> rusqlite::Result<Vec<String>> {
            self.connection
                .prepare(sql)?
                .query_map([table], |row| row.get(0))?
                .collect()
        };
        let mut rest = lines(
            "SELECT json_array(cid, name, type, \"notnull\", dflt_value, pk, hidden) FROM pragma_table_xinfo(?1, 'main')",
        )?;
        rest.extend(lines(
            "SELECT json_array(l.\"unique\", l.origin, l.partial, i.name, i.coll, i.\"desc\") \
             FROM pragma_index_list(?1, 'main') l JOIN pragma_index_xinfo(l.name) i",
        )?);
        let mut keys = self
            .connection
            .prepare(
                "SELECT \"table\", json_array(seq, \"from\", \"to\", on_update, on_delete) \
                 FROM pragma_foreign_key_list(?1, 'main')",
            )?
            .query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<Vec<Key>>>()?;
        keys.sort();
        Ok((rest, keys))
    }
}

/// A foreign key: the table that it points to, and how.
pub(in crate::store::sqlite) type Key = (String, String);

/// Whether what works before does not work after, or fails for another reason.
pub(in crate::store::sqlite) fn breaks(before: &Attempt, after: &Attempt) -> bool {
    after.is_err() && before != after
}

/// A name that a definition has of those that `is_gone` knows; texts are none.
pub(in crate::store::sqlite) fn named(sql: &str, is_gone: impl Fn(&str) -> bool) -> Option<String> {
    placed(sql)
        .iter()
        .filter(|(_, place)| !sql[place.clone()].starts_with('\''))
        .filter_map(|(token, _)| token.name())
        .find(|name| is_gone(name))
        .map(str::to_owned)
}

/// The objects that work in one scratch and not in the other: `view `v``, each with what SQLite says.
pub(in crate::store::sqlite) fn broken<'a>(
    objects: impl Iterator<Item = &'a Object>,
    before: &Scratch,
    after: &Scratch,
) -> Vec<String> {
    objects
        .filter(|object| match &object.kind[..] {
            "view" => breaks(&before.read(&object.name), &after.read(&object.name)),
            "trigger" => before
                .write(object)
                .iter()
                .zip(&after.write(object))
                .any(|(before, after)| breaks(before, after)),
            "index" => breaks(&before.index(object), &after.index(object)),
            _ => false,
        })
        .map(|object| format!("{} `{}`", object.kind, object.name))
        .collect()
}
