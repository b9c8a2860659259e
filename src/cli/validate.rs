//! `validate`: is a job's file right, before the night.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Options, settings, terminal};
use crate::config;
use crate::config::job::Settings;
use crate::error::{Error, Kind, Result};
use crate::{policy, store};

/// Checks one job file, or the settings and all job files
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd validate\n  envsyncd validate -f config.d/publishing-api.toml\n  envsyncd validate --json\n\nExit codes: 0 all is well (warnings included), 2 something is wrong, 3 policy forbids a job"
)]
pub(super) struct Args {
    /// This job's file only
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    version: u32,
    files: Vec<FileReport>,
}

#[derive(Serialize)]
struct FileReport {
    file: PathBuf,
    valid: bool,
    /// Errors and warnings.
    problems: Vec<Problem>,
    #[serde(skip)]
    shown: Vec<String>,
    #[serde(skip)]
    forbidden: bool,
}

#[derive(Serialize)]
struct Problem {
    severity: &'static str,
    line: Option<usize>,
    column: Option<usize>,
    key: String,
    message: String,
    help: Option<String>,
}

impl Problem {
    fn of(one: &config::diagnostics::Diagnostic) -> Self {
        Self {
            severity: match one.severity {
                config::diagnostics::Severity::Error => "error",
                config::diagnostics::Severity::Warning => "warning",
            },
            line: one.place.map(|place| place.0),
            column: one.place.map(|place| place.1),
            key: one.key.clone(),
            message: one.message.clone(),
            help: one.help.clone(),
        }
    }
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let files = match &args.file {
        Some(file) => vec![file.clone()],
        None => jobs_in(&settings.job_dir)?,
    };
    let reports: Vec<FileReport> = files.iter().map(|file| check(file, &settings)).collect();
    let bad = reports
        .iter()
        .any(|report| !report.valid && !report.forbidden);
    let forbidden = reports.iter().any(|report| report.forbidden);
    if args.json {
        terminal::print_json(&Report {
            version: 1,
            files: reports,
        })?;
    } else {
        let mut text = String::new();
        for report in &reports {
            for shown in &report.shown {
                terminal::note(&format!("{shown}\n"));
            }
            let verdict = match (report.valid, report.problems.len()) {
                (false, _) => "INVALID",
                (true, 0) => "ok",
                (true, _) => "ok, with warnings",
            };
            text.push_str(&format!("{}: {verdict}\n", report.file.display()));
        }
        if reports.is_empty() {
            text.push_str(&format!(
                "there is no job in {}\n",
                settings.job_dir.display()
            ));
        }
        terminal::print(&text)?;
    }
    Ok(if bad {
        Kind::Config.exit_code()
    } else if forbidden {
        Kind::Policy.exit_code()
    } else {
        0
    })
}

fn jobs_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .map_err(|error| {
            Error::new(
                Kind::Config,
                format!("job_dir {} cannot be read", directory.display()),
            )
            .because(error)
            .hint("name one file with -f FILE, or another directory with job_dir")
        })?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    files.sort();
    Ok(files)
}

fn check(file: &Path, settings: &Settings) -> FileReport {
    let mut report = FileReport {
        file: file.to_owned(),
        valid: true,
        problems: Vec::new(),
        shown: Vec::new(),
        forbidden: false,
    };
    let (job, warnings) = match config::load_job(file, settings) {
        Ok(loaded) => loaded,
        Err(found) => {
            report.valid = false;
            report.problems = found.iter().map(Problem::of).collect();
            report.shown = vec![found.to_string()];
            return report;
        }
    };
    let mut all = warnings;
    for task in &job.tasks {
        for unable in store::unable(task) {
            report.valid = false;
            all.push(config::refuse(&job, task, unable.key, unable.why));
        }
    }
    report.problems = all.iter().map(Problem::of).collect();
    report.shown = all.iter().map(ToString::to_string).collect();
    if let Err(error) = policy::permit(&job.environments, &job.from, &job.to) {
        report.forbidden = report.valid;
        report.valid = false;
        report
            .shown
            .push(format!("refused: {}: {error}", file.display()));
        report.problems.push(Problem {
            severity: "error",
            line: None,
            column: None,
            key: "to".to_owned(),
            message: error.to_string(),
            help: None,
        });
    }
    report
}
