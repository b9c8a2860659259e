//! Trees walked side by side, and what becomes of each name.

mod ahead;
pub(super) mod content;
pub(super) mod decision;
pub(super) mod listing;
pub(super) mod sorter;
mod spool;
pub(super) mod stored;
pub(super) mod survey;
pub(super) mod tree;
pub(super) mod walk;
pub(super) mod warnings;
pub(super) mod work;
