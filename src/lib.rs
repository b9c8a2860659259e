//! envsyncd.

pub mod cli;
pub mod config;
pub mod error;
pub mod guard;
pub mod policy;
pub mod report;
pub mod run;
pub mod schedule;
pub mod secret;
pub mod state;
pub mod store;
