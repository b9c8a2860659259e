//! What `--json` prints. Every document has `version` 1; keys are added, never taken away or given another meaning while
//! it stays 1. Times are RFC 3339 in UTC, lengths are seconds, what is not known is `null`. Where the status file has the
//! same thing, it has the same name.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::state;

/// The version of all documents.
pub(super) const VERSION: u32 = 1;

/// A time as all our files spell it.
pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A run, in `history`, `show` and `status`.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the status file's names")]
pub(super) struct Run {
    /// The whole id.
    pub(super) run_id: String,
    job: String,
    /// The job's file.
    file: String,
    /// run | rollback
    verb: &'static str,
    from: String,
    to: String,
    host: String,
    /// pending | running | succeeded | failed | refused | busy | cancelled
    state: &'static str,
    /// It says `running`, and its process is gone.
    dead: bool,
    /// While it runs.
    pid: Option<u32>,
    /// schedule | catch_up | manual | api
    trigger: &'static str,
    /// Who asked for it.
    by: String,
    /// The step it is in or ended in.
    step: String,
    started_at: String,
    finished_at: Option<String>,
    /// So far, while it runs.
    duration_seconds: f64,
    timeout_seconds: Option<f64>,
    /// Over all tasks.
    progress_percent: f64,
    rows: u64,
    bytes: u64,
    errors: u64,
    warnings: u64,
    exit_code: Option<u8>,
    message: String,
    /// How many milliseconds lie between the first and the last task's point in time.
    surveys_apart_ms: Option<u64>,
    /// If it is of a part of the job: the names of its tasks; else empty.
    only: Vec<String>,
    tasks: Vec<Task>,
}

/// A task of a run.
#[derive(Debug, Serialize)]
struct Task {
    name: String,
    /// The store's kind.
    kind: String,
    state: &'static str,
    progress_percent: f64,
    rows: u64,
    bytes: u64,
    duration_seconds: f64,
    message: String,
    /// When the point in time was that its copy is of.
    surveyed_at: Option<String>,
    /// What was masked in its rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    masked: Option<state::Masked>,
}

impl Run {
    pub(super) fn new(run: &state::Run, now: DateTime<Utc>) -> Self {
        Self {
            run_id: run.id.clone(),
            job: run.job.clone(),
            file: run.file.to_string_lossy().into_owned(),
            verb: run.verb.as_str(),
            from: run.from.clone(),
            to: run.to.clone(),
            host: run.host.clone(),
            state: run.state.as_str(),
            dead: run.is_dead(),
            pid: run.process.as_ref().map(|process| process.pid),
            trigger: run.trigger.as_str(),
            by: run.by.clone(),
            step: run.step.clone(),
            started_at: time(run.started_at),
            finished_at: run.finished_at.map(time),
            duration_seconds: tenths(run.duration(now).as_secs_f64()),
            timeout_seconds: run.timeout.map(|timeout| timeout.as_secs_f64()),
            progress_percent: tenths(run.progress_percent()),
            rows: run.rows(),
            bytes: run.bytes(),
            errors: run.errors,
            warnings: run.warnings,
            exit_code: run.exit_code,
            message: run.message.clone(),
            surveys_apart_ms: run.surveys_apart().map(|apart| apart.as_millis() as u64),
            only: run.only.clone(),
            tasks: run
                .tasks
                .iter()
                .map(|task| Task {
                    name: task.name.clone(),
                    kind: task.kind.clone(),
                    state: task.progress.state.as_str(),
                    progress_percent: tenths(task.progress.progress_percent),
                    rows: task.progress.rows,
                    bytes: task.progress.bytes,
                    duration_seconds: tenths(task.progress.duration_seconds),
                    message: task.progress.message.clone(),
                    surveyed_at: task.progress.surveyed_at.map(milliseconds),
                    masked: task.progress.masked.clone(),
                })
                .collect(),
        }
    }
}

fn milliseconds(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// A hold, in `status`.
#[derive(Debug, Serialize)]
pub(super) struct Hold {
    environment: String,
    reason: String,
    by: String,
    host: String,
    since: String,
    /// The process that it ends with.
    pid: Option<u32>,
}

impl Hold {
    pub(super) fn new(hold: &state::Hold) -> Self {
        Self {
            environment: hold.environment.clone(),
            reason: hold.reason.clone(),
            by: hold.by.clone(),
            host: hold.host.clone(),
            since: time(hold.since),
            pid: hold.process.as_ref().map(|process| process.pid),
        }
    }
}

/// A job's pause, in `status`.
#[derive(Debug, Serialize)]
pub(super) struct Pause {
    reason: String,
    by: String,
    since: String,
    until: Option<String>,
}

impl Pause {
    pub(super) fn new(pause: &state::Pause) -> Self {
        Self {
            reason: pause.reason.clone(),
            by: pause.by.clone(),
            since: time(pause.since),
            until: pause.until.map(time),
        }
    }
}

/// The daemon that runs, or the last that did, in `status`.
#[derive(Debug, Serialize)]
pub(super) struct Daemon {
    alive: bool,
    program_version: String,
    host: String,
    pid: Option<u32>,
    since: String,
    /// When it last looked at the clock, half a minute late at the most.
    seen_at: String,
    /// What is wrong with its settings' file; empty: nothing.
    problem: String,
}

impl Daemon {
    pub(super) fn new(daemon: &state::Daemon) -> Self {
        Self {
            alive: daemon.is_alive(),
            program_version: daemon.version.clone(),
            host: daemon.host.clone(),
            pid: daemon.process.as_ref().map(|process| process.pid),
            since: time(daemon.since),
            seen_at: time(daemon.seen_at),
            problem: daemon.problem.clone(),
        }
    }
}

/// `status --json`.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) version: u32,
    /// `null`: there has never been one.
    pub(super) daemon: Option<Daemon>,
    /// All jobs, or the one that was asked for; sorted by name.
    pub(super) jobs: Vec<Job>,
    /// All holds; sorted by environment.
    pub(super) holds: Vec<Hold>,
}

/// A job in `status --json`.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the status file's names")]
pub(super) struct Job {
    pub(super) job: String,
    /// The last run's state, or `never`.
    pub(super) state: &'static str,
    pub(super) last_run: Option<Run>,
    /// When it last brought new data.
    pub(super) last_success_at: Option<String>,
    /// When the daemon will start it; `null` while it is paused, or no daemon runs.
    pub(super) next_run_at: Option<String>,
    /// Failed or refused runs since the last that succeeded.
    pub(super) consecutive_failures: u32,
    pub(super) paused: Option<Pause>,
    /// What is wrong with its file while the last good version stays in force; empty: nothing.
    pub(super) problem: String,
}

/// `history --json`.
#[derive(Debug, Serialize)]
pub(super) struct History {
    pub(super) version: u32,
    /// Newest first.
    pub(super) runs: Vec<Run>,
}

/// `show --json`.
#[derive(Debug, Serialize)]
pub(super) struct Show {
    pub(super) version: u32,
    pub(super) run: Run,
}

/// `logs --json`: one such document a line.
#[derive(Debug, Serialize)]
pub(super) struct Log<'a> {
    pub(super) version: u32,
    pub(super) run_id: &'a str,
    /// From 1, without gaps.
    pub(super) seq: i64,
    /// With milliseconds.
    pub(super) at: String,
    /// error | warn | info | debug | trace
    pub(super) level: &'a str,
    /// Empty: the run itself.
    pub(super) task: &'a str,
    pub(super) message: &'a str,
}
