//! The database that is being built, beside live: what is known of it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::OnceCell;

use super::build_graph::{BuildGraph, Node};
use super::owner::Own;
use super::tables::Tables;
use super::{preserved, waiting_constraints};
use crate::store::Part;
use crate::store::postgresql::databases::destination::Destination;
use crate::store::postgresql::schema::definitions::Definitions;
use crate::store::postgresql::schema::restore_order::Sorted;
use crate::store::postgresql::schema::roles::Roles;
use crate::sync::Mutex;

/// Where things are that are not in the database's own tablespace, by schema and name.
pub(in crate::store::postgresql) type Places = HashMap<(String, String), String>;

/// What is known once incoming is made.
pub(in crate::store::postgresql) struct Incoming {
    pub(in crate::store::postgresql) to: Arc<Destination>,
    /// Its oid.
    pub(in crate::store::postgresql) oid: Option<u32>,
    /// What sessions of live's owner have; asked for once.
    pub(in crate::store::postgresql) own: OnceCell<Own>,
    pub(in crate::store::postgresql) definitions: Arc<Definitions>,
    pub(in crate::store::postgresql) roles: Roles,
    pub(in crate::store::postgresql) sorted: Sorted,
    pub(in crate::store::postgresql) preserved: preserved::Preserved,
    /// Indexes and constraints that wait, by their place in `sorted.indexes`.
    pub(super) waiting: Mutex<BTreeSet<usize>>,
    /// Constraints that come when their tables' indexes are built.
    pub(in crate::store::postgresql) on_top: waiting_constraints::Waiting,
    /// The object that an entry creates, as (catalogue, oid) of the source.
    pub(in crate::store::postgresql) objects: HashMap<i64, (u32, u32)>,
    pub(super) tables: Tables,
    /// Places in `sorted.indexes` of what stands on a table, by its entry.
    pub(super) indexes_of: HashMap<i64, Vec<u32>>,
    /// Tables whose rows come in slices.
    pub(super) sliced: HashSet<(String, String)>,
    /// Tables whose rows were not frozen when they were loaded.
    pub(super) thawed: Mutex<HashSet<i64>>,
    pub(in crate::store::postgresql) materialized: HashSet<i64>,
    /// How far tables are.
    pub(super) graph: BuildGraph,
    /// The nodes of the build graph, by the numbers of their steps.
    pub(super) nodes: Mutex<Vec<Node>>,
    /// How many locks one session may hold at a time.
    pub(super) locks: usize,
    /// It is a copy of the source's files: nothing of it was made, and nothing has to be.
    pub(super) is_cloned: bool,
    /// What is in a tablespace of its own.
    pub(super) places: Places,
    /// Objects of the source that the target's user may not treat as they are there.
    pub(in crate::store::postgresql) excused: Mutex<HashSet<(u32, u32)>>,
}

impl Incoming {
    /// The entry of a part's table.
    pub(super) fn table_of(&self, part: &Part) -> Option<i64> {
        let schema = part.schema.as_deref().unwrap_or_default();
        self.tables.id(schema, &part.name)
    }

    /// Places in `sorted.indexes` of what stands on a part's table.
    pub(super) fn indexes_on(&self, part: &Part) -> &[u32] {
        self.table_of(part)
            .and_then(|table| self.indexes_of.get(&table))
            .map_or(&[], Vec::as_slice)
    }
}
