//! Everything in a database but its rows: its objects, its settings and its counters.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::objects::{Object, Table};
use super::statistics::{self, Statistics};
use crate::store::{Catalogue, Fate};

/// What belongs to the file and not to a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::store::sqlite) struct Settings {
    pub(in crate::store::sqlite) page_size: i64,
    page_count: i64,
    pub(in crate::store::sqlite) encoding: String,
    pub(in crate::store::sqlite) auto_vacuum: i64,
    pub(in crate::store::sqlite) user_version: i64,
    pub(in crate::store::sqlite) application_id: i64,
    pub(in crate::store::sqlite) journal_mode: String,
}

impl Settings {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let number = |name: &str| {
            connection.pragma_query_value(Some("main"), name, |row| row.get::<_, i64>(0))
        };
        let text = |name: &str| {
            connection.pragma_query_value(Some("main"), name, |row| row.get::<_, String>(0))
        };
        Ok(Self {
            page_size: number("page_size")?,
            page_count: number("page_count")?,
            encoding: text("encoding")?,
            auto_vacuum: number("auto_vacuum")?,
            user_version: number("user_version")?,
            application_id: number("application_id")?,
            journal_mode: text("journal_mode")?,
        })
    }

    pub(in crate::store::sqlite) fn is_wal(&self) -> bool {
        self.journal_mode.eq_ignore_ascii_case("wal")
    }

    /// The file's size.
    pub(in crate::store::sqlite) fn bytes(&self) -> u64 {
        self.page_size.saturating_mul(self.page_count).max(0) as u64
    }
}

/// Everything in a database but its rows, at one point in time.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::store::sqlite) struct Definitions {
    pub(in crate::store::sqlite) tables: Vec<Table>,
    /// Indexes, views and triggers.
    pub(in crate::store::sqlite) others: Vec<Object>,
    pub(in crate::store::sqlite) settings: Settings,
    /// AUTOINCREMENT's counters.
    pub(in crate::store::sqlite) sequences: BTreeMap<String, i64>,
    /// The planner's statistics on tables whose rows are copied, where rows travel one by one.
    #[serde(with = "statistics")]
    pub(in crate::store::sqlite) statistics: Statistics,
    /// The file's permissions.
    pub(in crate::store::sqlite) mode: u32,
    /// Objects whose definition is not valid UTF-8: the text that is here is not theirs, byte for byte.
    #[serde(skip)]
    pub(in crate::store::sqlite) not_utf8: Vec<String>,
    /// Objects whose text is not the one definition that it should be, and what is wrong with it.
    #[serde(skip)]
    pub(in crate::store::sqlite) flawed: Vec<(String, &'static str)>,
    /// Views that the selection leaves out by name.
    #[serde(skip)]
    pub(in crate::store::sqlite) views: Vec<String>,
    /// Search indexes that a copy makes anew, of the rows that it has: those of the source are of other rows.
    #[serde(skip)]
    pub(in crate::store::sqlite) renewed: Vec<String>,
    /// Tables that need what this SQLite has not got; asked of a source alone.
    #[serde(skip)]
    pub(in crate::store::sqlite) missing_extensions: Vec<MissingExtension>,
    /// Pairs of tables whose foreign keys were broken already; `None`: not asked, or the keys make no sense.
    pub(in crate::store::sqlite) broken_keys: Option<BTreeSet<(String, String)>>,
}

impl std::fmt::Debug for Definitions {
    // Statistics hold samples of rows, and no row is ever shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Definitions")
            .field("tables", &self.tables)
            .field("others", &self.others)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Definitions {
    /// A table by its name, whose case does not matter (ASCII's, as to SQLite).
    pub(in crate::store::sqlite) fn any_case(&self, name: &str) -> Option<&Table> {
        self.tables
            .iter()
            .find(|table| table.name.eq_ignore_ascii_case(name))
    }

    /// What happens to a virtual table happens to all that it is made of.
    pub(super) fn decide(&mut self, name: &str, fate: Fate) {
        for table in &mut self.tables {
            if table.name == name || table.shadow_of.as_deref() == Some(name) {
                table.fate = fate;
            }
        }
    }

    /// What is not copied as it is, for `plan`.
    pub(in crate::store::sqlite) fn left_out(&self) -> Vec<(String, Fate)> {
        self.tables
            .iter()
            .filter(|table| table.fate != Fate::Copy && table.shadow_of.is_none())
            .map(|table| (table.name.clone(), table.fate))
            .chain(self.views.iter().map(|view| (view.clone(), Fate::Exclude)))
            .collect()
    }

    pub(in crate::store::sqlite) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Whether an index, view or trigger comes along: everything but what belongs to a table that is left out.
    pub(in crate::store::sqlite) fn comes_along(&self, object: &Object) -> bool {
        object.kind == "view"
            || self
                .tables
                .iter()
                .find(|table| table.name.eq_ignore_ascii_case(&object.table))
                .is_none_or(|table| table.fate != Fate::Exclude)
    }

    /// The catalogue of a copy: everything but what the selection leaves out.
    pub(in crate::store::sqlite) fn selected(&self) -> Catalogue {
        self.catalogue(
            self.tables
                .iter()
                .filter(|table| table.fate != Fate::Exclude),
            self.others.iter().filter(|object| self.comes_along(object)),
        )
    }

    /// All that is there, but for the objects that `skip` names.
    pub(in crate::store::sqlite) fn everything(&self, skip: &BTreeSet<String>) -> Catalogue {
        self.catalogue(
            self.tables
                .iter()
                .filter(|table| !skip.contains(&table.name)),
            self.others
                .iter()
                .filter(|object| !skip.contains(&object.name)),
        )
    }

    fn catalogue<'a>(
        &self,
        tables: impl Iterator<Item = &'a Table>,
        others: impl Iterator<Item = &'a Object>,
    ) -> Catalogue {
        let mut all = BTreeMap::new();
        for table in tables {
            all.insert(format!("table {}", table.name), table.sql.clone());
        }
        for object in others {
            all.insert(
                format!("{} {}", object.kind, object.name),
                object.sql.clone(),
            );
        }
        for (name, value) in [
            ("user_version", self.settings.user_version),
            ("application_id", self.settings.application_id),
        ] {
            all.insert(format!("setting {name}"), value.to_string());
        }
        all.insert(
            "setting encoding".to_owned(),
            self.settings.encoding.clone(),
        );
        Catalogue(all)
    }
}

/// A table that needs what is not here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::sqlite) struct MissingExtension {
    pub(in crate::store::sqlite) table: String,
    /// The requirement, in SQLite's words.
    pub(super) what: String,
    /// Not of its own rows: what is in it lies in other tables.
    pub(super) is_virtual: bool,
    pub(super) is_search: bool,
    pub(super) fate: Fate,
}
