//! What several pages show.

use std::fmt;
use std::time::Duration;

use askama::Template;
use askama::filters::HtmlSafe;
use chrono::{DateTime, Utc};

use super::super::marks::Mark;
use super::super::words;
use crate::report::units;

/// From where data flows to where: always the same picture.
#[derive(Debug, Clone, Template)]
#[template(
    ext = "html",
    source = "<span class=way><b{% if is_root %} class=root{% endif %}>{{ from }}</b><i> to </i><b>{{ to }}</b></span>"
)]
pub(in super::super) struct Way {
    pub(in super::super) from: String,
    pub(in super::super) to: String,
    /// Whether `from` is never a target.
    pub(in super::super) is_root: bool,
}

impl HtmlSafe for Way {}

/// A pause.
#[derive(Debug, Clone)]
pub(in super::super) struct Paused {
    pub(in super::super) by: String,
    pub(in super::super) reason: String,
    pub(in super::super) since: DateTime<Utc>,
    pub(in super::super) until: Option<DateTime<Utc>>,
}

/// A hold on an environment.
#[derive(Debug, Clone)]
pub(in super::super) struct Held {
    pub(in super::super) by: String,
    pub(in super::super) host: String,
    pub(in super::super) reason: String,
    pub(in super::super) since: DateTime<Utc>,
    /// The process that it ends with.
    pub(in super::super) process: Option<u32>,
}

/// A run in a table.
#[derive(Debug, Clone)]
pub(in super::super) struct RunLine {
    pub(in super::super) id: String,
    pub(in super::super) job: String,
    pub(in super::super) mark: Mark,
    pub(in super::super) way: Way,
    /// Whether it put the previous copy back.
    pub(in super::super) is_rollback: bool,
    /// 0 to 100, while it runs.
    pub(in super::super) percent: Option<u8>,
    pub(in super::super) bytes: u64,
    pub(in super::super) took: Option<Duration>,
    pub(in super::super) at: DateTime<Utc>,
    /// Who or what started it.
    pub(in super::super) by: String,
    pub(in super::super) message: String,
}

impl RunLine {
    pub(super) fn link(&self) -> String {
        format!("/runs/{}", words::encoded(&self.id))
    }

    pub(super) fn size(&self) -> String {
        units::bytes(self.bytes)
    }

    pub(super) fn length(&self) -> String {
        self.took.map(words::length).unwrap_or_default()
    }
}

/// Where a long list is cut.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Pages {
    /// The list's whole length, where it is known.
    pub(in super::super) total: Option<usize>,
    /// What leads to what comes before, and after.
    pub(in super::super) back: Option<String>,
    pub(in super::super) on: Option<String>,
}

/// A job's page.
pub(super) fn job_link(job: &str) -> String {
    format!("/jobs/{}", words::encoded(job))
}

/// A number from 0 to 100 as it stands behind a bar.
#[derive(Debug, Clone, Copy)]
pub(super) struct Percent(pub(super) u8);

impl HtmlSafe for Percent {}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<progress max=100 value={0} aria-label=progress></progress> <span class=percent>{0} %</span>",
            self.0
        )
    }
}
