//! Runs: begun, followed, ended, and asked for.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Params, Transaction, params};

use super::presence::{self, Trace};
use super::strict::{self, Strict};
use super::{
    Durable, IN_PLACE, NewRun, Outcome, Run, RunState, State, TaskProgress, TaskRow, stored,
};
use crate::error::{Error, Kind, Result};
use crate::guard::process::Process;

const COLUMNS: &str = "seq, id, job, file, verb, from_environment, to_environment, trigger, by, host, pid, \
    process_started, boot, machine, pid_namespace, timeout_ms, state, step, started_at, finished_at, message, errors, warnings, exit_code, cancelled_by, only_tasks";

/// Seconds that nothing takes: ten thousand years.
const LONGEST: f64 = 3.2e11;

/// How many runs an error names that an ambiguous id may mean.
const CANDIDATES: usize = 5;

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
        self.write("cannot record a run's progress", Durable::Process, |t| {
            let changed = t
                .prepare_cached(
                    "UPDATE tasks SET state = ?3, progress_percent = ?4, rows = ?5, bytes = ?6,
                         duration_seconds = ?7, message = ?8, surveyed_at = ?9
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

    /// The run with this id, or the only one whose id begins so, or, failing that, ends so (names of incoming carry an
    /// id's end). An error lists the candidates if there are several.
    pub fn run(&self, id: &str) -> Result<Option<Run>> {
        let id = id.trim().to_ascii_lowercase();
        if id.is_empty() {
            return Ok(None);
        }
        let mut found = self.read("cannot read the history", |t| {
            let exact = select(t, "WHERE id = ?1", [&id])?;
            if !exact.is_empty() {
                return Ok(exact);
            }
            let begun = select(
                t,
                "WHERE id >= ?1 AND id < ?1 || '~' ORDER BY seq DESC LIMIT 6",
                [&id],
            )?;
            if !begun.is_empty() {
                return Ok(begun);
            }
            select(
                t,
                "WHERE substr(id, -length(?1)) = ?1 ORDER BY seq DESC LIMIT 6",
                [&id],
            )
        })?;
        if found.len() > 1 {
            let names: Vec<String> = found
                .iter()
                .take(CANDIDATES)
                .map(|run| format!("{} ({})", run.id, run.job))
                .collect();
            let more = if found.len() > CANDIDATES {
                " and more"
            } else {
                ""
            };
            return Err(Error::new(
                Kind::Usage,
                format!("`{id}` is not one run: {}{more}", names.join(", ")),
            )
            .hint("give more of the id"));
        }
        Ok(found.pop())
    }

    /// How many characters of each of these ids tell it from all others in the history: at least those that a person tells
    /// runs apart by.
    pub fn telling_length<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Result<usize> {
        self.read("cannot read the history", |t| {
            let mut beside = t.prepare_cached(
                "SELECT id FROM (SELECT id FROM runs WHERE id < ?1 ORDER BY id DESC LIMIT 1)
                 UNION ALL
                 SELECT id FROM (SELECT id FROM runs WHERE id > ?1 ORDER BY id LIMIT 1)",
            )?;
            // 13 characters of a version 7 UUID are its time in milliseconds.
            let mut length = 13;
            for id in ids {
                let others = strict::rows(beside.query([id])?, "run", |row| row.run_id("id"))?;
                for other in others {
                    let same = id.bytes().zip(other.bytes()).take_while(|(a, b)| a == b);
                    length = length.max(same.count() + 1);
                }
            }
            Ok(length)
        })
    }

    /// Whether a run in place has emptied a job's live target and none has loaded it since: the newest run says so that
    /// came far enough to know.
    pub fn is_broken(&self, job: &str) -> Result<bool> {
        self.read("cannot read the history", |t| {
            t.prepare_cached(
                "SELECT state <> 'succeeded' AND substr(step, 1, length(?2)) = ?2 FROM runs \
                 WHERE job = ?1 AND verb = 'run' AND state NOT IN ('pending', 'running') \
                   AND (state = 'succeeded' OR step IN ('hooks', 'record') OR substr(step, 1, length(?2)) = ?2) \
                 ORDER BY seq DESC LIMIT 1",
            )?
            .query_row([job, IN_PLACE], |row| row.get::<_, Option<bool>>(0))
            .optional()
            .map(|broken| broken.flatten().unwrap_or_default())
        })
    }

    /// The newest runs, of one job or of all, newest first.
    pub fn runs(&self, job: Option<&str>, limit: usize) -> Result<Vec<Run>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.read("cannot read the history", |t| match job {
            Some(job) => select(
                t,
                "WHERE job = ?1 ORDER BY seq DESC LIMIT ?2",
                params![job, limit],
            ),
            None => select(t, "ORDER BY seq DESC LIMIT ?1", [limit]),
        })
    }

    /// A job's newest run, a rollback and one that waits included; those that were skipped are none.
    pub fn last_run(&self, job: &str) -> Result<Option<Run>> {
        let found = self.read("cannot read the history", |t| {
            select(
                t,
                "WHERE job = ?1 AND state <> 'skipped' ORDER BY seq DESC LIMIT 1",
                [job],
            )
        })?;
        Ok(found.into_iter().next())
    }

    /// The newest run that published what it copied.
    pub fn last_published(&self, job: &str) -> Result<Option<Run>> {
        let found = self.read("cannot read the history", |t| {
            select(
                t,
                "WHERE job = ?1 AND verb = 'run' AND finished_at IS NOT NULL
                   AND (state = 'succeeded' OR step IN ('hooks', 'record')) ORDER BY seq DESC LIMIT 1",
                [job],
            )
        })?;
        Ok(found.into_iter().next())
    }

    /// When a job last brought new data (a rollback brings old data), all of it: a part of it makes the rest no younger.
    pub fn last_success_at(&self, job: &str) -> Result<Option<DateTime<Utc>>> {
        self.read("cannot read the history", |t| {
            let mut statement = t.prepare_cached(
                "SELECT seq, finished_at FROM runs
                 WHERE job = ?1 AND verb = 'run' AND state = 'succeeded' AND only_tasks IS NULL
                 ORDER BY seq DESC LIMIT 1",
            )?;
            let found = strict::first(statement.query([job])?, "run", |row| {
                row.optional_time("finished_at")
            })?;
            Ok(found.flatten())
        })
    }

    /// How many runs of a job failed or were refused since the last that succeeded. Busy and cancelled ones neither count
    /// nor start the count anew; nor do rollbacks, nor runs of a part: they say nothing of the whole.
    pub fn consecutive_failures(&self, job: &str) -> Result<u32> {
        self.read("cannot read the history", |t| {
            t.prepare_cached(
                "WITH success (seq) AS (
                     SELECT coalesce(max(seq), 0) FROM runs
                     WHERE job = ?1 AND verb = 'run' AND state = 'succeeded' AND only_tasks IS NULL)
                 SELECT count(*) FROM runs, success
                 WHERE job = ?1 AND verb = 'run' AND state IN ('failed', 'refused') AND only_tasks IS NULL
                   AND runs.seq > success.seq",
            )?
            .query_row([job], |row| row.get(0))
        })
    }

    /// The names of all jobs that ever ran, sorted.
    pub fn jobs(&self) -> Result<Vec<String>> {
        self.read("cannot read the history", |t| {
            // From name to name by the index; DISTINCT would look at every run.
            let mut statement = t.prepare_cached(
                "WITH RECURSIVE jobs (job) AS (
                     SELECT min(job) FROM runs
                     UNION ALL
                     SELECT (SELECT min(job) FROM runs WHERE job > jobs.job) FROM jobs WHERE jobs.job IS NOT NULL)
                 SELECT job FROM jobs WHERE job IS NOT NULL",
            )?;
            strict::rows(statement.query([])?, "runs of job", |row| row.job("job"))
        })
    }

    /// The names of all environments that a run ever read or wrote, sorted.
    pub fn environments(&self) -> Result<Vec<String>> {
        self.read("cannot read the history", |t| {
            let mut statement = t.prepare_cached(
                "SELECT from_environment AS name FROM runs UNION SELECT to_environment FROM runs",
            )?;
            strict::rows(statement.query([])?, "runs of environment", |row| {
                row.environment("name")
            })
        })
    }

    /// The runs that have not ended, oldest first: those that run, dead ones among them, and those that wait.
    pub fn unfinished(&self) -> Result<Vec<Run>> {
        self.read("cannot read the history", |t| {
            select(t, "WHERE finished_at IS NULL ORDER BY seq", [])
        })
    }

    /// The runs that have not ended although their process is gone, oldest first.
    pub fn dead_runs(&self) -> Result<Vec<Run>> {
        let mut runs = self.unfinished()?;
        runs.retain(Run::is_dead);
        Ok(runs)
    }
}

/// Reads whole runs; `rest` is what follows FROM.
pub(super) fn select(
    t: &Transaction<'_>,
    rest: &str,
    params: impl Params,
) -> rusqlite::Result<Vec<Run>> {
    let mut statement = t.prepare_cached(&format!("SELECT {COLUMNS} FROM runs {rest}"))?;
    let mut runs: Vec<(i64, Run)> = strict::rows(statement.query(params)?, "run", run)?;
    let mut tasks = t.prepare_cached(
        "SELECT name, kind, state, progress_percent, rows, bytes, duration_seconds, message, surveyed_at
         FROM tasks WHERE run = ?1 ORDER BY position",
    )?;
    for (number, run) in &mut runs {
        if run.state == RunState::Running && run.finished_at.is_none() {
            run.gone = is_gone(t, *number, run)?;
        }
        let what = format!("run {number}, its task");
        run.tasks = strict::rows(tasks.query([*number])?, &what, task)?;
    }
    Ok(runs.into_iter().map(|(_, run)| run).collect())
}

/// As the column has them: no task's name has a comma in it.
pub(super) fn names(only: &[String]) -> Option<String> {
    (!only.is_empty()).then(|| only.join(","))
}

fn is_gone(t: &Transaction<'_>, number: i64, run: &Run) -> rusqlite::Result<bool> {
    let Some(process) = &run.process else {
        return Ok(true);
    };
    let mut statement = t.prepare_cached("SELECT seq, beat_at FROM runs WHERE seq = ?1")?;
    let beat = strict::first(statement.query([number])?, "run", |row| {
        row.optional_time("beat_at")
    })?;
    let trace = Trace {
        process,
        host: &run.host,
        lease: &presence::lease_of_run(&run.id),
        since: run.started_at,
        beat: beat.flatten(),
    };
    Ok(trace.is_gone(t))
}

/// The number that a run's tasks and logs refer to it by.
pub(super) fn number(t: &Transaction<'_>, run: &str) -> rusqlite::Result<Result<i64>> {
    let found = t
        .prepare_cached("SELECT seq FROM runs WHERE id = ?1")?
        .query_row([run], |row| row.get(0))
        .optional()?;
    Ok(found.ok_or_else(|| unknown(run)))
}

fn unknown(run: &str) -> Error {
    Error::new(Kind::State, format!("run {run} is not in the history"))
}

fn run(row: &Strict<'_, '_>) -> rusqlite::Result<(i64, Run)> {
    let run = Run {
        id: row.run_id("id")?,
        job: row.job("job")?,
        file: PathBuf::from(OsString::from_vec(row.path("file")?)),
        verb: row.get("verb")?,
        from: row.environment("from_environment")?,
        to: row.environment("to_environment")?,
        trigger: row.get("trigger")?,
        by: row.word("by")?,
        host: row.word("host")?,
        process: process(row)?,
        timeout: row.optional_count("timeout_ms")?.map(Duration::from_millis),
        state: row.get("state")?,
        step: row.keyword("step")?,
        started_at: row.time("started_at")?,
        finished_at: row.optional_time("finished_at")?,
        message: row.text("message")?,
        errors: row.count("errors")?,
        warnings: row.count("warnings")?,
        exit_code: row.get("exit_code")?,
        cancelled_by: row.optional_word("cancelled_by")?,
        tasks: Vec::new(),
        only: row.names("only_tasks")?,
        gone: false,
    };
    Ok((row.get("seq")?, run))
}

/// A process mark from the columns `pid`, `process_started`, `boot`, `machine` and `pid_namespace`.
pub(super) fn process(row: &Strict<'_, '_>) -> rusqlite::Result<Option<Process>> {
    let Some(pid) = row.pid("pid")? else {
        return Ok(None);
    };
    Ok(Some(Process {
        pid,
        started: row.optional_count("process_started")?.unwrap_or(0),
        boot: row.optional_word("boot")?.unwrap_or_default(),
        machine: row.optional_word("machine")?.unwrap_or_default(),
        namespace: row.optional_count("pid_namespace")?.unwrap_or(0),
    }))
}

fn task(row: &Strict<'_, '_>) -> rusqlite::Result<TaskRow> {
    Ok(TaskRow {
        name: row.job("name")?,
        kind: row.keyword("kind")?,
        progress: TaskProgress {
            state: row.get("state")?,
            progress_percent: row.measure("progress_percent", 100.0)?,
            rows: row.count("rows")?,
            bytes: row.count("bytes")?,
            duration_seconds: row.measure("duration_seconds", LONGEST)?,
            message: row.text("message")?,
            surveyed_at: row.optional_time("surveyed_at")?,
        },
    })
}
