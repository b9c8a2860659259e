//! Where data goes: a target, the copy that is built beside it, and what becomes of both. The order of calls is in the types:
//! [`Target::prepare`] gives an [`Incoming`], that a [`Complete`] one, and that what was [`Published`].

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::catalogue::{Catalogue, Digest};
use super::context::Meter;
use super::part::{Batch, Checksum, Chunks, Part, Step};
use super::room::Room;
use super::sample::Samples;
use super::shape::Shape;
use super::source::Source;
use super::survey::{Survey, Taker};
use crate::config::job::Verify;
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;

/// Where data goes: built beside what is live, then published in one step. Until [`Complete::publish`] returns, nobody who
/// uses the live thing notices anything; until then, [`Target::discard`] leaves nothing behind. Everything here is called by
/// one, in the order of this list.
#[async_trait]
pub trait Target: Send + Sync {
    /// What the server says of the place that the URL names; the thing itself may be missing: then it is made.
    async fn identity(&self) -> Result<Identity>;
    /// What a run replaces, renames or drops beside the thing itself, as far as it exists: previous, and what a dead run left.
    /// Each of them by what the server says of it; a source must be none of them.
    async fn displaced(&self) -> Result<Vec<Identity>>;
    /// Refuses what stands where a run would put, rename or drop something, and does not bear the mark of what envsyncd has
    /// made: it is somebody else's. Writes nothing; `plan` calls it too.
    async fn refuse_strangers(&self) -> Result<()> {
        Ok(())
    }
    /// The target as a receiver, for the survey of the source.
    async fn taker(&self) -> Result<Taker>;
    /// The room that the target has, where that can be seen from here; for `plan`.
    async fn room(&self) -> Option<Room> {
        None
    }
    /// Takes the target's lock on the server itself, or fails with [`crate::error::Kind::Busy`] and says who has it. It is
    /// free after `close`; it dies with our connection.
    async fn lock(&self) -> Result<()>;
    /// Under the lock: removes what dead runs left of their incoming; returns what was removed.
    async fn sweep(&self) -> Result<Vec<String>>;
    /// Refuses, before anything is made, what could never be published. Writes nothing; `plan` calls it too.
    async fn check(&self, _survey: &Survey) -> Result<()> {
        Ok(())
    }
    /// Looks whether a script can be cut into statements, by the rules of [`Complete::run_script`]; runs nothing.
    async fn look_at_script(&self, file: &Path, _text: &str) -> Result<()> {
        Err(no_scripts(file))
    }
    /// Makes an empty incoming with the tables of the survey.
    async fn prepare(&self, survey: &Survey) -> Result<Arc<dyn Incoming>>;
    /// Drops this run's incoming, whatever state it is in, and if it was never made. Does nothing after it was published.
    async fn discard(&self) -> Result<()>;
    /// Makes previous live again, and what is live previous. For the verb `rollback`, under `lock`.
    async fn rollback(&self) -> Result<()>;
    /// Ends when the target, and with it the lock, is gone, with the error that says so.
    async fn lost(&self) -> Error {
        std::future::pending().await
    }
    /// Frees the lock and all sessions. Dropping does the same, later.
    async fn close(&self) {}

    /// If it can take a source's files as they are.
    fn cloning(&self) -> Option<&dyn CloneFiles> {
        None
    }
    /// If it can be loaded in place.
    fn in_place(&self) -> Option<&dyn InPlace> {
        None
    }
}

/// A target that can take a source's files as they are, where both are on one server or machine.
#[async_trait]
pub trait CloneFiles: Send + Sync {
    /// Before the survey, and only if rows need keep to no pace: takes the whole source into a new incoming as the store's
    /// own copy of its files, where nothing changes on the way and nobody is disturbed. The source may have to step aside for
    /// it, and is back when this returns. `None`: not possible, and there is no incoming.
    async fn clone_files(&self, source: &dyn Source) -> Result<Option<Box<dyn Cloned>>>;
}

/// An incoming that was made of the source's files. It may be another than the source that is surveyed afterwards: then
/// [`Target::discard`] drops it, and the run goes on with [`Target::prepare`].
#[async_trait]
pub trait Cloned: Send + Sync {
    /// Does what is left to do for the survey, but for copying rows.
    async fn complete(self: Box<Self>, survey: &Survey) -> Result<Box<dyn Complete>>;
}

/// A target that can be loaded in place, where there is no room for two copies. Then `prepare` makes incoming without rows;
/// in maintenance live is emptied, and all that follows is done to live itself.
#[async_trait]
pub trait InPlace: Send + Sync {
    /// Empties live, and keeps everyone out until `publish`: what is live then has its owner, grants and settings, and nothing
    /// else. Comes after `prepare` and before any rows.
    async fn empty(&self) -> Result<()>;
    /// Whether live is what `empty` leaves: no run has loaded it since.
    async fn is_broken(&self) -> Result<bool>;
}

/// A copy that is being built. `write` and `build` may be called from several workers at once.
#[async_trait]
pub trait Incoming: Send + Sync {
    /// Takes a part's rows; returns how many the store says it took. All or nothing.
    async fn write(&self, part: &Part, chunks: Chunks) -> Result<u64>;
    /// What it has of a part already, where that need not be read: rows and bytes. From then on the part is as good as written.
    async fn has(&self, _part: &Part) -> Result<Option<(u64, u64)>> {
        Ok(None)
    }
    /// What can be built now that this part's rows are in. Of a table in slices: asked once, with the whole table, when
    /// the last one is in.
    fn steps_after(&self, _part: &Part) -> Vec<Step> {
        Vec::new()
    }
    /// Does one such step; returns what can be built now that this is.
    async fn build(&self, _step: &Step) -> Result<Vec<Step>> {
        Ok(Vec::new())
    }
    /// Everything after the rows: the rest of the indexes, constraints, sequences, rows and tables that the target keeps,
    /// grants.
    async fn complete(self: Arc<Self>) -> Result<Box<dyn Complete>>;

    /// Whether [`Complete::read_back`] gives a part's rows as they were written.
    fn is_read_back(&self, _part: &Part) -> bool {
        false
    }

    /// If it takes many small parts in one go.
    fn batches(&self) -> Option<&dyn WriteBatches> {
        None
    }
    /// If it takes the whole source by the store's own means.
    fn transfer(&self) -> Option<&dyn Transfer> {
        None
    }
}

/// An incoming that takes many small parts in one go.
#[async_trait]
pub trait WriteBatches: Send + Sync {
    /// Neighbours in the survey's list that are best taken in one go, being small. The others are written one by one.
    fn batches(&self, parts: &[Part]) -> Vec<Range<usize>>;
    /// Takes all of a batch's rows and builds what stands on them; returns how many the store says it took of each part.
    /// All or nothing: what failed can be written one by one.
    async fn write_batch(&self, parts: &[Part], batch: Batch) -> Result<Vec<u64>>;
}

/// An incoming that takes the whole source by the store's own means, where nothing changes on the way.
#[async_trait]
pub trait Transfer: Send + Sync {
    /// Whether it keeps to the task's `throttle` by itself.
    fn keeps_pace(&self) -> bool {
        false
    }
    /// `false`: not possible with this source, [`Incoming::write`] has to do it.
    async fn transfer(
        &self,
        source: &dyn Source,
        survey: &Survey,
        meter: &dyn Meter,
    ) -> Result<bool>;
}

/// A copy that has everything. It is verified, the job's scripts run on it, and then it is published.
#[async_trait]
pub trait Complete: Send + Sync {
    /// Rows of a part; of a table in slices all of them.
    async fn count(&self, part: &Part) -> Result<u64> {
        Ok(self.checksum(part).await?.rows)
    }
    /// Everything that has a definition, but for what it took over from live.
    async fn catalogue(&self) -> Result<Catalogue>;
    /// The catalogue's digest, in less memory.
    async fn digest(&self) -> Result<Digest> {
        Ok(self.catalogue().await?.digest())
    }
    /// Whether an object of the catalogue is the target's own, in the place of the source's.
    fn has_its_own(&self, _object: &str) -> bool {
        false
    }
    /// Streams a part's rows as they were written, in any order; of a table in slices all of them. `None`: it does so with
    /// no part, or not with this one.
    async fn read_back(&self, _part: &Part) -> Result<Option<Chunks>> {
        Ok(None)
    }
    /// A checksum over a part's rows, comparable with the source's.
    async fn checksum(&self, part: &Part) -> Result<Checksum>;
    /// Whether a condition, which is an expression in the store's own language, is true for any of a table's rows. `None`: there
    /// is nobody who evaluates it.
    async fn is_true_for_any(&self, _part: &Part, _condition: &str) -> Result<Option<bool>> {
        Ok(None)
    }
    /// Refuses a copy in which something does not belong to whom it should: of that the catalogue says nothing.
    async fn check_ownership(&self) -> Result<()> {
        Ok(())
    }
    /// With `verify = "checksum"`, after all parts: compares what the store has computed by itself, as far as that is no part
    /// of the parts' checksums.
    async fn compare_computed(&self, _source: &dyn Source, _parts: &[Part]) -> Result<()> {
        Ok(())
    }
    /// Runs one of the job's scripts; stops at the first error and names the file, line and statement.
    async fn run_script(&self, file: &Path, _text: &str) -> Result<()> {
        Err(no_scripts(file))
    }
    /// After the job's scripts, if it has any: makes anew whatever is computed from rows and could still tell what they were
    /// before the scripts ran (materialized views, statistics, free pages).
    async fn derive(&self) -> Result<()> {
        Ok(())
    }
    /// Makes it live, in one atomic and durable step, and what was live previous. After an error [`Target::discard`] drops it.
    async fn publish(self: Box<Self>) -> Result<Box<dyn Published>>;

    /// If its rows can be sampled.
    fn samples(&self) -> Option<&dyn Samples> {
        None
    }
    /// If its store holds it against the source by itself.
    fn comparison(&self) -> Option<&dyn CompareWhole> {
        None
    }
    /// If it has to be told what the source says of itself before it is verified.
    fn records(&self) -> Option<&dyn RecordSource> {
        None
    }
}

/// A copy that its store holds against the source by itself: where the source changes while it is read, and only the store can
/// tell that from a copy that went wrong.
#[async_trait]
pub trait CompareWhole: Send + Sync {
    /// What is not the same is [`crate::error::Kind::Verify`]. Not called with [`Verify::None`].
    async fn compare_whole(&self, survey: &Survey, verify: Verify) -> Result<()>;
}

/// A copy that will be asked for the source as a source one day: an archive's.
#[async_trait]
pub trait RecordSource: Send + Sync {
    /// Takes down what a pull will want to know.
    async fn record(&self, said: SourceRecord) -> Result<()>;
}

/// What a source says of itself.
#[derive(Debug)]
pub struct SourceRecord {
    /// Everything that has a definition.
    pub catalogue: Catalogue,
    /// The checksums of whole tables, if the task verifies by them.
    pub sums: Vec<(Part, Checksum)>,
    /// What was masked on the way, if anything was.
    pub masking: Option<Masking>,
    /// The shapes of its tables, for masks of who reads them one day.
    pub shapes: Vec<Shape>,
}

/// What was masked on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Masking {
    /// The key's fingerprint.
    pub key: String,
    /// The masked columns of each table, by its label.
    pub tables: BTreeMap<String, BTreeMap<String, MaskedColumn>>,
}

/// A masked column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskedColumn {
    /// The kinds of its masks.
    pub kinds: String,
    /// Whether nothing of its values is left in any row.
    pub is_covered: bool,
}

/// A copy that is live.
#[async_trait]
pub trait Published: Send + Sync {
    /// Holds what users of live see now against what was verified. An error means that it has to be undone.
    async fn confirm(&self) -> Result<()> {
        Ok(())
    }
    /// Undoes the publish: what was live is live again, and incoming is gone.
    async fn revert(&self) -> Result<()>;
    /// After the whole run succeeded: keeps or drops previous, as the task says.
    async fn settle(&self) -> Result<()> {
        Ok(())
    }
}

fn no_scripts(file: &Path) -> Error {
    Error::new(
        Kind::Config,
        format!("{} cannot run: this store has no scripts", file.display()),
    )
    .hint("leave `scripts` out")
}
