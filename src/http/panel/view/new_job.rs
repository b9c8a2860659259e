//! `/new-job`: a form that becomes a job file.

use askama::Template;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::{Frame, Next};

/// Something to choose, or not, and then why not.
#[derive(Debug, Clone)]
pub(in super::super) struct Choice {
    pub(in super::super) value: String,
    pub(in super::super) is_chosen: bool,
    pub(in super::super) why_not: Option<String>,
}

/// What is in the form.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Draft {
    pub(in super::super) name: String,
    pub(in super::super) description: String,
    /// Of a site: which of its stores.
    pub(in super::super) database: bool,
    pub(in super::super) files: bool,
    pub(in super::super) index: bool,
    /// Else two endpoints.
    pub(in super::super) source: String,
    pub(in super::super) target: String,
    /// now, hourly, daily, weekly or custom.
    pub(in super::super) when: String,
    pub(in super::super) custom: String,
    pub(in super::super) zone: String,
}

/// `/new-job`
#[derive(Template)]
#[template(path = "new_job.html")]
pub(in super::super) struct NewJob {
    pub(in super::super) frame: Frame,
    pub(in super::super) draft: Draft,
    pub(in super::super) from: Vec<Choice>,
    pub(in super::super) to: Vec<Choice>,
    pub(in super::super) sites: Vec<Choice>,
    pub(in super::super) kinds: Vec<Choice>,
    /// Names of endpoints, to choose from.
    pub(in super::super) endpoints: Vec<String>,
    /// What is wrong with it, a sentence each.
    pub(in super::super) problems: Vec<String>,
    /// The file that it makes.
    pub(in super::super) toml: Option<String>,
    /// Where it goes.
    pub(in super::super) path: String,
    pub(in super::super) next: Vec<DateTime<Utc>>,
    pub(in super::super) zone: Tz,
    /// Whether the panel may write files.
    pub(in super::super) may_write: bool,
}

/// How often a job can run: value and words.
const WHEN: [(&str, &str); 5] = [
    ("now", "Run now, by hand later"),
    ("hourly", "Hourly"),
    ("daily", "Daily, at midnight"),
    ("weekly", "Weekly, on Monday"),
    ("custom", "Custom, five fields of cron:"),
];

impl NewJob {
    fn whens(&self) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
        let chosen = match self.draft.when.as_str() {
            "" => "daily",
            other => other,
        };
        WHEN.into_iter()
            .map(move |(value, words)| (value, words, value == chosen))
    }

    fn times(&self) -> impl Iterator<Item = Next> {
        self.next.iter().map(|at| Next {
            at: *at,
            zone: self.zone,
        })
    }
}
