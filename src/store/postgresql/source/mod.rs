//! The source: a database as of one snapshot, read by as many sessions as there are workers.

mod reading;
mod survey;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use self::survey::Surveyed;
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::store::postgresql::connection::address::Address;
use crate::store::postgresql::databases::identity::identity;
use crate::store::postgresql::rows::batch;
use crate::store::postgresql::rows::checksum::{checksum, count};
use crate::store::postgresql::rows::large_object_rows;
use crate::store::postgresql::rows::sample;
use crate::store::postgresql::rows::snapshot::Snapshot;
use crate::store::postgresql::schema::catalogue;
use crate::store::postgresql::schema::dumped::Dumped;
use crate::store::postgresql::schema::large_objects;
use crate::store::postgresql::sql::quoting::quoted;
use crate::store::{
    self, Batch, Catalogue, Checksum, Chunks, Comment, Context, Digest, Part, Sample, Shape,
    Survey, Taker,
};

/// A PostgreSQL database that is read.
pub(in crate::store::postgresql) struct Source {
    snapshot: Snapshot,
    context: Context,
    /// It has nothing but a dump's definitions.
    dumped: Option<Dumped>,
    surveyed: OnceCell<Surveyed>,
}

impl Source {
    /// Connects.
    pub(in crate::store::postgresql) async fn open(
        address: Address,
        context: &Context,
    ) -> Result<Self> {
        Self::open_with(address, context, None).await
    }

    /// The same for a database that has nothing but a dump's definitions.
    pub(in crate::store::postgresql) async fn open_dumped(
        address: Address,
        context: &Context,
        dumped: Dumped,
    ) -> Result<Self> {
        Self::open_with(address, context, Some(dumped)).await
    }

    async fn open_with(
        address: Address,
        context: &Context,
        dumped: Option<Dumped>,
    ) -> Result<Self> {
        Ok(Self {
            snapshot: Snapshot::open(address).await?,
            context: context.clone(),
            dumped,
            surveyed: OnceCell::new(),
        })
    }

    /// The database as this store's own target knows it.
    pub(in crate::store::postgresql) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The numbers of the large objects that are copied.
    pub(in crate::store::postgresql) fn large_objects(&self) -> Result<Vec<u32>> {
        let large = self.surveyed()?.large.iter();
        Ok(large.map(|one| one.oid).collect())
    }

    fn surveyed(&self) -> Result<&Surveyed> {
        self.surveyed
            .get()
            .ok_or_else(|| Error::new(Kind::Internal, "the source was not surveyed yet"))
    }
}

#[async_trait]
impl store::Source for Source {
    async fn identity(&self) -> Result<Identity> {
        identity(&*self.snapshot.keeper()?, self.snapshot.database()).await
    }

    async fn survey(&self, taker: &Taker) -> Result<Survey> {
        let (survey, surveyed) = {
            let dumped = self.dumped.as_ref();
            survey::survey(&self.snapshot, &self.context, dumped, taker).await?
        };
        if self.surveyed.set(surveyed).is_err() {
            return Err(Error::new(Kind::Internal, "the source was surveyed twice"));
        }
        Ok(survey)
    }

    async fn read(&self, part: &Part) -> Result<Chunks> {
        let surveyed = self.surveyed()?;
        if large_objects::is(part) {
            let session = self.snapshot.session().await?;
            return Ok(large_object_rows::read(session, surveyed.large.clone()));
        }
        let condition = surveyed.conditions.get(&part.id);
        let masks = surveyed.shapes.get(&part.label());
        let masks = masks.map_or(&[][..], |shape| &shape.masks);
        let wanted = reading::Wanted {
            condition: condition.map(String::as_str),
            marks: self.context.selection.conditions(masks).collect(),
        };
        reading::start(&self.snapshot, part, wanted).await
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        let session = self.snapshot.session().await?;
        let found = catalogue::read(&session, &self.surveyed()?.gone).await?;
        self.snapshot.rest(session);
        Ok(found)
    }

    async fn digest(&self) -> Result<Digest> {
        let session = self.snapshot.session().await?;
        let mut digest = Digest::default();
        let gone = &self.surveyed()?.gone;
        catalogue::each(&session, gone, |_, object, definition| {
            digest.add(object, definition);
        })
        .await?;
        self.snapshot.rest(session);
        Ok(digest)
    }

    async fn count(&self, part: &Part) -> Result<u64> {
        let session = self.snapshot.session().await?;
        let surveyed = self.surveyed()?;
        let condition = surveyed.conditions.get(&part.id);
        let condition = condition.map_or("", String::as_str);
        let rows = count(&session, part, condition, &surveyed.large).await?;
        self.snapshot.rest(session);
        Ok(rows)
    }

    async fn checksum(&self, part: &Part) -> Result<Checksum> {
        let session = self.snapshot.session().await?;
        let surveyed = self.surveyed()?;
        let condition = surveyed.conditions.get(&part.id);
        let sum = checksum(
            &session,
            part,
            condition.map_or("", String::as_str),
            surveyed.by_root.get(&part.id),
            &surveyed.large,
        )
        .await?;
        self.snapshot.rest(session);
        Ok(sum)
    }

    async fn lost(&self) -> Error {
        self.snapshot.lost().await
    }

    async fn close(&self) {
        self.snapshot.close().await;
    }

    fn batches(&self) -> Option<&dyn store::ReadBatches> {
        Some(self)
    }

    fn shapes(&self) -> Option<&dyn store::Shapes> {
        Some(self)
    }

    fn samples(&self) -> Option<&dyn store::Samples> {
        Some(self)
    }

    fn native(&self) -> store::Native<'_> {
        store::Native::of(&self.snapshot)
    }
}

#[async_trait]
impl store::Samples for Source {
    async fn sample(&self, part: &Part, rows: u64) -> Result<Sample> {
        let session = self.snapshot.session().await?;
        let condition = self.surveyed()?.conditions.get(&part.id);
        // What was set for the query is not set any more once that is rolled back.
        session.run("SAVEPOINT sample").await?;
        let condition = condition.map_or("", String::as_str);
        let sample = sample::read(&session, part, condition, rows).await?;
        session.run("ROLLBACK TO sample; RELEASE sample").await?;
        self.snapshot.rest(session);
        Ok(sample)
    }

    async fn comments(&self) -> Result<Vec<Comment>> {
        let session = self.snapshot.session().await?;
        let found = sample::comments(&session).await?;
        self.snapshot.rest(session);
        Ok(found)
    }
}

#[async_trait]
impl store::Shapes for Source {
    async fn shapes(&self, parts: &[Part]) -> Result<Vec<Shape>> {
        let surveyed = self.surveyed()?;
        let shape = |part: &Part| {
            let known = surveyed.shapes.get(&part.label()).cloned();
            known.unwrap_or_else(|| Shape::without_columns(part, "large objects have no columns"))
        };
        Ok(parts.iter().map(shape).collect())
    }

    fn conditions(&self) -> Option<&dyn store::Conditions> {
        Some(self)
    }
}

#[async_trait]
impl store::Conditions for Source {
    fn quoted(&self, name: &str) -> String {
        quoted(name)
    }

    async fn check(&self, part: &Part, condition: &str) -> Result<()> {
        reading::check(&self.snapshot, part, condition).await
    }

    async fn is_true_for_any(&self, part: &Part, condition: &str) -> Result<bool> {
        reading::is_true_for_any(&self.snapshot, part, condition).await
    }
}

#[async_trait]
impl store::ReadBatches for Source {
    async fn read_batch(&self, parts: &[Part]) -> Result<Batch> {
        let session = self.snapshot.session().await?;
        let pool = self.snapshot.pool().clone();
        batch::Out::start(session, pool, parts, &self.snapshot.taken()?.properties).await
    }
}
