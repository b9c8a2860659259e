//! Dumps by `mariadb-dump` and `mysqldump`: restored into a schema of the run's own, which then is a source like any, and
//! written by those tools.

mod allowed;
mod charsets;
mod complaints;
mod counts;
#[cfg(test)]
mod fuzz;
mod restore;
mod settings;
mod statement;
mod tool;
mod values;

pub(in crate::store) use self::restore::restore;
pub(in crate::store) use self::tool::dump;

use crate::config::job::Task;
use crate::store::Unable;

/// The longest statement that is taken of a dump, in bytes: one is held whole, and the next one while the server is at it. The tools
/// end an INSERT at a megabyte, or after one row if that is longer.
const LONGEST: usize = 256 << 20;

/// What dumps cannot do.
pub(in crate::store) fn unable(_task: &Task) -> Vec<Unable> {
    Vec::new()
}
