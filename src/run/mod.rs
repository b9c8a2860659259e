//! One run, in one straight line:
//!
//! policy -> locks -> survey (of all tasks) -> prepare incoming -> copy parts -> finish -> verify -> scripts -> derive -> (all tasks built) ->
//! maintenance on -> publish -> after_publish -> maintenance off -> record
//!
//! Where the store can copy the source's files by itself, that comes before the survey and instead of rows ([`clone_files`]).
//! A task that is published in place is only prepared before maintenance, and emptied and loaded in it ([`in_place`]).
//! Low priority comes even before: it belongs to the whole process (see `guard::priority`). All of a job's tasks are
//! built and verified before the first is published; if publishing a later one fails, the earlier ones are undone.

mod admission;
mod bugs;
mod build;
mod canary;
mod clone_files;
mod context;
mod copy;
pub mod hooks;
pub mod housekeeping;
pub mod in_place;
pub mod last_good;
mod locks;
mod masks;
mod pace;
pub mod plan;
pub mod progress;
mod publish;
pub mod record;
pub mod recover;
pub mod rollback;
pub mod scan;
mod scripts;
mod sent;
pub mod start;
mod tally;
mod task_run;
mod transform;
mod verify;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use self::admission::admit;
use self::bugs::safely;
use self::build::{Built, build_all};
use self::task_run::TaskRun;
use crate::config::Risk;
use crate::config::job::Job;
use crate::error::Result;
use crate::state::Verb;

pub use self::context::RunContext;

/// Runs a job to its end and records what came of it. The error is the run's own.
pub async fn execute(context: RunContext) -> Result<()> {
    let context = Arc::new(context);
    let recorder = record::begin(&context, Verb::Run)?;
    let only = context.job.part().join(", ");
    if only.is_empty() {
        tracing::info!(from = %context.job.from, to = %context.job.to, "run started");
    } else {
        tracing::info!(from = %context.job.from, to = %context.job.to, only, "run of a part of the job started");
    }
    warn_of_risks(&context.job);
    let outcome = bugs::none(safely(&context, watched(&context)).await);
    let recorded = recorder.end(&outcome);
    record::tell(&context, &recorded).await;
    recorded.and(outcome)
}

/// Says what the servers' URLs risk: in every run's record, whoever reads the files' own warnings.
fn warn_of_risks(job: &Job) {
    for task in &job.tasks {
        for (side, endpoint) in [("source", &task.source), ("target", &task.target)] {
            if let Some(Risk { what, help }) = endpoint.url.risk() {
                tracing::warn!(task = task.name, side, what, help, "the URL gives up TLS");
            }
        }
    }
}

/// The line, under the job's time limit.
async fn watched(context: &Arc<RunContext>) -> Result<()> {
    let limit = context.job.timeout.map(|limit| {
        let context = context.clone();
        tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            context.timed_out.store(true, Ordering::SeqCst);
            context.cancel.cancel();
        })
    });
    let bug = bugs::ends(context);
    let outcome = line(context).await;
    if let Some(limit) = limit {
        limit.abort();
    }
    bug.abort();
    outcome
}

async fn line(context: &Arc<RunContext>) -> Result<()> {
    admit(context, Some(&context.state))?;
    let mut held = locks::Held::default();
    let mut runs: Vec<Arc<TaskRun>> = Vec::new();
    let built = tokio::select! {
        built = safely(context, build_all(context, &mut held, &mut runs)) => match built {
            Ok(built) => Ok(built),
            Err(error) => Err(context.cause_with_programs(error).await),
        },
        error = context.cancelled() => Err(error),
    };
    end(context, &runs, built).await
}

/// Publishes what is built, or drops it; what was opened is closed.
async fn end(context: &Arc<RunContext>, runs: &[Arc<TaskRun>], built: Result<Built>) -> Result<()> {
    let outcome = match built {
        Ok(built) => publish::publish_all(context, runs, built).await,
        Err(error) => Err(error),
    };
    if outcome.is_err() {
        for run in runs {
            run.discard().await;
        }
    } else if let Some(masking) = runs.iter().find_map(|run| run.masks.record()) {
        let job = context.job.name.as_str();
        if let Err(error) = context.state.set_mask_key(job, &masking.key) {
            tracing::warn!(%error, "with another key, the next run will not say so");
        }
    }
    for run in runs {
        run.close().await;
    }
    outcome
}
