//! The folder beside live, its mark and its lock; the swap, and what becomes of previous.

pub(super) mod apply;
pub(super) mod folder;
pub(super) mod lock;
pub(super) mod place;
pub(super) mod swap;
