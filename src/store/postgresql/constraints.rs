//! Constraints on top of their indexes: the index is built by itself, and becomes the constraint's later.
//!
//! `ALTER TABLE ... ADD PRIMARY KEY` keeps everybody else away from the table while its index is built; `CREATE UNIQUE
//! INDEX` lets others build theirs at the same time. So where a table has several indexes and is large enough for that to
//! matter, a constraint is made in two statements, the second when all of the table's indexes are there.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::connection::Session;
use super::survey::Table;
use super::toc::Entry;
use crate::error::{Error, Kind, Result};
use crate::store::{Fate, statements};

/// From this size on: a smaller table's indexes are built in less time than a second statement takes.
const LARGE: u64 = 1024 * 1024;

/// How a constraint of the source can be made in two statements.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct InTwo {
    /// Schema and name.
    pub(super) table: (String, String),
    /// What builds the index.
    index: String,
    /// What puts the constraint on top.
    constraint: String,
}

impl InTwo {
    /// Both of them.
    pub(super) fn statements(&self) -> [&str; 2] {
        [&self.index, &self.constraint]
    }
}

/// The constraints that are made in two statements, by their oid. All others are `pg_dump`'s own way: what USING INDEX
/// refuses (`transformIndexConstraint` in PostgreSQL's `src/backend/parser/parse_utilcmd.c`), and a name that the index has
/// got since the snapshot was taken, which a definition shows already.
pub(super) async fn read(session: &Session, tables: &[Table]) -> Result<HashMap<u32, InTwo>> {
    let large: Vec<u32> = tables
        .iter()
        .filter(|table| table.fate == Fate::Copy && !table.partitioned && table.bytes >= LARGE)
        .map(|table| table.oid)
        .collect();
    if large.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = session
        .query(
            "SELECT k.oid, d.definition, \
                    format('ALTER TABLE ONLY %I.%I ADD CONSTRAINT %I %s USING INDEX %3$I%5$s%6$s', n.nspname, c.relname, k.conname, \
                        CASE k.contype WHEN 'p' THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, \
                        CASE WHEN k.condeferrable THEN ' DEFERRABLE' END, CASE WHEN k.condeferred THEN ' INITIALLY DEFERRED' END), \
                    n.nspname::text, c.relname::text \
             FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             JOIN pg_index i ON i.indexrelid = k.conindid JOIN pg_class x ON x.oid = k.conindid JOIN pg_am a ON a.oid = x.relam, \
             LATERAL (SELECT pg_get_indexdef(k.conindid) AS definition) AS d \
             WHERE k.conrelid = ANY($1) AND k.contype IN ('p', 'u') AND c.relkind = 'r' AND a.amname = 'btree' \
               AND i.indisunique AND i.indisvalid AND i.indexprs IS NULL AND i.indpred IS NULL \
               AND NOT EXISTS (SELECT FROM unnest(i.indoption::int2[]) AS o WHERE o <> 0) \
               AND NOT EXISTS (SELECT FROM unnest(i.indclass::oid[]) AS o JOIN pg_opclass p ON p.oid = o WHERE NOT p.opcdefault) \
               AND starts_with(d.definition, format('CREATE UNIQUE INDEX %I ON ', k.conname)) \
               AND (SELECT count(*) FROM pg_index other WHERE other.indrelid = k.conrelid) > 1",
            &[&large],
        )
        .await
        .map_err(session.explain())?;
    Ok(rows
        .iter()
        .map(|row| {
            let in_two = InTwo {
                index: row.get(1),
                constraint: row.get(2),
                table: (row.get(3), row.get(4)),
            };
            (row.get(0), in_two)
        })
        .collect())
}

/// The second statements, until their time comes.
#[derive(Default)]
pub(super) struct Waiting(Mutex<HashMap<i64, OnTable>>);

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
    pub(super) fn divide(
        indexes: &mut [Arc<Entry>],
        tables: &HashMap<(String, String), i64>,
        in_two: &HashMap<u32, InTwo>,
    ) -> Self {
        let mut waiting: HashMap<i64, OnTable> = HashMap::new();
        // Entries of live, if there are any, have negative numbers, and oids of another database.
        for entry in indexes.iter_mut().filter(|entry| entry.id > 0) {
            if let Some(in_two) = in_two.get(&entry.object.1)
                && let Some(table) = tables.get(&in_two.table)
                && let Some(second) = second(entry, in_two)
            {
                Arc::make_mut(entry).redefine(&in_two.index);
                waiting.entry(*table).or_default().constraints.push(second);
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
    pub(super) fn after(&self, place: usize) -> Vec<Entry> {
        let mut tables = self.0.lock().expect("no one panics with this lock");
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
        let tables = self.0.lock().expect("no one panics with this lock");
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
    let statements = statements::split(entry.definition()).ok()?;
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
