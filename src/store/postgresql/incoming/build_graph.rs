//! What can be done on a table once its rows are in, and what each of that makes possible: indexes, then statistics, then
//! foreign keys to and from tables that are as far. So nobody idles while the last large index is built.

use std::collections::{HashMap, HashSet};
use std::sync::MutexGuard;

use crate::sync::Mutex;

/// One thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::store::postgresql) enum Node {
    /// The index or constraint of this place.
    Index(usize),
    /// Statistics of the table with this entry.
    Statistics(i64),
    /// The foreign key of this place.
    Key(usize),
}

/// How far tables are.
pub(in crate::store::postgresql) struct BuildGraph(Mutex<State>);

struct State {
    open: HashSet<i64>,
    /// Of tables that are waited for: the places of indexes that are not built yet, and the bytes of rows.
    waiting: HashMap<i64, (HashSet<usize>, u64)>,
    table_of: HashMap<usize, i64>,
    /// Tables whose statistics are there, with their bytes.
    analyzed: HashMap<i64, u64>,
    /// The small tables among them.
    small: HashSet<i64>,
    /// Tables that a foreign key is being made on: another one would wait for the first one's locks.
    busy: HashSet<i64>,
    keys: Vec<Key>,
}

struct Key {
    /// The tables on both ends.
    tables: Vec<i64>,
    begun: bool,
}

impl BuildGraph {
    /// `keys`: of each foreign key the tables that it needs. `open`: tables that are not done with their own part's rows,
    /// or not visible to all yet; only their indexes are built now.
    pub(in crate::store::postgresql) fn new(keys: Vec<Vec<i64>>, open: HashSet<i64>) -> Self {
        Self(Mutex::new(State {
            open,
            waiting: HashMap::new(),
            table_of: HashMap::new(),
            analyzed: HashMap::new(),
            small: HashSet::new(),
            busy: HashSet::new(),
            keys: keys
                .into_iter()
                .map(|tables| Key {
                    tables,
                    begun: false,
                })
                .collect(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }

    /// What can be done now that a table's rows are in.
    pub(in crate::store::postgresql) fn after_rows(
        &self,
        table: i64,
        bytes: u64,
        indexes: &[usize],
    ) -> Vec<Node> {
        let mut state = self.state();
        if indexes.is_empty() {
            state.waiting.insert(table, (HashSet::new(), bytes));
            return state.statistics(table);
        }
        for place in indexes {
            state.table_of.insert(*place, table);
        }
        let missing = indexes.iter().copied().collect();
        state.waiting.insert(table, (missing, bytes));
        indexes.iter().copied().map(Node::Index).collect()
    }

    /// Small tables are ready, statistics included.
    pub(super) fn are_ready(&self, tables: impl Iterator<Item = i64>) {
        let mut state = self.state();
        for table in tables {
            state.analyzed.insert(table, 0);
            state.small.insert(table);
        }
    }

    /// What can be done now that this is.
    pub(in crate::store::postgresql) fn after(&self, node: Node) -> Vec<Node> {
        let mut state = self.state();
        match node {
            Node::Index(place) => {
                let Some(table) = state.table_of.get(&place).copied() else {
                    return Vec::new();
                };
                let Some((missing, _)) = state.waiting.get_mut(&table) else {
                    return Vec::new();
                };
                let last = missing.remove(&place) && missing.is_empty();
                return if last {
                    state.statistics(table)
                } else {
                    Vec::new()
                };
            }
            Node::Statistics(table) => {
                let (_, bytes) = state.waiting.remove(&table).unwrap_or_default();
                state.analyzed.insert(table, bytes);
            }
            Node::Key(place) => {
                let tables = std::mem::take(&mut state.keys[place].tables);
                for table in &tables {
                    state.busy.remove(table);
                }
            }
        }
        state.free_keys()
    }

    /// About how many bytes have to be read for it.
    pub(in crate::store::postgresql) fn bytes(&self, node: Node) -> u64 {
        let state = self.state();
        let of = |table: &i64| {
            let waiting = state.waiting.get(table).map(|(_, bytes)| *bytes);
            waiting.or_else(|| state.analyzed.get(table).copied())
        };
        match node {
            Node::Index(place) => state.table_of.get(&place).and_then(of).unwrap_or(0),
            // A sample.
            Node::Statistics(table) => of(&table).unwrap_or(0) / 8,
            Node::Key(place) => state.keys[place].tables.iter().filter_map(of).sum(),
        }
    }

    /// Whether a table's statistics are there.
    pub(super) fn is_analyzed(&self, table: i64) -> bool {
        self.state().analyzed.contains_key(&table)
    }

    /// Whether a table is small, and ready.
    pub(super) fn is_small(&self, table: i64) -> bool {
        self.state().small.contains(&table)
    }

    /// The foreign keys that nobody has begun.
    pub(super) fn keys_left(&self) -> Vec<usize> {
        let state = self.state();
        (0..state.keys.len())
            .filter(|place| !state.keys[*place].begun)
            .collect()
    }
}

impl State {
    fn statistics(&self, table: i64) -> Vec<Node> {
        if self.open.contains(&table) {
            Vec::new()
        } else {
            vec![Node::Statistics(table)]
        }
    }

    /// The foreign keys that can be made now. Small ones go many at a time, later.
    fn free_keys(&mut self) -> Vec<Node> {
        let mut free = Vec::new();
        for (place, key) in self.keys.iter_mut().enumerate() {
            let ready = !key.begun
                && !key.tables.is_empty()
                && key
                    .tables
                    .iter()
                    .all(|table| self.analyzed.contains_key(table) && !self.busy.contains(table))
                && !key.tables.iter().all(|table| self.small.contains(table));
            if ready {
                key.begun = true;
                self.busy.extend(&key.tables);
                free.push(Node::Key(place));
            }
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: i64 = 1;
    const ORDERS: i64 = 2;
    const COUNTRIES: i64 = 3;

    #[test]
    fn statistics_come_after_the_last_index_and_foreign_keys_after_both_tables_statistics() {
        let graph = BuildGraph::new(vec![vec![ORDERS, USERS]], HashSet::new());
        assert_eq!(
            graph.after_rows(USERS, 10, &[0, 1]),
            [Node::Index(0), Node::Index(1)]
        );
        assert_eq!(graph.after(Node::Index(1)), []);
        assert_eq!(graph.after(Node::Index(0)), [Node::Statistics(USERS)]);
        assert_eq!(graph.after(Node::Statistics(USERS)), []);
        assert_eq!(
            graph.after_rows(ORDERS, 20, &[]),
            [Node::Statistics(ORDERS)]
        );
        assert_eq!(graph.after(Node::Statistics(ORDERS)), [Node::Key(0)]);
        assert_eq!(graph.bytes(Node::Key(0)), 30);
        assert_eq!(graph.after(Node::Key(0)), []);
        assert!(graph.keys_left().is_empty());
    }

    #[test]
    fn two_foreign_keys_on_one_table_do_not_wait_for_each_other_s_locks() {
        let graph = BuildGraph::new(
            vec![vec![ORDERS, USERS], vec![USERS], vec![ORDERS]],
            HashSet::new(),
        );
        for table in [USERS, ORDERS] {
            graph.after_rows(table, 1, &[]);
        }
        assert_eq!(graph.after(Node::Statistics(ORDERS)), [Node::Key(2)]);
        assert_eq!(graph.after(Node::Statistics(USERS)), [Node::Key(1)]);
        assert_eq!(graph.after(Node::Key(1)), []);
        assert_eq!(graph.after(Node::Key(2)), [Node::Key(0)]);
    }

    #[test]
    fn a_table_that_is_open_has_its_indexes_and_no_more() {
        let graph = BuildGraph::new(vec![vec![USERS, ORDERS]], HashSet::from([USERS]));
        assert_eq!(graph.after_rows(USERS, 1, &[7]), [Node::Index(7)]);
        assert_eq!(graph.after(Node::Index(7)), []);
        graph.after_rows(ORDERS, 1, &[]);
        assert_eq!(graph.after(Node::Statistics(ORDERS)), []);
        assert_eq!(graph.keys_left(), [0]);
    }

    #[test]
    fn keys_of_tables_that_nobody_waits_for_or_that_are_small_are_left() {
        let graph = BuildGraph::new(
            vec![vec![ORDERS, 9], vec![COUNTRIES], vec![ORDERS, COUNTRIES]],
            HashSet::new(),
        );
        graph.are_ready([COUNTRIES].into_iter());
        graph.after_rows(ORDERS, 1, &[]);
        assert_eq!(graph.after(Node::Statistics(ORDERS)), [Node::Key(2)]);
        assert_eq!(graph.keys_left(), [0, 1]);
        assert!(graph.is_small(COUNTRIES) && !graph.is_small(ORDERS) && graph.is_analyzed(ORDERS));
    }
}
