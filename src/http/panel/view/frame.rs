//! What all pages have around them.

use askama::Template;
use chrono::{DateTime, Utc};

use super::super::{look, words};
use super::Paused;

/// A place in the navigation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Place {
    Overview,
    Jobs,
    Recurring,
    Sites,
    Environments,
    Snapshots,
    History,
    Tokens,
    Audit,
    /// None of them.
    Elsewhere,
}

impl Place {
    const ALL: [(Self, &str, &str); 9] = [
        (Self::Overview, "/", "Overview"),
        (Self::Jobs, "/jobs", "Jobs"),
        (Self::Recurring, "/recurring", "Recurring"),
        (Self::Sites, "/sites", "Sites"),
        (Self::Environments, "/environments", "Environments"),
        (Self::Snapshots, "/snapshots", "Snapshots"),
        (Self::History, "/history", "History"),
        (Self::Tokens, "/tokens", "Tokens"),
        (Self::Audit, "/audit", "Audit"),
    ];
}

/// Who looks at a page.
#[derive(Debug, Clone)]
pub(in super::super) struct User {
    pub(in super::super) name: String,
    /// Whether they may start, cancel and pause.
    pub(in super::super) may_run: bool,
    /// Whether they may see tokens and the audit list, and write jobs.
    pub(in super::super) may_admin: bool,
}

/// What came of a form.
#[derive(Debug, Clone)]
pub(in super::super) struct Notice {
    pub(in super::super) is_good: bool,
    pub(in super::super) sentence: String,
    pub(in super::super) hint: Option<String>,
}

/// What all pages have around them.
#[derive(Debug, Clone)]
pub(in super::super) struct Frame {
    pub(in super::super) place: Place,
    /// The machine's name.
    pub(in super::super) host: String,
    /// Nobody has logged in yet: `None`.
    pub(in super::super) user: Option<User>,
    /// In every form.
    pub(in super::super) csrf: String,
    /// When the page was made.
    pub(in super::super) now: DateTime<Utc>,
    pub(in super::super) notice: Option<Notice>,
    /// Where all is paused.
    pub(in super::super) paused: Option<Paused>,
    /// Where nothing starts by schedule, or envsyncd.toml is broken: in one sentence.
    pub(in super::super) trouble: Option<String>,
}

impl Frame {
    pub(super) fn may_run(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.may_run)
    }

    pub(super) fn may_admin(&self) -> bool {
        self.user.as_ref().is_some_and(|user| user.may_admin)
    }

    /// The navigation: path, name, and whether it is where the page is.
    pub(super) fn places(&self) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
        let all = Place::ALL.into_iter();
        all.filter(|(place, _, _)| {
            self.may_admin() || !matches!(place, Place::Tokens | Place::Audit)
        })
        .map(|(place, path, name)| (path, name, place == self.place))
    }

    /// A time in a table.
    pub(super) fn time(&self, at: &DateTime<Utc>) -> words::Time {
        words::Time {
            at: *at,
            now: self.now,
            takes_focus: false,
        }
    }

    /// A time that stands by itself.
    pub(super) fn moment(&self, at: &DateTime<Utc>) -> words::Time {
        words::Time {
            takes_focus: true,
            ..self.time(at)
        }
    }

    #[expect(clippy::unused_self, reason = "a template calls methods")]
    pub(super) fn style(&self) -> Ours {
        Ours(look::STYLE)
    }

    #[expect(clippy::unused_self, reason = "a template calls methods")]
    pub(super) fn script(&self) -> &'static str {
        &look::SCRIPT_PATH
    }
}

/// Text of our own that is HTML already.
pub(super) struct Ours(&'static str);

impl askama::filters::HtmlSafe for Ours {}

impl std::fmt::Display for Ours {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// A request that was not served.
#[derive(Template)]
#[template(path = "failed.html")]
pub(in super::super) struct Failed {
    pub(in super::super) frame: Frame,
    /// The status in words.
    pub(in super::super) title: String,
    pub(in super::super) sentence: String,
    pub(in super::super) hint: Option<String>,
}
