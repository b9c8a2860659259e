//! `status`: every job's last run, or one job's.

use chrono::Utc;
use clap::Args;
use serde::Serialize;

use super::{Global, print, print_json, state_to_read, table, unknown_job};
use crate::error::Result;
use crate::report::status_file::{self, StatusFile};
use crate::state::{Hold, Run, RunState, State};

const EXAMPLES: &str = "Examples:
  envsyncd status
  envsyncd status publishing-api
  envsyncd status --json | jq '.jobs[] | select(.state != \"succeeded\")'";

/// `status [JOB]`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct StatusArgs {
    /// One job
    job: Option<String>,
    /// Print JSON: {version, jobs: [as in status files], holds}
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    version: u32,
    jobs: Vec<StatusFile>,
    holds: Vec<Hold>,
}

pub(super) fn status(global: &Global, args: &StatusArgs) -> Result<u8> {
    let settings = global.settings()?;
    let Some(state) = state_to_read(global, &settings)? else {
        let empty = Report {
            version: 1,
            jobs: Vec::new(),
            holds: Vec::new(),
        };
        return if args.json {
            print_json(&empty)
        } else {
            print("no job has run yet\n")
        };
    };
    let runs = match &args.job {
        Some(job) => vec![
            state
                .last_run(job)?
                .ok_or_else(|| unknown_job(&state, job))?,
        ],
        None => state
            .jobs()?
            .iter()
            .filter_map(|job| state.last_run(job).transpose())
            .collect::<Result<_>>()?,
    };
    let holds = state.holds()?;
    if args.json {
        let jobs = runs
            .iter()
            .map(|run| {
                // The status file knows when the job is due next.
                let next = status_file::read(&status_file::path_of(&settings.status_dir, &run.job))
                    .ok()
                    .and_then(|file| file.next_run_at?.parse().ok());
                crate::run::record::status_of(&state, run, next)
            })
            .collect::<Result<_>>()?;
        return print_json(&Report {
            version: 1,
            jobs,
            holds,
        });
    }
    let mut text = String::new();
    if runs.is_empty() {
        text.push_str("no job has run yet\n");
    } else if args.job.is_some() {
        text.push_str(&one(&state, &runs[0])?);
    } else {
        text.push_str(&all(&state, &runs)?);
    }
    for hold in holds {
        text.push_str(&format!(
            "\n{} is held by {} on {} since {}: {}\n",
            hold.environment,
            hold.by,
            hold.host,
            table::when(Some(hold.since), Utc::now()),
            hold.reason
        ));
    }
    print(&text)
}

fn all(state: &State, runs: &[Run]) -> Result<String> {
    let now = Utc::now();
    let mut rows = table::new(&[
        "job",
        "direction",
        "state",
        "began",
        "took",
        "last success",
        "message",
    ]);
    for run in runs {
        let shown = if run.state == RunState::Running {
            format!("running {:.0} %", run.progress_percent())
        } else {
            run.state.to_string()
        };
        rows.add_row(vec![
            run.job.clone(),
            format!("{} -> {}", run.from, run.to),
            shown,
            table::when(Some(run.started_at), now),
            table::duration(run.duration(now)),
            table::when(state.last_success_at(&run.job)?, now),
            table::message(&run.message),
        ]);
    }
    Ok(format!("{rows}\n"))
}

fn one(state: &State, run: &Run) -> Result<String> {
    let now = Utc::now();
    let mut text = super::show::describe(run);
    text.push_str(&format!(
        "last success {}\nfailures     {} since then\n",
        table::when(state.last_success_at(&run.job)?, now),
        state.consecutive_failures(&run.job)?
    ));
    Ok(text)
}
