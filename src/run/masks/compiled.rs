//! A task's masks, ready for rows.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use super::restrictions::{Chosen, Held};
use super::rows::{TableMask, Told};
use crate::error::{Error, Kind, Result};
use crate::state::{Masked, MaskedTable};
use crate::store::{MaskedColumn, Masking, Part, Selection};

/// The masks of a task's tables. There are none before the survey.
#[derive(Default)]
pub(in crate::run) struct Masks(OnceLock<Compiled>);

/// Masks that are ready for rows.
#[derive(Default)]
pub(super) struct Compiled {
    /// By the labels of their tables.
    pub(super) tables: HashMap<String, Arc<TableMask>>,
    /// The rows that are copied.
    pub(super) rows: Chosen,
    /// For those who will have to rely on it.
    pub(super) record: Option<Masking>,
}

impl Masks {
    /// A part's masks, if it has any. That nobody has put those of this selection on tables yet is an error.
    pub(in crate::run) fn of(
        &self,
        selection: &Selection,
        part: &Part,
    ) -> Result<Option<Arc<TableMask>>> {
        match self.0.get() {
            Some(compiled) => Ok(compiled.tables.get(&part.label()).cloned()),
            None if selection.describes_columns => {
                let what = "rows are read before it is known what masks them";
                Err(Error::new(Kind::Internal, what))
            }
            None => Ok(None),
        }
    }

    /// Whether a part is masked.
    pub(in crate::run) fn has(&self, part: &Part) -> bool {
        let compiled = self.0.get();
        compiled.is_some_and(|compiled| compiled.tables.contains_key(&part.label()))
    }

    /// What masks a table's columns, in the words of people.
    pub(in crate::run) fn told(&self, label: &str) -> Vec<Told> {
        let table = self.0.get().and_then(|compiled| compiled.tables.get(label));
        table.map_or_else(Vec::new, |table| table.told.clone())
    }

    /// What was masked so far, for the history.
    pub(in crate::run) fn counted(&self) -> Option<Masked> {
        let compiled = self.0.get()?;
        let record = compiled.record.as_ref()?;
        let table = |(label, columns): (&String, &BTreeMap<String, MaskedColumn>)| {
            let of = compiled.tables.get(label);
            let columns = columns.iter();
            let table = MaskedTable {
                rows: of.map_or(0, |of| of.rows()),
                columns: columns
                    .map(|(name, column)| (name.clone(), column.kinds.clone()))
                    .collect(),
            };
            (label.clone(), table)
        };
        Some(Masked::new(
            record.key.clone(),
            record.tables.iter().map(table),
        ))
    }

    /// Which of a table's rows are copied, in the words of people; `None`: all.
    pub(in crate::run) fn rows_of(&self, label: &str) -> Option<String> {
        self.0.get()?.rows.told.get(label).cloned()
    }

    /// References that have to hold in the copy.
    pub(in crate::run) fn references(&self) -> &[Held] {
        self.0
            .get()
            .map_or(&[], |compiled| &compiled.rows.references)
    }

    /// The masks of all tables.
    pub(in crate::run) fn all(&self) -> impl Iterator<Item = (&String, &Arc<TableMask>)> {
        self.0
            .get()
            .into_iter()
            .flat_map(|compiled| &compiled.tables)
    }

    /// What is masked, for an archive's manifest.
    pub(in crate::run) fn record(&self) -> Option<Masking> {
        self.0.get()?.record.clone()
    }

    /// Sets them, once.
    pub(super) fn set(&self, compiled: Compiled) -> Result<()> {
        let set = self.0.set(compiled);
        set.map_err(|_| Error::new(Kind::Internal, "masks were put on tables twice"))
    }
}
