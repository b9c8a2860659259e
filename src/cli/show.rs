//! `show`: one run with its tasks.

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;

use super::{Global, print, print_json, state_to_read, table};
use crate::error::{Error, Kind, Result};
use crate::report::status_file::TaskStatus;
use crate::state::{Run, RunState, State};

const EXAMPLES: &str = "Examples:
  envsyncd show 0199b2c3        the beginning or the end of a run's id is enough
  envsyncd show 0199b2c3 --json";

/// `show RUN`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ShowArgs {
    /// A run's id, or the beginning or the end of one
    run: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A run as `--json` has it. Times are UTC, RFC 3339.
#[derive(Serialize)]
pub(super) struct RunReport {
    version: u32,
    run_id: String,
    job: String,
    file: String,
    /// `run` or `rollback`.
    verb: String,
    from: String,
    to: String,
    trigger: String,
    by: String,
    host: String,
    pid: Option<u32>,
    state: String,
    step: String,
    started_at: String,
    finished_at: Option<String>,
    duration_seconds: f64,
    rows: u64,
    bytes: u64,
    errors: u64,
    warnings: u64,
    exit_code: Option<u8>,
    message: String,
    tasks: Vec<TaskStatus>,
}

fn utc(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl RunReport {
    pub(super) fn of(run: &Run) -> Self {
        Self {
            version: 1,
            run_id: run.id.clone(),
            job: run.job.clone(),
            file: run.file.display().to_string(),
            verb: run.verb.to_string(),
            from: run.from.clone(),
            to: run.to.clone(),
            trigger: run.trigger.to_string(),
            by: run.by.clone(),
            host: run.host.clone(),
            pid: run.process.as_ref().map(|process| process.pid),
            state: run.state.to_string(),
            step: run.step.clone(),
            started_at: utc(run.started_at),
            finished_at: run.finished_at.map(utc),
            duration_seconds: run.duration(Utc::now()).as_secs_f64(),
            rows: run.rows(),
            bytes: run.bytes(),
            errors: run.errors,
            warnings: run.warnings,
            exit_code: run.exit_code,
            message: run.message.clone(),
            tasks: crate::run::record::tasks_of(run),
        }
    }
}

/// The run that `id` means, or an error that says there is none.
pub(super) fn find(state: Option<&State>, id: &str) -> Result<Run> {
    let found = match state {
        Some(state) => state.run(id)?,
        None => None,
    };
    found.ok_or_else(|| {
        Error::new(Kind::Usage, format!("there is no run `{id}`"))
            .hint("envsyncd history lists runs")
    })
}

pub(super) fn show(global: &Global, args: &ShowArgs) -> Result<u8> {
    let settings = global.settings()?;
    let state = state_to_read(global, &settings)?;
    let run = find(state.as_ref(), &args.run)?;
    if args.json {
        print_json(&RunReport::of(&run))
    } else {
        print(&describe(&run))
    }
}

/// A run in lines for people.
pub(super) fn describe(run: &Run) -> String {
    let now = Utc::now();
    let mut text = format!(
        "job          {}\nrun          {}{}\ndirection    {} -> {}\nstate        {}{}\nbegan        {}\nended        {}\ntook         {}\n\
         started by   {} ({})\non           {}{}\nlogged       {} errors, {} warnings\n",
        run.job,
        run.id,
        if run.verb == crate::state::Verb::Rollback {
            " (rollback)"
        } else {
            ""
        },
        run.from,
        run.to,
        run.state,
        if run.state == RunState::Running {
            format!(", at {} ({:.0} %)", run.step, run.progress_percent())
        } else {
            String::new()
        },
        table::when(Some(run.started_at), now),
        table::when(run.finished_at, now),
        table::duration(run.duration(now)),
        if run.by.is_empty() { "-" } else { &run.by },
        run.trigger,
        run.host,
        run.process
            .as_ref()
            .map_or_else(String::new, |process| format!(", process {}", process.pid)),
        run.errors,
        run.warnings,
    );
    if !run.message.is_empty() {
        text.push_str(&format!("message      {}\n", run.message));
    }
    let mut rows = table::new(&[
        "task", "kind", "state", "done", "rows", "size", "took", "message",
    ]);
    for task in &run.tasks {
        let progress = &task.progress;
        rows.add_row(vec![
            task.name.clone(),
            task.kind.clone(),
            progress.state.to_string(),
            format!("{:.0} %", progress.progress_percent),
            HumanCount(progress.rows).to_string(),
            HumanBytes(progress.bytes).to_string(),
            table::duration(std::time::Duration::from_secs_f64(
                progress.duration_seconds.max(0.0),
            )),
            progress.message.clone(),
        ]);
    }
    text.push_str(&format!("\n{rows}\n"));
    text
}
