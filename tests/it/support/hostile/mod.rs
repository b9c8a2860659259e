//! Servers that answer with what breaks who listens to them, or what it should not be told: one file a kind.

pub(crate) mod listener;
pub(crate) mod mysql_login;
pub(crate) mod postgresql;
