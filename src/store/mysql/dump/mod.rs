//! Dumps by `mariadb-dump` and `mysqldump`: restored into a schema of the run's own, which then is a source like any, and
//! written by those tools.

mod allowed;
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

/// What dumps cannot do.
pub(in crate::store) fn unable(_task: &Task) -> Vec<Unable> {
    Vec::new()
}
