//! Holds: claims on an environment that keep runs out of it.

use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::types::Value;
use rusqlite::{Transaction, params};

use super::presence::{self, Trace};
use super::strict::{self, Strict};
use super::{Durable, State, history, stored};
use crate::error::{Error, Kind, Result};
use crate::guard::process::Process;

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
}

impl State {
    /// Takes a hold. `Kind::Busy` says who has it if another is there, or which run is just then writing into the
    /// environment: once a hold is had, nothing of ours changes the environment.
    pub fn hold(&self, hold: &Hold) -> Result<()> {
        self.write("cannot record a hold", Durable::Power, |t| {
            if let Some(there) = living(t, &hold.environment)? {
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
            if let Some(run) = running.iter().find(|run| !run.is_dead()) {
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
            insert(t, hold)?;
            Ok(Ok(()))
        })
    }

    /// Puts a hold back that a state store had which was taken away, whatever runs just then.
    pub fn restore_hold(&self, hold: &Hold) -> Result<()> {
        self.write("cannot record a hold", Durable::Power, |t| {
            insert(t, hold)?;
            Ok(Ok(()))
        })
    }

    /// Ends the hold on an environment, whoever has it, and returns it; `None` if there was none.
    pub fn release(&self, environment: &str) -> Result<Option<Hold>> {
        self.write("cannot release a hold", Durable::Power, |t| {
            let there = living(t, environment)?;
            t.execute("DELETE FROM holds WHERE environment = ?1", [environment])?;
            Ok(Ok(there))
        })
    }

    /// Ends the hold that this process took, and no other one; false if it was gone already.
    pub fn release_own(&self, environment: &str, process: &Process) -> Result<bool> {
        self.write("cannot release a hold", Durable::Power, |t| {
            let gone = t.execute(&format!("DELETE FROM holds {OF}"), of(environment, process))?;
            Ok(Ok(gone > 0))
        })
    }

    /// A sign of life of the hold that this process took; false if there is no such hold any more.
    pub fn renew_hold(&self, environment: &str, process: &Process) -> Result<bool> {
        self.write("cannot renew a hold", Durable::Process, |t| {
            let mut values = of(environment, process).to_vec();
            values.push(stored(Utc::now()).into());
            let renewed = t.execute(
                &format!("UPDATE holds SET beat_at = ?6 {OF}"),
                rusqlite::params_from_iter(values),
            )?;
            Ok(Ok(renewed > 0))
        })
    }

    /// The hold on an environment. One whose process is gone does not count.
    pub fn hold_on(&self, environment: &str) -> Result<Option<Hold>> {
        let found = self.read("cannot read the holds", |t| {
            select(t, "WHERE environment = ?1", &[environment])
        })?;
        Ok(self.living(found).pop())
    }

    /// All holds, sorted by environment, without those whose process is gone.
    pub fn holds(&self) -> Result<Vec<Hold>> {
        let found = self.read("cannot read the holds", |t| {
            select(t, "ORDER BY environment", &[])
        })?;
        Ok(self.living(found))
    }

    fn living(&self, found: Vec<Found>) -> Vec<Hold> {
        let (dead, living): (Vec<_>, Vec<_>) = found.into_iter().partition(|found| found.is_dead);
        for found in dead {
            self.forget(&found.hold);
        }
        living.into_iter().map(|found| found.hold).collect()
    }

    /// Someone who may only read sees the same, and leaves the row to the next who may write.
    fn forget(&self, dead: &Hold) {
        if let Some(process) = &dead.process {
            let _ = self.release_own(&dead.environment, process);
        }
    }
}

fn insert(t: &Transaction<'_>, hold: &Hold) -> rusqlite::Result<()> {
    t.execute(
        "INSERT INTO holds (environment, reason, by, host, since, pid, process_started, boot, machine,
             pid_namespace, beat_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        params![
            hold.environment,
            hold.reason,
            hold.by,
            hold.host,
            stored(hold.since),
            hold.process.as_ref().map(|process| process.pid),
            hold.process.as_ref().map(|process| process.started as i64),
            hold.process.as_ref().map(|process| &process.boot),
            hold.process.as_ref().map(|process| &process.machine),
            hold.process.as_ref().map(|process| process.namespace as i64),
            stored(Utc::now()),
        ],
    )?;
    Ok(())
}

/// The hold of one process, and no other: see [`of`].
const OF: &str = "WHERE environment = ?1 AND pid = ?2 AND process_started = ?3 AND boot = ?4 \
    AND coalesce(pid_namespace, 0) = ?5";

fn of(environment: &str, process: &Process) -> [Value; 5] {
    [
        environment.to_owned().into(),
        i64::from(process.pid).into(),
        (process.started as i64).into(),
        process.boot.clone().into(),
        (process.namespace as i64).into(),
    ]
}

/// A hold as it was found.
struct Found {
    hold: Hold,
    is_dead: bool,
}

fn living(t: &Transaction<'_>, environment: &str) -> rusqlite::Result<Option<Hold>> {
    let found = select(t, "WHERE environment = ?1", &[environment])?.pop();
    if found.as_ref().is_some_and(|found| found.is_dead) {
        t.execute("DELETE FROM holds WHERE environment = ?1", [environment])?;
        return Ok(None);
    }
    Ok(found.map(|found| found.hold))
}

fn select(t: &Transaction<'_>, rest: &str, params: &[&str]) -> rusqlite::Result<Vec<Found>> {
    let mut statement = t.prepare_cached(&format!(
        "SELECT environment, reason, by, host, since, pid, process_started, boot, machine, pid_namespace, beat_at
         FROM holds {rest}"
    ))?;
    let rows = statement.query(rusqlite::params_from_iter(params))?;
    strict::rows(rows, "hold on", |row| {
        let hold = hold(row)?;
        let beat = row.optional_time("beat_at")?;
        let is_dead = hold.process.as_ref().is_some_and(|process| {
            let trace = Trace {
                process,
                host: &hold.host,
                lease: &presence::lease_of_hold(&hold.environment),
                since: hold.since,
                beat,
            };
            trace.is_gone(t)
        });
        Ok(Found { hold, is_dead })
    })
}

fn hold(row: &Strict<'_, '_>) -> rusqlite::Result<Hold> {
    Ok(Hold {
        environment: row.environment("environment")?,
        reason: row.text("reason")?,
        by: row.word("by")?,
        host: row.word("host")?,
        since: row.time("since")?,
        process: history::process(row)?,
    })
}
