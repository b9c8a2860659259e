//! `history`: past runs, newest first.

use chrono::Utc;
use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use super::show::RunReport;
use super::{Global, print, print_json, state_to_read, table, unknown_job};
use crate::error::Result;

const EXAMPLES: &str = "Examples:
  envsyncd history
  envsyncd history publishing-api --limit 5
  envsyncd history --json | jq -r '.runs[] | [.job, .state, .duration_seconds] | @tsv'";

/// `history [JOB]`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct HistoryArgs {
    /// One job
    job: Option<String>,
    /// How many runs
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print JSON: {version, runs: [as `show --json` has them]}
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    version: u32,
    runs: Vec<RunReport>,
}

pub(super) fn history(global: &Global, args: &HistoryArgs) -> Result<u8> {
    let settings = global.settings()?;
    let mut runs = Vec::new();
    if let Some(state) = state_to_read(global, &settings)? {
        runs = state.runs(args.job.as_deref(), args.limit)?;
        if runs.is_empty()
            && let Some(job) = &args.job
        {
            return Err(unknown_job(&state, job));
        }
    }
    if args.json {
        return print_json(&Report {
            version: 1,
            runs: runs.iter().map(RunReport::of).collect(),
        });
    }
    if runs.is_empty() {
        return print("no job has run yet\n");
    }
    let now = Utc::now();
    let mut rows = table::new(&[
        "run",
        "job",
        "direction",
        "what",
        "state",
        "began",
        "took",
        "rows",
        "size",
        "message",
    ]);
    for run in &runs {
        rows.add_row(vec![
            run.id.clone(),
            run.job.clone(),
            format!("{} -> {}", run.from, run.to),
            run.verb.to_string(),
            run.state.to_string(),
            table::when(Some(run.started_at), now),
            table::duration(run.duration(now)),
            HumanCount(run.rows()).to_string(),
            HumanBytes(run.bytes()).to_string(),
            table::message(&run.message),
        ]);
    }
    print(&format!("{rows}\n"))
}
