//! Incoming becomes live: the lock, the swap, what follows it, and the ways back.

pub(super) mod after_swap;
pub(super) mod confirm;
pub(super) mod lock;
pub(super) mod publication;
pub(super) mod rollback;
pub(super) mod swap;
pub(super) mod sweep;
