//! `show RUN`

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::options::{Options, settings};
use super::state::state_to_read;
use super::table::{Table, Tone, column, less};
use super::terminal::Screen;
use super::{history, terminal};
use crate::control::{documents, jobs};
use crate::error::Result;
use crate::state::{Run, RunState, TaskRow};

/// Show a run, or a job's last run: its tasks, its progress or how it ended
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd show 0199d3a4-7c21\n  envsyncd show publishing-api\n  envsyncd show 0199d3a4-7c21 --json"
)]
pub(super) struct Args {
    /// A run's id, or enough of its beginning or end to be unique; or a job, for its last run
    #[arg(value_name = "RUN or JOB")]
    pub(super) run: String,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// The moment that the copies are of, and how far they lie apart.
fn surveyed(run: &Run, now: DateTime<Utc>) -> Option<String> {
    let points = run
        .tasks
        .iter()
        .filter_map(|task| task.progress.surveyed_at);
    let first = terminal::when(points.min()?, now);
    Some(match run.surveys_apart() {
        Some(apart) => format!("{first}, all tasks within {} ms", apart.as_millis()),
        None => first,
    })
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let state = state_to_read(options, &settings)?;
    let run = jobs::find_run(&args.run, &settings, state.as_ref())?;
    let now = Utc::now();
    if args.json {
        let tables = match &state {
            Some(state) => state.tables(&run.id)?,
            None => Vec::new(),
        };
        terminal::print_json(&documents::Show {
            version: documents::VERSION,
            run: documents::Run::new(&run, now).with_tables(tables),
        })?;
        return Ok(0);
    }
    let mut screen = Screen::new();
    for (name, value) in facts(&run, now) {
        let is_bad = matches!(name, "state" | "message") && history::tone(&run) == Tone::Bad;
        let tone = if is_bad { Tone::Bad } else { Tone::Plain };
        screen.toned(&format!("{name:10} {value}"), tone);
    }
    screen.line("");
    screen.table(&tasks(&run));
    let told = run.tasks.iter().filter_map(|task| {
        let steps = task.progress.steps.iter();
        steps_of(
            &task.name,
            steps.map(|step| (step.name.as_str(), step.seconds)),
        )
    });
    for (place, line) in told.enumerate() {
        if place == 0 {
            screen.line("");
        }
        screen.line(&line);
    }
    screen.show()?;
    Ok(0)
}

/// How long each step of a task took: `database: survey 0.4s | copy 2m`.
pub(super) fn steps_of<'a>(
    task: &str,
    steps: impl Iterator<Item = (&'a str, f64)>,
) -> Option<String> {
    let steps: Vec<String> = steps
        .map(|(name, seconds)| {
            let took = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            format!("{name} {}", terminal::length(took))
        })
        .collect();
    (!steps.is_empty()).then(|| format!("{task}: {}", steps.join(" | ")))
}

/// What is said of a run as a whole: names and values.
fn facts(run: &Run, now: DateTime<Utc>) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("run", run.id.clone()),
        ("job", format!("{} ({})", run.job, run.file.display())),
        ("data", format!("{} -> {}", run.from, run.to)),
        ("state", history::state_of(run)),
    ];
    if !run.only.is_empty() {
        let only = run.only.join(", ");
        facts.push((
            "only",
            format!("{only}; the job's other tasks were left alone"),
        ));
    }
    if !run.step.is_empty() {
        facts.push(("step", run.step.clone()));
    }
    facts.push(("trigger", history::asked_by(run)));
    let process = run
        .process
        .as_ref()
        .map(|process| format!(", process {}", process.pid))
        .unwrap_or_default();
    facts.push(("host", format!("{}{process}", run.host)));
    facts.push(("started", terminal::when(run.started_at, now)));
    if let Some(at) = run.finished_at {
        facts.push(("finished", terminal::when(at, now)));
    }
    let limit = run
        .timeout
        .map(|timeout| format!(" of {} at the most", terminal::length(timeout)))
        .unwrap_or_default();
    facts.push((
        "took",
        format!("{}{limit}", terminal::length(run.duration(now))),
    ));
    if let Some(surveyed) = surveyed(run, now) {
        facts.push(("surveyed", surveyed));
    }
    facts.extend(masked(run).map(|masked| ("masked", masked)));
    if let Some(code) = run.exit_code {
        facts.push(("exit code", code.to_string()));
        facts.push((
            "logged",
            format!(
                "{}, {}",
                terminal::count(run.errors, "error"),
                terminal::count(run.warnings, "warning")
            ),
        ));
    }
    if run.is_dead() {
        facts.push((
            "message",
            "its process is gone; the job's next start records it as failed and clears up"
                .to_owned(),
        ));
    } else if !run.message.is_empty() {
        facts.push(("message", run.message.clone()));
    }
    facts
}

/// How much was masked, and under which key.
fn masked(run: &Run) -> Option<String> {
    let all = run.tasks.iter();
    let all: Vec<_> = all
        .filter_map(|task| task.progress.masked.as_ref())
        .collect();
    let key = &all.first()?.key;
    Some(format!(
        "{} in {}, key {key}",
        terminal::count(all.iter().map(|one| one.columns).sum(), "column"),
        terminal::count(all.iter().map(|one| one.rows).sum(), "row"),
    ))
}

fn tasks(run: &Run) -> Table {
    let mut table = Table::new(&[
        column("TASK"),
        less("KIND", 1),
        column("STATE"),
        less("DONE", 2),
        column("ROWS"),
        column("SIZE"),
        column("TOOK"),
        column("MESSAGE"),
    ]);
    let mut tasks: Vec<&TaskRow> = run.tasks.iter().collect();
    // What somebody looks for first.
    tasks.sort_by_key(|task| match task.progress.state {
        state if history::went_wrong(state) => 0,
        RunState::Running => 1,
        _ => 2,
    });
    for task in tasks {
        let progress = &task.progress;
        let took = Duration::try_from_secs_f64(progress.duration_seconds);
        table.row(
            if history::went_wrong(progress.state) {
                Tone::Bad
            } else {
                Tone::Plain
            },
            vec![
                task.name.as_str().into(),
                task.kind.as_str().into(),
                progress.state.as_str().into(),
                format!("{:.0} %", progress.progress_percent).into(),
                terminal::number(progress.rows).into(),
                terminal::bytes(progress.bytes).into(),
                terminal::length(took.unwrap_or_default()).into(),
                progress.message.as_str().into(),
            ],
        );
    }
    table
}
