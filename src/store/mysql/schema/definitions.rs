//! What a schema consists of: its tables, sequences and objects, and its own settings.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::create_table::{Create, Reference, has_word};
use super::objects::{Object, ObjectKind};
use super::sequences::Sequence;
use super::typed_columns::Typed;
use crate::error::{Error, Kind, Result};
use crate::store::mysql::sql::lexer::{Dialect, Shape, Token, tokens};
use crate::store::mysql::sql::version::Version;
use crate::store::{Fate, List, Part, Selection};

/// Everything in a schema but rows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Definitions {
    /// The schema's name.
    pub(in crate::store::mysql) schema: String,
    pub(in crate::store::mysql) version: Version,
    /// The schema's default character set and collation, for tables and routines to come.
    pub(in crate::store::mysql) charset: String,
    pub(in crate::store::mysql) collation: String,
    /// The schema's comment (MariaDB).
    pub(in crate::store::mysql) comment: String,
    /// `lower_case_table_names`.
    pub(in crate::store::mysql) folding: u64,
    /// The time zone that the server's sessions have; empty in older archives.
    #[serde(default)]
    pub(in crate::store::mysql) zone: String,
    /// What is copied in one way or another, by name.
    pub(in crate::store::mysql) tables: Vec<Table>,
    pub(in crate::store::mysql) sequences: Vec<Sequence>,
    /// In an order in which they can be made.
    pub(in crate::store::mysql) objects: Vec<Object>,
    /// What is not copied, or without rows, or as the target has it.
    pub(in crate::store::mysql) left_out: Vec<(String, Fate)>,
    /// Names of all tables, views and sequences that are excluded.
    pub(in crate::store::mysql) excluded: BTreeSet<String>,
    /// JSON columns whose values travel with their types; none on their way to an archive.
    #[serde(skip)]
    pub(in crate::store::mysql) typed: Typed,
    /// They are a dump's.
    #[serde(skip)]
    pub(in crate::store::mysql) is_dumped: bool,
}

/// One table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::store::mysql) struct Table {
    pub(in crate::store::mysql) name: String,
    /// What `SHOW CREATE TABLE` prints, in its clauses.
    pub(in crate::store::mysql) create: Create,
    pub(in crate::store::mysql) engine: String,
    pub(in crate::store::mysql) columns: List<Column>,
    /// The next value of its counter; `None`: it has none, or it still is 1.
    pub(in crate::store::mysql) auto_increment: Option<u64>,
    /// About how many rows and bytes.
    pub(in crate::store::mysql) rows: u64,
    pub(in crate::store::mysql) bytes: u64,
    /// Whether a consistent snapshot covers it.
    pub(in crate::store::mysql) transactional: bool,
    /// A key of one whole number without NULLs, unique, by which it can be split: the column.
    pub(in crate::store::mysql) split_key: Option<String>,
    /// Its period of system time: the columns of a row's start and end, whether they are visible or not (MariaDB).
    pub(in crate::store::mysql) versioning: Option<(String, String)>,
    pub(in crate::store::mysql) fate: Fate,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(clippy::struct_field_names)] // as information_schema calls it
pub(in crate::store::mysql) struct Column {
    pub(in crate::store::mysql) name: String,
    /// Without length and signs, in lower case: `varchar`.
    pub(in crate::store::mysql) data_type: String,
    pub(in crate::store::mysql) column_type: String,
    pub(in crate::store::mysql) charset: Option<String>,
    pub(in crate::store::mysql) collation: Option<String>,
    /// Computed by the server, or a row's start or end of system versioning.
    pub(in crate::store::mysql) generated: bool,
    /// A row's start or end of system versioning.
    pub(in crate::store::mysql) is_period: bool,
}

impl Table {
    /// Foreign keys that a copy has: those to tables that are left out cannot be.
    pub(in crate::store::mysql) fn foreign_keys<'a>(
        &'a self,
        excluded: &'a BTreeSet<String>,
    ) -> impl Iterator<Item = (&'a Reference, &'a str)> {
        self.create.foreign_keys().filter(|(reference, _)| {
            reference.schema.is_some() || !excluded.contains(&reference.table)
        })
    }
}

impl Definitions {
    /// A table by name.
    pub(in crate::store::mysql) fn table(&self, name: &str) -> Option<&Table> {
        self.tables
            .binary_search_by(|table| table.name.as_str().cmp(name))
            .ok()
            .map(|at| &self.tables[at])
    }

    /// Whether a part's rows say all of its table when they are read back as they were written: they do not where the server
    /// computes columns, and where JSON has values of types that its text does not have. Of what is masked nothing but what was
    /// written can be compared, and so it is of a dump, which has FLOATs in fewer digits than they are read back with.
    pub(in crate::store::mysql) fn is_read_back(&self, part: &Part, selection: &Selection) -> bool {
        if self.is_dumped {
            let is_float = |column: &Column| {
                column.data_type == "float" && part.columns.contains(&column.name)
            };
            let table = self.table(&part.name);
            return table.is_some_and(|table| !table.columns.iter().any(is_float));
        }
        if selection.is_masked(None, &part.name) {
            return true;
        }
        let is_copied = |column: &Column| part.columns.contains(&column.name);
        self.table(&part.name)
            .is_some_and(|table| table.columns.iter().all(is_copied))
            && self.typed.of(&part.name).is_empty()
    }

    /// The definition of a part's table.
    pub(in crate::store::mysql) fn table_of(&self, part: &Part) -> Result<&Table> {
        self.table(&part.name)
            .ok_or_else(|| Error::new(Kind::Internal, format!("there is no table `{}`", part.name)))
    }

    /// Leaves out the views that are excluded, and what is on a table that is.
    pub(in crate::store::mysql) fn retain_objects(&mut self) {
        let excluded = &self.excluded;
        self.objects.retain(|object| match object.kind {
            ObjectKind::View => !excluded.contains(&object.name),
            _ => object
                .table
                .as_ref()
                .is_none_or(|table| !excluded.contains(table)),
        });
    }
}

/// The columns of a table's system time. Those that the table does not name are called so.
pub(in crate::store::mysql) fn versioning(create: &Create) -> Option<(String, String)> {
    if !has_word(&create.tail, "WITH SYSTEM VERSIONING") {
        return None;
    }
    let period = create
        .clauses()
        .find(|(_, text)| has_word(text, "PERIOD FOR SYSTEM_TIME"))
        .map(|(_, text)| {
            tokens(text, Dialect::default())
                .iter()
                .filter(|token| token.shape == Shape::Quoted)
                .filter_map(Token::name)
                .collect::<Vec<_>>()
        });
    match period.as_deref() {
        Some([start, end]) => Some((start.clone(), end.clone())),
        _ => Some(("row_start".to_owned(), "row_end".to_owned())),
    }
}
