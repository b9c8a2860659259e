//! JSON columns of MySQL's whose documents travel with the types of their values.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::sync::Mutex;

/// A table and its column.
pub(in crate::store::mysql) type Place = (String, String);

/// The columns whose documents travel so: found out by the source before it reads, and taken back by a target that cannot.
#[derive(Debug, Default)]
pub(in crate::store::mysql) struct Typed(Mutex<Arc<BTreeSet<Place>>>);

impl Clone for Typed {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.all()))
    }
}

impl Typed {
    pub(in crate::store::mysql) fn set(&self, columns: BTreeSet<Place>) {
        *self.0.lock() = Arc::new(columns);
    }

    pub(in crate::store::mysql) fn all(&self) -> Arc<BTreeSet<Place>> {
        self.0.lock().clone()
    }

    /// The columns of a table, in order.
    pub(in crate::store::mysql) fn of(&self, table: &str) -> Vec<String> {
        let all = self.all();
        let of_table = all.iter().filter(|(name, _)| name == table);
        of_table.map(|(_, column)| column.clone()).collect()
    }
}
