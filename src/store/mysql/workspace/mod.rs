//! The schemas that a run makes beside live: how they are known to be ours, and the journal of a swap.

pub(super) mod journal;
pub(super) mod mark;
pub(super) mod schema_object;
pub(super) mod schemas;
