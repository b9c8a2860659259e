//! `history [JOB]`

use chrono::Utc;

use super::options::{Options, settings};
use super::state::state_to_read;
use super::table::{Cell, Table, Tone, column, less};
use super::terminal::Screen;
use super::{jobs, json, terminal};
use crate::error::Result;
use crate::state::{Run, RunState, Verb};

/// List the newest runs
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd history\n  envsyncd history publishing-api --limit 5\n  envsyncd history --json"
)]
pub(super) struct Args {
    /// List only runs of this job
    job: Option<String>,
    /// List at most this many runs
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// Print JSON
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
        // Enough of it for `show` and `logs`, whatever else the history has.
        let id = match &state {
            Some(state) => state.telling_length(runs.iter().map(|run| run.id.as_str()))?,
            None => usize::MAX,
        };
        let mut table = Table::new(&[
            column("RUN"),
            column("JOB"),
            column("STATE"),
            column("STARTED"),
            column("TOOK"),
            less("DATA", 1),
            less("ROWS", 3),
            less("SIZE", 2),
            less("BY", 4),
            column("MESSAGE"),
        ]);
        for run in &runs {
            table.row(
                tone(run),
                vec![
                    run.id.get(..id).unwrap_or(&run.id).into(),
                    run.job.as_str().into(),
                    part_of(run).into(),
                    Cell::or(
                        terminal::when(run.started_at, now),
                        terminal::relative(run.started_at, now),
                    ),
                    terminal::length(run.duration(now)).into(),
                    data_of(run).into(),
                    terminal::number(run.rows()).into(),
                    terminal::bytes(run.bytes()).into(),
                    asked_by(run).into(),
                    run.message.as_str().into(),
                ],
            );
        }
        let mut screen = Screen::new();
        screen.table(&table);
        screen.show()?;
    }
    Ok(0)
}

/// What went wrong stands out.
pub(super) fn tone(run: &Run) -> Tone {
    if run.is_dead() || went_wrong(run.state) {
        Tone::Bad
    } else {
        Tone::Plain
    }
}

pub(super) fn went_wrong(state: RunState) -> bool {
    matches!(state, RunState::Failed | RunState::Refused)
}

/// A run's state for people, in a word or two.
pub(super) fn state_of(run: &Run) -> String {
    if run.verb == Verb::Rollback {
        format!("{} (rollback)", part_of(run))
    } else {
        part_of(run)
    }
}

/// A run's state, and of which tasks it is, unless of all.
fn part_of(run: &Run) -> String {
    let state = if run.is_dead() {
        "died".to_owned()
    } else if run.state == RunState::Running {
        format!("running {:.0} %", run.progress_percent())
    } else {
        run.state.to_string()
    };
    if run.only.is_empty() {
        state
    } else {
        format!("{state} (only {})", run.only.join(", "))
    }
}

/// Which way its data went: `production -> staging`, or `previous -> staging`.
fn data_of(run: &Run) -> String {
    let from = match run.verb {
        Verb::Run => run.from.as_str(),
        Verb::Rollback => "previous",
    };
    format!("{from} -> {}", run.to)
}

/// `manual (ada)`
pub(super) fn asked_by(run: &Run) -> String {
    if run.by.is_empty() {
        run.trigger.to_string()
    } else {
        format!("{} ({})", run.trigger, run.by)
    }
}
