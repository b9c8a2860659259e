//! The objects of a database: how each is made, and how a table's rows are read and written.

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::names::{list, quoted};
use super::rowid::{self, Alias};
use super::{create, definition_text};
use crate::store::Fate;

/// A row of `sqlite_schema` that has SQL of its own: a table, an index, a view or a trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store::sqlite) struct Object {
    pub(in crate::store::sqlite) kind: String,
    pub(in crate::store::sqlite) name: String,
    /// The table that it belongs to; for a table or a view, itself.
    pub(in crate::store::sqlite) table: String,
    pub(in crate::store::sqlite) sql: String,
}

impl Object {
    /// `view `v``, for people.
    pub(in crate::store::sqlite) fn label(&self) -> String {
        format!("{} `{}`", self.kind, self.name)
    }

    /// What is wrong with its text.
    pub(in crate::store::sqlite) fn flaw(&self) -> Option<&'static str> {
        definition_text::flaw(&self.kind, &self.name, &self.table, &self.sql)
    }

    /// Creates it.
    pub(in crate::store::sqlite) fn create(&self, connection: &Connection) -> rusqlite::Result<()> {
        create::run(connection, &self.kind, &self.name, &self.table, &self.sql)
    }
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store::sqlite) struct Table {
    pub(in crate::store::sqlite) name: String,
    pub(in crate::store::sqlite) sql: String,
    pub(in crate::store::sqlite) fate: Fate,
    /// Its rows are in tables of another name (FTS5, R-Tree): its shadows.
    pub(in crate::store::sqlite) is_virtual: bool,
    /// The virtual table whose shadow it is.
    pub(in crate::store::sqlite) shadow_of: Option<String>,
    /// The name under which the rowid can be reached, where it is not one of the columns.
    #[serde(with = "rowid")]
    pub(in crate::store::sqlite) rowid: Option<Alias>,
    /// The name under which the rowid can be reached, a column or not.
    #[serde(with = "rowid")]
    pub(in crate::store::sqlite) key: Option<Alias>,
    /// Without generated ones.
    pub(in crate::store::sqlite) columns: Vec<String>,
    /// Generated columns that are stored: they do not travel, and a checksum has them where rows go from file to file. In an
    /// archive there are none.
    #[serde(skip)]
    pub(in crate::store::sqlite) computed: Vec<String>,
    /// Generated columns that are not stored.
    #[serde(skip)]
    pub(in crate::store::sqlite) seen: Vec<String>,
    /// Its rowid has no room beside its columns: row by row it is numbered anew.
    #[serde(skip)]
    pub(in crate::store::sqlite) is_widest: bool,
}

impl Table {
    /// One of which only the definition is known yet.
    pub(super) fn unread(object: Object, fate: Fate, is_virtual: bool) -> Self {
        Self {
            name: object.name,
            sql: object.sql,
            fate,
            is_virtual,
            shadow_of: None,
            rowid: None,
            key: None,
            columns: Vec::new(),
            computed: Vec::new(),
            seen: Vec::new(),
            is_widest: false,
        }
    }

    /// Creates it.
    pub(in crate::store::sqlite) fn create(&self, connection: &Connection) -> rusqlite::Result<()> {
        create::run(connection, "table", &self.name, &self.name, &self.sql)
    }

    /// Whether it is created before rows are written. A virtual table that is copied gets its shadows as tables, and itself comes
    /// last; one whose rows do not come is made anew, and makes its shadows itself.
    pub(in crate::store::sqlite) fn is_created_first(&self) -> bool {
        match self.fate {
            Fate::Exclude => false,
            Fate::Copy => !self.is_virtual,
            Fate::SchemaOnly | Fate::Keep => self.shadow_of.is_none(),
        }
    }

    /// How many values a row has on its way.
    pub(in crate::store::sqlite) fn values(&self) -> usize {
        self.columns.len() + usize::from(self.rowid.is_some())
    }

    /// The rowid, where it is not a column, and the columns.
    pub(in crate::store::sqlite) fn names(&self) -> Vec<String> {
        self.rowid
            .map(str::to_owned)
            .into_iter()
            .chain(self.columns.iter().cloned())
            .collect()
    }

    /// The same, quoted: the rowid is found in quotes, too.
    pub(in crate::store::sqlite) fn list(&self) -> String {
        list(&self.names())
    }

    /// Reads its rows in the order in which they are stored, or those for which a condition is true; in front of each the truth
    /// of `marks`, which are conditions.
    pub(in crate::store::sqlite) fn select(&self, marks: &[String], only: Option<&str>) -> String {
        // A comment at a condition's end ends with its line.
        let marks = marks.iter().map(|mark| format!("((\n{mark}\n) IS TRUE), "));
        format!(
            "SELECT {}{} FROM main.{} NOT INDEXED{}",
            marks.collect::<String>(),
            self.list(),
            quoted(&self.name),
            only.map_or_else(String::new, |only| format!(" WHERE (\n{only}\n) IS TRUE"))
        )
    }

    /// Reads its rows with what is computed from them and stored.
    pub(in crate::store::sqlite) fn select_all(&self) -> String {
        let mut names = self.names();
        names.extend(self.computed.iter().cloned());
        format!(
            "SELECT {} FROM main.{} NOT INDEXED",
            list(&names),
            quoted(&self.name)
        )
    }

    /// Takes one row.
    pub(in crate::store::sqlite) fn insert(&self) -> String {
        format!(
            "INSERT INTO main.{} ({}) VALUES ({})",
            quoted(&self.name),
            self.list(),
            vec!["?"; self.values()].join(", ")
        )
    }
}

/// Whether the schema has a table of that name.
pub(super) fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection
        .prepare("SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND name = ?1")?
        .exists([name])
}
