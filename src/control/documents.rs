//! What `--json` prints, and the API answers. Every document has `version` 1; keys are added, never taken away or given another meaning while
//! it stays 1. Times are RFC 3339 in UTC, lengths are seconds, what is not known is `null`. Where the status file has the
//! same thing, it has the same name.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;

use crate::config::{Diagnostic, Severity};
use crate::state::{self, Paused};

/// The version of all documents.
pub const VERSION: u32 = 1;

/// A time as all our files spell it.
pub fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// What is wrong with a file, in `validate`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Finding {
    /// error | warning
    pub severity: &'static str,
    /// Of the file; `null`: it is of the file as a whole.
    pub line: Option<usize>,
    /// In characters.
    pub column: Option<usize>,
    /// The key's path: `task[0].mode`; empty: of none.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What is possible.
    pub allowed: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Finding {
    /// Of a diagnostic.
    pub fn new(one: &Diagnostic) -> Self {
        Self {
            severity: match one.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            line: one.place.as_ref().map(|place| place.line),
            column: one.place.as_ref().map(|place| place.column),
            key: one.key.clone().unwrap_or_default(),
            message: one.flaw.message.clone(),
            allowed: one.flaw.allowed.clone().map(Into::into),
            help: one.flaw.help.clone(),
        }
    }
}

/// A run, in `history`, `show` and `status`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Run {
    /// The whole id.
    pub run_id: String,
    /// Its job's name.
    pub job: String,
    /// The job's file.
    pub file: String,
    /// run | rollback
    pub verb: &'static str,
    /// The environment that data comes from.
    pub from: String,
    /// The environment that data goes to.
    pub to: String,
    /// The machine that it is or was on.
    pub host: String,
    /// pending | running | succeeded | failed | refused | busy | cancelled
    pub state: &'static str,
    /// It says `running`, and its process is gone.
    pub dead: bool,
    /// While it runs.
    pub pid: Option<u32>,
    /// schedule | catch_up | manual | api
    pub trigger: &'static str,
    /// Who asked for it.
    pub by: String,
    /// The step it is in or ended in.
    pub step: String,
    /// While it waits: when it was asked for.
    pub started_at: String,
    /// Once it has ended.
    pub finished_at: Option<String>,
    /// So far, while it runs.
    pub duration_seconds: f64,
    /// How long it may take.
    pub timeout_seconds: Option<f64>,
    /// Over all tasks.
    pub progress_percent: f64,
    /// Rows that the target took.
    pub rows: u64,
    /// Bytes that went through.
    pub bytes: u64,
    /// How many errors it logged.
    pub errors: u64,
    /// How many warnings it logged.
    pub warnings: u64,
    /// Once it has ended.
    pub exit_code: Option<u8>,
    /// One line; empty where there is nothing to say.
    pub message: String,
    /// How many milliseconds lie between the first and the last task's point in time.
    pub surveys_apart_ms: Option<u64>,
    /// If it is of a part of the job: the names of its tasks; else empty.
    pub only: Vec<String>,
    /// Its tasks, in the job's order.
    pub tasks: Vec<Task>,
}

/// A task of a run.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Task {
    /// Its name.
    pub name: String,
    /// The store's kind.
    pub kind: String,
    /// As a run's.
    pub state: &'static str,
    /// 0 to 100.
    pub progress_percent: f64,
    /// Rows that the target took.
    pub rows: u64,
    /// Bytes that went through.
    pub bytes: u64,
    /// So far, while it runs.
    pub duration_seconds: f64,
    /// One line; empty where there is nothing to say.
    pub message: String,
    /// When the point in time was that its copy is of.
    pub surveyed_at: Option<String>,
    /// What was masked in its rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masked: Option<state::Masked>,
    /// The steps that it came to, in their order.
    pub steps: Vec<Step>,
    /// What was copied of its tables; of a single run alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<state::CopiedTables>,
}

/// A step of a task.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Step {
    /// survey | copy | finish | verify | publish and the like, as a run's step
    pub name: String,
    /// When the task came to it, with milliseconds.
    pub started: String,
    /// How long it took, or has been taking.
    pub seconds: f64,
}

impl Run {
    /// Of a run, as of `now`.
    pub fn new(run: &state::Run, now: DateTime<Utc>) -> Self {
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
                    steps: task.progress.steps.iter().map(Step::new).collect(),
                    tables: None,
                })
                .collect(),
        }
    }

    /// The same with what was copied of each task's tables.
    #[must_use]
    pub fn with_tables(mut self, tables: Vec<(String, state::CopiedTables)>) -> Self {
        for (name, tables) in tables {
            if let Some(task) = self.tasks.iter_mut().find(|task| task.name == name) {
                task.tables = Some(tables);
            }
        }
        self
    }
}

impl Step {
    fn new(step: &state::StepTime) -> Self {
        Self {
            name: step.name.clone(),
            started: milliseconds(step.started),
            seconds: (step.seconds * 1000.0).round() / 1000.0,
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
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Hold {
    /// What is held.
    pub environment: String,
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// The machine that it is or was on.
    pub host: String,
    /// When it began.
    pub since: String,
    /// The process that it ends with.
    pub pid: Option<u32>,
}

impl Hold {
    /// Of a hold.
    pub fn new(hold: &state::Hold) -> Self {
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

/// A pause, in `status`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Pause {
    /// job | environment | all: what is paused
    pub scope: &'static str,
    /// The job, if it is of one.
    pub job: Option<String>,
    /// The environment, if it is of every job into one.
    pub environment: Option<String>,
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// When it began.
    pub since: String,
    /// When it ends by itself.
    pub until: Option<String>,
}

impl Pause {
    /// Of a pause.
    pub fn new(pause: &state::Pause) -> Self {
        let (scope, job, environment) = match &pause.what {
            Paused::All => ("all", None, None),
            Paused::To(environment) => ("environment", None, Some(environment.clone())),
            Paused::Job(job) => ("job", Some(job.clone()), None),
        };
        Self {
            scope,
            job,
            environment,
            reason: pause.reason.clone(),
            by: pause.by.clone(),
            since: time(pause.since),
            until: pause.until.map(time),
        }
    }
}

/// The daemon that runs, or the last that did, in `status`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Daemon {
    /// Whether it runs.
    pub alive: bool,
    /// The version of its program.
    pub program_version: String,
    /// The machine that it is or was on.
    pub host: String,
    /// While it runs.
    pub pid: Option<u32>,
    /// When it began.
    pub since: String,
    /// When it last looked at the clock, half a minute late at the most.
    pub seen_at: String,
    /// What is wrong with its settings' file; empty: nothing.
    pub problem: String,
}

impl Daemon {
    /// Of a daemon.
    pub fn new(daemon: &state::Daemon) -> Self {
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
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Status {
    /// Always 1.
    pub version: u32,
    /// `null`: there has never been one.
    pub daemon: Option<Daemon>,
    /// All jobs, or the one that was asked for; sorted by name.
    pub jobs: Vec<Job>,
    /// All holds; sorted by environment.
    pub holds: Vec<Hold>,
    /// What pauses more than one job.
    pub pauses: Vec<Pause>,
}

/// A job in `status --json`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Job {
    /// Its job's name.
    pub job: String,
    /// The last run's state, or `never`.
    pub state: &'static str,
    /// Its newest run that was not skipped.
    pub last_run: Option<Run>,
    /// When it last brought new data.
    pub last_success_at: Option<String>,
    /// When the daemon will start it; `null` while it is paused, or no daemon runs.
    pub next_run_at: Option<String>,
    /// Failed or refused runs since the last that succeeded.
    pub consecutive_failures: u32,
    /// What keeps its schedule from starting it.
    pub paused: Option<Pause>,
    /// What is wrong with its file while the last good version stays in force; empty: nothing.
    pub problem: String,
}

/// `history --json`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct History {
    /// Always 1.
    pub version: u32,
    /// Newest first.
    pub runs: Vec<Run>,
}

/// `show --json`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Show {
    /// Always 1.
    pub version: u32,
    /// The run.
    pub run: Run,
}

/// `logs --json`: one such document a line.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Log<'a> {
    /// Always 1.
    pub version: u32,
    /// The whole id of its run.
    pub run_id: &'a str,
    /// From 1, without gaps.
    pub seq: i64,
    /// With milliseconds.
    pub at: String,
    /// error | warn | info | debug | trace
    pub level: &'a str,
    /// Empty: the run itself.
    pub task: &'a str,
    /// One line; empty where there is nothing to say.
    pub message: &'a str,
}

/// A token, in `token list`. Its secret is nowhere.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Token {
    /// Its name.
    pub name: String,
    /// read | run | admin
    pub scope: &'static str,
    /// The environments that its bearer may do something to; empty: every one.
    pub to: Vec<String>,
    /// The site that it is for.
    pub site: Option<String>,
    /// Who made it.
    pub by: String,
    /// When it was made.
    pub created_at: String,
    /// When it ends by itself.
    pub expires_at: Option<String>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<String>,
}

impl Token {
    /// Of a token.
    pub fn new(token: &state::Token) -> Self {
        Self {
            name: token.name.clone(),
            scope: token.scope.as_str(),
            to: token.to.clone(),
            site: token.site.clone(),
            by: token.by.clone(),
            created_at: time(token.created_at),
            expires_at: token.expires_at.map(time),
            last_used_at: token.last_used_at.map(time),
        }
    }
}

/// `token list --json`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Tokens {
    /// Always 1.
    pub version: u32,
    /// Those that have not expired; sorted by name.
    pub tokens: Vec<Token>,
}

/// An entry of the audit list.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Audited {
    /// From 1; later ones have greater numbers.
    pub seq: i64,
    /// When.
    pub at: String,
    /// A user, or a token's name.
    pub who: String,
    /// cli | api | panel
    pub via: String,
    /// The caller's address; empty: the machine itself.
    pub address: String,
    /// What was to be done.
    pub action: String,
    /// To what.
    pub object: String,
    /// `ok`, or why it was not done.
    pub outcome: String,
}

impl Audited {
    /// Of an entry and its number.
    pub fn new(seq: i64, entry: &state::Audited) -> Self {
        Self {
            seq,
            at: time(entry.at),
            who: entry.who.clone(),
            via: entry.via.clone(),
            address: entry.address.clone(),
            action: entry.action.clone(),
            object: entry.object.clone(),
            outcome: entry.outcome.clone(),
        }
    }
}

/// `history --audit --json`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "http", derive(utoipa::ToSchema))]
pub struct Audit {
    /// Always 1.
    pub version: u32,
    /// Newest first.
    pub entries: Vec<Audited>,
}
