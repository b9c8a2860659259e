//! Sums of the rows that a target was sent.

use std::collections::HashMap;

use crate::store::{Part, RowSum};
use crate::sync::Mutex;

/// By the label of the table.
#[derive(Default)]
pub(super) struct Sent(Mutex<HashMap<String, RowSum>>);

impl Sent {
    /// Adds the rows of a table, or of a slice of one.
    pub(super) fn add(&self, label: String, sum: RowSum) {
        *self.0.lock().entry(label).or_default() += sum;
    }

    /// The sum of a whole table, if all of its rows passed one by one.
    pub(super) fn take(&self, part: &Part) -> Option<RowSum> {
        self.0.lock().remove(&part.label())
    }
}
