//! `show RUN`

use std::fmt::Write;

use chrono::{DateTime, Utc};

use super::{Options, history, jobs, json, settings, state_to_read, terminal};
use crate::error::Result;
use crate::state::Run;

/// Shows one run: its tasks, how far it is or how it ended
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd show 0199d3a4-7c21\n  envsyncd show 0199d3a4-7c21 --json"
)]
pub(super) struct Args {
    /// Its id, or enough of its beginning (or end) to tell it from all others
    run: String,
    /// Prints JSON
    #[arg(long)]
    json: bool,
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
        terminal::print_json(&json::Show {
            version: json::VERSION,
            run: json::Run::new(&run, now),
        })?;
        return Ok(0);
    }
    let mut facts = vec![
        ("run", run.id.clone()),
        ("job", format!("{} ({})", run.job, run.file.display())),
        ("data", format!("{} -> {}", run.from, run.to)),
        ("state", history::state_of(&run)),
    ];
    if !run.step.is_empty() {
        facts.push(("step", run.step.clone()));
    }
    facts.push(("trigger", history::asked_by(&run)));
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
    if let Some(surveyed) = surveyed(&run, now) {
        facts.push(("surveyed", surveyed));
    }
    if let Some(code) = run.exit_code {
        facts.push(("exit code", code.to_string()));
        facts.push((
            "logged",
            format!("{} errors, {} warnings", run.errors, run.warnings),
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
    let mut text = String::new();
    for (name, value) in facts {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:10} {value}");
    }
    text.push('\n');
    text.push_str(&terminal::table(
        &[
            "TASK", "KIND", "STATE", "DONE", "ROWS", "BYTES", "TOOK", "MESSAGE",
        ],
        run.tasks.iter().map(|task| {
            let progress = &task.progress;
            vec![
                task.name.clone(),
                task.kind.clone(),
                progress.state.to_string(),
                format!("{:.0} %", progress.progress_percent),
                terminal::number(progress.rows),
                terminal::bytes(progress.bytes),
                terminal::length(
                    std::time::Duration::try_from_secs_f64(progress.duration_seconds)
                        .unwrap_or_default(),
                ),
                progress.message.clone(),
            ]
        }),
    ));
    terminal::print(&text)?;
    Ok(0)
}
