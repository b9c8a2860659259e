//! Reports: what others read of a run. Logs, status files, the monitoring plugin.

pub mod check;
pub mod log;
pub mod range;
pub mod status_file;
mod system;
