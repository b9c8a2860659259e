//! `history [JOB]`

use chrono::Utc;

use super::options::{Options, settings};
use super::state::state_to_read;
use super::table::{Cell, Table, Tone, column, less};
use super::terminal;
use super::terminal::Screen;
use crate::control::{documents, jobs};
use crate::error::Result;
use crate::state::{Run, RunState, State, Verb};

/// List the newest runs
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd history\n  envsyncd history publishing-api --limit 5\n  envsyncd history --json\n  envsyncd history --audit\n\nThe audit list has what people and programs had done: runs, pauses, holds, tokens, and what came of it."
)]
pub(super) struct Args {
    /// List only runs of this job
    pub(super) job: Option<String>,
    /// List at most this many runs
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    pub(super) limit: usize,
    /// List what people and programs had done, instead
    #[arg(long, conflicts_with = "job")]
    pub(super) audit: bool,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let state = state_to_read(options, &settings)?;
    if args.audit {
        return audit(state.as_ref(), args);
    }
    if let Some(job) = &args.job {
        jobs::find(job, &settings, state.as_ref())?;
    }
    let runs = match &state {
        Some(state) => state.runs(args.job.as_deref(), args.limit)?,
        None => Vec::new(),
    };
    let now = Utc::now();
    if args.json {
        terminal::print_json(&documents::History {
            version: documents::VERSION,
            runs: runs
                .iter()
                .map(|run| documents::Run::new(run, now))
                .collect(),
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

fn audit(state: Option<&State>, args: &Args) -> Result<u8> {
    let entries = match state {
        Some(state) => state.audits(None, args.limit)?,
        None => Vec::new(),
    };
    if args.json {
        terminal::print_json(&documents::Audit {
            version: documents::VERSION,
            entries: (entries.iter())
                .map(|(seq, entry)| documents::Audited::new(*seq, entry))
                .collect(),
        })?;
    } else if entries.is_empty() {
        terminal::note("nobody has had anything done yet");
    } else {
        let now = Utc::now();
        let mut table = Table::new(&[
            column("WHEN"),
            column("WHO"),
            less("FROM", 1),
            column("ACTION"),
            column("OBJECT"),
            column("OUTCOME"),
        ]);
        for (_, entry) in &entries {
            let tone = if entry.is_good() {
                Tone::Plain
            } else {
                Tone::Bad
            };
            table.row(
                tone,
                vec![
                    Cell::or(
                        terminal::when(entry.at, now),
                        terminal::relative(entry.at, now),
                    ),
                    entry.who.as_str().into(),
                    format!("{} {}", entry.via, entry.address).trim_end().into(),
                    entry.action.as_str().into(),
                    entry.object.as_str().into(),
                    entry.outcome.as_str().into(),
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
