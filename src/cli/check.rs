//! `check`: the monitoring plugin. Needs no daemon and no state store, only status files.

use std::path::PathBuf;

use chrono::Utc;

use super::options::{Options, settings};
use super::terminal;
use crate::error::{Error, Kind, Result};
use crate::guard::process::Process;
use crate::report::check::{self, Thresholds, Verdict};
use crate::report::range::Range;

/// Check the jobs as a monitoring plugin (Icinga, Nagios); needs no daemon
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd check\n  envsyncd check publishing-api -w 28h -c 52h\n\nExit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (bad arguments, or a status file that is missing or unreadable)"
)]
pub(super) struct Args {
    /// Check only these jobs
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    /// WARNING if the last success is older: a duration such as 28h, or a range of the Monitoring Plugins guidelines in seconds
    #[arg(
        short,
        long,
        value_name = "AGE",
        default_value = "28h",
        allow_hyphen_values = true
    )]
    warning: String,
    /// CRITICAL if the last success is older
    #[arg(
        short,
        long,
        value_name = "AGE",
        default_value = "52h",
        allow_hyphen_values = true
    )]
    critical: String,
}

pub(super) fn main(options: &Options, args: &Args) -> u8 {
    let verdict =
        checked(options, args).unwrap_or_else(|error| Verdict::unknown(&error.to_string()));
    // Whoever called us reads the exit code, too.
    let _ = terminal::print(&format!("{}\n", verdict.text.trim_end()));
    verdict.exit_code()
}

fn checked(options: &Options, args: &Args) -> Result<Verdict> {
    let range = |text: &str, name: &str| -> Result<Range> {
        text.parse()
            .map_err(|why| Error::new(Kind::Usage, format!("--{name}: {why}")))
    };
    let thresholds = Thresholds {
        warning: range(&args.warning, "warning")?,
        critical: range(&args.critical, "critical")?,
    };
    let directory: PathBuf = settings(options)?.status_dir;
    Ok(match check::gather(&directory, &args.jobs) {
        Ok(mut readings) => {
            check::watch(&directory, &mut readings, Utc::now());
            check::check(&readings, &thresholds, Utc::now(), &Process::look)
        }
        Err(unknown) => unknown,
    })
}
