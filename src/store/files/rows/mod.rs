//! Trees walked side by side, and what becomes of each name.

mod ahead;
pub(super) mod candidates;
pub(super) mod content;
pub(super) mod counted;
pub(super) mod decision;
pub(super) mod follow;
pub(super) mod kept;
pub(super) mod listing;
pub(super) mod pair;
pub(super) mod precision;
pub(super) mod sorter;
pub(super) mod spool;
pub(super) mod stored;
pub(super) mod survey;
pub(super) mod tree;
pub(super) mod walk;
pub(super) mod warnings;
pub(super) mod work;
