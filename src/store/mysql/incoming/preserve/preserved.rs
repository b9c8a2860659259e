//! Which tables' rows come from live, and what is known of each.

use std::collections::{BTreeMap, BTreeSet};

use super::fit::Fit;
use crate::error::Result;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::names::{Names, literal};
use crate::sync::Mutex;

/// A table whose rows come from live.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) is_sequence: bool,
    /// Only live has it.
    pub(super) is_extra: bool,
}

/// What is known of a table that was taken.
#[derive(Debug, Default)]
pub(super) struct State {
    /// How its rows are read and summed up.
    pub(super) fit: Option<Fit>,
    /// Its definition is live's.
    pub(super) is_own: bool,
    /// What live's rows were when they were taken; `None`: they changed while they were.
    pub(super) live: Option<String>,
    /// What incoming's rows were then, until that was looked at again.
    pub(super) here: Option<String>,
}

/// What comes from live.
#[derive(Debug, Default)]
pub(in crate::store::mysql) struct Preserved {
    pub(super) tables: Vec<Table>,
    /// The tables to keep, whether live has them or not: foreign keys from and to them are checked.
    pub(super) wanted: Vec<String>,
    /// Tables that foreign keys connect to others.
    pub(super) bound: Mutex<BTreeSet<String>>,
    pub(super) states: Mutex<BTreeMap<String, State>>,
    /// Columns that take their next value from a sequence.
    pub(super) taken: Mutex<Vec<Taken>>,
}

/// A column that takes its next value from a sequence (MariaDB).
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) table: String,
    pub(super) column: String,
    pub(super) sequence: String,
}

impl Preserved {
    /// `kept`: tables of the source whose rows are live's, as far as live has them; `extra`: tables that only live has.
    pub(super) async fn plan(
        session: &mut Session,
        names: &Names,
        kept: &[String],
        extra: &[String],
    ) -> Result<Self> {
        let mut preserved = Self {
            wanted: kept.to_vec(),
            ..Self::default()
        };
        let rows = session
            .query(&format!(
                "SELECT TABLE_NAME, TABLE_TYPE = 'SEQUENCE' FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} \
                 AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE') ORDER BY TABLE_TYPE <> 'SEQUENCE', TABLE_NAME",
                literal(&names.live)
            ))
            .await?;
        for row in rows {
            let name = row.text(0)?;
            let is_extra = extra.contains(&name);
            if is_extra || kept.contains(&name) {
                preserved.tables.push(Table {
                    name,
                    is_sequence: row.number(1)? == 1,
                    is_extra,
                });
            }
        }
        Ok(preserved)
    }

    pub(in crate::store::mysql) fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Their names.
    pub(in crate::store::mysql) fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(|table| table.name.as_str())
    }

    /// Tables that only live has: no catalogue of incoming lists them.
    pub(in crate::store::mysql) fn extra(&self) -> impl Iterator<Item = &str> {
        self.tables
            .iter()
            .filter(|table| table.is_extra)
            .map(|table| table.name.as_str())
    }

    /// Sequences that are moved, beside those that are preserved themselves.
    pub(in crate::store::mysql) fn counters(&self) -> BTreeSet<String> {
        let taken = self.taken.lock();
        taken
            .iter()
            .map(|taken| taken.sequence.clone())
            .filter(|name| !self.tables().any(|table| table == name))
            .collect()
    }

    /// What is known of a table, looked at or changed.
    pub(super) fn state<T>(&self, table: &Table, change: impl FnOnce(&mut State) -> T) -> T {
        let mut states = self.states.lock();
        change(states.entry(table.name.clone()).or_default())
    }
}

/// Where a table that becomes live waits.
pub(super) fn place<'a>(
    names: &'a Names,
    staged: &'a [(String, String)],
    table: &'a str,
) -> (&'a str, &'a str) {
    staged
        .iter()
        .find(|(name, _)| name == table)
        .map_or((&names.incoming, table), |(_, staged)| {
            (&names.live, staged)
        })
}
