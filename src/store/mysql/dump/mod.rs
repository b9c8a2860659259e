//! Dumps by `mariadb-dump` and `mysqldump`: read, with their definitions in a schema of the run's own and their rows out of the
//! file itself, and written by those tools.

mod allowed;
mod charsets;
mod complaints;
mod conversion;
mod counts;
mod forms;
#[cfg(test)]
mod fuzz;
mod inserts;
mod kind;
mod noted;
mod restore;
mod rows;
mod settings;
mod staging;
mod statement;
mod stream;
mod tool;
pub(in crate::store::mysql) mod values;
mod writing;

use std::sync::Arc;

use async_trait::async_trait;

use crate::config::job::Task;
use crate::error::Result;
use crate::store::dump::{DumpFile, Dumping};
use crate::store::{self, Context, Survey};

/// The tools' dumps, to the rest of the house.
pub(super) struct Dumps;

#[async_trait]
impl store::Dumps for Dumps {
    fn are_zipped(&self) -> bool {
        true
    }

    fn are_of_the_survey(&self) -> bool {
        false
    }

    async fn restore(
        &self,
        task: &Task,
        context: &Context,
        file: Arc<dyn DumpFile>,
    ) -> Result<Box<dyn store::Source>> {
        restore::restore(task, context, file).await
    }

    async fn dump(
        &self,
        task: &Task,
        _context: &Context,
        source: &dyn store::Source,
        survey: &Survey,
    ) -> Result<Dumping> {
        writing::dump(task, source, survey).await
    }
}
