//! `/environments`: the tree, with who holds what.

use askama::Template;
use chrono::{DateTime, Utc};

use super::super::marks::Mark;
use super::super::words;
use super::{Frame, Held, Paused};
use crate::report::units;

/// Whether all that flows into an environment is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Masking {
    /// Nothing flows into it.
    Nothing,
    /// All jobs into it have masks.
    All,
    /// So many jobs into it have none.
    Without(usize),
}

/// An environment of the tree.
#[derive(Debug, Clone)]
pub(in super::super) struct EnvironmentLine {
    pub(in super::super) name: String,
    /// 0: a root.
    pub(in super::super) depth: u8,
    pub(in super::super) aliases: Vec<String>,
    /// How many jobs write into it.
    pub(in super::super) jobs: usize,
    /// The age of the oldest data in it.
    pub(in super::super) oldest: Option<DateTime<Utc>>,
    pub(in super::super) masking: Masking,
    pub(in super::super) held: Option<Held>,
    pub(in super::super) paused: Option<Paused>,
}

impl EnvironmentLine {
    pub(super) fn is_root(&self) -> bool {
        self.depth == 0
    }

    pub(super) fn inflow(&self) -> String {
        units::count(self.jobs as u64, "job")
    }

    pub(super) fn is_masked(&self) -> bool {
        self.masking == Masking::All
    }

    pub(super) fn unmasked(&self) -> Option<String> {
        match self.masking {
            Masking::Without(jobs) => Some(format!(
                "{} into it without masks.",
                units::count(jobs as u64, "job")
            )),
            Masking::Nothing | Masking::All => None,
        }
    }

    #[expect(clippy::unused_self, reason = "a template calls methods")]
    pub(super) fn held_mark(&self) -> Mark {
        Mark::Held
    }

    #[expect(clippy::unused_self, reason = "a template calls methods")]
    pub(super) fn paused_mark(&self) -> Mark {
        Mark::Paused
    }

    pub(super) fn path(&self, action: &str) -> String {
        format!("/environments/{}/{action}", words::encoded(&self.name))
    }
}

/// `/environments`
#[derive(Template)]
#[template(path = "environments.html")]
pub(in super::super) struct Environments {
    pub(in super::super) frame: Frame,
    pub(in super::super) environments: Vec<EnvironmentLine>,
}
