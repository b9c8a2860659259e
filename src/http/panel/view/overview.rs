//! The first page: what needs somebody, what runs, all jobs, and the environments.

use std::time::Duration;

use askama::Template;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::super::chart::Strip;
use super::super::marks::Mark;
use super::super::words;
use super::part::{Percent, job_link};
use super::{EnvironmentLine, Frame, Pages, Way};
use crate::report::units;

/// What can be done about something that needs somebody.
#[derive(Debug, Clone)]
pub(in super::super) enum Step {
    /// See this run.
    Look(String),
    /// Run the job again.
    Again,
    /// End the job's pause.
    Resume,
    /// See this environment's hold.
    Environment(String),
}

/// A job or an environment that needs somebody.
#[derive(Debug, Clone)]
pub(in super::super) struct Need {
    pub(in super::super) mark: Mark,
    /// The job; of a hold: the environment.
    pub(in super::super) name: String,
    /// Of a job.
    pub(in super::super) way: Option<Way>,
    pub(in super::super) since: Option<DateTime<Utc>>,
    pub(in super::super) sentence: String,
    pub(in super::super) steps: Vec<Step>,
}

impl Need {
    fn link(&self) -> String {
        match self.way {
            Some(_) => job_link(&self.name),
            None => "/environments".to_owned(),
        }
    }
}

/// A run that is under way, or waits.
#[derive(Debug, Clone)]
pub(in super::super) struct Running {
    pub(in super::super) id: String,
    pub(in super::super) job: String,
    pub(in super::super) way: Way,
    pub(in super::super) mark: Mark,
    /// The step that it is in; empty: none yet.
    pub(in super::super) step: String,
    pub(in super::super) percent: u8,
    /// Bytes a second.
    pub(in super::super) speed: Option<u64>,
    pub(in super::super) left: Option<Duration>,
    pub(in super::super) elapsed: Duration,
}

impl Running {
    fn link(&self) -> String {
        format!("/runs/{}", words::encoded(&self.id))
    }

    fn progress(&self) -> Percent {
        Percent(self.percent)
    }

    /// For how long.
    fn length(&self) -> String {
        words::length(self.elapsed)
    }

    /// `41.0 MB/s, about 4 min left`.
    pub(in super::super) fn pace(&self) -> String {
        let speed = self.speed.map(|speed| format!("{}/s", units::bytes(speed)));
        let left = self
            .left
            .map(|left| format!("about {} left", words::length(left)));
        let all: Vec<String> = speed.into_iter().chain(left).collect();
        all.join(", ")
    }
}

/// When a job is due next.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Next {
    pub(in super::super) at: DateTime<Utc>,
    pub(in super::super) zone: Tz,
}

impl Next {
    pub(super) fn due(&self, now: &DateTime<Utc>) -> words::Due {
        words::Due {
            at: self.at,
            now: *now,
            zone: self.zone,
        }
    }
}

/// A job in the list.
#[derive(Debug, Clone)]
pub(in super::super) struct JobLine {
    pub(in super::super) name: String,
    pub(in super::super) mark: Mark,
    pub(in super::super) way: Way,
    pub(in super::super) last_success: Option<DateTime<Utc>>,
    /// Without a schedule: `None`.
    pub(in super::super) next: Option<Next>,
    /// Of the last run that copied.
    pub(in super::super) bytes: Option<u64>,
    pub(in super::super) took: Option<Duration>,
    pub(in super::super) strip: Strip,
}

impl JobLine {
    fn link(&self) -> String {
        job_link(&self.name)
    }

    fn size(&self) -> String {
        self.bytes.map(units::bytes).unwrap_or_default()
    }

    fn length(&self) -> String {
        self.took.map(words::length).unwrap_or_default()
    }
}

/// Which jobs are shown.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Filter {
    /// In the name.
    pub(in super::super) text: String,
    pub(in super::super) state: Option<Mark>,
    /// The environment that is written to.
    pub(in super::super) to: String,
}

impl Filter {
    /// The states to choose from, and whether each is chosen.
    fn states(&self) -> impl Iterator<Item = (&'static str, bool)> {
        let all = Mark::ALL.into_iter();
        all.map(|mark| (mark.word(), self.state == Some(mark)))
    }

    fn is_set(&self) -> bool {
        !self.text.is_empty() || self.state.is_some() || !self.to.is_empty()
    }
}

/// `/`
#[derive(Template)]
#[template(path = "overview.html")]
pub(in super::super) struct Overview {
    pub(in super::super) frame: Frame,
    pub(in super::super) needs: Vec<Need>,
    pub(in super::super) running: Vec<Running>,
    pub(in super::super) filter: Filter,
    pub(in super::super) jobs: Vec<JobLine>,
    pub(in super::super) pages: Pages,
    pub(in super::super) environments: Vec<EnvironmentLine>,
}
