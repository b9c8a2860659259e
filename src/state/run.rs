//! A run as the history has it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::copied::StepTime;
use super::masked::Masked;
use crate::guard::process::Process;

/// An enum that is stored as text.
macro_rules! spelt {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As the state store, status files and `--json` spell it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The other way round.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl rusqlite::types::FromSql for $name {
            fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
                Self::parse(value.as_str()?).ok_or(rusqlite::types::FromSqlError::InvalidType)
            }
        }

        impl rusqlite::ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }
    };
}

pub(super) use spelt;

spelt! {
    /// What started a run.
    Trigger {
        /// The job's schedule.
        Schedule = "schedule",
        /// A schedule's time that passed while the daemon was down.
        CatchUp = "catch_up",
        /// A person.
        Manual = "manual",
        /// The HTTP API.
        Api = "api",
    }
}

spelt! {
    /// How far a run, or a task of one, is.
    RunState {
        /// It has not begun.
        Pending = "pending",
        /// It has begun and not ended.
        Running = "running",
        /// It did all that it had to.
        Succeeded = "succeeded",
        /// It did not.
        Failed = "failed",
        /// Policy or configuration forbids it.
        Refused = "refused",
        /// The target was locked or held.
        Busy = "busy",
        /// Someone ended it.
        Cancelled = "cancelled",
        /// It was due and not started: the job still ran, or nobody was there to start it.
        Skipped = "skipped",
    }
}

impl RunState {
    /// Whether it is over.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

spelt! {
    /// The verb of a run.
    Verb {
        /// Copies and publishes.
        Run = "run",
        /// Publishes what was live before.
        Rollback = "rollback",
    }
}

/// A run that begins now.
#[derive(Debug, Clone, Copy)]
pub struct NewRun<'a> {
    /// A UUID, version 7.
    pub id: &'a str,
    /// The job's name.
    pub job: &'a str,
    /// The job's file.
    pub file: &'a Path,
    /// Its verb.
    pub verb: Verb,
    /// The environment that data comes from.
    pub from: &'a str,
    /// The environment that data goes to.
    pub to: &'a str,
    /// What started it.
    pub trigger: Trigger,
    /// Who asked for it; may be empty.
    pub by: &'a str,
    /// The machine it runs on.
    pub host: &'a str,
    /// The process that it is.
    pub process: &'a Process,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// Its tasks in order: name and kind.
    pub tasks: &'a [(String, String)],
    /// If it is of a part of the job: the names of its tasks; else empty.
    pub only: &'a [String],
}

/// How far a task is.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskProgress {
    /// Its state.
    pub state: RunState,
    /// 0 to 100.
    pub progress_percent: f64,
    /// Rows taken by the target.
    pub rows: u64,
    /// Bytes that went through.
    pub bytes: u64,
    /// Since its start.
    pub duration_seconds: f64,
    /// When its point in time was; of an archive, when its rows' was.
    pub surveyed_at: Option<DateTime<Utc>>,
    /// One line; empty where there is nothing to say.
    pub message: String,
    /// What was masked in its rows, once they are copied.
    pub masked: Option<Masked>,
    /// The steps that it came to, in their order.
    pub steps: Vec<StepTime>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// One that is final.
    pub state: RunState,
    /// One line; empty where there is nothing to say.
    pub message: String,
    /// How many errors were logged.
    pub errors: u64,
    /// How many warnings were logged.
    pub warnings: u64,
    /// The process's exit code.
    pub exit_code: u8,
}

/// A task of a run in the history.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskRow {
    /// Its name.
    pub name: String,
    /// The store's kind.
    pub kind: String,
    /// How far it is.
    pub progress: TaskProgress,
}

/// A run in the history.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// The job's name.
    pub job: String,
    /// The job's file.
    pub file: PathBuf,
    /// Its verb.
    pub verb: Verb,
    /// The environment that data comes from.
    pub from: String,
    /// The environment that data goes to.
    pub to: String,
    /// What started it.
    pub trigger: Trigger,
    /// Who asked for it; may be empty.
    pub by: String,
    /// The machine it runs or ran on.
    pub host: String,
    /// The process that it is; `None` once it has ended.
    pub process: Option<Process>,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// How far it is.
    pub state: RunState,
    /// The step it is in, or was in when it ended; empty before the first.
    pub step: String,
    /// When it began; while it waits: when it was asked for.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// One line of how it ended.
    pub message: String,
    /// How many errors it logged; 0 while it runs.
    pub errors: u64,
    /// How many warnings it logged; 0 while it runs.
    pub warnings: u64,
    /// Its exit code, once it has ended.
    pub exit_code: Option<u8>,
    /// The user who cancelled it.
    pub cancelled_by: Option<String>,
    /// Its tasks, in the job's order.
    pub tasks: Vec<TaskRow>,
    /// If it is of a part of the job: the names of its tasks; else empty.
    pub only: Vec<String>,
    /// Whether its process was gone when this was read.
    pub(super) gone: bool,
}

/// How far points in time lie apart; `None` where there are not two of them.
pub fn apart(points: impl IntoIterator<Item = DateTime<Utc>>) -> Option<Duration> {
    let mut points: Vec<_> = points.into_iter().collect();
    points.sort_unstable();
    let [first, .., last] = points[..] else {
        return None;
    };
    (last - first).to_std().ok()
}

impl Run {
    /// How far the points in time of its tasks lie apart; `None` where there are not two of them.
    pub fn surveys_apart(&self) -> Option<Duration> {
        apart(
            self.tasks
                .iter()
                .filter_map(|task| task.progress.surveyed_at),
        )
    }

    /// How long it took, or has been taking until `now`.
    pub fn duration(&self, now: DateTime<Utc>) -> Duration {
        // The clock may have been set back meanwhile.
        (self.finished_at.unwrap_or(now) - self.started_at)
            .to_std()
            .unwrap_or_default()
    }

    /// Whether it says that it runs while its process was gone when this was read.
    pub fn is_dead(&self) -> bool {
        self.state == RunState::Running && self.finished_at.is_none() && self.gone
    }

    /// Whether its process, dead or alive, is one that can be seen from here.
    pub fn is_here(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_here)
    }

    /// 0 to 100, over all tasks.
    pub fn progress_percent(&self) -> f64 {
        if self.tasks.is_empty() {
            return 0.0;
        }
        let sum: f64 = self
            .tasks
            .iter()
            .map(|task| task.progress.progress_percent)
            .sum();
        sum / self.tasks.len() as f64
    }

    /// Rows taken by the target, over all tasks.
    pub fn rows(&self) -> u64 {
        let rows = self.tasks.iter().map(|task| task.progress.rows);
        rows.fold(0, u64::saturating_add)
    }

    /// Bytes that went through, over all tasks.
    pub fn bytes(&self) -> u64 {
        let bytes = self.tasks.iter().map(|task| task.progress.bytes);
        bytes.fold(0, u64::saturating_add)
    }
}
