//! A site: what can be copied into which of its environments, now.

use std::time::Duration;

use askama::Template;
use chrono::{DateTime, Utc};

use super::super::words;
use super::{Choice, Frame, RunLine, Way};
use crate::report::units;

/// What of a site is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Tab {
    Database,
    Files,
    Index,
}

impl Tab {
    pub(in super::super) const ALL: [Self; 3] = [Self::Database, Self::Files, Self::Index];

    /// In paths and forms.
    pub(in super::super) fn word(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Files => "files",
            Self::Index => "index",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Database => "Database",
            Self::Files => "Files",
            Self::Index => "Index",
        }
    }
}

/// One side of a copy, as far as it is known.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Side {
    /// What it is, without secrets.
    pub(in super::super) words: String,
    pub(in super::super) bytes: Option<u64>,
    /// When it was filled last.
    pub(in super::super) filled: Option<DateTime<Utc>>,
}

/// What a copy would do.
#[derive(Debug, Clone)]
pub(in super::super) struct Plan {
    pub(in super::super) source: Side,
    pub(in super::super) target: Side,
    /// Masked columns, and such as nobody has decided on.
    pub(in super::super) masked: Option<usize>,
    pub(in super::super) undecided: Option<usize>,
    /// Tables that stay as they are.
    pub(in super::super) kept: Vec<String>,
    /// As the last one took.
    pub(in super::super) takes: Option<Duration>,
    pub(in super::super) has_rollback: bool,
}

/// `/sites/{site}`
#[derive(Template)]
#[template(path = "site.html")]
pub(in super::super) struct Site {
    pub(in super::super) frame: Frame,
    pub(in super::super) name: String,
    pub(in super::super) tab: Tab,
    pub(in super::super) from: Vec<Choice>,
    pub(in super::super) to: Vec<Choice>,
    /// Of the chosen two.
    pub(in super::super) way: Option<Way>,
    pub(in super::super) plan: Option<Plan>,
    /// Why the chosen two cannot be copied now.
    pub(in super::super) refusal: Option<(String, Option<String>)>,
    pub(in super::super) runs: Vec<RunLine>,
}

impl Site {
    fn link(&self) -> String {
        format!("/sites/{}", words::encoded(&self.name))
    }

    fn tabs(&self) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
        let all = Tab::ALL.into_iter();
        all.map(|tab| (tab.word(), tab.title(), tab == self.tab))
    }
}

impl Plan {
    fn masks(&self) -> Option<String> {
        let masked = units::count(self.masked? as u64, "column");
        Some(match self.undecided {
            Some(undecided) => format!("{masked} masked, {undecided} undecided"),
            None => format!("{masked} masked"),
        })
    }

    fn length(&self) -> Option<String> {
        self.takes.map(words::length)
    }
}

impl Side {
    fn size(&self) -> Option<String> {
        self.bytes.map(units::bytes)
    }
}

/// A site in the list.
#[derive(Debug, Clone)]
pub(in super::super) struct SiteLine {
    pub(in super::super) name: String,
    /// Its environments.
    pub(in super::super) environments: Vec<String>,
    /// What of it can be copied.
    pub(in super::super) tabs: Vec<Tab>,
    pub(in super::super) last: Option<DateTime<Utc>>,
}

impl SiteLine {
    /// What of it can be copied: where, and its title.
    fn links(&self) -> impl Iterator<Item = (String, &'static str)> {
        let site = words::encoded(&self.name);
        let all = self.tabs.iter();
        all.map(move |tab| (format!("/sites/{site}?tab={}", tab.word()), tab.title()))
    }
}

/// `/sites`
#[derive(Template)]
#[template(path = "sites.html")]
pub(in super::super) struct Sites {
    pub(in super::super) frame: Frame,
    pub(in super::super) sites: Vec<SiteLine>,
}
