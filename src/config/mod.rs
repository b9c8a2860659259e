//! Configuration: files as they are written (format version 1), and what is left of them once they are known to be right.

pub mod diagnostics;
mod endpoint;
pub mod env_dir;
pub mod job;
mod job_file;
mod reader;
mod settings_file;

pub use self::env_dir::Variables;
pub use self::job_file::{load_job, refuse};
pub use self::settings_file::load_settings;
