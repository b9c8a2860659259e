//! Reports: what others read of a run. Logs, status files, the monitoring plugin and its passive results.

pub mod check;
pub mod log;
pub mod passive;
pub mod range;
pub mod status_file;
mod system;
