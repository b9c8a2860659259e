//! What `snapshots ... --json` prints; the rules are those of [`crate::cli::json`].

use serde::Serialize;

use crate::archive::snapshots::{self, State, Summary};
pub(super) use crate::control::documents::VERSION;
use crate::control::documents::time;

/// `snapshots list --json`.
#[derive(Debug, Serialize)]
pub(super) struct List<'a> {
    pub(super) version: u32,
    /// The archive's URL.
    pub(super) archive: &'a str,
    /// Newest first.
    pub(super) snapshots: Vec<Snapshot>,
    /// Folders without a manifest, newest first.
    pub(super) unfinished: Vec<Unfinished>,
}

/// A snapshot in lists.
#[derive(Debug, Serialize)]
pub(super) struct Snapshot {
    pub(super) name: String,
    pub(super) job: String,
    /// complete | damaged | newer | not_authentic | misnamed
    pub(super) state: String,
    /// What is wrong with its manifest; empty: nothing.
    pub(super) problem: String,
    /// `null` where the manifest cannot be trusted, as all below.
    pub(super) run_id: Option<String>,
    host: Option<String>,
    tool_version: Option<String>,
    origin: Option<String>,
    kind: Option<&'static str>,
    server_version: Option<String>,
    taken_at: Option<String>,
    finished_at: Option<String>,
    parts: Option<usize>,
    rows: Option<u64>,
    /// Of the rows, before compression.
    bytes: Option<u64>,
    stored_bytes: Option<u64>,
    /// Those of them that its own push has stored; the others it shares with older snapshots.
    own_stored_bytes: Option<u64>,
    /// age, if it is encrypted.
    encryption: Option<String>,
    /// Whether a key says so; `null`: there is no key to check it with.
    authentic: Option<bool>,
}

impl Snapshot {
    pub(super) fn new(snapshot: &snapshots::Snapshot, has_key: bool) -> Self {
        let (summary, problem) = match &snapshot.state {
            State::Good(summary) => (Some(&**summary), String::new()),
            State::Flawed(flaw) => (None, flaw.to_string()),
        };
        let text = |field: fn(&Summary) -> &String| summary.map(|it| field(it).clone());
        Self {
            name: snapshot.name.to_string(),
            job: snapshot.name.job.clone(),
            state: word(&snapshot.state).replace(' ', "_"),
            problem,
            run_id: text(|it| &it.run),
            host: text(|it| &it.host),
            tool_version: text(|it| &it.tool_version),
            origin: text(|it| &it.series.origin),
            kind: summary.map(|it| it.series.kind.as_str()),
            server_version: text(|it| &it.server_version),
            taken_at: summary.map(|it| time(it.taken_at)),
            finished_at: summary.map(|it| time(it.finished_at)),
            parts: summary.map(|it| it.parts),
            rows: summary.map(|it| it.rows),
            bytes: summary.map(|it| it.bytes),
            stored_bytes: summary.map(|it| it.size),
            own_stored_bytes: summary.map(|it| it.own_size),
            encryption: summary.and_then(|it| it.encryption.clone()),
            authentic: summary.filter(|_| has_key).map(|it| it.authentic),
        }
    }
}

/// The state of a snapshot's manifest, as a word.
pub(super) fn word(state: &State) -> &'static str {
    match state {
        State::Good(_) => "complete",
        State::Flawed(flaw) => flaw.word(),
    }
}

/// A folder without a manifest.
#[derive(Debug, Serialize)]
pub(super) struct Unfinished {
    name: String,
    job: String,
    /// Who writes it, or did; `null`: that cannot be read, as all below.
    host: Option<String>,
    run_id: Option<String>,
    pid: Option<u32>,
    started_at: Option<String>,
    /// When its newest object was written.
    newest_at: Option<String>,
    stored_bytes: u64,
}

impl Unfinished {
    pub(super) fn new(folder: &snapshots::Unfinished) -> Self {
        let writer = folder.writer.as_ref();
        Self {
            name: folder.name.to_string(),
            job: folder.name.job.clone(),
            host: writer.map(|writer| writer.host.clone()),
            run_id: writer.map(|writer| writer.run.clone()),
            pid: writer.map(|writer| writer.pid),
            started_at: writer.map(|writer| time(writer.started_at)),
            newest_at: folder.newest.map(time),
            stored_bytes: folder.size,
        }
    }
}

/// `snapshots show --json`.
#[derive(Debug, Serialize)]
pub(super) struct Show<'a> {
    pub(super) version: u32,
    pub(super) archive: &'a str,
    pub(super) snapshot: Snapshot,
    /// What is not as it was on the source.
    pub(super) changes: Vec<Change<'a>>,
    pub(super) definitions: Vec<File<'a>>,
    pub(super) tables: Vec<Table>,
}

#[derive(Debug, Serialize)]
pub(super) struct Change<'a> {
    pub(super) name: &'a str,
    /// copied | excluded | schema only | kept
    pub(super) fate: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct File<'a> {
    pub(super) path: &'a str,
    pub(super) stored_bytes: u64,
}

/// A table's rows.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    pub(super) name: String,
    /// Parts that it was read in, side by side.
    pub(super) parts: usize,
    pub(super) files: usize,
    pub(super) rows: u64,
    /// Before compression.
    pub(super) bytes: u64,
    pub(super) stored_bytes: u64,
}

/// `snapshots verify --json`.
#[derive(Debug, Serialize)]
pub(super) struct Verify<'a> {
    pub(super) version: u32,
    pub(super) archive: &'a str,
    /// Newest first.
    pub(super) snapshots: Vec<Verified>,
}

#[derive(Debug, Serialize)]
pub(super) struct Verified {
    pub(super) name: String,
    pub(super) good: bool,
    /// Whether a key says so; `null`: there is no key, or there was no need to look.
    pub(super) authentic: Option<bool>,
    pub(super) files: usize,
    pub(super) stored_bytes: u64,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
}

#[derive(Debug, Serialize)]
pub(super) struct Problem {
    /// In the snapshot's folder, or from `pool/` on in the archive.
    pub(super) path: String,
    pub(super) message: String,
}

/// `snapshots prune --json`.
#[derive(Debug, Serialize)]
pub(super) struct Prune<'a> {
    pub(super) version: u32,
    pub(super) archive: &'a str,
    pub(super) dry_run: bool,
    /// The snapshots of the job, newest first.
    pub(super) snapshots: Vec<Verdict>,
    pub(super) unfinished: Vec<Verdict>,
    /// What was removed, in bytes; with --dry-run `null`.
    pub(super) removed_bytes: Option<u64>,
    /// What would be, with --dry-run only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) would_remove_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Verdict {
    pub(super) name: String,
    pub(super) goes: bool,
    /// Why it goes or stays.
    pub(super) reason: String,
    pub(super) stored_bytes: Option<u64>,
}

/// `snapshots fetch --json`.
#[derive(Debug, Serialize)]
pub(super) struct Fetch<'a> {
    pub(super) version: u32,
    pub(super) archive: &'a str,
    pub(super) name: String,
    /// The folder that it lies in now.
    pub(super) path: String,
    pub(super) files: usize,
    pub(super) stored_bytes: u64,
}
