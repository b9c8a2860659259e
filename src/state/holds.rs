//! Holds: claims on an environment that keep runs out of it.

use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::{Row, Transaction, params};

use super::{Durable, State, history, loaded, stored};
use crate::error::{Error, Kind, Result};
use crate::guard::process::{Process, host_name};

/// A claim on an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// What is held.
    pub environment: String,
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// On which machine it was taken.
    pub host: String,
    /// When it was taken.
    pub since: DateTime<Utc>,
    /// The process that it ends with; `None`: it stays until it is released.
    pub process: Option<Process>,
}

impl Hold {
    /// `staging is held by deploy on db2 (process 77) since 2026-01-01T00:18:00Z: release 42`.
    pub fn sentence(&self) -> String {
        let process = self
            .process
            .as_ref()
            .map(|process| format!(" (process {})", process.pid))
            .unwrap_or_default();
        format!(
            "`{}` is held by {} on {}{process} since {}: {}",
            self.environment,
            if self.by.is_empty() {
                "someone"
            } else {
                &self.by
            },
            self.host,
            self.since.to_rfc3339_opts(SecondsFormat::Secs, true),
            self.reason,
        )
    }

    fn is_dead(&self, host: &str) -> bool {
        self.host == host
            && self
                .process
                .as_ref()
                .is_some_and(|process| !process.is_alive())
    }
}

impl State {
    /// Takes a hold. `Kind::Busy` says who has it if another is there, or which run is just then writing into the
    /// environment: once a hold is had, nothing of ours changes the environment.
    pub fn hold(&self, hold: &Hold) -> Result<()> {
        let host = host_name();
        self.write("cannot record a hold", Durable::Power, |t| {
            if let Some(there) = living(t, &hold.environment, &host)? {
                return Ok(Err(Error::new(Kind::Busy, there.sentence()).hint(format!(
                    "wait, or `envsyncd release {}`",
                    there.environment
                ))));
            }
            let running = history::select(
                t,
                "WHERE finished_at IS NULL AND state = 'running' AND to_environment = ?1 ORDER BY seq",
                [&hold.environment],
            )?;
            if let Some(run) = running.iter().find(|run| !run.is_dead(&host)) {
                let process = run.process.as_ref().map_or(0, |process| process.pid);
                return Ok(Err(Error::new(
                    Kind::Busy,
                    format!(
                        "run {} of job `{}` has been writing into `{}` since {} (process {process} on {})",
                        run.id,
                        run.job,
                        hold.environment,
                        run.started_at.to_rfc3339_opts(SecondsFormat::Secs, true),
                        run.host,
                    ),
                )
                .hint("wait for its end and try again")));
            }
            t.execute(
                "INSERT INTO holds (environment, reason, by, host, since, pid, process_started, boot)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    hold.environment,
                    hold.reason,
                    hold.by,
                    hold.host,
                    stored(hold.since),
                    hold.process.as_ref().map(|process| process.pid),
                    hold.process.as_ref().map(|process| process.started as i64),
                    hold.process.as_ref().map(|process| &process.boot),
                ],
            )?;
            Ok(Ok(()))
        })
    }

    /// Ends the hold on an environment, whoever has it, and returns it; `None` if there was none.
    pub fn release(&self, environment: &str) -> Result<Option<Hold>> {
        let host = host_name();
        self.write("cannot release a hold", Durable::Power, |t| {
            let there = living(t, environment, &host)?;
            t.execute("DELETE FROM holds WHERE environment = ?1", [environment])?;
            Ok(Ok(there))
        })
    }

    /// Ends the hold that this process took, and no other one; false if it was gone already.
    pub fn release_own(&self, environment: &str, process: &Process) -> Result<bool> {
        self.write("cannot release a hold", Durable::Power, |t| {
            let gone = t.execute(
                "DELETE FROM holds WHERE environment = ?1 AND pid = ?2 AND process_started = ?3 AND boot = ?4",
                params![environment, process.pid, process.started as i64, process.boot],
            )?;
            Ok(Ok(gone > 0))
        })
    }

    /// The hold on an environment. One whose process (on this host) is gone does not count.
    pub fn hold_on(&self, environment: &str) -> Result<Option<Hold>> {
        let host = host_name();
        let found = self.read("cannot read the holds", |t| {
            select(t, "WHERE environment = ?1", &[environment])
        })?;
        let (dead, mut living): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|hold| hold.is_dead(&host));
        for hold in dead {
            self.forget(&hold);
        }
        Ok(living.pop())
    }

    /// All holds, sorted by environment, without those whose process (on this host) is gone.
    pub fn holds(&self) -> Result<Vec<Hold>> {
        let host = host_name();
        let found = self.read("cannot read the holds", |t| {
            select(t, "ORDER BY environment", &[])
        })?;
        let (dead, living): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|hold| hold.is_dead(&host));
        for hold in dead {
            self.forget(&hold);
        }
        Ok(living)
    }

    /// Someone who may only read sees the same, and leaves the row to the next who may write.
    fn forget(&self, dead: &Hold) {
        if let Some(process) = &dead.process {
            let _ = self.release_own(&dead.environment, process);
        }
    }
}

fn living(t: &Transaction<'_>, environment: &str, host: &str) -> rusqlite::Result<Option<Hold>> {
    let found = select(t, "WHERE environment = ?1", &[environment])?.pop();
    if found.as_ref().is_some_and(|hold| hold.is_dead(host)) {
        t.execute("DELETE FROM holds WHERE environment = ?1", [environment])?;
        return Ok(None);
    }
    Ok(found)
}

fn select(t: &Transaction<'_>, rest: &str, params: &[&str]) -> rusqlite::Result<Vec<Hold>> {
    t.prepare_cached(&format!(
        "SELECT environment, reason, by, host, since, pid, process_started, boot FROM holds {rest}"
    ))?
    .query_map(rusqlite::params_from_iter(params), hold)?
    .collect()
}

fn hold(row: &Row<'_>) -> rusqlite::Result<Hold> {
    Ok(Hold {
        environment: row.get("environment")?,
        reason: row.get("reason")?,
        by: row.get("by")?,
        host: row.get("host")?,
        since: loaded(row.get("since")?),
        process: history::process(row)?,
    })
}
