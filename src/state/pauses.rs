//! Pauses: what schedules and `trigger` do not start for a while.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use rusqlite::{Transaction, params};

use super::strict::{self, Strict};
use super::{Durable, State, stored};
use crate::error::Result;

/// The beginning of a row's name in errors.
const PAUSE: &str = "pause of";

/// What is paused. What comes first is the wider one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Paused {
    /// Every job.
    All,
    /// Every job into this environment.
    To(String),
    /// One job, by its name.
    Job(String),
}

impl Paused {
    /// Whether a job, into this environment, is meant. `None`: nobody knows where it goes.
    pub fn covers(&self, job: &str, to: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::To(environment) => to == Some(environment),
            Self::Job(name) => name == job,
        }
    }

    /// As arguments of `pause` and `resume` say it.
    pub fn arguments(&self) -> String {
        match self {
            Self::All => "--all".to_owned(),
            Self::To(environment) => format!("--to {environment}"),
            Self::Job(name) => name.clone(),
        }
    }

    /// The table, and the name of its key and its value there.
    fn row(&self) -> (&'static str, &'static str, &str) {
        match self {
            Self::All => ("wide_pauses", "environment", ""),
            Self::To(environment) => ("wide_pauses", "environment", environment),
            Self::Job(name) => ("pauses", "job", name),
        }
    }
}

impl fmt::Display for Paused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("everything"),
            Self::To(environment) => write!(f, "everything into `{environment}`"),
            Self::Job(name) => write!(f, "job `{name}`"),
        }
    }
}

/// Something that is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// What.
    pub what: Paused,
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// When it began.
    pub since: DateTime<Utc>,
    /// When it ends by itself; `None`: it stays until someone ends it.
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

    /// Which of these pauses, in the order of [`State::pauses`], keeps a job from being started: the widest.
    pub fn holding<'a>(pauses: &'a [Self], job: &str, to: Option<&str>) -> Option<&'a Self> {
        pauses.iter().find(|pause| pause.what.covers(job, to))
    }
}

impl State {
    /// Pauses; a pause of the same that was there is replaced, and returned.
    pub fn pause(&self, pause: &Pause) -> Result<Option<Pause>> {
        let (table, key, name) = pause.what.row();
        self.write("cannot record a pause", Durable::Power, |t| {
            let before = select(t, &pause.what)?;
            t.execute(
                &format!(
                    "INSERT OR REPLACE INTO {table} ({key}, reason, by, since, until) VALUES (?1, ?2, ?3, ?4, ?5)"
                ),
                params![
                    name,
                    pause.reason,
                    pause.by,
                    stored(pause.since),
                    pause.until.map(stored)
                ],
            )?;
            Ok(Ok(before))
        })
    }

    /// Ends a pause and returns it; `None` if there was none.
    pub fn resume(&self, what: &Paused) -> Result<Option<Pause>> {
        let (table, key, name) = what.row();
        self.write("cannot end a pause", Durable::Power, |t| {
            let before = select(t, what)?;
            t.execute(&format!("DELETE FROM {table} WHERE {key} = ?1"), [name])?;
            Ok(Ok(before))
        })
    }

    /// The pause that keeps a job, into this environment, from being started now: of all, else of the environment, else
    /// the job's own.
    pub fn pause_of(&self, job: &str, to: Option<&str>) -> Result<Option<Pause>> {
        let mut all = self.pauses()?;
        let found = all.iter().position(|pause| pause.what.covers(job, to));
        Ok(found.map(|place| all.swap_remove(place)))
    }

    /// All pauses that hold now: of all, of environments, of jobs, by name.
    pub fn pauses(&self) -> Result<Vec<Pause>> {
        let mut all = self.read("cannot read the pauses", |t| {
            let mut wide = t.prepare_cached(
                "SELECT environment, reason, by, since, until FROM wide_pauses ORDER BY environment",
            )?;
            let mut jobs =
                t.prepare_cached("SELECT job, reason, by, since, until FROM pauses ORDER BY job")?;
            let mut all = strict::rows(wide.query([])?, PAUSE, wide_pause)?;
            all.extend(strict::rows(jobs.query([])?, PAUSE, job_pause)?);
            Ok(all)
        })?;
        let now = Utc::now();
        all.retain(|pause| pause.holds_at(now));
        Ok(all)
    }
}

/// The pause of just this, if it holds.
fn select(t: &Transaction<'_>, what: &Paused) -> rusqlite::Result<Option<Pause>> {
    let (table, key, name) = what.row();
    let mut statement = t.prepare(&format!(
        "SELECT {key}, reason, by, since, until FROM {table} WHERE {key} = ?1"
    ))?;
    let read = match what {
        Paused::Job(_) => job_pause,
        Paused::All | Paused::To(_) => wide_pause,
    };
    let found = strict::first(statement.query([name])?, PAUSE, read)?;
    Ok(found.filter(|pause| pause.holds_at(Utc::now())))
}

fn job_pause(row: &Strict<'_, '_>) -> rusqlite::Result<Pause> {
    let what = Paused::Job(row.job("job")?);
    pause(row, what)
}

fn wide_pause(row: &Strict<'_, '_>) -> rusqlite::Result<Pause> {
    let what = match row.word("environment")?.as_str() {
        "" => Paused::All,
        _ => Paused::To(row.environment("environment")?),
    };
    pause(row, what)
}

fn pause(row: &Strict<'_, '_>, what: Paused) -> rusqlite::Result<Pause> {
    Ok(Pause {
        what,
        reason: row.text("reason")?,
        by: row.word("by")?,
        since: row.time("since")?,
        until: row.optional_time("until")?,
    })
}

#[cfg(test)]
mod tests {
    use chrono::Duration;

    use super::*;
    use crate::state::KnownJob;

    fn pause(what: Paused, until: Option<DateTime<Utc>>) -> Pause {
        Pause {
            what,
            reason: "load test".to_owned(),
            by: "alice".to_owned(),
            since: Utc::now(),
            until,
        }
    }

    fn job(name: &str) -> Paused {
        Paused::Job(name.to_owned())
    }

    #[test]
    fn a_pause_ends_by_itself_by_resume_or_with_its_job() {
        let state = State::in_memory().unwrap();
        let past = Some(Utc::now() - Duration::seconds(1));
        for (name, until) in [("over", past), ("app", None), ("gone", None)] {
            state.pause(&pause(job(name), until)).unwrap();
        }
        assert!(state.pause_of("over", None).unwrap().is_none());
        let soon = pause(job("app"), Some(Utc::now() + Duration::days(1)));
        let before = state.pause(&soon).unwrap().unwrap();
        assert_eq!(before.until, None);
        let sentence = state.pause_of("app", None).unwrap().unwrap().sentence();
        assert!(
            sentence.starts_with("paused by alice since 2"),
            "{sentence}"
        );
        assert!(sentence.contains(" until 2") && sentence.ends_with(": load test"));
        let known = KnownJob {
            job: "gone".to_owned(),
            timetable: String::new(),
            handled_until: Utc::now(),
            next_run_at: None,
            problem: String::new(),
        };
        state.set_jobs(&[known]).unwrap();
        state.forget_job("gone").unwrap();
        assert_eq!(state.pauses().unwrap().len(), 1);
        assert!(state.known_jobs().unwrap().is_empty());
        assert!(state.resume(&job("app")).unwrap().is_some());
        assert!(state.resume(&job("app")).unwrap().is_none());
    }

    #[test]
    fn the_widest_pause_is_the_one_that_is_named_and_each_ends_by_itself() {
        let state = State::in_memory().unwrap();
        let staging = Paused::To("staging".to_owned());
        for what in [job("staging"), staging.clone(), Paused::All] {
            state.pause(&pause(what, None)).unwrap();
        }
        let holds = |name: &str, to: Option<&str>| {
            let found = state.pause_of(name, to).unwrap();
            found.map(|pause| pause.what)
        };
        assert_eq!(holds("staging", Some("staging")), Some(Paused::All));
        assert_eq!(holds("other", None), Some(Paused::All));
        assert!(state.resume(&Paused::All).unwrap().is_some());
        assert_eq!(holds("staging", Some("staging")), Some(staging.clone()));
        assert_eq!(holds("app", Some("staging")), Some(staging.clone()));
        assert_eq!(holds("app", Some("integration")), None);
        assert_eq!(holds("app", None), None);
        assert!(state.resume(&staging).unwrap().is_some());
        assert!(state.resume(&staging).unwrap().is_none());
        // An environment may be called as a job is.
        assert_eq!(holds("staging", Some("staging")), Some(job("staging")));
        assert_eq!(holds("app", Some("staging")), None);
    }
}
