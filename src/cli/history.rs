//! `history [JOB]`

use chrono::Utc;

use super::{Options, jobs, json, settings, state_to_read, terminal};
use crate::error::Result;
use crate::state::Run;

/// Lists the newest runs
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd history\n  envsyncd history publishing-api --limit 5\n  envsyncd history --json"
)]
pub(super) struct Args {
    /// The runs of this job only
    job: Option<String>,
    /// How many runs at the most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let state = state_to_read(options, &settings)?;
    if let Some(job) = &args.job {
        jobs::find(job, &settings, state.as_ref())?;
    }
    let runs = match &state {
        Some(state) => state.runs(args.job.as_deref(), args.limit)?,
        None => Vec::new(),
    };
    let now = Utc::now();
    if args.json {
        terminal::print_json(&json::History {
            version: json::VERSION,
            runs: runs.iter().map(|run| json::Run::new(run, now)).collect(),
        })?;
    } else if runs.is_empty() {
        terminal::note("no runs yet");
    } else {
        let id = jobs::short_ids(&runs);
        let table = terminal::table(
            &[
                "RUN", "JOB", "STATE", "STARTED", "TOOK", "ROWS", "BY", "MESSAGE",
            ],
            runs.iter().map(|run| {
                vec![
                    run.id.get(..id).unwrap_or(&run.id).to_owned(),
                    run.job.clone(),
                    state_of(run),
                    terminal::when(run.started_at, now),
                    terminal::length(run.duration(now)),
                    terminal::number(run.rows()),
                    asked_by(run),
                    run.message.clone(),
                ]
            }),
        );
        terminal::print(&table)?;
    }
    Ok(0)
}

/// A run's state for people, in a word or two.
pub(super) fn state_of(run: &Run) -> String {
    use crate::state::{RunState, Verb};
    let state = if run.is_dead() {
        "died".to_owned()
    } else if run.state == RunState::Running {
        format!("running {:.0} %", run.progress_percent())
    } else {
        run.state.to_string()
    };
    match run.verb {
        Verb::Run => state,
        Verb::Rollback => format!("{state} (rollback)"),
    }
}

/// `manual (ada)`
pub(super) fn asked_by(run: &Run) -> String {
    if run.by.is_empty() {
        run.trigger.to_string()
    } else {
        format!("{} ({})", run.trigger, run.by)
    }
}
