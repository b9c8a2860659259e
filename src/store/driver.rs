//! The driver of a store: the only thing that the registry knows of it.

use std::sync::Arc;

use async_trait::async_trait;

use super::codec::Codec;
use super::context::Context;
use super::definitions::Restored;
use super::dump::{DumpFile, Dumping};
use super::part::{Chunks, Part};
use super::selection::{Fate, Selection};
use super::source::{ByName, LagProbe, Source};
use super::survey::{Server, Survey, Taker};
use super::target::Target;
use crate::config::job::Task;
use crate::config::{StoreFormat, StoreKind};
use crate::error::Result;

/// A kind of store.
#[async_trait]
pub trait Driver: Send + Sync {
    /// What configuration files have to know of it: its name, its URLs, its own keys.
    fn format(&self) -> &'static dyn StoreFormat;
    /// As job files spell it.
    fn kind(&self) -> StoreKind {
        self.format().kind()
    }
    /// What a task asks of the store that it cannot do; for `validate`, and before every run.
    fn refusals(&self, task: &Task) -> Vec<Refusal>;
    /// Whether names of its tables are the same whatever their case: of ASCII letters.
    fn ignores_case(&self) -> bool {
        false
    }
    /// Whether it reads `exclude` by itself, what it copies having no names as tables have, and whether `[[task.pass]]` names
    /// paths in it.
    fn selects_by_itself(&self) -> bool {
        false
    }
    /// Opens a task's source. Nothing is asked of the server yet but a connection.
    async fn open_source(&self, task: &Task, context: &Context) -> Result<Box<dyn Source>>;
    /// Opens a task's target. Nothing is changed yet.
    async fn open_target(&self, task: &Task, context: &Context) -> Result<Box<dyn Target>>;

    /// One for each of its encodings.
    fn codecs(&self) -> &'static [&'static dyn Codec];
    /// Reads definitions that [`super::Definitions::to_json`] wrote, with `parts` and `left_out` as the survey had them, and
    /// leaves out what the selection does.
    async fn read_definitions(
        &self,
        stored: &[u8],
        parts: Vec<Part>,
        left_out: Vec<(String, Fate)>,
        selection: &Selection,
    ) -> Result<Restored>;
    /// Parts out of an archive, for so many workers: slices of a table are one again where a target does better with it.
    fn join_slices(&self, parts: Vec<Part>, _workers: usize) -> Vec<Part> {
        parts
    }
    /// Refuses a target that is too old for the server that an archive's data is of; in the words of a sync.
    fn refuse_older(&self, _source: &Server, _target: &Taker) -> Result<()> {
        Ok(())
    }
    /// Whether its threads mostly wait for disks: then a run needs less memory if they share what they allocate from.
    fn waits_for_disks(&self) -> bool {
        false
    }

    /// Whether snapshots of a job share the parts that have not changed: their streams are the same, byte by byte, as long as what
    /// they are of is.
    fn shares_parts(&self) -> bool {
        false
    }

    /// The client with which people restore an archive's snapshot without envsyncd, if there is one.
    fn manual_client(&self) -> Option<ManualClient> {
        None
    }

    /// If a part of a snapshot has to be read before a pull can be planned.
    fn snapshots(&self) -> Option<&dyn SurveySnapshots> {
        None
    }

    /// If the lag of a source's replication can be measured.
    fn lag_probes(&self) -> Option<&dyn OpenLagProbe> {
        None
    }
    /// If dumps of the store's own tools can be restored and written.
    fn dumps(&self) -> Option<&dyn Dumps> {
        None
    }
}

/// A task's option that its store cannot do: the key, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The key in `[[task]]`.
    pub key: &'static str,
    /// What is wrong, and what is allowed.
    pub why: String,
}

impl Refusal {
    /// Of this key.
    pub fn new(key: &'static str, why: impl Into<String>) -> Self {
        Self {
            key,
            why: why.into(),
        }
    }
}

/// The store's own client, as a shell script calls it.
#[derive(Debug, Clone, Copy)]
pub struct ManualClient {
    /// The command with its options, up to where the database is named.
    pub command: &'static str,
    /// The option behind which a statement stands; empty, if files are statements themselves.
    pub statement: &'static str,
    /// How the database is named, for the script's comment.
    pub database: &'static str,
    /// Lines of shell that come before: whole ones, or none.
    pub before: &'static str,
}

/// A store whose definitions are too many to be read at once: what a snapshot consists of stands in a part of it.
#[async_trait]
pub trait SurveySnapshots: Send + Sync {
    /// Reads it; `restored` is what [`Driver::read_definitions`] made of the snapshot. What is returned may go on reading.
    async fn survey_snapshot(
        &self,
        task: &Task,
        context: &Context,
        restored: Restored,
        parts: Arc<dyn ReadParts>,
    ) -> Result<SurveyedSnapshot>;
}

/// What was found in a snapshot.
pub struct SurveyedSnapshot {
    /// Its definitions, and the parts that a run counts.
    pub restored: Restored,
    /// What is passed by name in it.
    pub by_name: Arc<dyn ByName>,
}

/// Reads parts of a snapshot, as [`Source::read`] does.
pub trait ReadParts: Send + Sync {
    /// A part's rows, on their way.
    fn read(&self, part: &Part) -> Result<Chunks>;
}

/// A store whose sources may have replicas.
#[async_trait]
pub trait OpenLagProbe: Send + Sync {
    /// Opens what measures the lag of a task's source.
    async fn open_lag_probe(&self, task: &Task, context: &Context) -> Result<Box<dyn LagProbe>>;
}

/// A store whose own tools write dumps of a whole database (`pg_dump`, `mariadb-dump`).
#[async_trait]
pub trait Dumps: Send + Sync {
    /// Whether a dump's file has gzip around it. (PostgreSQL's custom format is compressed in itself.)
    fn are_zipped(&self) -> bool;
    /// Whether a dump is of the survey's very point in time, so that its rows are the survey's. (MySQL's tools have one of
    /// their own, and hold their rows against the survey's by themselves.)
    fn are_of_the_survey(&self) -> bool;
    /// Whether rows of a part can be counted in a dump.
    fn counts(&self, _part: &Part) -> bool {
        true
    }
    /// Makes a dump's definitions in a staging thing on the target's server, and opens the two as a source: its rows come out
    /// of the file, once and in the file's order ([`super::InOrder`]), and are on no disk on their way. It is called under the
    /// target's lock, after its sweep. Whatever in the dump fails, is missing at its end or reaches out of the staging thing is
    /// an error with the file's name and the statement or object.
    ///
    /// The staging thing is named by the run, like incoming: the source drops it in `close`, which may be called twice;
    /// [`Target::discard`] drops it where this was ended half-way; and [`Target::sweep`] what dead runs left.
    async fn restore(
        &self,
        task: &Task,
        context: &Context,
        file: Arc<dyn DumpFile>,
    ) -> Result<Box<dyn Source>>;
    /// Dumps a surveyed source, at the survey's point in time, without what the survey's `left_out` has. An error before the
    /// first byte is this one's, a later one is the stream's. Dropped, it ends the tool.
    async fn dump(
        &self,
        task: &Task,
        context: &Context,
        source: &dyn Source,
        survey: &Survey,
    ) -> Result<Dumping>;
}
