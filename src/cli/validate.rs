//! `validate`: is a job's file right, before the night.

use std::path::{Path, PathBuf};

use chrono::Utc;
use serde::Serialize;

use super::options::{Options, settings};
use super::{due, terminal};
use crate::config::job::{Job, Settings};
use crate::config::{self, Variables};
use crate::control::documents::Finding;
use crate::error::{Kind, Result};
use crate::guard::command;
use crate::{policy, store};

/// Check one job file, or the settings and all job files
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd validate\n  envsyncd validate -f config.d/publishing-api.toml\n  envsyncd validate --json\n\nExit codes: 0 no errors (maybe warnings), 2 something is wrong, 3 policy forbids a job"
)]
pub(super) struct Args {
    /// Check only this job file
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print JSON
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
    problems: Vec<Finding>,
    /// The next times at which its schedule is due; none without one.
    next_runs: Vec<String>,
    #[serde(skip)]
    due: Option<String>,
    #[serde(skip)]
    shown: Vec<String>,
    #[serde(skip)]
    forbidden: bool,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let files = match &args.file {
        Some(file) => vec![file.clone()],
        None => config::job_files(&settings)?,
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
            if let Some(due) = report.due.as_ref().filter(|_| report.valid) {
                text.push_str(&format!("  {due}\n"));
            }
        }
        if reports.is_empty() {
            text.push_str(&format!(
                "there is no job in {}\n",
                settings.job_dirs_named()
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

fn check(file: &Path, settings: &Settings) -> FileReport {
    let mut report = FileReport {
        file: file.to_owned(),
        valid: true,
        problems: Vec::new(),
        next_runs: Vec::new(),
        due: None,
        shown: Vec::new(),
        forbidden: false,
    };
    let (job, warnings) = match config::load_job(file, settings) {
        Ok(loaded) => loaded,
        Err(found) => {
            report.valid = false;
            report.problems = found.iter().map(Finding::new).collect();
            report.shown = vec![found.to_string()];
            return report;
        }
    };
    let times = due::next(&job, settings, Utc::now());
    report.next_runs = due::rfc3339(&times);
    report.due = due::sentence(&times);
    let mut all = warnings;
    for task in &job.tasks {
        for unable in store::registry::refusals(task) {
            report.valid = false;
            all.push(config::refuse(&job, task, unable.key, unable.why));
        }
    }
    for (unable, problem) in hooks(&job, settings) {
        report.valid &= !unable;
        all.push(problem);
    }
    report.problems = all.iter().map(Finding::new).collect();
    report.shown = all.iter().map(ToString::to_string).collect();
    if let Err(error) = policy::permit(&job.environments, &job.from, &job.to) {
        report.forbidden = report.valid;
        report.valid = false;
        report
            .shown
            .push(format!("refused: {}: {error}", file.display()));
        report.problems.push(Finding {
            severity: "error",
            line: None,
            column: None,
            key: "to".to_owned(),
            message: error.to_string(),
            allowed: None,
            help: None,
        });
    }
    report
}

/// Hooks whose program is not there, and whether that is an error: who may not look cannot tell.
fn hooks(job: &Job, settings: &Settings) -> Vec<(bool, config::Diagnostic)> {
    let path = Variables::load(settings).unwrap_or_default().path();
    let look = |(name, hook)| {
        let error = command::look(hook, name, path.as_deref()).err()?;
        let unable = error.kind() != Kind::Permission;
        let problem = config::refuse_hook(job, name, error.to_string());
        Some((unable, if unable { problem } else { problem.warning() }))
    };
    job.hooks.named().filter_map(look).collect()
}
