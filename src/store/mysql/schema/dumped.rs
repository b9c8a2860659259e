//! What a dump has beside the definitions that are made of it: its rows, and what events were where it is from.

use std::collections::{BTreeMap, HashMap};

use super::create_table::{Clause, has_word};
use super::definitions::{Definitions, Table};
use super::objects::{self, ObjectKind};
use crate::error::{Error, Kind, Result};
use crate::store::mysql::sql::lexer::Dialect;
use crate::store::{List, Part};

/// A dump whose definitions are in a schema of the run's own, without a row.
#[derive(Debug, Default)]
pub(in crate::store::mysql) struct Dumped {
    /// Events that were not just disabled where the dump is from, each with its status.
    pub(in crate::store::mysql) awake: BTreeMap<String, String>,
    /// By the table's name.
    pub(in crate::store::mysql) rows: HashMap<String, Rows>,
}

/// A table's rows in a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::mysql) struct Rows {
    /// The number of the statement that they begin with.
    pub(in crate::store::mysql) place: u64,
    /// The columns that its statements list, in their order.
    pub(in crate::store::mysql) columns: Option<Vec<String>>,
    pub(in crate::store::mysql) count: u64,
    pub(in crate::store::mysql) bytes: u64,
    /// Rows say from when to when they were so.
    pub(in crate::store::mysql) has_past: bool,
}

impl Dumped {
    /// Lets definitions be what they were where the dump is from.
    pub(in crate::store::mysql) fn complete(&self, definitions: &mut Definitions) {
        definitions.is_dumped = true;
        for table in &mut definitions.tables {
            let rows = self.rows.get(&table.name);
            table.rows = rows.map_or(0, |rows| rows.count);
            table.bytes = rows.map_or(0, |rows| rows.bytes);
        }
        for object in &mut definitions.objects {
            if object.kind == ObjectKind::Event
                && let Some(status) = self.awake.get(&object.name)
            {
                object.enabled = status == "ENABLE";
                let dialect = Dialect::of(&object.sql_mode);
                object.definition = objects::with_status(&object.definition, dialect, status);
            }
        }
    }

    /// Brings parts into the dump's order, each with the columns that the dump has of it.
    pub(in crate::store::mysql) fn arrange(
        &self,
        definitions: &Definitions,
        parts: &mut [Part],
    ) -> Result<()> {
        for part in parts.iter_mut() {
            if let Some(rows) = self.rows.get(&part.name) {
                let table = definitions.table_of(part)?;
                let is_taken = |name: &String| {
                    let is_period = table
                        .columns
                        .iter()
                        .any(|column| column.name == *name && column.is_period);
                    part.columns.contains(name) && (rows.has_past || !is_period)
                };
                let mut columns = columns(table, rows)?;
                columns.retain(is_taken);
                part.columns = List::from(columns);
            }
        }
        let place = |part: &Part| self.rows.get(&part.name).map(|rows| rows.place);
        parts.sort_by_key(|part| (place(part).is_none(), place(part)));
        Ok(())
    }
}

/// The columns of each row, as the table calls them: those that are listed, or else all that can be seen.
pub(in crate::store::mysql) fn columns(table: &Table, rows: &Rows) -> Result<Vec<String>> {
    let Some(listed) = &rows.columns else {
        let clauses = table.create.clauses();
        return Ok(clauses
            .filter_map(|(clause, text)| match clause {
                Clause::Column(name) if !has_word(text, "INVISIBLE") => Some(name.clone()),
                _ => None,
            })
            .collect());
    };
    let of_table = |name: &String| {
        let folded = name.to_lowercase();
        let mut all = table.columns.iter().map(|column| &column.name);
        let found = all.find(|column| *column == name || column.to_lowercase() == folded);
        found.cloned().ok_or_else(|| {
            let what = format!(
                "the dump has rows of `{}` with a column that the table does not have: `{name}`",
                table.name
            );
            Error::new(Kind::Verify, what).hint("look at how the dump was made")
        })
    };
    listed.iter().map(of_table).collect()
}
