//! SQLite: a database file.

use super::{Context, Source, Target, Unable};
use crate::config::job::{Endpoint, Task};
use crate::error::Result;

/// The rows of `sqlite_schema`.
#[derive(Debug, Clone)]
pub struct Definitions {}

/// What a task asks that SQLite cannot do.
pub fn unable(_task: &Task) -> Vec<Unable> {
    Vec::new()
}

/// Opens a source.
pub async fn open_source(_endpoint: &Endpoint, _context: &Context) -> Result<Box<dyn Source>> {
    unreachable!()
}

/// Opens a target.
pub async fn open_target(_task: &Task, _context: &Context) -> Result<Box<dyn Target>> {
    unreachable!()
}
