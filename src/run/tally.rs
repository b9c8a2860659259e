//! What was copied of each table of a task: all of the big ones, and sums of the rest, so that a hundred thousand tables
//! take no more memory than a few hundred.

use std::collections::HashMap;
use std::time::Instant;

use crate::state::{CopiedTable, CopiedTables, TABLES};
use crate::store::Part;

/// Fewer tables than this are all kept.
const MANY: usize = 8 * TABLES;

/// The tables of a task that are in, and those that are being copied.
#[derive(Debug, Default)]
pub(super) struct Tally {
    tables: HashMap<String, Counted>,
    rest: CopiedTables,
    /// With more tables than this, the smaller ones are added up.
    limit: usize,
    /// Grows with every change.
    changes: u64,
}

/// A table.
#[derive(Debug, Default)]
struct Counted {
    rows: u64,
    bytes: u64,
    /// When its first part was begun, and its last part ended.
    time: Option<(Instant, Option<Instant>)>,
    /// Whether more of it may come: it is never added up with others.
    is_open: bool,
}

impl Tally {
    /// A part is about to be copied.
    pub(super) fn begin(&mut self, part: &Part) {
        let table = self.tables.entry(part.label()).or_default();
        let since = table.time.map_or_else(Instant::now, |(since, _)| since);
        table.time = Some((since, None));
        table.is_open = true;
        self.changes += 1;
    }

    /// Rows and bytes of a part came in.
    pub(super) fn add(&mut self, part: &Part, rows: u64, bytes: u64) {
        let table = self.tables.entry(part.label()).or_default();
        table.rows += rows;
        table.bytes += bytes;
        self.changes += 1;
        self.shrink();
    }

    /// A part is in.
    pub(super) fn end(&mut self, part: &Part) {
        if let Some(table) = self.tables.get_mut(&part.label()) {
            if let Some((_, until)) = &mut table.time {
                *until = Some(Instant::now());
            }
            // Other slices of it may come.
            table.is_open = part.slice.is_some();
        }
        self.changes += 1;
        self.shrink();
    }

    /// Adds up the smaller half, where there are too many.
    fn shrink(&mut self) {
        if self.tables.len() <= self.limit.max(MANY) {
            return;
        }
        let closed = self.tables.iter().filter(|(_, table)| !table.is_open);
        let mut closed: Vec<((u64, u64), String)> = closed
            .map(|(name, table)| (table.size(), name.clone()))
            .collect();
        let half = closed.len() / 2;
        if half > 0 {
            closed.select_nth_unstable(half);
        }
        for (_, name) in &closed[..half] {
            if let Some(table) = self.tables.remove(name) {
                self.rest.leave_out(&table.told(name));
            }
        }
        // Where most are open, it is not tried again for each.
        self.limit = 3 * self.tables.len() / 2;
    }

    /// How often something changed.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    /// The biggest tables so far.
    pub(super) fn told(&self) -> CopiedTables {
        let all = self.tables.iter().map(|(name, table)| table.told(name));
        let mut told = CopiedTables::of(all.collect());
        told.more += self.rest.more;
        told.more_rows += self.rest.more_rows;
        told.more_bytes += self.rest.more_bytes;
        told
    }
}

impl Counted {
    fn size(&self) -> (u64, u64) {
        (self.bytes, self.rows)
    }

    fn told(&self, name: &str) -> CopiedTable {
        let took = self.time.map(|(since, until)| {
            let until = until.unwrap_or_else(Instant::now);
            until.saturating_duration_since(since).as_secs_f64()
        });
        CopiedTable {
            name: name.to_owned(),
            rows: self.rows,
            bytes: self.bytes,
            seconds: took,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Encoding, Slice};

    fn part(name: &str, slice: Option<u64>) -> Part {
        Part {
            slice: slice.map(|number| Slice::new(&number).unwrap()),
            ..Part::whole(0, name, Encoding::new("test"), 0)
        }
    }

    #[test]
    fn slices_are_one_table_and_a_batch_has_no_time() {
        let mut tally = Tally::default();
        for number in 0..3 {
            let slice = part("big", Some(number));
            tally.begin(&slice);
            tally.add(&slice, 10, 1000);
            tally.end(&slice);
        }
        tally.add(&part("small", None), 1, 10);
        let told = tally.told();
        let facts: Vec<_> = told
            .tables
            .iter()
            .map(|table| {
                (
                    table.name.as_str(),
                    table.rows,
                    table.bytes,
                    table.seconds.is_some(),
                )
            })
            .collect();
        assert_eq!(facts, [("big", 30, 3000, true), ("small", 1, 10, false)]);
        assert_eq!(told.more, 0);
    }

    #[test]
    fn twenty_thousand_tables_are_few_in_memory_and_whole_in_the_sums() {
        let mut tally = Tally::default();
        let sliced = part("sliced", Some(1));
        tally.begin(&sliced);
        tally.add(&sliced, 1, 1);
        tally.end(&sliced);
        for number in 0..20_000_u64 {
            // In no order.
            let size = number * 7919 % 20_000 + 2;
            let part = part(&format!("t{size}"), None);
            tally.begin(&part);
            tally.add(&part, 1, size);
            tally.end(&part);
            assert!(tally.tables.len() <= MANY + 1, "{}", tally.tables.len());
        }
        // More of what was small may come.
        assert!(tally.tables.contains_key("sliced"));
        let told = tally.told();
        assert_eq!(told.tables[0].name, "t20001");
        assert_eq!(told.tables[49].name, "t19952");
        assert_eq!(told.more, 20_001 - 50);
        let rows: u64 = told.tables.iter().map(|table| table.rows).sum();
        assert_eq!(rows + told.more_rows, 20_001);
        let bytes: u64 = told.tables.iter().map(|table| table.bytes).sum();
        assert_eq!(bytes + told.more_bytes, (2..20_002).sum::<u64>() + 1);
    }
}
