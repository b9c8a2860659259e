//! Definitions that rest in an archive, and as scripts for people who have nothing but the store's own client.

pub(super) mod manual_restore;
pub(super) mod stored;
