//! Reports: what others read of a run. Logs, status files, metrics, the monitoring plugin and its passive results.

pub mod check;
#[cfg(test)]
mod fuzz;
mod line;
pub mod log;
pub mod metrics;
pub mod passive;
pub mod range;
mod replace;
pub mod status_file;
mod system;
pub mod units;
