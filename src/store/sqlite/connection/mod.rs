//! Files and connections: where a database is, what lies beside it, how it is opened and worked with, and SQLite's errors.

pub(super) mod backup;
pub(super) mod errors;
pub(super) mod files;
pub(super) mod library;
pub(super) mod location;
pub(super) mod messages;
pub(super) mod open;
pub(super) mod session;
