//! `validate`: is a job's file right, before the night.

use std::path::{Path, PathBuf};

use chrono::Utc;
use serde::Serialize;

use super::options::{Options, settings};
use super::{due, terminal};
use crate::config::job::{Job, Settings};
use crate::config::{self, Diagnostic, Variables};
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
    let of_settings = match &args.file {
        Some(_) => None,
        None => check_sites(&settings),
    };
    let of_jobs = files.iter().map(|file| check(file, &settings));
    let reports: Vec<FileReport> = of_settings.into_iter().chain(of_jobs).collect();
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

impl FileReport {
    /// Of a file with which nothing is wrong so far.
    fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            valid: true,
            problems: Vec::new(),
            next_runs: Vec::new(),
            due: None,
            shown: Vec::new(),
            forbidden: false,
        }
    }

    /// With what was found.
    fn found(&mut self, all: &[Diagnostic]) {
        self.problems = all.iter().map(Finding::new).collect();
        self.shown = all.iter().map(ToString::to_string).collect();
    }
}

/// What a job asks of its stores that they cannot do, each where it stands: in its file, or in the text that is going to be
/// there.
pub(super) fn refusals(job: &Job, text: Option<&str>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for task in &job.tasks {
        for one in store::registry::refusals(task) {
            found.push(match text {
                Some(text) => config::refuse_in(text, job, task, one.key, one.why),
                None => config::refuse(job, task, one.key, one.why),
            });
        }
    }
    found
}

/// The same of what sites have that goes into this host's own environment, which is what it can pull.
pub(super) fn refusals_of_sites(settings: &Settings, text: Option<&str>) -> Vec<Diagnostic> {
    let own = settings.host_environment.as_ref();
    let pulled = (settings.site_tasks.keys()).filter(|(_, _, to)| own == Some(to));
    let jobs = pulled.filter_map(|(site, from, to)| {
        let job = settings.site_job(site, from.as_str(), to.as_str());
        job.ok()
    });
    let mut found: Vec<Diagnostic> = Vec::new();
    for one in jobs.flat_map(|job| refusals(&job, text)) {
        // A site's options are the same wherever its data comes from.
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

/// The settings' own file, if what it says of sites cannot be done.
fn check_sites(settings: &Settings) -> Option<FileReport> {
    let found = refusals_of_sites(settings, None);
    let mut report = FileReport::new(settings.file.as_deref()?);
    report.valid = found.is_empty();
    report.found(&found);
    (!report.valid).then_some(report)
}

fn check(file: &Path, settings: &Settings) -> FileReport {
    let mut report = FileReport::new(file);
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
    let unable = refusals(&job, None);
    report.valid = unable.is_empty();
    all.extend(unable);
    for (unable, problem) in hooks(&job, settings) {
        report.valid &= !unable;
        all.push(problem);
    }
    report.found(&all);
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
