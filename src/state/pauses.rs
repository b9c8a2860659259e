//! Pauses: jobs that their schedule does not start for a while.

use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::params;

use super::strict::{self, Strict};
use super::{Durable, State, stored};
use crate::error::Result;

const COLUMNS: &str = "job, reason, by, since, until";
/// The beginning of a row's name in errors.
const PAUSE: &str = "pause of";

/// A job that its schedule does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// The job's name.
    pub job: String,
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// When it began.
    pub since: DateTime<Utc>,
    /// When it ends by itself; `None`: it stays until someone resumes the job.
    pub until: Option<DateTime<Utc>>,
}

impl Pause {
    /// `paused by alice since 2026-01-01T00:18:00Z until 2026-01-05T00:00:00Z: release freeze`.
    pub fn sentence(&self) -> String {
        let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let until = self
            .until
            .map(|until| format!(" until {}", time(until)))
            .unwrap_or_default();
        format!(
            "paused by {} since {}{until}: {}",
            self.by,
            time(self.since),
            self.reason
        )
    }

    /// Whether it still holds.
    pub fn holds_at(&self, now: DateTime<Utc>) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl State {
    /// Pauses a job; a pause that it had is replaced, and returned.
    pub fn pause(&self, pause: &Pause) -> Result<Option<Pause>> {
        self.write("cannot record a pause", Durable::Power, |t| {
            let before = {
                let mut statement =
                    t.prepare(&format!("SELECT {COLUMNS} FROM pauses WHERE job = ?1"))?;
                strict::first(statement.query([&pause.job])?, PAUSE, read)?
            };
            t.execute(
                "INSERT OR REPLACE INTO pauses (job, reason, by, since, until) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    pause.job,
                    pause.reason,
                    pause.by,
                    stored(pause.since),
                    pause.until.map(stored)
                ],
            )?;
            Ok(Ok(before.filter(|pause| pause.holds_at(Utc::now()))))
        })
    }

    /// Ends a job's pause and returns it; `None` if there was none.
    pub fn resume(&self, job: &str) -> Result<Option<Pause>> {
        self.write("cannot end a pause", Durable::Power, |t| {
            let mut statement = t.prepare(&format!(
                "DELETE FROM pauses WHERE job = ?1 RETURNING {COLUMNS}"
            ))?;
            let before = strict::first(statement.query([job])?, PAUSE, read)?;
            Ok(Ok(before.filter(|pause| pause.holds_at(Utc::now()))))
        })
    }

    /// The pause that a job has now.
    pub fn pause_of(&self, job: &str) -> Result<Option<Pause>> {
        Ok(self.pauses()?.into_iter().find(|pause| pause.job == job))
    }

    /// All pauses that hold now, sorted by job.
    pub fn pauses(&self) -> Result<Vec<Pause>> {
        let mut all = self.read("cannot read the pauses", |t| {
            let mut statement =
                t.prepare_cached(&format!("SELECT {COLUMNS} FROM pauses ORDER BY job"))?;
            strict::rows(statement.query([])?, PAUSE, read)
        })?;
        let now = Utc::now();
        all.retain(|pause| pause.holds_at(now));
        Ok(all)
    }
}

fn read(row: &Strict<'_, '_>) -> rusqlite::Result<Pause> {
    Ok(Pause {
        job: row.job("job")?,
        reason: row.text("reason")?,
        by: row.word("by")?,
        since: row.time("since")?,
        until: row.optional_time("until")?,
    })
}
