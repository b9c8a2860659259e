//! Equality, once under each profile of each store: what is computed from rows is as the store's own tools have it, a job's
//! script finds the settings that a person finds, and nothing of others is touched.

pub(crate) mod mysql;
pub(crate) mod postgresql;
pub(crate) mod sqlite;
