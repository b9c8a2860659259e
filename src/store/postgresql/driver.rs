//! The driver of PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;

use super::connection::address::Address;
use super::connection::lag;
use super::databases::destination::Destination;
use super::dump;
use super::portable::stored;
use super::rows::codec::CODECS;
use super::rows::slices;
use super::rows::snapshot::Snapshot;
use super::schema::definitions::Definitions;
use super::schema::survey;
use super::source::Source;
use super::target::Target;
use super::url::Format;
use crate::config::StoreFormat;
use crate::config::job::Task;
use crate::error::{Error, Kind, Result};
use crate::store::dump::{DumpFile, Dumping};
use crate::store::{
    self, Codec, Context, Fate, LagProbe, ManualClient, Part, Refusal, Restored, Selection, Server,
    Survey, Taker,
};

/// PostgreSQL.
pub(in crate::store) struct Driver;

#[async_trait]
impl store::Driver for Driver {
    fn format(&self) -> &'static dyn StoreFormat {
        &Format
    }

    fn refusals(&self, _task: &Task) -> Vec<Refusal> {
        Vec::new()
    }

    async fn open_source(&self, task: &Task, context: &Context) -> Result<Box<dyn store::Source>> {
        let address = Address::of(&task.source, context, "source").await?;
        Ok(Box::new(Source::open(address, context).await?))
    }

    async fn open_target(&self, task: &Task, context: &Context) -> Result<Box<dyn store::Target>> {
        let address = Address::of(&task.target, context, "target").await?;
        let destination = Destination::open(address, task, context).await?;
        Ok(Box::new(Target::new(destination)))
    }

    fn codecs(&self) -> &'static [&'static dyn Codec] {
        CODECS
    }

    async fn read_definitions(
        &self,
        stored: &[u8],
        parts: Vec<Part>,
        left_out: Vec<(String, Fate)>,
        selection: &Selection,
    ) -> Result<Restored> {
        stored::take_out(stored, parts, left_out, selection).await
    }

    fn join_slices(&self, parts: Vec<Part>, workers: usize) -> Vec<Part> {
        slices::join(parts, workers)
    }

    fn refuse_older(&self, source: &Server, target: &Taker) -> Result<()> {
        survey::refuse_older(source.major, &source.version, target)
    }

    fn manual_client(&self) -> Option<ManualClient> {
        Some(ManualClient {
            command: "psql -X -q -v ON_ERROR_STOP=1",
            statement: "-c",
            database: "-h HOST -U USER -d DATABASE",
            // Names in the statements are in UTF-8, whatever the database is; rows say their own encoding.
            before: "export PGCLIENTENCODING=UTF8\n",
        })
    }

    fn lag_probes(&self) -> Option<&dyn store::OpenLagProbe> {
        Some(self)
    }

    fn dumps(&self) -> Option<&dyn store::Dumps> {
        Some(self)
    }
}

#[async_trait]
impl store::OpenLagProbe for Driver {
    async fn open_lag_probe(&self, task: &Task, context: &Context) -> Result<Box<dyn LagProbe>> {
        let address = Address::of(&task.source, context, "source").await?;
        Ok(Box::new(lag::LagProbe::new(address)))
    }
}

#[async_trait]
impl store::Dumps for Driver {
    fn are_zipped(&self) -> bool {
        false
    }

    fn are_of_the_survey(&self) -> bool {
        true
    }

    async fn restore(
        &self,
        task: &Task,
        context: &Context,
        file: Arc<dyn DumpFile>,
    ) -> Result<Box<dyn store::Source>> {
        dump::restore::restore(task, context, &*file).await
    }

    async fn dump(
        &self,
        _task: &Task,
        _context: &Context,
        source: &dyn store::Source,
        survey: &Survey,
    ) -> Result<Dumping> {
        let Some(source) = source.native().get::<Snapshot>() else {
            return Err(Error::new(
                Kind::Internal,
                "the source is not a PostgreSQL database",
            ));
        };
        let definitions = store::own::<Arc<Definitions>>(&*survey.definitions)?;
        dump::writing::start(source, definitions, &survey.parts).await
    }
}
