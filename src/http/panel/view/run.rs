//! A run, and lists of them.

use std::time::Duration;

use askama::Template;
use chrono::{DateTime, Utc};

use super::super::chart::Stages;
use super::super::marks::Mark;
use super::super::words;
use super::copied::{self, Copied, Stage};
use super::part::{Percent, job_link};
use super::{Frame, Pages, RunLine, Way};
use crate::http::phase::Phase;
use crate::report::units;

/// A line of a log.
#[derive(Debug, Clone)]
pub(in super::super) struct Line {
    pub(in super::super) seq: i64,
    pub(in super::super) at: DateTime<Utc>,
    /// error, warn, info, debug or trace.
    pub(in super::super) level: String,
    pub(in super::super) message: String,
}

impl Line {
    fn clock(&self) -> String {
        self.at.format("%H:%M:%S").to_string()
    }

    fn is_bad(&self) -> bool {
        matches!(self.level.as_str(), "error" | "warn")
    }
}

/// What is searched for in the log.
#[derive(Debug, Clone)]
pub(in super::super) struct Search {
    pub(in super::super) text: String,
    /// How many lines have it.
    pub(in super::super) found: u64,
    /// How many of these are on the page.
    pub(in super::super) shown: u64,
}

impl Search {
    /// `12 lines have it.`
    fn words(&self) -> String {
        let lines = units::count(self.found, "line");
        let has = if self.found == 1 { "has" } else { "have" };
        if self.shown < self.found {
            return format!("{lines} {has} it; the first {} are here.", self.shown);
        }
        format!("{lines} {has} it.")
    }
}

/// A table of a task.
#[derive(Debug, Clone)]
pub(in super::super) struct Table {
    pub(in super::super) name: String,
    pub(in super::super) rows: u64,
    /// Its masked columns, each with the kinds of its masks.
    pub(in super::super) columns: Vec<(String, String)>,
}

impl Table {
    fn rows(&self) -> String {
        units::number(self.rows)
    }
}

/// What was masked.
#[derive(Debug, Clone)]
pub(in super::super) struct Masks {
    pub(in super::super) columns: u64,
    pub(in super::super) rows: u64,
    /// The key's fingerprint.
    pub(in super::super) key: String,
    pub(in super::super) tables: Vec<Table>,
}

impl Masks {
    fn words(&self) -> String {
        format!(
            "{} in {}",
            units::count(self.columns, "column"),
            units::count(self.rows, "row")
        )
    }
}

/// A task of a run.
#[derive(Debug, Clone)]
pub(in super::super) struct Task {
    pub(in super::super) name: String,
    pub(in super::super) kind: String,
    pub(in super::super) mark: Mark,
    pub(in super::super) percent: u8,
    pub(in super::super) phases: Vec<Phase>,
    pub(in super::super) rows: u64,
    pub(in super::super) bytes: u64,
    pub(in super::super) took: Duration,
    pub(in super::super) surveyed: Option<DateTime<Utc>>,
    pub(in super::super) message: String,
    pub(in super::super) masks: Option<Masks>,
    pub(in super::super) stages: Vec<Stage>,
    pub(in super::super) copied: Copied,
    pub(in super::super) log: Vec<Line>,
}

impl Task {
    fn lines(&self) -> &[Line] {
        &self.log
    }

    /// Its steps, to scale.
    fn stages_bar(&self) -> Stages {
        copied::bar(&self.stages)
    }

    fn has_failed(&self) -> bool {
        self.mark == Mark::Failed
    }

    fn progress(&self) -> Percent {
        Percent(self.percent)
    }

    fn rows(&self) -> String {
        units::number(self.rows)
    }

    fn size(&self) -> String {
        units::bytes(self.bytes)
    }

    fn length(&self) -> String {
        words::length(self.took)
    }
}

/// `/runs/{id}`
#[derive(Template)]
#[template(path = "run.html")]
pub(in super::super) struct Run {
    pub(in super::super) frame: Frame,
    pub(in super::super) id: String,
    pub(in super::super) job: String,
    pub(in super::super) way: Way,
    pub(in super::super) mark: Mark,
    pub(in super::super) is_rollback: bool,
    pub(in super::super) is_over: bool,
    /// The step that it is in; empty: none yet.
    pub(in super::super) step: String,
    pub(in super::super) percent: u8,
    pub(in super::super) started: DateTime<Utc>,
    pub(in super::super) finished: Option<DateTime<Utc>>,
    pub(in super::super) elapsed: Duration,
    /// Who or what started it.
    pub(in super::super) by: String,
    pub(in super::super) host: String,
    pub(in super::super) cancelled_by: Option<String>,
    /// The tasks that it is of; empty: all.
    pub(in super::super) only: Vec<String>,
    pub(in super::super) message: String,
    pub(in super::super) errors: u64,
    pub(in super::super) warnings: u64,
    /// How many lines its log has.
    pub(in super::super) lines: u64,
    pub(in super::super) tasks: Vec<Task>,
    /// What the log says of the run itself.
    pub(in super::super) log: Vec<Line>,
    /// The number of the last line that is on the page.
    pub(in super::super) last: i64,
    /// Whether earlier lines are left out.
    pub(in super::super) is_cut: bool,
    /// What is searched for; the page has the lines that have it, and no others.
    pub(in super::super) search: Option<Search>,
    /// Whether what it published can be taken back.
    pub(in super::super) has_previous: bool,
}

impl Run {
    fn link(&self) -> String {
        format!("/runs/{}", words::encoded(&self.id))
    }

    fn is_good(&self) -> bool {
        self.mark == Mark::Succeeded
    }

    /// Whether new lines are added to the page.
    fn is_live(&self) -> bool {
        !self.is_over && self.search.is_none()
    }

    fn searched(&self) -> &str {
        self.search.as_ref().map_or("", |search| &search.text)
    }

    /// Whether a task's log is seen at first.
    fn opens(&self, task: &Task) -> bool {
        match self.search {
            Some(_) => !task.log.is_empty(),
            None => !self.is_over || task.has_failed(),
        }
    }

    fn has_errors(&self) -> bool {
        self.errors > 0
    }

    fn has_warnings(&self) -> bool {
        self.warnings > 0
    }

    fn job_link(&self) -> String {
        job_link(&self.job)
    }

    fn progress(&self) -> Percent {
        Percent(self.percent)
    }

    fn length(&self) -> String {
        words::length(self.elapsed)
    }

    fn rows(&self) -> String {
        let rows = self.tasks.iter().map(|task| task.rows);
        units::number(rows.fold(0, u64::saturating_add))
    }

    fn size(&self) -> String {
        let bytes = self.tasks.iter().map(|task| task.bytes);
        units::bytes(bytes.fold(0, u64::saturating_add))
    }

    /// What was masked, over all tasks.
    fn masked(&self) -> Option<String> {
        let all: Vec<&Masks> = self
            .tasks
            .iter()
            .filter_map(|task| task.masks.as_ref())
            .collect();
        let columns = all.iter().map(|masks| masks.columns).sum();
        let rows = all.iter().map(|masks| masks.rows).sum();
        (!all.is_empty()).then(|| {
            format!(
                "{}, {}",
                units::count(columns, "column"),
                units::count(rows, "row")
            )
        })
    }

    /// The lines of all logs that tell of something wrong.
    fn bad_lines(&self) -> Vec<&Line> {
        let tasks = self.tasks.iter().flat_map(|task| &task.log);
        let mut all: Vec<&Line> = self
            .log
            .iter()
            .chain(tasks)
            .filter(|line| line.is_bad())
            .collect();
        all.sort_by_key(|line| line.seq);
        all.truncate(20);
        all
    }
}

/// `/history`
#[derive(Template)]
#[template(path = "history.html")]
pub(in super::super) struct History {
    pub(in super::super) frame: Frame,
    pub(in super::super) runs: Vec<RunLine>,
    pub(in super::super) pages: Pages,
}
