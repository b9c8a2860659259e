//! An archive, as a task's `source` or `target` names it: a URL, and what a URL alone does not say.

pub(super) mod keys;
mod name;

use std::time::Duration;

use chrono::{DateTime, Utc};

pub use self::name::Name;
use crate::secret::Secret;

/// What stands beside an archive's `url`.
#[derive(Debug, Clone, Default)]
pub struct Archive {
    /// What lies in it.
    pub format: Format,
    /// A source's: which snapshot.
    pub snapshot: Wanted,
    /// A source's: the job that made it, where the archive has those of several.
    pub job: Option<String>,
    /// The age recipients that files are encrypted for: `age1...`.
    pub recipients: Vec<String>,
    /// What reads it: an age identity, `AGE-SECRET-KEY-1...`.
    pub identity: Option<Secret>,
    /// With it the manifest is authenticated: both sides have it.
    pub key: Option<Secret>,
    /// Which snapshots are kept.
    pub retention: Retention,
}

/// What lies in an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Format {
    /// Our snapshots.
    #[default]
    Envsyncd,
    /// Dumps as GOV.UK's scripts leave them.
    Govuk(Govuk),
}

/// Settings of an archive of such dumps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Govuk {
    /// The database in their names; `None`: that of the task's other side.
    pub database: Option<String>,
}

/// Which snapshot is pulled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Wanted {
    /// The newest whole one.
    #[default]
    Newest,
    /// The newest whole one that is not younger than this.
    At(DateTime<Utc>),
    /// This one, by its folder's or file's name.
    Named(String),
}

/// Which snapshots of a job survive a push. Without any of these all do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// So many of the newest.
    pub keep_last: Option<u32>,
    /// The newest one of a day, for so many days that have one.
    pub keep_daily: Option<u32>,
    /// The newest one of a week (ISO 8601), for so many weeks that have one.
    pub keep_weekly: Option<u32>,
    /// Older ones go, whatever the others say; but never the newest.
    pub max_age: Option<Duration>,
}

impl Archive {
    /// Without what belongs to a target only: a named endpoint may have both.
    #[must_use]
    pub fn as_source(self) -> Self {
        Self {
            recipients: Vec::new(),
            retention: Retention::default(),
            ..self
        }
    }

    /// Without what belongs to a source only.
    #[must_use]
    pub fn as_target(self) -> Self {
        Self {
            snapshot: Wanted::Newest,
            job: None,
            identity: None,
            ..self
        }
    }
}

impl Retention {
    /// Whether anything ever goes.
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}
