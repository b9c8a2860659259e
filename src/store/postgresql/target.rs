//! The target: incoming is a database of its own, beside the live one, until they change names.

use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use super::databases::destination::Destination;
use super::databases::identity::identity;
use super::databases::{marks, room};
use super::incoming::clone_files::Cloned;
use super::incoming::database::Incoming;
use super::publish::after_swap::Published;
use super::schema::definitions::Definitions;
use super::schema::survey::version;
use super::script::run::look_at;
use super::source::Source;
use crate::config::job::StoreKind;
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::room::Room;
use crate::store::{self, Catalogue, Checksum, Chunks, Digest, Lot, Part, Server, Step, Survey};

/// A PostgreSQL database that is replaced.
pub(in crate::store::postgresql) struct Target {
    to: Arc<Destination>,
    stage: Mutex<Stage>,
}

/// How far it is.
enum Stage {
    Opened,
    Cloned(Cloned),
    Built(Arc<Incoming>),
    Published(Arc<Published>),
}

impl Target {
    pub(in crate::store::postgresql) fn new(to: Destination) -> Self {
        Self {
            to: Arc::new(to),
            stage: Mutex::new(Stage::Opened),
        }
    }

    fn stage(&self) -> std::sync::MutexGuard<'_, Stage> {
        self.stage.lock().expect("no one panics with this lock")
    }

    fn incoming(&self) -> Result<Arc<Incoming>> {
        match &*self.stage() {
            Stage::Built(incoming) => Ok(Arc::clone(incoming)),
            _ => Err(Error::new(Kind::Internal, "the target was not prepared")),
        }
    }

    fn published(&self) -> Option<Arc<Published>> {
        match &*self.stage() {
            Stage::Published(published) => Some(Arc::clone(published)),
            _ => None,
        }
    }
}

fn own(definitions: &store::Definitions) -> Result<&Arc<Definitions>> {
    match definitions {
        store::Definitions::Postgresql(definitions) => Ok(definitions),
        #[allow(unreachable_patterns)]
        _ => Err(Error::new(
            Kind::Config,
            "the source is no PostgreSQL database",
        )),
    }
}

#[async_trait]
impl store::Target for Target {
    async fn identity(&self) -> Result<Identity> {
        identity(&self.to.admin, &self.to.names.live).await
    }

    async fn displaced(&self) -> Result<Vec<Identity>> {
        self.to.displaced().await
    }

    async fn refuse_strangers(&self) -> Result<()> {
        marks::refuse_strangers(&self.to.admin, &self.to.names).await
    }

    async fn server(&self) -> Result<Server> {
        let (number, version) = version(&self.to.admin).await?;
        Ok(Server {
            kind: StoreKind::Postgresql,
            version,
            major: number / 10_000,
        })
    }

    async fn room(&self) -> Option<Room> {
        room::of(&self.to.address, &self.to.admin, &self.to.names.live).await
    }

    async fn lock(&self) -> Result<()> {
        self.to.lock().await
    }

    async fn sweep(&self) -> Result<Vec<String>> {
        self.to.sweep().await
    }

    async fn check(&self, survey: &Survey) -> Result<()> {
        self.to.refuse_unfit(own(&survey.definitions)?).await?;
        if self.to.in_place {
            self.to.refuse_unfit_in_place().await?;
        }
        Ok(())
    }

    async fn adopt_files(&self, source: &dyn store::Source) -> Result<bool> {
        let Some(source) = source.as_any().downcast_ref::<Source>() else {
            return Ok(false);
        };
        let Some(cloned) = self.to.clone_files(source.snapshot()).await? else {
            return Ok(false);
        };
        *self.stage() = Stage::Cloned(cloned);
        Ok(true)
    }

    async fn prepare(&self, survey: &Survey) -> Result<()> {
        let definitions = own(&survey.definitions)?;
        let before = std::mem::replace(&mut *self.stage(), Stage::Opened);
        let incoming = match before {
            Stage::Cloned(cloned) => self.to.complete_clone(cloned, definitions).await?,
            _ => self.to.create_incoming(survey, definitions).await?,
        };
        *self.stage() = Stage::Built(Arc::new(incoming));
        Ok(())
    }

    async fn empty(&self) -> Result<()> {
        self.to.empty_live().await
    }

    async fn broken(&self) -> Result<bool> {
        self.to.live_is_shell().await
    }

    async fn write(&self, part: &Part, chunks: Chunks) -> Result<u64> {
        self.incoming()?.take_rows(part, chunks).await
    }

    fn steps_after(&self, part: &Part) -> Vec<Step> {
        self.incoming()
            .map(|incoming| incoming.after_rows(part))
            .unwrap_or_default()
    }

    fn lots(&self, parts: &[Part]) -> Vec<Range<usize>> {
        self.incoming()
            .map(|incoming| incoming.batches(parts))
            .unwrap_or_default()
    }

    async fn write_lot(&self, parts: &[Part], lot: Lot) -> Result<Vec<u64>> {
        self.incoming()?.take_batch(parts, lot).await
    }

    async fn build(&self, step: &Step) -> Result<Vec<Step>> {
        self.incoming()?.do_step(step).await
    }

    async fn finish(&self) -> Result<()> {
        self.incoming()?.complete().await
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        self.incoming()?.own_catalogue().await
    }

    fn has_its_own(&self, object: &str) -> bool {
        self.incoming()
            .is_ok_and(|incoming| incoming.carried.gave_way(object))
    }

    async fn digest(&self) -> Result<Digest> {
        self.incoming()?.own_digest().await
    }

    async fn count(&self, part: &Part) -> Result<u64> {
        self.incoming()?.count(part).await
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        self.incoming()?.checksum(part).await
    }

    async fn compare_computed(&self, source: &dyn store::Source, parts: &[Part]) -> Result<()> {
        match source.as_any().downcast_ref::<Source>() {
            Some(source) => {
                let incoming = self.incoming()?;
                incoming
                    .compare_computed_with(source.snapshot(), parts)
                    .await
            }
            None => Ok(()),
        }
    }

    async fn look_at_script(&self, file: &Path, text: &str) -> Result<()> {
        look_at(file, text)
    }

    async fn run_script(&self, file: &Path, text: &str) -> Result<()> {
        self.incoming()?.run_script(file, text).await
    }

    async fn derive(&self) -> Result<()> {
        self.incoming()?.derive_anew().await
    }

    async fn publish(&self) -> Result<()> {
        let published = self.incoming()?.swap_in().await?;
        *self.stage() = Stage::Published(Arc::new(published));
        Ok(())
    }

    async fn confirm(&self) -> Result<()> {
        match self.published() {
            Some(published) => published.confirm().await,
            None => Ok(()),
        }
    }

    async fn revert(&self) -> Result<()> {
        match self.published() {
            Some(published) => published.revert().await,
            None => Ok(()),
        }
    }

    async fn settle(&self) -> Result<()> {
        match self.published() {
            Some(published) => published.settle().await,
            None => Ok(()),
        }
    }

    async fn discard(&self) -> Result<()> {
        self.to.discard().await?;
        let mut stage = self.stage();
        if !matches!(*stage, Stage::Published(_)) {
            *stage = Stage::Opened;
        }
        Ok(())
    }

    async fn rollback(&self) -> Result<()> {
        self.to.roll_back().await
    }

    async fn lost(&self) -> Error {
        self.to.admin.lost().await
    }

    async fn close(&self) {
        self.to.pool.clear();
        let _ = self.to.admin.run("SELECT pg_advisory_unlock_all()").await;
    }
}
