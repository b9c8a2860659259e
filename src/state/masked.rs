//! What was masked in the rows of a task, in the history.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// More tables than this are counted, and not told.
const TOLD: usize = 500;

/// Bytes of it that are read.
pub(super) const LONGEST: usize = 4 << 20;

/// What was masked in the rows of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Masked {
    /// The fingerprint of the masks' key.
    pub key: String,
    /// How many columns, of all tables.
    pub columns: u64,
    /// How many rows passed masks, of all tables.
    pub rows: u64,
    /// Each table by its label; of very many, the first.
    pub tables: BTreeMap<String, MaskedTable>,
}

/// What was masked in the rows of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct MaskedTable {
    /// How many rows passed its masks.
    pub rows: u64,
    /// Its masked columns, each with the kinds of its masks.
    pub columns: BTreeMap<String, String>,
}

impl Masked {
    /// Of all masked tables.
    pub fn new(key: String, tables: impl Iterator<Item = (String, MaskedTable)>) -> Self {
        let mut all = Self {
            key,
            columns: 0,
            rows: 0,
            tables: BTreeMap::new(),
        };
        for (label, table) in tables {
            all.columns += table.columns.len() as u64;
            all.rows += table.rows;
            all.tables.insert(label, table);
            if all.tables.len() > TOLD {
                all.tables.pop_last();
            }
        }
        all
    }
}
