//! Constraints that wait for the indexes of their tables.

use std::collections::{HashMap, HashSet};

use super::tables::Tables;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::schema::constraints::InTwo;
use crate::store::postgresql::schema::toc::Entry;
use crate::store::statements;
use crate::sync::Mutex;

/// The second statements, until their time comes.
#[derive(Default)]
pub(in crate::store::postgresql) struct Waiting(Mutex<HashMap<i64, OnTable>>);

/// What waits on one table.
#[derive(Default)]
struct OnTable {
    /// Its indexes that are not built yet, by their places.
    missing: HashSet<usize>,
    /// What comes when none is missing.
    constraints: Vec<Entry>,
}

impl Waiting {
    /// Gives the constraints that can be made in two statements the first of them, and keeps the second. `tables` are the
    /// numbers of tables' entries.
    pub(in crate::store::postgresql) fn divide(
        indexes: &mut [Entry],
        tables: &Tables,
        in_two: &HashMap<u32, InTwo>,
    ) -> Self {
        let mut waiting: HashMap<i64, OnTable> = HashMap::new();
        // Entries of live, if there are any, have negative numbers, and oids of another database.
        for entry in indexes.iter_mut().filter(|entry| entry.id() > 0) {
            if let Some(in_two) = in_two.get(&entry.object().1)
                && let Some(table) = tables.id(&in_two.table.0, &in_two.table.1)
                && let Some(second) = second(entry, in_two)
            {
                entry.redefine(&in_two.index);
                waiting.entry(table).or_default().constraints.push(second);
            }
        }
        for (place, entry) in indexes.iter().enumerate() {
            for need in entry.needs() {
                if let Some(on) = waiting.get_mut(&need) {
                    on.missing.insert(place);
                }
            }
        }
        Self(Mutex::new(waiting))
    }

    /// What can be made now that the index of this place is built.
    pub(in crate::store::postgresql) fn after(&self, place: usize) -> Vec<Entry> {
        let mut tables = self.0.lock();
        let mut free = Vec::new();
        tables.retain(|_, on| {
            let last = on.missing.remove(&place) && on.missing.is_empty();
            if last {
                free.append(&mut on.constraints);
            }
            !last
        });
        free
    }

    /// Once all indexes are built nothing waits any more: a constraint that does would be lost without a word.
    pub(super) fn refuse_rest(&self) -> Result<()> {
        let tables = self.0.lock();
        match tables.values().flat_map(|on| &on.constraints).next() {
            None => Ok(()),
            Some(entry) => Err(Error::new(
                Kind::Internal,
                format!("{} still waits for an index", entry.label()),
            )),
        }
    }
}

/// The entry that puts a constraint on its index, with what `pg_dump` says after the constraint: CLUSTER, REPLICA IDENTITY.
fn second(entry: &Entry, in_two: &InTwo) -> Option<Entry> {
    let whole = entry.definition();
    let statements = statements::split(&whole).ok()?;
    let (first, rest) = statements.split_first()?;
    if entry.kind != "CONSTRAINT" || !first.text.starts_with("ALTER TABLE ") {
        return None;
    }
    let definition = std::iter::once(in_two.constraint.as_str())
        .chain(rest.iter().map(|statement| statement.text))
        .collect::<Vec<_>>()
        .join(";\n");
    let mut second = entry.clone();
    second.redefine(&definition);
    Some(second)
}
