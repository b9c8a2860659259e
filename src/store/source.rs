//! Where data comes from.

use std::any::Any;
use std::time::Duration;

use async_trait::async_trait;

use super::catalogue::{Catalogue, Digest};
use super::part::{Batch, Checksum, Chunks, Part};
use super::sample::Samples;
use super::shape::Shapes;
use super::survey::{Prospect, Survey, Taker};
use crate::error::{Error, Result};
use crate::policy::{Environment, Identity};

/// Where data comes from, at one consistent point in time. `survey` fixes that point; `read`, `checksum` and
/// `catalogue` answer for it, and may be called from several workers at once. Nothing is ever written to a source.
#[async_trait]
pub trait Source: Send + Sync {
    /// What the server says of the thing that the URL names. A thing that is not there is an error.
    async fn identity(&self) -> Result<Identity>;
    /// The environment that the data is of, where it says so itself: an archive does.
    async fn origin(&self) -> Result<Option<Environment>> {
        Ok(None)
    }
    /// Fixes the point in time and lists what there is.
    async fn survey(&self, taker: &Taker) -> Result<Survey>;
    /// Sees to it that what was surveyed stays as it is until [`Source::close`]: a run is about to read it. Whoever only
    /// looks does not ask for it. Most sources do so from the survey on.
    async fn pin(&self) -> Result<()> {
        Ok(())
    }
    /// Streams a part's rows, each once, in any order.
    async fn read(&self, part: &Part) -> Result<Chunks>;
    /// Rows of a part; of a table in slices all of them.
    async fn count(&self, part: &Part) -> Result<u64> {
        Ok(self.checksum(part).await?.rows)
    }
    /// Everything that has a definition, but for what the selection leaves out.
    async fn catalogue(&self) -> Result<Catalogue>;
    /// The catalogue's digest, in less memory.
    async fn digest(&self) -> Result<Digest> {
        Ok(self.catalogue().await?.digest())
    }
    /// A checksum over a part's rows at the point in time; of a table in slices over all of its rows.
    async fn checksum(&self, part: &Part) -> Result<Checksum>;
    /// Ends when the source is gone, with the error that says so; for who waits for something else.
    async fn lost(&self) -> Error {
        std::future::pending().await
    }
    /// Frees sessions and snapshots. Dropping does the same, later.
    async fn close(&self) {}

    /// If it reads many small parts in one go.
    fn batches(&self) -> Option<&dyn ReadBatches> {
        None
    }
    /// If its rows can be masked.
    fn shapes(&self) -> Option<&dyn Shapes> {
        None
    }
    /// If its data has no columns, and is passed by name.
    fn by_name(&self) -> Option<&dyn ByName> {
        None
    }
    /// If its rows come once, in an order of its own.
    fn in_order(&self) -> Option<&dyn InOrder> {
        None
    }
    /// If its rows can be sampled.
    fn samples(&self) -> Option<&dyn Samples> {
        None
    }
    /// If it has to be made before it can be surveyed.
    fn deferred(&self) -> Option<&dyn Deferred> {
        None
    }
    /// Itself, for a target or a tool of the same store that goes by the store's own means.
    fn native(&self) -> Native<'_> {
        Native::none()
    }
}

/// A source that reads many small parts in one go.
#[async_trait]
pub trait ReadBatches: Send + Sync {
    /// Streams several parts' rows, in their order.
    async fn read_batch(&self, parts: &[Part]) -> Result<Batch>;
}

/// A source whose data has no columns that could be masked: where masks are required, a task names what of it is not personal.
#[async_trait]
pub trait ByName: Send + Sync {
    /// What was surveyed and no `[[task.pass]]` names: the first few, and how many there are.
    async fn unnamed(&self) -> Result<(Vec<String>, u64)>;
}

/// A source whose rows come once, in an order of its own, which is that of its survey's parts: a dump. A part is read to its
/// end before the next one is asked for.
#[async_trait]
pub trait InOrder: Send + Sync {
    /// All parts that are wanted have been read: reads what is left. What is not whole is an error.
    async fn finish(&self) -> Result<()>;
}

/// A source that is not there yet: a dump, whose definitions have to be made on the target's server.
#[async_trait]
pub trait Deferred: Send + Sync {
    /// The file that it will be made of; for `plan`, which makes nothing.
    fn prospect(&self) -> Prospect;
    /// Makes it. Called once, under the target's lock and after its sweep, before the survey and all that follows it.
    async fn begin(&self) -> Result<()>;
}

/// A source as its own store knows it.
pub struct Native<'a>(Option<&'a (dyn Any + Send + Sync)>);

impl<'a> Native<'a> {
    /// Of no use to a target but for what [`Source`] has.
    pub fn none() -> Self {
        Self(None)
    }

    /// The store's own type.
    pub fn of<T: Any + Send + Sync>(source: &'a T) -> Self {
        Self(Some(source))
    }

    /// The store's own type, if it is that; another store's source, or an archive, is not.
    pub fn get<T: Any>(&self) -> Option<&'a T> {
        self.0?.downcast_ref::<T>()
    }
}

/// Measures how far a source's replication is behind.
#[async_trait]
pub trait LagProbe: Send + Sync {
    /// The worst lag of all; nothing to be behind is no lag. One that may not be seen is an error.
    async fn lag(&self) -> Result<Duration>;
}
