//! PostgreSQL.

use super::{Context, Source, Target, Unable};
use crate::config::job::{Endpoint, Task};
use crate::error::Result;

/// The table of contents of a `pg_dump`.
#[derive(Debug, Clone)]
pub struct Definitions {}

/// What a task asks that PostgreSQL cannot do.
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
