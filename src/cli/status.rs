//! `status [JOB]`

use std::path::Path;

use chrono::{DateTime, Utc};

use super::{Options, history, jobs, json, settings, state_to_read, terminal};
use crate::config::job::Settings;
use crate::error::Result;
use crate::guard::process::host_name;
use crate::state::{Run, State};

/// Shows how every job, or one, is doing
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd status\n  envsyncd status publishing-api\n  envsyncd status --json"
)]
pub(super) struct Args {
    /// This job only
    job: Option<String>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// What there is to say of a job.
struct Job {
    name: String,
    last_run: Option<Run>,
    last_success: Option<DateTime<Utc>>,
    next_run: Option<DateTime<Utc>>,
    failures: u32,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let state = state_to_read(options, &settings)?;
    let names = match &args.job {
        Some(job) => {
            jobs::find(job, &settings, state.as_ref())?;
            vec![job.clone()]
        }
        None => jobs::known(&settings, state.as_ref())?,
    };
    let all = names
        .into_iter()
        .map(|name| look(name, &settings, state.as_ref()))
        .collect::<Result<Vec<_>>>()?;
    let holds = match &state {
        Some(state) => state.holds()?,
        None => Vec::new(),
    };
    let (host, now) = (host_name(), Utc::now());
    if args.json {
        terminal::print_json(&json::Status {
            version: json::VERSION,
            jobs: all.iter().map(|job| document(job, &host, now)).collect(),
            holds: holds.iter().map(json::Hold::new).collect(),
        })?;
        return Ok(0);
    }
    let mut text = String::new();
    if all.is_empty() {
        terminal::note(&format!(
            "no jobs: none in {}, and no history in {}",
            settings.job_dir.display(),
            settings.state_dir.display()
        ));
    } else {
        text = terminal::table(
            &[
                "JOB",
                "STATE",
                "LAST RUN",
                "TOOK",
                "LAST SUCCESS",
                "NEXT RUN",
                "MESSAGE",
            ],
            all.iter().map(|job| row(job, &host, now)),
        );
    }
    if !holds.is_empty() {
        text.push('\n');
        for hold in &holds {
            text.push_str(&hold.sentence());
            text.push('\n');
        }
    }
    terminal::print(&text)?;
    Ok(0)
}

fn look(name: String, settings: &Settings, state: Option<&State>) -> Result<Job> {
    let next_run = next_run(&settings.status_dir, &name);
    Ok(match state {
        None => Job {
            name,
            last_run: None,
            last_success: None,
            next_run,
            failures: 0,
        },
        Some(state) => Job {
            last_run: state.last_run(&name)?,
            last_success: state.last_success_at(&name)?,
            failures: state.consecutive_failures(&name)?,
            next_run,
            name,
        },
    })
}

/// The next run as the job's status file has it; it is the planner's word.
fn next_run(status_dir: &Path, job: &str) -> Option<DateTime<Utc>> {
    let text = std::fs::read(status_dir.join(format!("{job}.json"))).ok()?;
    let file: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let at = DateTime::parse_from_rfc3339(file.get("next_run_at")?.as_str()?).ok()?;
    Some(at.to_utc())
}

fn row(job: &Job, host: &str, now: DateTime<Utc>) -> Vec<String> {
    let time =
        |at: Option<DateTime<Utc>>| at.map_or_else(|| "-".to_owned(), |at| terminal::when(at, now));
    let Some(run) = &job.last_run else {
        return vec![
            job.name.clone(),
            "never".to_owned(),
            "-".to_owned(),
            "-".to_owned(),
            "-".to_owned(),
            time(job.next_run),
            String::new(),
        ];
    };
    let message = if run.is_dead(host) {
        "its process is gone; the next start records it as failed and clears up".to_owned()
    } else if run.finished_at.is_none() {
        run.step.clone()
    } else if job.failures > 1 {
        let text = format!("{} ({} failures in a row)", run.message, job.failures);
        text.trim_start().to_owned()
    } else {
        run.message.clone()
    };
    vec![
        job.name.clone(),
        history::state_of(run, host),
        time(Some(run.started_at)),
        terminal::length(run.duration(now)),
        time(job.last_success),
        time(job.next_run),
        message,
    ]
}

fn document(job: &Job, host: &str, now: DateTime<Utc>) -> json::Job {
    json::Job {
        job: job.name.clone(),
        state: job
            .last_run
            .as_ref()
            .map_or("never", |run| run.state.as_str()),
        last_run: job
            .last_run
            .as_ref()
            .map(|run| json::Run::new(run, host, now)),
        last_success_at: job.last_success.map(json::time),
        next_run_at: job.next_run.map(json::time),
        consecutive_failures: job.failures,
    }
}
