//! The folder beside live, its mark and its lock; the swap, and files that are exchanged one by one; what becomes of previous.

pub(super) mod changed;
pub(super) mod exchange;
pub(super) mod folder;
pub(super) mod in_place;
pub(super) mod journal;
pub(super) mod list;
pub(super) mod lock;
mod note;
pub(super) mod paths;
pub(super) mod place;
pub(super) mod probe;
pub(super) mod spare;
pub(super) mod swap;
pub(super) mod unsettled;
