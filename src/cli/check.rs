//! `check`: the monitoring plugin. Needs no daemon and no state store, only status files.

use chrono::Utc;
use clap::Args;

use super::{Global, print};
use crate::error::{Error, Kind, Result};
use crate::guard::process::Process;
use crate::report::check::{self, CRITICAL, Thresholds, Verdict, WARNING};
use crate::report::range::Range;
use crate::report::status_file::{self, StatusFile};

const EXAMPLES: &str = "Examples:
  envsyncd check                                 all jobs, with the default limits
  envsyncd check publishing-api -w 28h -c 52h
  envsyncd check nightly -w 90m -c @0:10

Limits are on the age of the last success, as ranges of the Monitoring Plugins guidelines: 28h alerts above,
10: below, ~:10 above, 1h:2d outside, @1h:2d inside. Numbers are seconds, or have a unit: 90m, 28h, 2d.

Exit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.";

/// `check [JOB...]`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CheckArgs {
    /// Jobs; none: all that have a status file
    jobs: Vec<String>,
    /// Warn when the last success is older
    #[arg(
        short,
        long,
        value_name = "AGE",
        default_value = "28h",
        allow_hyphen_values = true
    )]
    warning: String,
    /// Critical when the last success is older
    #[arg(
        short,
        long,
        value_name = "AGE",
        default_value = "52h",
        allow_hyphen_values = true
    )]
    critical: String,
}

pub(super) fn check(global: &Global, args: &CheckArgs) -> u8 {
    let (text, verdict) = checked(global, args).unwrap_or_else(|error| {
        (
            format!(
                "ENVSYNCD UNKNOWN - {}\n",
                error.to_string().replace('|', "/")
            ),
            Verdict::Unknown,
        )
    });
    // Whoever called us reads the exit code, too.
    let _ = print(&text);
    verdict.exit_code()
}

fn checked(global: &Global, args: &CheckArgs) -> Result<(String, Verdict)> {
    let range = |text: &str, default: Range, name: &str| -> Result<Range> {
        if text.is_empty() {
            return Ok(default);
        }
        text.parse()
            .map_err(|why| Error::new(Kind::Usage, format!("--{name}: {why}")))
    };
    let thresholds = Thresholds {
        warning: range(&args.warning, WARNING, "warning")?,
        critical: range(&args.critical, CRITICAL, "critical")?,
    };
    let settings = global.settings()?;
    let mut names = args.jobs.clone();
    if names.is_empty() {
        let listed = std::fs::read_dir(&settings.status_dir).map_err(|error| {
            Error::new(
                Kind::State,
                format!("{} cannot be read", settings.status_dir.display()),
            )
            .because(error)
        })?;
        names = listed
            .flatten()
            .filter_map(|entry| {
                entry
                    .file_name()
                    .to_str()?
                    .strip_suffix(".json")
                    .map(str::to_owned)
            })
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
    }
    let jobs: Vec<(String, Result<StatusFile>)> = names
        .into_iter()
        .map(|name| {
            let read = crate::config::job::JobName::parse(&name)
                .map_err(|why| Error::new(Kind::Usage, why))
                .and_then(|_| {
                    status_file::read(&status_file::path_of(&settings.status_dir, &name))
                });
            (name, read)
        })
        .collect();
    Ok(check::check(&jobs, &thresholds, Utc::now(), |pid| {
        Process::of(pid).is_some()
    }))
}
