//! What a run's tasks spent their time on, in the history: when each step began, and what was copied of each table.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// More tables of a task than this are added up, and not told one by one.
pub const TABLES: usize = 50;

/// More steps than a task can have.
pub(super) const STEPS: usize = 64;

/// The longest name of a table that is kept, in characters.
const NAME: usize = 200;

/// A step of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct StepTime {
    /// `survey`, `copy`, `publish`: as a run's step.
    pub name: String,
    /// When the task came to it.
    pub started: DateTime<Utc>,
    /// How long it took, or has been taking.
    pub seconds: f64,
}

/// A step as its column has it.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredStep {
    pub(super) name: String,
    /// Microseconds since 1970.
    pub(super) started: i64,
    pub(super) seconds: f64,
}

/// A table of a task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct CopiedTable {
    /// Its name, with its schema where there is one.
    pub name: String,
    /// Rows that the target took.
    pub rows: u64,
    /// Bytes that went through.
    pub bytes: u64,
    /// How long its rows took; `null`: it was not copied by itself.
    pub seconds: Option<f64>,
}

/// The tables of a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct CopiedTables {
    /// The biggest ones, 50 at the most, the biggest first.
    pub tables: Vec<CopiedTable>,
    /// How many others there are.
    pub more: u64,
    /// Rows of the others, together.
    pub more_rows: u64,
    /// Bytes of the others, together.
    pub more_bytes: u64,
}

impl CopiedTables {
    /// The biggest of these by name, and the sums of the others.
    pub fn of(mut all: Vec<CopiedTable>) -> Self {
        let size = |table: &CopiedTable| (table.bytes, table.rows);
        all.sort_by(|a, b| size(b).cmp(&size(a)).then_with(|| a.name.cmp(&b.name)));
        let mut told = Self::default();
        for mut table in all {
            if told.tables.len() < TABLES {
                table.name = short(&table.name);
                told.tables.push(table);
            } else {
                told.leave_out(&table);
            }
        }
        told
    }

    /// Counts a table among those that are not told.
    pub fn leave_out(&mut self, table: &CopiedTable) {
        self.more += 1;
        self.more_rows = self.more_rows.saturating_add(table.rows);
        self.more_bytes = self.more_bytes.saturating_add(table.bytes);
    }
}

/// A name that is not too long.
pub(super) fn short(name: &str) -> String {
    match name.char_indices().nth(NAME) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, bytes: u64) -> CopiedTable {
        CopiedTable {
            name: name.to_owned(),
            rows: bytes / 10,
            bytes,
            seconds: None,
        }
    }

    #[test]
    fn the_biggest_tables_are_told_and_the_others_added_up() {
        let all = (0..60).map(|n| table(&format!("t{n}"), n * 100)).collect();
        let told = CopiedTables::of(all);
        assert_eq!(told.tables.len(), TABLES);
        assert_eq!(told.tables[0].name, "t59");
        assert_eq!(told.tables[49].name, "t10");
        // 0 to 9.
        assert_eq!(
            (told.more, told.more_bytes, told.more_rows),
            (10, 4500, 450)
        );
    }

    #[test]
    fn a_name_without_end_is_cut() {
        let told = CopiedTables::of(vec![table(&"é".repeat(5000), 1)]);
        assert_eq!(told.tables[0].name.chars().count(), NAME + 3);
    }
}
