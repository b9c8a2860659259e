//! A job, and lists of them.

use askama::Template;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::super::chart::Strip;
use super::super::marks::Mark;
use super::super::words;
use super::part::job_link;
use super::{Edited, Frame, Held, Next, Pages, Paused, RunLine, Way};
use crate::report::units;

/// What of a task's columns is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Coverage {
    pub(in super::super) masked: usize,
    /// Looked at, and not personal.
    pub(in super::super) passed: usize,
}

impl Coverage {
    fn words(self) -> String {
        let masked = units::count(self.masked as u64, "column");
        match self.passed {
            0 => format!("{masked} masked"),
            passed => format!("{masked} masked, {passed} passed as not personal"),
        }
    }
}

/// A task as its file has it, without secrets.
#[derive(Debug, Clone)]
pub(in super::super) struct TaskDefinition {
    pub(in super::super) name: String,
    pub(in super::super) kind: String,
    pub(in super::super) source: String,
    pub(in super::super) target: String,
    pub(in super::super) options: Vec<(String, String)>,
    pub(in super::super) coverage: Option<Coverage>,
}

/// When a job is due.
#[derive(Debug, Clone)]
pub(in super::super) struct Schedule {
    /// As written.
    pub(in super::super) text: String,
    pub(in super::super) zone: Tz,
    pub(in super::super) next: Vec<DateTime<Utc>>,
}

impl Schedule {
    pub(super) fn times(&self) -> impl Iterator<Item = Next> {
        self.next.iter().map(|at| Next {
            at: *at,
            zone: self.zone,
        })
    }
}

/// A job in `/jobs` and `/recurring`.
#[derive(Debug, Clone)]
pub(in super::super) struct JobListing {
    pub(in super::super) name: String,
    pub(in super::super) description: String,
    pub(in super::super) mark: Mark,
    pub(in super::super) way: Way,
    /// The stores that it copies.
    pub(in super::super) kinds: Vec<String>,
    pub(in super::super) schedule: Option<Schedule>,
    pub(in super::super) paused: Option<Paused>,
    pub(in super::super) is_under_way: bool,
}

impl JobListing {
    fn link(&self) -> String {
        job_link(&self.name)
    }
}

/// `/jobs`
#[derive(Template)]
#[template(path = "jobs.html")]
pub(in super::super) struct Jobs {
    pub(in super::super) frame: Frame,
    pub(in super::super) text: String,
    pub(in super::super) all: Vec<JobListing>,
    pub(in super::super) pages: Pages,
}

/// `/recurring`
#[derive(Template)]
#[template(path = "recurring.html")]
pub(in super::super) struct Recurring {
    pub(in super::super) frame: Frame,
    pub(in super::super) all: Vec<JobListing>,
    pub(in super::super) pages: Pages,
}

/// `/jobs/{job}`
#[derive(Template)]
#[template(path = "job.html")]
pub(in super::super) struct Job {
    pub(in super::super) frame: Frame,
    pub(in super::super) name: String,
    pub(in super::super) description: String,
    pub(in super::super) mark: Mark,
    pub(in super::super) way: Way,
    /// Empty: it has none.
    pub(in super::super) file: String,
    /// Where its file is changed.
    pub(in super::super) edited: Edited,
    /// What is wrong with its file.
    pub(in super::super) problem: Option<String>,
    pub(in super::super) schedule: Option<Schedule>,
    pub(in super::super) paused: Option<Paused>,
    /// A hold on the environment that it writes to.
    pub(in super::super) held: Option<Held>,
    pub(in super::super) tasks: Vec<TaskDefinition>,
    pub(in super::super) last_success: Option<DateTime<Utc>>,
    pub(in super::super) strip: Strip,
    pub(in super::super) runs: Vec<RunLine>,
    pub(in super::super) is_under_way: bool,
    /// Whether its targets keep what was live before.
    pub(in super::super) has_previous: bool,
}

impl Job {
    fn link(&self) -> String {
        job_link(&self.name)
    }

    fn is_by_hand(&self) -> bool {
        self.edited == Edited::ByHand
    }

    fn is_edited_here(&self) -> bool {
        self.edited == Edited::Here && self.frame.may_admin()
    }

    fn history(&self) -> String {
        format!("/history?job={}", words::encoded(&self.name))
    }
}
