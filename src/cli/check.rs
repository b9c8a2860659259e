//! `check`: the monitoring plugin. Needs no daemon and no state store, only status files.

use chrono::Utc;

use super::{Options, settings, terminal};
use crate::error::{Error, Kind, Result};
use crate::guard::process::Process;
use crate::report::check::{self, CRITICAL, Thresholds, Verdict, WARNING};
use crate::report::range::Range;
use crate::report::status_file::{self, StatusFile};

/// A monitoring plugin over the status files (Icinga, Nagios); needs no daemon
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd check\n  envsyncd check publishing-api -w 28h -c 52h\n\nExit codes: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN (bad arguments, or a status file that is missing or unreadable)"
)]
pub(super) struct Args {
    /// These jobs only
    #[arg(value_name = "JOB")]
    jobs: Vec<String>,
    /// Age of the last success above which a job is WARNING: a range of the Monitoring Plugins guidelines in seconds, or a length such as 28h
    #[arg(
        short,
        long,
        value_name = "AGE",
        default_value = "28h",
        allow_hyphen_values = true
    )]
    warning: String,
    /// Age of the last success above which a job is CRITICAL
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
    let (text, verdict) = checked(options, args).unwrap_or_else(|error| {
        (
            format!(
                "ENVSYNCD UNKNOWN - {}\n",
                error.to_string().replace('|', "/")
            ),
            Verdict::Unknown,
        )
    });
    // Whoever called us reads the exit code, too.
    let _ = terminal::print(&text);
    verdict.exit_code()
}

fn checked(options: &Options, args: &Args) -> Result<(String, Verdict)> {
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
    let settings = settings(options)?;
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
