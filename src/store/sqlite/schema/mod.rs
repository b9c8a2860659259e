//! Definitions: read from a database, checked, created, and put into archives.

pub(super) mod archived;
pub(super) mod create;
pub(super) mod definition_text;
pub(super) mod definitions;
pub(super) mod extensions;
pub(super) mod foreign_keys;
pub(super) mod literals;
pub(super) mod manual_restore;
pub(super) mod modules;
pub(super) mod names;
pub(super) mod nested_views;
pub(super) mod objects;
pub(super) mod read;
pub(super) mod requirements;
pub(super) mod rowid;
pub(super) mod scratch;
pub(super) mod shapes;
pub(super) mod statistics;
pub(super) mod tokens;
