//! Dumps by `mariadb-dump` and `mysqldump`: restored into a schema of the run's own, which then is a source like any, and
//! written by those tools.

mod allowed;
mod charsets;
mod complaints;
mod counts;
#[cfg(test)]
mod fuzz;
mod kind;
mod restore;
mod settings;
mod statement;
mod stream;
mod tool;
mod values;
mod writing;

pub(in crate::store) use self::restore::restore;
pub(in crate::store) use self::writing::dump;

use crate::config::job::Task;
use crate::store::Unable;

/// What dumps cannot do.
pub(in crate::store) fn unable(_task: &Task) -> Vec<Unable> {
    Vec::new()
}
