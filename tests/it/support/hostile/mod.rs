//! Servers and files that want more than to be copied: endless, huge, silent, malformed, lying about lengths. One file a kind.

pub(crate) mod http;
pub(crate) mod icinga;
pub(crate) mod listener;
pub(crate) mod mysql;
pub(crate) mod mysql_login;
pub(crate) mod postgresql;
pub(crate) mod postgresql_rows;
pub(crate) mod s3;
pub(crate) mod snapshot;
#[allow(dead_code)] // the library's own tests take more of it
pub(crate) mod sqlite;
