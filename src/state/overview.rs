//! All jobs at once: what `status` and metrics ask for. One job at a time, a thousand of them would take too long.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::params;

use super::history::select;
use super::{Run, RunState, State, Verb, strict};
use crate::error::Result;

/// A job as its history has it.
#[derive(Debug, Clone, PartialEq)]
pub struct JobOverview {
    /// The job's name.
    pub job: String,
    /// Its newest run, a rollback included, a skipped one not; `None` if all of them were skipped.
    pub last_run: Option<Run>,
    /// When it last brought new data, as [`State::last_success_at`].
    pub last_success_at: Option<DateTime<Utc>>,
    /// As [`State::consecutive_failures`].
    pub consecutive_failures: u32,
}

/// What all ended runs of a job that ended in one way add up to, those that are no longer in the history included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Total {
    /// The job's name.
    pub job: String,
    /// The verb of the runs.
    pub verb: Verb,
    /// How they ended.
    pub state: RunState,
    /// How many.
    pub runs: u64,
    /// How long they took, together.
    pub duration: Duration,
    /// Rows that their targets took.
    pub rows: u64,
    /// Bytes that went through.
    pub bytes: u64,
}

impl State {
    /// Every job that has a history, sorted by name, as of one moment.
    pub fn overview(&self) -> Result<Vec<JobOverview>> {
        self.read("cannot read the history", |t| {
            // From name to name by the index, and for each name a few steps down an index.
            let mut statement = t
                .prepare_cached(
                    "WITH RECURSIVE
                     names (job) AS (
                         SELECT min(job) FROM runs
                         UNION ALL
                         SELECT (SELECT min(job) FROM runs WHERE job > names.job) FROM names WHERE names.job IS NOT NULL),
                     jobs (job, success) AS MATERIALIZED (
                         SELECT job, (SELECT max(seq) FROM runs
                                      WHERE job = names.job AND verb = 'run' AND state = 'succeeded' AND only_tasks IS NULL)
                         FROM names WHERE job IS NOT NULL)
                     SELECT job,
                            (SELECT max(seq) FROM runs WHERE job = jobs.job AND state != 'skipped') AS last,
                            (SELECT finished_at FROM runs WHERE seq = jobs.success) AS success_at,
                            (SELECT count(*) FROM runs
                             WHERE job = jobs.job AND verb = 'run' AND state IN ('failed', 'refused')
                                   AND only_tasks IS NULL AND seq > coalesce(jobs.success, 0)) AS failures
                     FROM jobs",
                )?;
            let jobs =
                strict::rows(statement.query([])?, "runs of job", |row| {
                    Ok((
                        row.job("job")?,
                        row.get::<Option<i64>>("last")?,
                        row.optional_time("success_at")?,
                        row.get::<u32>("failures")?,
                    ))
                })?;
            jobs.into_iter()
                .map(|(job, last, success, consecutive_failures)| {
                    Ok(JobOverview {
                        last_run: match last {
                            Some(last) => select(t, "WHERE seq = ?1", [last])?.pop(),
                            None => None,
                        },
                        last_success_at: success,
                        consecutive_failures,
                        job,
                    })
                })
                .collect()
        })
    }

    /// One job, as [`Self::overview`] has it; `None`: it has no history.
    pub fn job_overview(&self, job: &str) -> Result<Option<JobOverview>> {
        let last_run = self.last_run(job)?;
        if last_run.is_none() && self.runs(Some(job), 1)?.is_empty() {
            return Ok(None);
        }
        Ok(Some(JobOverview {
            job: job.to_owned(),
            last_run,
            last_success_at: self.last_success_at(job)?,
            consecutive_failures: self.consecutive_failures(job)?,
        }))
    }

    /// How the newest runs of each of these jobs ended and how long they took, newest first. Those that were meant to copy,
    /// have begun and ended are meant.
    pub fn last_lengths(
        &self,
        jobs: &[&str],
        limit: usize,
    ) -> Result<Vec<Vec<(RunState, Duration)>>> {
        self.read("cannot read the history", |t| {
            let mut statement = t.prepare_cached(
                "SELECT state, started_at, finished_at FROM runs
                 WHERE job = ?1 AND verb = 'run' AND state NOT IN ('skipped', 'pending', 'running')
                       AND finished_at IS NOT NULL
                 ORDER BY seq DESC LIMIT ?2",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            jobs.iter()
                .map(|job| {
                    strict::rows(
                        statement.query(params![job, limit])?,
                        "runs of job",
                        |row| {
                            let took = row.time("finished_at")? - row.time("started_at")?;
                            // The clock may have been set back meanwhile.
                            Ok((row.get("state")?, took.to_std().unwrap_or_default()))
                        },
                    )
                })
                .collect()
        })
    }

    /// The newest run of a job that has ended and was meant to copy: neither a rollback nor skipped.
    pub fn last_ended(&self, job: &str) -> Result<Option<Run>> {
        self.read("cannot read the history", |t| {
            Ok(select(
                t,
                "WHERE job = ?1 AND verb = 'run' AND state != 'skipped' AND finished_at IS NOT NULL
                 ORDER BY seq DESC LIMIT 1",
                [job],
            )?
            .pop())
        })
    }

    /// What runs add up to, by job, verb and end. No number ever becomes smaller, whatever is taken out of the history.
    pub fn totals(&self) -> Result<Vec<Total>> {
        self.read("cannot read the history", |t| {
            let mut statement = t.prepare_cached(
                "SELECT job, verb, state, runs, micros, rows, bytes FROM totals ORDER BY job, verb, state",
            )?;
            strict::rows(statement.query([])?, "totals of job", |row| {
                Ok(Total {
                    job: row.job("job")?,
                    verb: row.get("verb")?,
                    state: row.get("state")?,
                    runs: row.count("runs")?,
                    duration: Duration::from_micros(row.count("micros")?),
                    rows: row.count("rows")?,
                    bytes: row.count("bytes")?,
                })
            })
        })
    }
}

#[cfg(test)]
mod tests;
