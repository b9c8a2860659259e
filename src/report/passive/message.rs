//! What receivers are told, and why telling one failed.

use std::time::Duration;

use chrono::Utc;

use crate::error::Error;
use crate::guard::process::Process;
use crate::report::check::{self, Thresholds};
use crate::report::status_file::StatusFile;

/// How long one try may take.
pub(super) const TRY: Duration = Duration::from_secs(8);

/// Where passwords' variables are looked up.
pub type Lookup<'l> = &'l (dyn Fn(&str) -> Option<String> + Sync);

/// Why a try failed, and whether another one may go better.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) again: bool,
}

impl Failure {
    pub(super) fn for_now(error: Error) -> Self {
        Self { error, again: true }
    }

    pub(super) fn for_good(error: Error) -> Self {
        Self {
            error,
            again: false,
        }
    }
}

/// A check result, in the form that a monitoring plugin would print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) job: String,
    pub(super) exit_code: u8,
    /// All lines, without performance data.
    pub(super) output: String,
    /// `'label'=value;warn;crit;min`, each by itself.
    pub(super) perfdata: Vec<String>,
}

impl Message {
    pub(super) fn of(status: &StatusFile) -> Self {
        let verdict = check::check(
            &[(status.job.clone(), Ok(status.clone()))],
            &Thresholds::default(),
            Utc::now(),
            &Process::look,
        );
        let (output, perfdata) = parts(&verdict.text);
        Self {
            job: status.job.clone(),
            exit_code: verdict.exit_code(),
            output,
            perfdata,
        }
    }
}

/// Parts a plugin's text into what people read and what graphs are made of. Labels in quotes may have spaces in them
/// (Monitoring Plugins guidelines, "Performance data"); nothing else in our text has a `|`.
pub(super) fn parts(text: &str) -> (String, Vec<String>) {
    let (first, details) = text.split_once('\n').unwrap_or((text, ""));
    let (summary, data) = first.split_once(" | ").unwrap_or((first, ""));
    let mut output = summary.to_owned();
    if !details.is_empty() {
        output.push('\n');
        output.push_str(details);
    }
    let mut quoted = false;
    let perfdata = data
        .split(|c| {
            quoted ^= c == '\'';
            c == ' ' && !quoted
        })
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect();
    (output, perfdata)
}
