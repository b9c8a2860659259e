//! Servers and files that want more than to be copied: each answers with what breaks readers.

pub(crate) mod mysql;
