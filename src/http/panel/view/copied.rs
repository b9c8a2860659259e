//! What a task spent its time on: its steps, and its tables.

use std::time::Duration;

use super::super::chart::{Share, Stages};
use super::super::words;
use crate::report::units;

/// So many tables are seen at once; the others are folded.
const SEEN: usize = 20;

/// A step of a task.
#[derive(Debug, Clone)]
pub(in super::super) struct Stage {
    pub(in super::super) name: String,
    pub(in super::super) took: Duration,
    /// Its place in the bar.
    pub(in super::super) place: usize,
}

impl Stage {
    pub(super) fn length(&self) -> String {
        words::length(self.took)
    }

    /// Its colour, as in the bar.
    pub(super) fn class(&self) -> &'static str {
        Stages::class(self.place)
    }
}

/// The bar of a task's steps, to scale.
pub(super) fn bar(stages: &[Stage]) -> Stages {
    Stages(stages.iter().map(|stage| stage.took).collect())
}

/// A table that was copied.
#[derive(Debug, Clone)]
pub(in super::super) struct CopiedLine {
    pub(in super::super) name: String,
    pub(in super::super) rows: u64,
    pub(in super::super) bytes: u64,
    /// `None`: it was not copied by itself.
    pub(in super::super) took: Option<Duration>,
}

impl CopiedLine {
    pub(super) fn rows(&self) -> String {
        units::number(self.rows)
    }

    pub(super) fn size(&self) -> String {
        units::bytes(self.bytes)
    }

    pub(super) fn length(&self) -> String {
        self.took.map_or_else(String::new, words::length)
    }
}

/// The tables of a task.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Copied {
    /// The biggest ones, the biggest first.
    pub(in super::super) tables: Vec<CopiedLine>,
    /// How many others there are, and their rows and bytes.
    pub(in super::super) more: u64,
    pub(in super::super) more_rows: u64,
    pub(in super::super) more_bytes: u64,
}

impl Copied {
    pub(super) fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.more == 0
    }

    /// How many there are.
    pub(super) fn count(&self) -> String {
        let all = self.more.saturating_add(self.tables.len() as u64);
        units::count(all, "table")
    }

    /// Those that are seen at once.
    pub(super) fn seen(&self) -> &[CopiedLine] {
        &self.tables[..self.tables.len().min(SEEN)]
    }

    /// Those that are seen once somebody asks for them.
    pub(super) fn folded(&self) -> &[CopiedLine] {
        &self.tables[self.tables.len().min(SEEN)..]
    }

    /// How big a table is beside the biggest.
    pub(super) fn share(&self, table: &CopiedLine) -> Share {
        let size = |table: &CopiedLine| {
            if self.is_of_rows() {
                table.rows
            } else {
                table.bytes
            }
        };
        let biggest = self.tables.iter().map(size).max().unwrap_or(0);
        Share {
            part: size(table),
            whole: biggest,
        }
    }

    /// Nobody counted bytes: a server has copied files by itself.
    fn is_of_rows(&self) -> bool {
        self.tables.iter().all(|table| table.bytes == 0)
    }

    /// `and 30 more tables: 1,234 rows, 1.2 MB`.
    pub(super) fn rest(&self) -> Option<String> {
        let folded = self.folded();
        let count = self.more.saturating_add(folded.len() as u64);
        let rows = folded.iter().map(|table| table.rows);
        let bytes = folded.iter().map(|table| table.bytes);
        let rows = rows.fold(self.more_rows, u64::saturating_add);
        let bytes = bytes.fold(self.more_bytes, u64::saturating_add);
        (count > 0).then(|| {
            let of = units::count(rows, "row");
            format!(
                "and {} more: {of}, {}",
                units::number(count),
                units::bytes(bytes)
            )
        })
    }

    /// The same of those that are not told one by one.
    pub(super) fn untold(&self) -> Option<String> {
        (self.more > 0).then(|| {
            format!(
                "{} smaller ones: {}, {}",
                units::number(self.more),
                units::count(self.more_rows, "row"),
                units::bytes(self.more_bytes)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_twenty_tables_are_seen_and_the_others_told_in_one_line() {
        let line = |bytes| CopiedLine {
            name: "t".to_owned(),
            rows: 10,
            bytes,
            took: None,
        };
        let mut copied = Copied {
            tables: (0..20).map(|n| line(2000 - n)).collect(),
            ..Copied::default()
        };
        assert_eq!(copied.rest(), None);
        assert_eq!(copied.count(), "20 tables");
        copied.tables.push(line(1000));
        copied.more = 1_200;
        copied.more_rows = 5;
        copied.more_bytes = 7;
        assert_eq!(copied.seen().len(), 20);
        assert_eq!(copied.rest().unwrap(), "and 1,201 more: 15 rows, 1.0 kB");
        assert_eq!(copied.untold().unwrap(), "1,200 smaller ones: 5 rows, 7 B");
    }
}
