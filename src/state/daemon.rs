//! The daemon's record of itself and of the jobs that it knows, for the next daemon and for `status`.

use chrono::{DateTime, Utc};
use rusqlite::{Transaction, params};

use super::presence::{self, LEASE_OF_DAEMON};
use super::strict::{self, Strict};
use super::{Durable, State, history, stored};
use crate::error::Result;
use crate::guard::lease::Lease;
use crate::guard::process::{Process, Sight, host_name};

/// A daemon: the one that runs, or the last that did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Daemon {
    /// Its version.
    pub version: String,
    /// Its machine.
    pub host: String,
    /// Its process; `None` once it has stopped.
    pub process: Option<Process>,
    /// When it started.
    pub since: DateTime<Utc>,
    /// When it last looked at the clock, half a minute late at the most.
    pub seen_at: DateTime<Utc>,
    /// What is wrong with its settings' file; empty: nothing.
    pub problem: String,
    /// Whether it had its lease when this was read; nobody writes that.
    pub leased: bool,
}

impl Daemon {
    /// Whether it runs, here or in another container that shares the state directory.
    pub fn is_alive(&self) -> bool {
        let Some(process) = &self.process else {
            return false;
        };
        match process.look() {
            Sight::Alive => true,
            Sight::Gone => false,
            // An older envsyncd wrote down neither machine nor namespace: another boot was one of this machine.
            Sight::Unseen if process.namespace == 0 && self.host == host_name() => false,
            Sight::Unseen => self.leased || (Utc::now() - self.seen_at).abs() <= presence::LIMIT,
        }
    }
}

/// A job that the daemon knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownJob {
    /// Its name.
    pub job: String,
    /// Its timetable as text, to see that it has changed; empty: none.
    pub timetable: String,
    /// Every due time up to here has been dealt with.
    pub handled_until: DateTime<Utc>,
    /// When it is due next, paused or not.
    pub next_run_at: Option<DateTime<Utc>>,
    /// What is wrong with its file, in one line; its last good version stays in force. Empty: nothing.
    pub problem: String,
}

impl State {
    /// Whether a daemon works on this state store.
    pub fn has_daemon(&self) -> Result<bool> {
        Ok(self.daemon()?.is_some_and(|daemon| daemon.is_alive()))
    }

    /// Records the daemon that runs, or that it has stopped.
    pub fn set_daemon(&self, daemon: &Daemon) -> Result<()> {
        self.write("cannot record the daemon", Durable::Process, |t| {
            t.execute(
                "INSERT OR REPLACE INTO daemon (one, version, host, pid, process_started, boot, since, seen_at, problem,
                     machine, pid_namespace)
                 VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    daemon.version,
                    daemon.host,
                    daemon.process.as_ref().map(|process| process.pid),
                    daemon.process.as_ref().map(|process| process.started as i64),
                    daemon.process.as_ref().map(|process| &process.boot),
                    stored(daemon.since),
                    stored(daemon.seen_at),
                    daemon.problem,
                    daemon.process.as_ref().map(|process| &process.machine),
                    daemon.process.as_ref().map(|process| process.namespace as i64),
                ],
            )?;
            Ok(Ok(()))
        })
    }

    /// The daemon that runs, or the last that did.
    pub fn daemon(&self) -> Result<Option<Daemon>> {
        self.read("cannot read the daemon's record", |t| {
            let mut statement = t.prepare_cached("SELECT * FROM daemon")?;
            strict::first(statement.query([])?, "daemon", |row| {
                Ok(Daemon {
                    version: row.word("version")?,
                    host: row.word("host")?,
                    process: history::process(row)?,
                    since: row.time("since")?,
                    seen_at: row.time("seen_at")?,
                    problem: row.text("problem")?,
                    leased: presence::directory(t)
                        .is_some_and(|dir| Lease::is_held(&dir, LEASE_OF_DAEMON)),
                })
            })
        })
    }

    /// Records jobs that the daemon knows.
    pub fn set_jobs(&self, jobs: &[KnownJob]) -> Result<()> {
        if jobs.is_empty() {
            return Ok(());
        }
        self.write("cannot record the jobs", Durable::Process, |t| {
            for job in jobs {
                set(t, job)?;
            }
            Ok(Ok(()))
        })
    }

    /// A job's file is gone.
    pub fn forget_job(&self, job: &str) -> Result<()> {
        self.write("cannot forget a job", Durable::Process, |t| {
            t.execute("DELETE FROM jobs WHERE job = ?1", [job])?;
            t.execute("DELETE FROM pauses WHERE job = ?1", [job])?;
            Ok(Ok(()))
        })
    }

    /// The jobs that the daemon knows, sorted.
    pub fn known_jobs(&self) -> Result<Vec<KnownJob>> {
        self.read("cannot read the jobs", |t| {
            let mut statement = t.prepare_cached("SELECT * FROM jobs ORDER BY job")?;
            strict::rows(statement.query([])?, "job", read)
        })
    }

    /// A job that the daemon knows.
    pub fn known_job(&self, job: &str) -> Result<Option<KnownJob>> {
        self.read("cannot read the jobs", |t| {
            let mut statement = t.prepare_cached("SELECT * FROM jobs WHERE job = ?1")?;
            strict::first(statement.query([job])?, "job", read)
        })
    }
}

pub(super) fn set(t: &Transaction<'_>, job: &KnownJob) -> rusqlite::Result<()> {
    t.prepare_cached(
        "INSERT OR REPLACE INTO jobs (job, timetable, handled_until, next_run_at, problem)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        job.job,
        job.timetable,
        stored(job.handled_until),
        job.next_run_at.map(stored),
        job.problem
    ])?;
    Ok(())
}

fn read(row: &Strict<'_, '_>) -> rusqlite::Result<KnownJob> {
    Ok(KnownJob {
        job: row.job("job")?,
        timetable: row.word("timetable")?,
        handled_until: row.time("handled_until")?,
        next_run_at: row.optional_time("next_run_at")?,
        problem: row.text("problem")?,
    })
}
