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
pub(in crate::store::mysql) mod values;
mod writing;

use async_trait::async_trait;

use crate::config::job::Task;
use crate::error::Result;
use crate::store::dump::{Dump, Dumping};
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
        dump: Dump,
        name: &str,
    ) -> Result<Box<dyn store::Source>> {
        restore::restore(task, context, dump, name).await
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
