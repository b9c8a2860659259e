//! Sessions on a server: where it is, how one logs in, statements and their rows, and what its errors say.

pub(super) mod address;
mod answer;
pub(super) mod holders;
pub(super) mod known_names;
pub(super) mod login;
pub(super) mod messages;
pub(super) mod open;
pub(super) mod outcome;
pub(super) mod pool;
pub(super) mod row;
pub(super) mod server_error;
pub(super) mod server_identity;
pub(super) mod server_key;
pub(super) mod session;
pub(super) mod settings;
pub(super) mod wire;
