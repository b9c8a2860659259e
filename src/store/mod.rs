//! Stores: where data comes from and where it goes. The two traits, and the one place that chooses an implementation.

use std::any::Any;
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::config::job::{StoreKind, Task};
use crate::error::{Error, Kind, Result};
use crate::policy::{Environment, Identity};
use crate::tls;

pub mod catalogue;
pub mod dump;
#[cfg(test)]
mod fuzz;
#[cfg(any(feature = "mysql", feature = "postgresql"))]
mod liveness;
#[cfg(feature = "mysql")]
pub mod mysql;
pub mod portable;
#[cfg(feature = "postgresql")]
pub mod postgresql;
pub mod redact;
pub mod room;
pub mod selection;
#[cfg(feature = "sqlite")]
pub mod sqlite;
pub mod statements;
#[cfg(any(feature = "mysql", feature = "postgresql"))]
pub use catalogue::{Catalogue, Digest};
pub use selection::{Fate, Selection};

/// How a part's chunks are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// PostgreSQL's COPY, text format, in CopyData messages.
    CopyText,
    /// PostgreSQL's COPY, binary format, in CopyData messages.
    CopyBinary,
    /// PostgreSQL's large objects, in pieces.
    LargeObjects,
    /// Rows of tagged values (SQLite).
    Rows,
    /// MySQL's `LOAD DATA` format: fields end with a tab, rows with a line feed, `\` escapes, `\N` is NULL; values are
    /// the bytes that the column's own character set has.
    LoadData,
}

/// Which of a table's rows a part has. The store that made it knows what it means (later: runs of keys).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slice {
    /// Those that lie in these blocks of a PostgreSQL table.
    Blocks {
        /// The first.
        from: u32,
        /// The one after the last; `None`: whatever follows.
        until: Option<u32>,
    },
    /// Those of a MySQL table whose key is in this range.
    Keys {
        /// The first; `None`: whatever comes before.
        from: Option<i128>,
        /// The one after the last; `None`: whatever follows.
        until: Option<i128>,
    },
}

/// One piece of a copy: a table, or a slice of a large one (later: a collection, a file).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its number in the survey; the same for the whole run.
    pub id: usize,
    /// The table's schema, where the store has schemas.
    pub schema: Option<String>,
    /// The table's name, unquoted.
    pub name: String,
    /// The columns that are copied, in order; generated columns are not among them. Of an SQLite table whose rowid is no column
    /// of it, the rowid is the first.
    pub columns: Vec<String>,
    /// How its rows travel.
    pub encoding: Encoding,
    /// About how many rows.
    pub rows: u64,
    /// About how many bytes, as stored on the source.
    pub bytes: u64,
    /// Which of the table's rows, where it is not all of them; then the other parts of the same table have the rest.
    pub slice: Option<Slice>,
}

impl Part {
    /// `schema.table`, or the table alone; for people.
    pub fn label(&self) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.{}", self.name),
            None => self.name.clone(),
        }
    }
}

/// What a store's definitions look like on their way from source to target.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Definitions {
    /// What `SHOW CREATE` says.
    #[cfg(feature = "mysql")]
    Mysql(Arc<mysql::Definitions>),
    /// A `pg_dump` table of contents, and what it leaves out.
    #[cfg(feature = "postgresql")]
    Postgresql(Arc<postgresql::Definitions>),
    /// The rows of `sqlite_schema`.
    #[cfg(feature = "sqlite")]
    Sqlite(Arc<sqlite::Definitions>),
}

/// A consistent point in time of a source: what there is to copy.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The server that was asked.
    pub server: Server,
    /// When the point in time was fixed, by this machine's clock; of an archive, when its rows' was.
    pub taken_at: DateTime<Utc>,
    /// What a copy consists of, biggest first.
    pub parts: Arc<[Part]>,
    /// What is there and is not copied, or only its structure, or the target's own, with the reason; for `plan`.
    pub left_out: Vec<(String, Fate)>,
    /// How to make the tables and all around them.
    pub definitions: Definitions,
}

impl Survey {
    /// Its parts, but for tables in slices: each of them whole, where its first slice is.
    pub fn whole(&self) -> Vec<Part> {
        joined(self.parts.iter().cloned(), |_| true)
    }
}

/// Slices of the tables that are asked for are one part again, with the number of the first.
fn joined(parts: impl IntoIterator<Item = Part>, is_wanted: impl Fn(&Part) -> bool) -> Vec<Part> {
    let mut all: Vec<Part> = Vec::new();
    let mut sliced: HashMap<String, usize> = HashMap::new();
    for part in parts {
        if part.slice.is_none() || !is_wanted(&part) {
            all.push(part);
        } else if let Some(place) = sliced.get(&part.label()) {
            all[*place].rows += part.rows;
            all[*place].bytes += part.bytes;
        } else {
            sliced.insert(part.label(), all.len());
            all.push(Part {
                slice: None,
                ..part
            });
        }
    }
    all
}

/// What is known of a source before it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prospect {
    /// The file that it is made of.
    pub name: String,
    /// The file's bytes.
    pub bytes: u64,
}

/// What a server says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Which store.
    pub kind: StoreKind,
    /// Its version as it prints it.
    pub version: String,
    /// Its major version as a number, to compare (PostgreSQL: 15; SQLite: 3).
    pub major: u32,
}

impl Server {
    /// An archive's: newer than any, and no other's equal, so that rows come to it as text.
    pub fn archive(kind: StoreKind) -> Self {
        Self {
            kind,
            version: "archive".to_owned(),
            major: u32::MAX,
        }
    }

    /// Whether it is an archive's.
    pub fn is_archive(&self) -> bool {
        self.major == u32::MAX
    }
}

/// A piece of a stream. In most encodings it is of whole rows; of PostgreSQL's COPY it is a run of the protocol's own
/// CopyData messages, and a long one may go on in the next chunk: so no row has to fit in memory. From a server each
/// message has a row in it, from an archive any piece of the rows.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// How many rows end in it.
    pub rows: u64,
    /// The rows, in the part's encoding.
    pub data: Bytes,
}

/// The rows of one part, on their way. An error ends the stream.
pub type Chunks = BoxStream<'static, Result<Chunk>>;

/// A piece of a lot's stream: the rows of several parts, one after the other, in the store's own encoding.
#[derive(Debug, Clone)]
pub struct LotChunk {
    /// The parts that end in it, by their place in the lot, each with its rows and bytes.
    pub ended: Vec<(usize, u64, u64)>,
    /// The rows.
    pub data: Bytes,
}

/// The rows of several parts, on their way. An error ends the stream.
pub type Lot = BoxStream<'static, Result<LotChunk>>;

/// A part's rows in one number that does not depend on their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// How many rows.
    pub rows: u64,
    /// The store's own sum over them.
    pub sum: String,
}

/// A piece of work on incoming that can start once a part's rows are in: an index, say.
#[derive(Debug, Clone)]
pub struct Step {
    /// What it is, for people: `index users_email_idx`.
    pub label: String,
    /// The target's own number for it.
    pub id: usize,
    /// About how much work it is; the most expensive ones are started first, so that no worker idles at the end.
    pub cost: u64,
}

/// Who is asking: stands in locks, session names and the names of incoming.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The job's name.
    pub job: String,
    /// The run's id, a UUID.
    pub run: String,
    /// This machine's name.
    pub host: String,
}

impl Claim {
    /// The last 12 hexadecimal digits of the run's id (a version 7 UUID's random part).
    pub fn short(&self) -> &str {
        &self.run[self.run.len().saturating_sub(12)..]
    }
}

/// What both sides need to know of the run around them.
#[derive(Clone)]
pub struct Context {
    /// Who is asking.
    pub claim: Claim,
    /// Ends everything when it is cancelled.
    pub cancel: CancellationToken,
    /// Which tables are copied, and how.
    pub selection: Arc<Selection>,
    /// Workers for this task.
    pub workers: usize,
    /// Finds a variable for secrets: the process's environment with `env_dir` over it.
    pub lookup: Lookup,
}

/// Finds an environment variable.
pub type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Where rows and bytes are counted while they flow.
pub trait Meter: Send + Sync {
    /// These rows and bytes of the part have reached the target.
    fn add(&self, part: &Part, rows: u64, bytes: u64);
}

/// How far a source's replication is behind.
#[async_trait]
pub trait Gauge: Send + Sync {
    /// The worst lag of all; nothing to be behind is no lag. One that may not be seen is an error.
    async fn lag(&self) -> Result<Duration>;
}

/// Where data comes from, at one consistent point in time. `survey` fixes that point; `read`, `checksum` and
/// `catalogue` answer for it, and may be called from several workers at once. Nothing is ever written to a source.
#[async_trait]
pub trait Source: Send + Sync {
    /// For a target of the same kind that copies by the store's own means.
    fn as_any(&self) -> &dyn Any;
    /// What the server says of the thing that the URL names. A thing that is not there is an error.
    async fn identity(&self) -> Result<Identity>;
    /// The environment that the data is of, where it says so itself: an archive does.
    async fn origin(&self) -> Result<Option<Environment>> {
        Ok(None)
    }
    /// What it would be a survey of, where `begin` has work to do: for `plan`, which does none.
    async fn prospect(&self) -> Result<Option<Prospect>> {
        Ok(None)
    }
    /// Makes what is surveyed, where it is not there yet: a dump is restored on the target's server. Called once, under the
    /// target's lock and after its sweep, before all of the following.
    async fn begin(&self) -> Result<()> {
        Ok(())
    }
    /// Fixes the point in time and lists what there is. `target` decides encodings and what cannot work.
    async fn survey(&self, target: &Server) -> Result<Survey>;
    /// What was surveyed should stay as it is until [`Source::close`]: a run is about to read it. Whoever only looks does
    /// not ask for it. Most sources hold it from the survey on.
    async fn hold(&self) -> Result<()> {
        Ok(())
    }
    /// Streams a part's rows, each once, in any order.
    async fn read(&self, part: &Part) -> Result<Chunks>;
    /// Streams several parts' rows in one go, in their order; only asked of a source whose target has `lots`.
    async fn read_lot(&self, parts: &[Part]) -> Result<Lot> {
        Err(Error::new(
            Kind::Internal,
            format!("this store does not read {} parts in one go", parts.len()),
        ))
    }
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
    async fn close(&self);
}

/// Where data goes: built beside what is live, then published in one step. Until `publish` returns, nobody who uses
/// the live thing notices anything; until then, `discard` leaves nothing behind. `write` and `build` may be called from
/// several workers at once; everything else is called by one, in the order of this list.
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
    /// The server.
    async fn server(&self) -> Result<Server>;
    /// The room that the target has, where that can be seen from here; for `plan`.
    async fn room(&self) -> Option<room::Room> {
        None
    }
    /// Takes the target's lock on the server itself, or fails with [`Kind::Busy`] and says who has it. Held until
    /// `close`; it dies with our connection.
    async fn lock(&self) -> Result<()>;
    /// Under the lock: removes what dead runs left of their incoming; returns what was removed.
    async fn sweep(&self) -> Result<Vec<String>>;
    /// Refuses, before anything is made, what could never be published. Writes nothing; `plan` calls it too.
    async fn check(&self, survey: &Survey) -> Result<()>;
    /// Before the survey, and only if rows need keep to no pace: takes the whole source into a new incoming as the store's
    /// own copy of its files, where both are on one server, nothing changes on the way and nobody is disturbed. The source
    /// may have to step aside for it, and is back when this returns. `false`: not possible, and there is no incoming.
    /// After `true`, `prepare` takes incoming as it is, for nothing but the calls from `catalogue` on; whoever finds it to
    /// be another than the survey's can `discard` it, and `prepare` anew.
    async fn adopt_files(&self, _source: &dyn Source) -> Result<bool> {
        Ok(false)
    }
    /// Makes an empty incoming with the tables of the survey.
    async fn prepare(&self, survey: &Survey) -> Result<()>;
    /// Empties live, for a task that is published in place, and keeps everyone out until `publish`: what is live then has
    /// its owner, grants and settings, and nothing else. Comes after `prepare` and before any rows.
    async fn empty(&self) -> Result<()> {
        Err(Error::new(
            Kind::Internal,
            "this store does not publish in place",
        ))
    }
    /// Whether live is what `empty` leaves: no run has loaded it since.
    async fn broken(&self) -> Result<bool> {
        Ok(false)
    }
    /// Whether an object of the catalogue is the target's own, in the place of the source's.
    fn has_its_own(&self, _object: &str) -> bool {
        false
    }
    /// Takes the whole source by the store's own means, where both sides are of one kind and nothing changes on the
    /// way. `false`: not possible, `write` has to do it.
    async fn adopt(
        &self,
        _source: &dyn Source,
        _survey: &Survey,
        _meter: &dyn Meter,
    ) -> Result<bool> {
        Ok(false)
    }
    /// Takes a part's rows into incoming; returns how many the store says it took. All or nothing.
    async fn write(&self, part: &Part, chunks: Chunks) -> Result<u64>;
    /// Neighbours in the survey's list that are best taken in one go, being small. The others are written one by one.
    fn lots(&self, _parts: &[Part]) -> Vec<Range<usize>> {
        Vec::new()
    }
    /// Takes all of a lot's rows and builds what stands on them; returns how many the store says it took of each part.
    /// All or nothing: what failed can be written one by one.
    async fn write_lot(&self, parts: &[Part], _lot: Lot) -> Result<Vec<u64>> {
        Err(Error::new(
            Kind::Internal,
            format!("this store does not take {} parts in one go", parts.len()),
        ))
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
    /// Everything after the rows: the rest of the indexes, constraints, sequences, rows and tables that the target
    /// keeps, grants. Incoming is complete when it returns.
    async fn finish(&self) -> Result<()>;
    /// Whether it wants [`Target::note`] before it is verified.
    fn takes_notes(&self) -> bool {
        false
    }
    /// What the source says of itself, for a target that will be asked for it as a source one day: everything that has a
    /// definition, and the checksums of whole tables if the task verifies by them.
    async fn note(&self, _catalogue: Catalogue, _sums: Vec<(Part, Checksum)>) -> Result<()> {
        Ok(())
    }
    /// Rows of a part in incoming; of a table in slices all of them.
    async fn count(&self, part: &Part) -> Result<u64> {
        Ok(self.checksum(part).await?.rows)
    }
    /// Everything in incoming that has a definition, but for what it took over from live.
    async fn catalogue(&self) -> Result<Catalogue>;
    /// The catalogue's digest, in less memory; and whatever else `catalogue` makes sure of.
    async fn digest(&self) -> Result<Digest> {
        Ok(self.catalogue().await?.digest())
    }
    /// A checksum over a part's rows in incoming, comparable with the source's.
    async fn checksum(&self, part: &Part) -> Result<Checksum>;
    /// With `verify = "checksum"`, after all parts: compares what incoming has computed by itself, as far as that is no part
    /// of the parts' checksums.
    async fn compare_computed(&self, _source: &dyn Source, _parts: &[Part]) -> Result<()> {
        Ok(())
    }
    /// Runs one of the job's scripts on incoming; stops at the first error and names the file, line and statement.
    async fn run_script(&self, file: &Path, text: &str) -> Result<()>;
    /// Looks whether a script can be cut into statements, by the rules of [`Self::run_script`]; runs nothing.
    async fn look_at_script(&self, file: &Path, text: &str) -> Result<()>;
    /// After the job's scripts, if it has any: makes anew whatever is computed from rows and could still tell what they were
    /// before the scripts ran (materialized views, statistics, free pages).
    async fn derive(&self) -> Result<()>;
    /// Incoming becomes live, in one atomic and durable step, and what was live becomes previous.
    async fn publish(&self) -> Result<()>;
    /// After `publish`: holds what users of live see now against what was verified. An error means that it has to be undone.
    async fn confirm(&self) -> Result<()>;
    /// Undoes a publish of this run: what was live is live again, and incoming is gone.
    async fn revert(&self) -> Result<()>;
    /// After the whole run succeeded: keeps or drops previous, as the task says.
    async fn settle(&self) -> Result<()>;
    /// Drops incoming, whatever state it is in. Does nothing after `publish`.
    async fn discard(&self) -> Result<()>;
    /// Makes previous live again, and what is live previous. For the verb `rollback`, under `lock`.
    async fn rollback(&self) -> Result<()>;
    /// Ends when the target, and with it the lock, is gone, with the error that says so.
    async fn lost(&self) -> Error {
        std::future::pending().await
    }
    /// Frees the lock and all sessions.
    async fn close(&self);
}

/// A task's option that its store cannot do: the key, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unable {
    /// The key in `[[task]]`.
    pub key: &'static str,
    /// What is wrong, and what is allowed.
    pub why: String,
}

/// What a task asks of its store that the store cannot do (for `validate`, and before every run).
pub fn unable(task: &Task) -> Vec<Unable> {
    let mut all = match task.kind {
        #[cfg(feature = "mysql")]
        StoreKind::Mysql => mysql::unable(task),
        #[cfg(feature = "postgresql")]
        StoreKind::Postgresql => postgresql::unable(task),
        #[cfg(feature = "sqlite")]
        StoreKind::Sqlite => sqlite::unable(task),
        #[allow(unreachable_patterns)]
        kind => vec![Unable {
            key: "kind",
            why: format!("this envsyncd was built without {kind}"),
        }],
    };
    if task.dumps() {
        all.extend(dump::unable(task));
    }
    all
}

/// Whether names of a store's tables are the same whatever their case: of ASCII letters.
pub(crate) fn ignores_case(kind: StoreKind) -> bool {
    matches!(kind, StoreKind::Sqlite)
}

/// How many workers a task gets: what it says, else the machine's cores, 4 at the most.
pub fn workers(task: &Task) -> usize {
    task.jobs.unwrap_or_else(|| {
        std::thread::available_parallelism()
            .map_or(1, std::num::NonZero::get)
            .min(4)
    })
}

/// Opens a task's source. Nothing is asked of the server yet but a connection.
pub async fn open_source(task: &Task, context: &Context) -> Result<Box<dyn Source>> {
    match task.kind {
        #[cfg(feature = "mysql")]
        StoreKind::Mysql => mysql::open_source(task, context).await,
        #[cfg(feature = "postgresql")]
        StoreKind::Postgresql => postgresql::open_source(&task.source, context).await,
        #[cfg(feature = "sqlite")]
        StoreKind::Sqlite => sqlite::open_source(&task.source, context).await,
        #[allow(unreachable_patterns)]
        kind => Err(without(kind)),
    }
}

/// Opens what measures the lag of a task's source.
pub async fn open_gauge(task: &Task, context: &Context) -> Result<Box<dyn Gauge>> {
    match task.kind {
        #[cfg(feature = "postgresql")]
        StoreKind::Postgresql => postgresql::open_gauge(&task.source, context).await,
        kind => Err(Error::new(
            Kind::Config,
            format!("{kind} has no replication whose lag could be measured"),
        )),
    }
}

/// Opens a task's target. Nothing is changed yet.
pub async fn open_target(task: &Task, context: &Context) -> Result<Box<dyn Target>> {
    match task.kind {
        #[cfg(feature = "mysql")]
        StoreKind::Mysql => mysql::open_target(task, context).await,
        #[cfg(feature = "postgresql")]
        StoreKind::Postgresql => postgresql::open_target(task, context).await,
        #[cfg(feature = "sqlite")]
        StoreKind::Sqlite => sqlite::open_target(task, context).await,
        #[allow(unreachable_patterns)]
        kind => Err(without(kind)),
    }
}

#[allow(dead_code)]
fn without(kind: StoreKind) -> Error {
    Error::new(
        Kind::Config,
        format!("this envsyncd was built without {kind}"),
    )
}
