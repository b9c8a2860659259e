//! The target as the engine sees it: incoming is a database of its own, beside the live one, until they change names.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::databases::destination::Destination;
use super::databases::identity::identity;
use super::databases::{marks, room};
use super::incoming::clone_files;
use super::incoming::database::Incoming;
use super::publish::after_swap::Published;
use super::rows::snapshot::Snapshot;
use super::schema::definitions::Definitions;
use super::schema::survey::version;
use super::script::run::look_at;
use super::url::KIND;
use crate::error::{Error, Result};
use crate::policy::Identity;
use crate::store::room::Room;
use crate::store::{
    self, Batch, Catalogue, Checksum, Chunks, Digest, Part, Server, Step, Survey, Taker,
};

/// A PostgreSQL database that is replaced.
pub(super) struct Target(Arc<Destination>);

impl Target {
    /// Replaces the database that this leads to.
    pub(super) fn new(to: Destination) -> Self {
        Self(Arc::new(to))
    }
}

fn own(survey: &Survey) -> Result<&Arc<Definitions>> {
    store::own::<Arc<Definitions>>(&*survey.definitions)
}

#[async_trait]
impl store::Target for Target {
    async fn identity(&self) -> Result<Identity> {
        identity(&self.0.admin, &self.0.names.live).await
    }

    async fn displaced(&self) -> Result<Vec<Identity>> {
        self.0.displaced().await
    }

    async fn refuse_strangers(&self) -> Result<()> {
        marks::refuse_strangers(&self.0.admin, &self.0.names).await
    }

    async fn taker(&self) -> Result<Taker> {
        let (number, version) = version(&self.0.admin).await?;
        Ok(Taker::Server(Server::of(KIND, version, number / 10_000)))
    }

    async fn room(&self) -> Option<Room> {
        room::of(&self.0.address, &self.0.admin, &self.0.names.live).await
    }

    async fn lock(&self) -> Result<()> {
        self.0.lock().await
    }

    async fn sweep(&self) -> Result<Vec<String>> {
        self.0.sweep().await
    }

    async fn check(&self, survey: &Survey) -> Result<()> {
        self.0.refuse_unfit(own(survey)?).await?;
        if self.0.in_place {
            self.0.refuse_unfit_in_place().await?;
        }
        Ok(())
    }

    async fn look_at_script(&self, file: &Path, text: &str) -> Result<()> {
        look_at(file, text)
    }

    async fn prepare(&self, survey: &Survey) -> Result<Arc<dyn store::Incoming>> {
        let incoming = self.0.create_incoming(survey, own(survey)?).await?;
        Ok(Arc::new(Building(Arc::new(incoming))))
    }

    async fn discard(&self) -> Result<()> {
        self.0.discard().await
    }

    async fn rollback(&self) -> Result<()> {
        self.0.roll_back().await
    }

    async fn lost(&self) -> Error {
        self.0.admin.lost().await
    }

    async fn close(&self) {
        self.0.pool.clear();
        let _ = self.0.admin.run("SELECT pg_advisory_unlock_all()").await;
    }

    fn cloning(&self) -> Option<&dyn store::CloneFiles> {
        Some(self)
    }

    fn in_place(&self) -> Option<&dyn store::InPlace> {
        Some(self)
    }
}

#[async_trait]
impl store::CloneFiles for Target {
    async fn clone_files(
        &self,
        source: &dyn store::Source,
    ) -> Result<Option<Box<dyn store::Cloned>>> {
        let Some(source) = source.native().get::<Snapshot>() else {
            return Ok(None);
        };
        let cloned = self.0.clone_files(source).await?;
        Ok(cloned.map(|cloned| {
            Box::new(Cloned {
                to: Arc::clone(&self.0),
                cloned,
            }) as Box<dyn store::Cloned>
        }))
    }
}

/// A database that has the source's files.
struct Cloned {
    to: Arc<Destination>,
    cloned: clone_files::Cloned,
}

#[async_trait]
impl store::Cloned for Cloned {
    async fn complete(self: Box<Self>, survey: &Survey) -> Result<Box<dyn store::Complete>> {
        let incoming = self.to.complete_clone(self.cloned, own(survey)?).await?;
        Ok(Box::new(Complete(Arc::new(incoming))))
    }
}

#[async_trait]
impl store::InPlace for Target {
    async fn empty(&self) -> Result<()> {
        self.0.empty_live().await
    }

    async fn is_broken(&self) -> Result<bool> {
        self.0.live_is_shell().await
    }
}

/// A copy that is being built.
struct Building(Arc<Incoming>);

#[async_trait]
impl store::Incoming for Building {
    async fn write(&self, part: &Part, chunks: Chunks) -> Result<u64> {
        self.0.write_part(part, chunks).await
    }

    fn steps_after(&self, part: &Part) -> Vec<Step> {
        self.0.after_rows(part)
    }

    async fn build(&self, step: &Step) -> Result<Vec<Step>> {
        self.0.build_step(step).await
    }

    async fn complete(self: Arc<Self>) -> Result<Box<dyn store::Complete>> {
        self.0.complete().await?;
        Ok(Box::new(Complete(Arc::clone(&self.0))))
    }

    fn is_read_back(&self, part: &Part) -> bool {
        self.0.is_read_back(part)
    }

    fn batches(&self) -> Option<&dyn store::WriteBatches> {
        Some(self)
    }
}

#[async_trait]
impl store::WriteBatches for Building {
    fn batches(&self, parts: &[Part]) -> Vec<Range<usize>> {
        self.0.batches(parts)
    }

    async fn write_batch(&self, parts: &[Part], batch: Batch) -> Result<Vec<u64>> {
        self.0.write_batch(parts, batch).await
    }
}

/// A copy that has everything.
struct Complete(Arc<Incoming>);

#[async_trait]
impl store::Complete for Complete {
    async fn count(&self, part: &Part) -> Result<u64> {
        self.0.count(part).await
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        self.0.own_catalogue().await
    }

    async fn digest(&self) -> Result<Digest> {
        self.0.own_digest().await
    }

    fn has_its_own(&self, object: &str) -> bool {
        self.0.preserved.gave_way(object)
    }

    async fn read_back(&self, part: &Part) -> Result<Option<Chunks>> {
        if !self.0.is_read_back(part) {
            return Ok(None);
        }
        self.0.read_back(part).await.map(Some)
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        self.0.checksum(part).await
    }

    async fn is_true_for_any(&self, part: &Part, condition: &str) -> Result<Option<bool>> {
        self.0.is_true_for_any(part, condition).await.map(Some)
    }

    async fn check_ownership(&self) -> Result<()> {
        self.0.check_ownership().await
    }

    async fn compare_computed(&self, source: &dyn store::Source, parts: &[Part]) -> Result<()> {
        match source.native().get::<Snapshot>() {
            Some(source) => self.0.compare_computed_with(source, parts).await,
            None => Ok(()),
        }
    }

    async fn run_script(&self, file: &Path, text: &str) -> Result<()> {
        self.0.run_script(file, text).await
    }

    async fn derive(&self) -> Result<()> {
        self.0.derive_anew().await
    }

    async fn publish(self: Box<Self>) -> Result<Box<dyn store::Published>> {
        Ok(Box::new(Live(self.0.swap_in().await?)))
    }

    fn samples(&self) -> Option<&dyn store::Samples> {
        Some(self)
    }
}

#[async_trait]
impl store::Samples for Complete {
    async fn sample(&self, part: &Part, rows: u64) -> Result<store::Sample> {
        self.0.sample(part, rows).await
    }
}

/// A copy that is live.
struct Live(Published);

#[async_trait]
impl store::Published for Live {
    async fn confirm(&self) -> Result<()> {
        self.0.confirm().await
    }

    async fn revert(&self) -> Result<()> {
        self.0.revert().await
    }

    async fn settle(&self) -> Result<()> {
        self.0.settle().await
    }
}
