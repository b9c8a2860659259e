//! envsyncd.

pub mod config;
pub mod error;
pub mod policy;
pub mod schedule;
pub mod secret;
pub mod state;
pub mod store;
