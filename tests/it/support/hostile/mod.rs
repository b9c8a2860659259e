//! Neighbours that want more than to be copied.

pub(crate) mod sqlite;
