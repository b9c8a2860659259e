//! Taking old runs out of the history, a few at a time.
//!
//! Pages that become free are used again, so the file is never bigger than what it held at its fullest. It is not made
//! smaller: auto_vacuum has to be chosen before the first table is made (or the whole file is written anew, under a lock
//! that every run would wait for), and a history that is as long every day would only grow into the same room again.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rusqlite::params;

use super::{Durable, State, answers, audit, stored, strict, tokens};
use crate::config::reporting::Retention;
use crate::error::Result;

/// How much goes in one transaction: few enough that who waits for the lock does not notice.
const RUNS: usize = 200;
const LINES: usize = 5000;

/// How many rows of the small lists.
const ROWS: usize = 5000;

/// Between two transactions. SQLite's waiters look again after some milliseconds: without a pause they would never
/// find the lock free.
const PAUSE: Duration = Duration::from_millis(15);

/// What was taken out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Whole runs.
    pub runs: u64,
    /// Lines of logs, those of whole runs included.
    pub log_lines: u64,
}

/// What becomes of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Stays,
    LosesItsLog,
    Goes,
}

/// What has to be known of a run to judge it.
#[derive(Debug, Clone, Copy)]
struct Facts {
    seq: i64,
    is_skipped: bool,
    is_success: bool,
    is_published: bool,
    finished_at: Option<i64>,
}

/// Judges runs, newest first.
struct Judge {
    cut: i64,
    log_cut: i64,
    max_runs: u32,
    jobs: HashMap<String, Seen>,
}

/// Which of a job's newest runs have been passed.
#[derive(Default)]
struct Seen {
    runs: u32,
    skips: u32,
    has_ended: bool,
    has_succeeded: bool,
    has_published: bool,
}

impl Judge {
    fn new(retention: &Retention, now: DateTime<Utc>) -> Self {
        Self {
            cut: before(now, retention.max_age),
            log_cut: before(now, retention.log_max_age),
            max_runs: retention.max_runs,
            jobs: HashMap::new(),
        }
    }

    fn judge(&mut self, job: &str, run: Facts) -> Verdict {
        if !self.jobs.contains_key(job) {
            self.jobs.insert(job.to_owned(), Seen::default());
        }
        let Some(seen) = self.jobs.get_mut(job) else {
            return Verdict::Stays;
        };
        // Runs that were skipped are counted by themselves: they must not push out those that were not.
        let count = if run.is_skipped {
            &mut seen.skips
        } else {
            &mut seen.runs
        };
        *count += 1;
        let position = *count;
        let Some(finished_at) = run.finished_at else {
            return Verdict::Stays;
        };
        let is_last = !run.is_skipped && position == 1;
        let is_last_ended = !run.is_skipped && !std::mem::replace(&mut seen.has_ended, true);
        let is_last_success = run.is_success && !std::mem::replace(&mut seen.has_succeeded, true);
        // A part's is no success of the job, and still what a rollback goes by.
        let is_last_published =
            run.is_published && !std::mem::replace(&mut seen.has_published, true);
        let is_over = position > self.max_runs || finished_at < self.cut;
        if is_over && !is_last && !is_last_ended && !is_last_success && !is_last_published {
            Verdict::Goes
        } else if finished_at < self.cut.max(self.log_cut) {
            Verdict::LosesItsLog
        } else {
            Verdict::Stays
        }
    }
}

/// The time that lies so far before `now`, as it is stored.
fn before(now: DateTime<Utc>, age: Duration) -> i64 {
    stored(now).saturating_sub(i64::try_from(age.as_micros()).unwrap_or(i64::MAX))
}

impl State {
    /// Takes out what is older, or more, than `retention` allows: never a run that has not ended, a job's last run, its
    /// last that ended, or its last success; of those, the log alone. It takes a while and blocks, but nobody else for
    /// more than some milliseconds. What a killed one left is left for the next.
    pub fn prune(&self, retention: &Retention, now: DateTime<Utc>) -> Result<Pruned> {
        let mut left = self.too_old(retention, now)?;
        let mut pruned = Pruned::default();
        while !left.is_empty() {
            self.prune_some(&mut left, &mut pruned)?;
            if !left.is_empty() {
                std::thread::sleep(PAUSE);
            }
        }
        self.prune_lists(retention, now)?;
        Ok(pruned)
    }

    /// Takes out what is old of the audit list, of tokens and of answers.
    fn prune_lists(&self, retention: &Retention, now: DateTime<Utc>) -> Result<()> {
        let cut = before(now, retention.max_age);
        loop {
            let gone = self.write("cannot prune the history", Durable::Process, |t| {
                let (audited, answered) = (audit::prune(t, cut, ROWS)?, answers::prune(t, ROWS)?);
                let expired = tokens::prune(t, ROWS)?;
                Ok(Ok(audited.max(answered).max(expired)))
            })?;
            if gone < ROWS {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
    }

    /// The runs that go (true) or lose their log (false). It stays right while others write: what is not a job's last
    /// of something now never becomes it.
    fn too_old(&self, retention: &Retention, now: DateTime<Utc>) -> Result<VecDeque<(i64, bool)>> {
        self.read("cannot read the history", |t| {
            let mut has_log = t.prepare_cached("SELECT EXISTS (SELECT 1 FROM logs WHERE run = ?1)")?;
            let mut runs = t.prepare_cached(
                "SELECT seq, state = 'skipped', verb = 'run' AND state = 'succeeded' AND only_tasks IS NULL,
                        finished_at, job, verb = 'run' AND state = 'succeeded'
                 FROM runs ORDER BY seq DESC",
            )?;
            let mut runs = runs.query([])?;
            let mut judge = Judge::new(retention, now);
            let mut found = VecDeque::new();
            while let Some(row) = runs.next()? {
                // One that nobody can read is left for who wants to know where it came from.
                let read = strict::row_or_none(row, "run", |_| {
                    let run = Facts {
                        seq: row.get(0)?,
                        is_skipped: row.get(1)?,
                        is_success: row.get(2)?,
                        finished_at: row.get(3)?,
                        is_published: row.get(5)?,
                    };
                    Ok((row.get_ref(4)?.as_str()?, run))
                });
                let Some((job, run)) = read? else {
                    continue;
                };
                match judge.judge(job, run) {
                    Verdict::Goes => found.push_front((run.seq, true)),
                    Verdict::LosesItsLog if has_log.query_row([run.seq], |row| row.get(0))? => {
                        found.push_front((run.seq, false));
                    }
                    Verdict::LosesItsLog | Verdict::Stays => {}
                }
            }
            Ok(found)
        })
    }

    fn prune_some(&self, left: &mut VecDeque<(i64, bool)>, pruned: &mut Pruned) -> Result<()> {
        let (done, now) = self.write("cannot prune the history", Durable::Process, |t| {
            let mut lines = t.prepare_cached(
                "DELETE FROM logs WHERE run = ?1
                     AND seq IN (SELECT seq FROM logs WHERE run = ?1 ORDER BY seq LIMIT ?2)",
            )?;
            let mut run =
                t.prepare_cached("DELETE FROM runs WHERE seq = ?1 AND finished_at IS NOT NULL")?;
            let mut now = Pruned::default();
            let mut done = 0;
            for (seq, whole) in left.iter().take(RUNS) {
                let room = LINES - now.log_lines as usize;
                let gone = lines.execute(params![seq, room as i64])?;
                now.log_lines += gone as u64;
                if gone == room {
                    // There may be more of them.
                    break;
                }
                if *whole {
                    now.runs += run.execute([seq])? as u64;
                }
                done += 1;
            }
            Ok(Ok((done, now)))
        })?;
        left.drain(..done);
        pruned.runs += now.runs;
        pruned.log_lines += now.log_lines;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
