//! `plan`: what a run would do.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use indicatif::{HumanBytes, HumanCount};

use super::{Global, print, print_json, run, table};
use crate::error::Result;
use crate::report::log;
use crate::run::plan::Plan;
use crate::state::State;

const EXAMPLES: &str = "Examples:
  envsyncd plan -f publishing-api.toml
  envsyncd plan -f publishing-api.toml --json | jq '.tasks[].bytes'";

/// `plan -f FILE`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PlanArgs {
    /// The job's file
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn plan(global: &Global, args: &PlanArgs) -> Result<u8> {
    let settings = global.settings()?;
    let job = global.job(&args.file, &settings)?;
    super::state_to_read(global, &settings)?;
    let counts = log::init(&global.log_options()).unwrap_or_default();
    // A plan records nothing: its order has a state store that goes with it.
    let scratch = State::in_memory()?;
    let runtime = run::runtime(2)?;
    let plan = runtime.block_on(async {
        let order = run::order(
            job,
            settings,
            scratch,
            uuid::Uuid::now_v7().to_string(),
            counts,
        )?;
        crate::run::plan::plan(Arc::new(order)).await
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    let plan = plan?;
    if args.json {
        print_json(&plan)
    } else {
        print(&for_people(&plan))
    }
}

fn for_people(plan: &Plan) -> String {
    let mut text = format!("job {}: {} -> {}\n", plan.job, plan.from, plan.to);
    for task in &plan.tasks {
        text.push_str(&format!(
            "\ntask {}: {} {} -> {}, {} in about {} rows, {} worker{}\n",
            task.name,
            task.kind,
            task.source_version,
            task.target_version,
            HumanBytes(task.bytes),
            HumanCount(task.rows),
            task.jobs,
            if task.jobs == 1 { "" } else { "s" }
        ));
        let mut rows = table::new(&["copied", "rows (about)", "size", "as"]);
        for part in &task.parts {
            rows.add_row(vec![
                part.name.clone(),
                HumanCount(part.rows).to_string(),
                HumanBytes(part.bytes).to_string(),
                part.encoding.to_owned(),
            ]);
        }
        text.push_str(&format!("{rows}\n"));
        for left in &task.left_out {
            text.push_str(&format!("{}: {}\n", left.fate, left.name));
        }
        for script in &task.scripts {
            text.push_str(&format!("script: {script}\n"));
        }
    }
    text
}
