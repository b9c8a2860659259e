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

use std::sync::Arc;

use async_trait::async_trait;

use crate::config::job::Task;
use crate::error::Result;
use crate::store::dump::{DumpFile, Dumping};
use crate::store::{self, Context, Refusal, Survey};

/// The tools' dumps, to the rest of the house.
pub(super) struct Dumps;

#[async_trait]
impl store::Dumps for Dumps {
    fn refusals(&self, task: &Task) -> Vec<Refusal> {
        let is_masked = task.pulls() && task.masks();
        let why = "a dump of mysqldump is restored as it is, and nothing of it can be masked; take format = \"envsyncd\"";
        is_masked
            .then(|| Refusal::new("mask", why))
            .into_iter()
            .collect()
    }

    fn are_raw(&self) -> bool {
        true
    }

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
        restore::restore(task, context, file.open().await?, file.name()).await
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
