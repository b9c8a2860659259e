//! `plan`: what a run would do.

use std::sync::Arc;

use chrono::Utc;
use serde::Serialize;

use super::options::{Options, asker, job, settings};
use super::runtime::runtime;
use super::state::state_to_read;
use super::which::Which;
use super::{due, terminal};
use crate::config::job::{Job, Settings};
use crate::error::Result;
use crate::guard::memory;
use crate::report::log;
use crate::run::plan::{PartPlan, Plan, TaskPlan};
use crate::run::start;
use crate::state::State;

/// Show what a run would do, with sizes; change nothing
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd plan -f config.d/publishing-api.toml\n  envsyncd plan -f config.d/publishing-api.toml --only search\n  envsyncd plan -f config.d/publishing-api.toml --json\n  envsyncd plan --site main --from production --to staging\n\nExit codes: 0 it would run, 1 a server refuses, 2 usage or configuration, 3 refused by policy"
)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Plan a run of this task alone (may be given more than once)
    #[arg(long, value_name = "TASK")]
    only: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let job = match args.which.place().of_site(&settings)? {
        Ok(job) => job,
        Err(file) => job(options, file, &settings)?,
    };
    show(options, settings, job.only(&args.only)?, args.json)
}

/// Shows what a run of a job, or of a part of it, would do.
pub(super) fn show(options: &Options, settings: Settings, job: Job, as_json: bool) -> Result<u8> {
    let only = job.part();
    let counts = log::init(&options.log()).unwrap_or_default();
    let times = due::next(&job, &settings, Utc::now());
    let plan = made(options, job, settings, counts)?;
    if as_json {
        terminal::print_json(&Document {
            plan: &plan,
            only: &only,
            next_runs: due::rfc3339(&times),
        })?;
    } else {
        let due = due::sentence(&times).map_or_else(String::new, |due| format!("\n{due}\n"));
        terminal::print(&(for_people(&plan, &only) + &due))?;
    }
    Ok(0)
}

/// The plan of a job.
pub(super) fn made(
    options: &Options,
    job: Job,
    settings: Settings,
    counts: log::Counts,
) -> Result<Plan> {
    let history = state_to_read(options, &settings)?;
    memory::bound(settings.priority.memory_max);
    // A plan records nothing: its order has a state store that goes with it.
    let scratch = State::in_memory()?;
    let runtime = runtime(2)?;
    let plan = runtime.block_on(async {
        let context = start::run_context(
            job,
            settings,
            scratch,
            uuid::Uuid::now_v7().to_string(),
            asker(),
            counts,
        )?;
        crate::run::plan::plan(Arc::new(context), history.as_ref()).await
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    plan
}

/// `plan --json`.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    plan: &'a Plan,
    /// The tasks that it is of, where they are a part of the job's.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    only: &'a [String],
    /// The next times at which its schedule is due; none without one.
    next_runs: Vec<String>,
}

fn for_people(plan: &Plan, only: &[String]) -> String {
    let mut text = format!("job {}: {} -> {}\n", plan.job, plan.from, plan.to);
    if !only.is_empty() {
        text.push_str(&format!("only {}\n", only.join(", ")));
    }
    for task in &plan.tasks {
        text.push_str(&format!(
            "\ntask {}: {} {} -> {}, {} in about {}, {}\n",
            task.name,
            task.kind,
            task.source_version,
            task.target_version,
            terminal::bytes(task.bytes),
            terminal::count(task.rows, "row"),
            terminal::count(task.jobs as u64, "worker"),
        ));
        text.push_str(&terminal::table(
            &["COPIED", "ROWS (ABOUT)", "SIZE", "AS"],
            task.parts.iter().map(|part| {
                vec![
                    part.name.clone(),
                    terminal::number(part.rows),
                    terminal::bytes(part.bytes),
                    part.encoding.to_owned(),
                ]
            }),
        ));
        for part in &task.parts {
            add_part(&mut text, part);
        }
        for left in &task.left_out {
            text.push_str(&format!("{}: {}\n", left.fate, left.name));
        }
        add_conditions(&mut text, task);
    }
    text
}

/// Which of a part's rows are copied, and what is masked in them.
fn add_part(text: &mut String, part: &PartPlan) {
    if let Some(chosen) = &part.chosen {
        text.push_str(&format!("of {}: {chosen}\n", part.name));
    }
    let masks = part.masks.iter();
    let masks: Vec<String> = masks
        .map(|mask| format!("{} ({})", mask.column, mask.kind))
        .collect();
    if !masks.is_empty() {
        text.push_str(&format!("masked in {}: {}\n", part.name, masks.join(", ")));
    }
    for mask in &part.masks {
        if let Some(example) = &mask.example {
            text.push_str(&format!(
                "  {}, for example: {} -> {}\n",
                mask.column, example.value, example.becomes
            ));
        }
    }
}

/// What a task is done under: room, limits, how it is published.
fn add_conditions(text: &mut String, task: &TaskPlan) {
    if let Some(room) = &task.room {
        text.push_str(&format!(
            "free in {}: {}\n",
            room.place,
            terminal::bytes(room.free)
        ));
    }
    if let Some(rate) = task.throttle {
        text.push_str(&format!("throttle: {}/s\n", terminal::bytes(rate)));
    }
    if let Some(lag) = task.max_replication_lag_seconds {
        text.push_str(&format!(
            "reading pauses while the source's replication lags by more than {lag} s\n"
        ));
    }
    if task.publish == "in_place" {
        text.push_str(
            "publish: in place: in maintenance, live is EMPTIED FIRST and then loaded; if that fails it is broken until a run succeeds\n",
        );
    }
    if task.broken {
        text.push_str("live is broken: a run has emptied it and none has loaded it since\n");
    }
    for script in &task.scripts {
        text.push_str(&format!("script: {script}\n"));
    }
}
