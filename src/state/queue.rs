//! The queue: runs that wait for their turn, those that were skipped, and requests to end one.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use chrono::Utc;
use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{Durable, KnownJob, RunState, State, Trigger, Verb, daemon, history, stored};
use crate::error::{Error, Kind, Result};
use crate::guard::process::host_name;

/// A run that is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Queued<'a> {
    /// A UUID, version 7.
    pub id: &'a str,
    /// The job's name.
    pub job: &'a str,
    /// The job's file.
    pub file: &'a Path,
    /// The environment that data comes from.
    pub from: &'a str,
    /// The environment that data goes to.
    pub to: &'a str,
    /// What asks for it.
    pub trigger: Trigger,
    /// Who asks for it; may be empty.
    pub by: &'a str,
}

/// What became of a due time.
#[derive(Debug, Clone, Copy)]
pub enum Entry<'a> {
    /// A run waits for its turn.
    Wait(Queued<'a>),
    /// No run was started, for this reason.
    Skip(Queued<'a>, &'a str),
}

impl State {
    /// Puts a run in the queue. `Kind::Busy` if the job has a run that waits or runs.
    pub fn ask(&self, run: &Queued<'_>) -> Result<()> {
        let host = host_name();
        self.write("cannot ask for a run", Durable::Power, |t| {
            let unfinished = history::select(
                t,
                "WHERE finished_at IS NULL AND job = ?1 ORDER BY seq",
                [run.job],
            )?;
            if let Some(other) = unfinished.iter().find(|run| !run.is_dead(&host)) {
                return Ok(Err(Error::new(
                    Kind::Busy,
                    format!(
                        "job `{}` has run {} already, which is {}",
                        run.job, other.id, other.state
                    ),
                )
                .hint(format!(
                    "wait for its end, or `envsyncd cancel {}`",
                    other.id
                ))));
            }
            insert(t, run, &host)?;
            Ok(Ok(()))
        })
    }

    /// Records what became of due times, and that they are dealt with: all of it or nothing.
    pub fn settle_due(&self, entries: &[Entry<'_>], jobs: &[KnownJob]) -> Result<()> {
        let host = host_name();
        self.write("cannot record what is due", Durable::Power, |t| {
            for entry in entries {
                match entry {
                    Entry::Wait(run) => insert(t, run, &host)?,
                    Entry::Skip(run, why) => {
                        insert(t, run, &host)?;
                        t.prepare_cached(
                            "UPDATE runs SET state = ?2, message = ?3, warnings = 1, finished_at = started_at WHERE id = ?1",
                        )?
                        .execute(params![run.id, RunState::Skipped, why])?;
                    }
                }
            }
            for job in jobs {
                daemon::set(t, job)?;
            }
            Ok(Ok(()))
        })
    }

    /// Asks for a run's end. One that waits is `cancelled` at once; for one that runs this is a note that it, and the
    /// daemon, read. False if it has ended.
    pub fn ask_cancel(&self, run: &str, by: &str) -> Result<bool> {
        self.write("cannot ask for a run's end", Durable::Power, |t| {
            let state: Option<RunState> = t
                .query_row(
                    "SELECT state FROM runs WHERE id = ?1 AND finished_at IS NULL",
                    [run],
                    |row| row.get(0),
                )
                .optional()?;
            if state == Some(RunState::Pending) {
                t.execute(
                    "UPDATE runs SET state = ?2, message = ?3, exit_code = 143, finished_at = max(?4, started_at)
                     WHERE id = ?1",
                    params![
                        run,
                        RunState::Cancelled,
                        format!("cancelled by {by} before it began"),
                        stored(Utc::now()),
                    ],
                )?;
            }
            if state.is_some() {
                t.execute(
                    "UPDATE runs SET cancelled_by = coalesce(cancelled_by, ?2) WHERE id = ?1",
                    [run, by],
                )?;
            }
            Ok(Ok(state.is_some()))
        })
    }
}

fn insert(t: &Transaction<'_>, run: &Queued<'_>, host: &str) -> rusqlite::Result<()> {
    t.prepare_cached(
        "INSERT INTO runs (id, job, file, verb, from_environment, to_environment, trigger, by, host, state, started_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        run.id,
        run.job,
        run.file.as_os_str().as_bytes(),
        Verb::Run,
        run.from,
        run.to,
        run.trigger,
        run.by,
        host,
        RunState::Pending,
        stored(Utc::now()),
    ])?;
    Ok(())
}
