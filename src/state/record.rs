//! What a run writes into its own record: that it begins, lives, gets on, and ends.

use std::os::unix::ffi::OsStrExt as _;

use chrono::{DateTime, Utc};
use rusqlite::params;

use super::copied::{STEPS, StoredStep};
use super::history::{names, number, unknown};
use super::{Durable, NewRun, Outcome, RunState, State, TaskProgress, stored, strict};
use crate::error::{Error, Kind, Result};

/// What came of a run's sign of life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beat {
    /// It is known to live.
    Taken,
    /// The history has it as ended: somebody took it for dead. How it says that it ended.
    Ended(String),
    /// It is not in the history, or not as one that has begun: the history is another one than it was.
    Unknown,
}

impl State {
    /// A run begins: it is `running`, its tasks are `pending`. One that waited in the queue leaves it; `Kind::Busy` if
    /// it was cancelled meanwhile, or somebody else has begun it.
    pub fn begin(&self, run: &NewRun<'_>) -> Result<()> {
        self.begin_at(run, Utc::now())
    }

    /// As [`Self::begin`], for a run that began at this time, and that the history has lost.
    pub fn begin_at(&self, run: &NewRun<'_>, at: DateTime<Utc>) -> Result<()> {
        self.write("cannot record a run's begin", Durable::Power, |t| {
            let timeout = run
                .timeout
                .map(|t| i64::try_from(t.as_millis()).unwrap_or(i64::MAX));
            let changed = t.execute(
                "INSERT INTO runs (id, job, file, verb, from_environment, to_environment, trigger, by, host, pid,
                     process_started, boot, timeout_ms, state, started_at, machine, pid_namespace, beat_at, only_tasks)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?17, ?18, ?19, ?20)
                 ON CONFLICT (id) DO UPDATE SET
                     file = excluded.file, verb = excluded.verb, from_environment = excluded.from_environment,
                     to_environment = excluded.to_environment, host = excluded.host, pid = excluded.pid,
                     process_started = excluded.process_started, boot = excluded.boot,
                     machine = excluded.machine, pid_namespace = excluded.pid_namespace, beat_at = excluded.beat_at,
                     timeout_ms = excluded.timeout_ms, state = excluded.state, started_at = excluded.started_at,
                     only_tasks = excluded.only_tasks
                 WHERE runs.state = ?16 AND runs.finished_at IS NULL AND runs.job = excluded.job",
                params![
                    run.id,
                    run.job,
                    run.file.as_os_str().as_bytes(),
                    run.verb,
                    run.from,
                    run.to,
                    run.trigger,
                    run.by,
                    run.host,
                    run.process.pid,
                    run.process.started as i64,
                    run.process.boot,
                    timeout,
                    RunState::Running,
                    stored(at),
                    RunState::Pending,
                    run.process.machine,
                    run.process.namespace as i64,
                    stored(Utc::now()),
                    names(run.only),
                ],
            )?;
            if changed == 0 {
                return Ok(Err(Error::new(
                    Kind::Busy,
                    format!("run {} is no longer waiting to begin", run.id),
                )
                .hint(format!("`envsyncd show {}` says what became of it", run.id))));
            }
            let number = match number(t, run.id)? {
                Ok(number) => number,
                Err(unknown) => return Ok(Err(unknown)),
            };
            let mut insert = t.prepare_cached(
                "INSERT INTO tasks (run, position, name, kind, state) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?;
            for (position, (name, kind)) in run.tasks.iter().enumerate() {
                insert.execute(params![
                    number,
                    position as i64,
                    name,
                    kind,
                    RunState::Pending
                ])?;
            }
            Ok(Ok(()))
        })
    }

    /// A run gives a sign of life.
    pub fn beat(&self, run: &str) -> Result<Beat> {
        self.write("cannot record a run's progress", Durable::Process, |t| {
            let changed = t
                .prepare_cached(
                    "UPDATE runs SET beat_at = ?2 WHERE id = ?1 AND state = 'running' AND finished_at IS NULL",
                )?
                .execute(params![run, stored(Utc::now())])?;
            if changed == 1 {
                return Ok(Ok(Beat::Taken));
            }
            let mut ended = t.prepare_cached(
                "SELECT seq, message FROM runs WHERE id = ?1 AND finished_at IS NOT NULL",
            )?;
            let mut ended = ended.query([run])?;
            let Some(row) = ended.next()? else {
                return Ok(Ok(Beat::Unknown));
            };
            let message = strict::row_or_none(row, "run", |row| row.text("message"))?;
            Ok(Ok(Beat::Ended(message.unwrap_or_default())))
        })
    }

    /// The step that a run has come to: `survey`, `copy`, `publish`.
    pub fn set_step(&self, run: &str, step: &str) -> Result<()> {
        self.note_step(run, step, Durable::Process)
    }

    /// As [`Self::set_step`], for a step that must not be taken before it is recorded for good.
    pub fn commit_step(&self, run: &str, step: &str) -> Result<()> {
        self.note_step(run, step, Durable::Power)
    }

    fn note_step(&self, run: &str, step: &str, durable: Durable) -> Result<()> {
        self.write("cannot record a run's step", durable, |t| {
            let changed = t
                .prepare_cached("UPDATE runs SET step = ?2 WHERE id = ?1")?
                .execute([run, step])?;
            Ok(if changed == 1 {
                Ok(())
            } else {
                Err(unknown(run))
            })
        })
    }

    /// How far a task of a run is.
    pub fn set_task(&self, run: &str, task: &str, progress: &TaskProgress) -> Result<()> {
        let masked = progress.masked.as_ref().map(serde_json::to_string);
        let masked = masked.transpose().map_err(|error| {
            Error::new(Kind::Internal, "what was masked cannot be written as JSON").because(error)
        })?;
        let steps = steps(progress)?;
        self.write("cannot record a run's progress", Durable::Process, |t| {
            let changed = t
                .prepare_cached(
                    "UPDATE tasks SET state = ?3, progress_percent = ?4, rows = ?5, bytes = ?6,
                         duration_seconds = ?7, message = ?8, surveyed_at = ?9, masked = ?10,
                         steps = ?11
                     WHERE run = (SELECT seq FROM runs WHERE id = ?1) AND name = ?2",
                )?
                .execute(params![
                    run,
                    task,
                    progress.state,
                    // SQLite stores NaN as NULL.
                    if progress.progress_percent.is_finite() {
                        progress.progress_percent.clamp(0.0, 100.0)
                    } else {
                        0.0
                    },
                    progress.rows as i64,
                    progress.bytes as i64,
                    progress.duration_seconds.max(0.0),
                    progress.message,
                    progress.surveyed_at.map(stored),
                    masked,
                    steps,
                ])?;
            Ok(if changed == 1 {
                Ok(())
            } else {
                Err(Error::new(
                    Kind::State,
                    format!("task `{task}` of run {run} is not in the history"),
                ))
            })
        })
    }

    /// A run has ended; a task that was still running ended with it. False, and nothing is changed, if it had ended
    /// before: of two processes that find a dead run, one records it.
    pub fn finish(&self, run: &str, outcome: &Outcome) -> Result<bool> {
        self.end(run, outcome, "finished_at IS NULL")
    }

    /// As [`Self::finish`], by the run itself, which knows best: what somebody else has recorded who took it for dead is
    /// overwritten. False if there was such.
    pub fn finish_own(&self, run: &str, outcome: &Outcome) -> Result<bool> {
        if self.end(run, outcome, "finished_at IS NULL")? {
            return Ok(true);
        }
        self.end(run, outcome, "finished_at IS NOT NULL")?;
        Ok(false)
    }

    fn end(&self, run: &str, outcome: &Outcome, only: &str) -> Result<bool> {
        self.write("cannot record a run's end", Durable::Power, |t| {
            let number = match number(t, run)? {
                Ok(number) => number,
                Err(unknown) => return Ok(Err(unknown)),
            };
            let changed = t.execute(
                &format!(
                    "UPDATE runs SET state = ?2, message = ?3, errors = ?4, warnings = ?5, exit_code = ?6,
                         finished_at = max(?7, started_at), pid = NULL, process_started = NULL, boot = NULL,
                         machine = NULL, pid_namespace = NULL
                     WHERE seq = ?1 AND {only}"
                ),
                params![
                    number,
                    outcome.state,
                    outcome.message,
                    outcome.errors as i64,
                    outcome.warnings as i64,
                    outcome.exit_code,
                    stored(Utc::now()),
                ],
            )?;
            if changed == 1 {
                t.execute(
                    "UPDATE tasks SET state = ?2 WHERE run = ?1 AND state = ?3",
                    params![number, outcome.state, RunState::Running],
                )?;
            }
            Ok(Ok(changed == 1))
        })
    }
}

/// A task's steps as their column has them.
fn steps(progress: &TaskProgress) -> Result<Option<String>> {
    if progress.steps.is_empty() {
        return Ok(None);
    }
    let stored = progress.steps.iter().take(STEPS).map(|step| StoredStep {
        name: step.name.clone(),
        started: stored(step.started),
        seconds: step.seconds,
    });
    let stored: Vec<StoredStep> = stored.collect();
    serde_json::to_string(&stored).map(Some).map_err(|error| {
        Error::new(Kind::Internal, "a task's steps cannot be written as JSON").because(error)
    })
}
