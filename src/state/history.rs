//! Runs, as the history has them.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::{OptionalExtension, Params, Transaction, params};

use super::presence::{self, Trace};
use super::strict::{self, Strict};
use super::{IN_PLACE, Run, RunState, State, TaskProgress, TaskRow};
use crate::error::{Error, Kind, Result};
use crate::guard::process::Process;

const COLUMNS: &str = "seq, id, job, file, verb, from_environment, to_environment, trigger, by, host, pid, \
    process_started, boot, machine, pid_namespace, timeout_ms, state, step, started_at, finished_at, message, errors, warnings, exit_code, cancelled_by, only_tasks";

/// How many runs an error names that an ambiguous id may mean.
const CANDIDATES: usize = 5;

/// Which part of the history.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    /// Runs of these jobs; `None`: of all.
    pub jobs: Option<&'a [String]>,
    /// Runs into these environments; `None`: into all.
    pub to: Option<&'a [String]>,
    /// Runs in this state; `None`: in all.
    pub state: Option<RunState>,
    /// Runs before this one, by its whole id.
    pub before: Option<&'a str>,
    /// How many at the most.
    pub limit: usize,
}

impl State {
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

    /// A page of the history, newest first.
    pub fn page(&self, page: &Page<'_>) -> Result<Vec<Run>> {
        let mut conditions = vec!["1 = 1".to_owned()];
        let mut values: Vec<String> = Vec::new();
        let mut one_of = |column: &str, all: &[String]| {
            let first = values.len() + 1;
            values.extend(all.iter().cloned());
            let marks: Vec<String> = (first..=values.len()).map(|at| format!("?{at}")).collect();
            conditions.push(format!("{column} IN ({})", marks.join(", ")));
        };
        if let Some(jobs) = page.jobs {
            one_of("job", jobs);
        }
        if let Some(to) = page.to {
            one_of("to_environment", to);
        }
        if let Some(state) = page.state {
            one_of("state", &[state.as_str().to_owned()]);
        }
        if let Some(before) = page.before {
            values.push(before.to_owned());
            conditions.push(format!(
                "seq < (SELECT seq FROM runs WHERE id = ?{})",
                values.len()
            ));
        }
        let rest = format!(
            "WHERE {} ORDER BY seq DESC LIMIT {}",
            conditions.join(" AND "),
            page.limit
        );
        self.read("cannot read the history", |t| {
            select(t, &rest, rusqlite::params_from_iter(&values))
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
        "SELECT name, kind, state, progress_percent, rows, bytes, duration_seconds, message, surveyed_at, masked, steps
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

pub(super) fn unknown(run: &str) -> Error {
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
            duration_seconds: row.measure("duration_seconds", strict::LONGEST)?,
            message: row.text("message")?,
            surveyed_at: row.optional_time("surveyed_at")?,
            masked: row.optional_json("masked")?,
            steps: row.steps("steps")?,
        },
    })
}
