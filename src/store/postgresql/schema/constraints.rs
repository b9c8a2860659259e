//! Constraints on top of their indexes: the index is built by itself, and becomes the constraint's later.
//!
//! `ALTER TABLE ... ADD PRIMARY KEY` keeps everybody else away from the table while its index is built; `CREATE UNIQUE
//! INDEX` lets others build theirs at the same time. So where a table has several indexes and is large enough for that to
//! matter, a constraint is made in two statements, the second when all of the table's indexes are there.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::survey::Table;
use crate::error::Result;
use crate::store::Fate;
use crate::store::postgresql::connection::session::Session;

/// From this size on: a smaller table's indexes are built in less time than a second statement takes.
const LARGE: u64 = 1024 * 1024;

/// How a constraint of the source can be made in two statements.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::store::postgresql) struct InTwo {
    /// Schema and name.
    pub(in crate::store::postgresql) table: (String, String),
    /// What builds the index.
    pub(in crate::store::postgresql) index: String,
    /// What puts the constraint on top.
    pub(in crate::store::postgresql) constraint: String,
}

impl InTwo {
    /// Both of them.
    pub(in crate::store::postgresql) fn statements(&self) -> [&str; 2] {
        [&self.index, &self.constraint]
    }
}

/// The constraints that are made in two statements, by their oid. All others are `pg_dump`'s own way: what USING INDEX
/// refuses (`transformIndexConstraint` in PostgreSQL's `src/backend/parser/parse_utilcmd.c`), and a name that the index has
/// got since the snapshot was taken, which a definition shows already.
pub(in crate::store::postgresql) async fn read(
    session: &Session,
    tables: &[Table],
) -> Result<HashMap<u32, InTwo>> {
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
    rows.iter()
        .map(|row| {
            let in_two = InTwo {
                index: row.read(1)?,
                constraint: row.read(2)?,
                table: (row.read(3)?, row.read(4)?),
            };
            Ok((row.read(0)?, in_two))
        })
        .collect()
}
