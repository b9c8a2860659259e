//! Reaching a server: addresses, logins, the wire, sessions, and what a server says.

pub(in crate::store::postgresql) mod address;
pub(in crate::store::postgresql) mod advice;
mod approach;
pub(in crate::store::postgresql) mod cells;
mod channel_binding;
pub(in crate::store::postgresql) mod client_program;
pub(in crate::store::postgresql) mod complaints;
pub(in crate::store::postgresql) mod connect;
#[cfg(test)]
mod fuzz;
pub(in crate::store::postgresql) mod harmless;
mod harmless_words;
pub(in crate::store::postgresql) mod inspector;
pub(in crate::store::postgresql) mod lag;
mod libpq;
pub(in crate::store::postgresql) mod lock_wait;
mod login;
pub(in crate::store::postgresql) mod maintenance_settings;
pub(in crate::store::postgresql) mod pool;
pub(in crate::store::postgresql) mod server_error;
pub(in crate::store::postgresql) mod session;
pub(in crate::store::postgresql) mod session_settings;
mod sqlstates;
pub(in crate::store::postgresql) mod url_options;
pub(in crate::store::postgresql) mod wire;
