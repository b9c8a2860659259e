//! Rollback: what was live before the last run is live again.

use std::sync::Arc;

use tracing::Instrument;

use super::bugs::safely;
use super::context::RunContext;
use super::hooks::{self, Maintenance};
use super::task_run::span;
use super::{locks, record};
use crate::archive;
use crate::config::job::{KeepPrevious, Publish};
use crate::error::{Error, Kind, Result};
use crate::guard::process::panics;
use crate::guard::target_lock::TargetLock;
use crate::state::{RunState, Verb};
use crate::store::Target;

/// Publishes previous again, for every task of the job; recorded as a run of its own.
pub async fn rollback(context: RunContext) -> Result<()> {
    let context = Arc::new(context);
    let recorder = record::begin(&context, Verb::Rollback)?;
    tracing::info!(to = %context.job.to, "rollback started");
    let mut targets = Vec::new();
    let mut maintenance = Maintenance::new(&context);
    let outcome = match nothing_to_return_to(&context) {
        Some(error) => Err(error),
        None => match panics::caught_in(swap(&context, &mut targets, &mut maintenance)).await {
            Ok(swapped) => swapped,
            Err(bug) => Err(maintenance.off_after(context.during(bug)).await),
        },
    };
    for target in &targets {
        if let Err(bug) = panics::caught_in(target.close()).await {
            tracing::error!(%bug, "a session may be left open");
        }
    }
    if let Err(error) = &outcome {
        for task in &context.progress.tasks {
            if task.state() == RunState::Running {
                task.end(RunState::Failed, &error.to_string());
            }
        }
    }
    let recorded = recorder.end(&outcome);
    record::tell(&context, &recorded).await;
    recorded.and(outcome)
}

fn nothing_to_return_to(context: &RunContext) -> Option<Error> {
    let task = context
        .job
        .tasks
        .iter()
        .find(|task| task.publish == Publish::InPlace && task.previous == KeepPrevious::Drop)?;
    let error = Error::new(
        Kind::Config,
        format!(
            "task {} is published in place: what was live before is gone, and there is nothing to go back to",
            task.name
        ),
    );
    Some(error.hint("only publish = \"swap\" keeps what was live; of files, publish = \"in_place\" does with previous = \"keep\""))
}

async fn swap(
    context: &Arc<RunContext>,
    targets: &mut Vec<Box<dyn Target>>,
    maintenance: &mut Maintenance<'_>,
) -> Result<()> {
    hooks::look(context)?;
    locks::before(context)?;
    // Held until the end of this function.
    let mut host_locks = Vec::new();
    let mut held = locks::Held::default();
    for (task, progress) in context.job.tasks.iter().zip(&context.progress.tasks) {
        progress.start();
        let opened = async {
            let target =
                archive::open_target(task, &context.job.from, &context.store_context(task)?)
                    .await?;
            let place = target.identity().await?.place;
            host_locks.push(TargetLock::take(
                context.lock_dir(),
                &place,
                &locks::owner(context, Verb::Rollback),
            )?);
            target.lock().await?;
            Ok(target)
        };
        let opened: Result<Box<dyn Target>> = opened.instrument(span(task)).await;
        targets.push(opened.map_err(|error| error.within(format!("task {}", task.name)))?);
    }
    locks::reboot(context, &mut held).await?;
    context.step("maintenance");
    if let Err(error) = safely(context, maintenance.on()).await {
        return Err(maintenance.off_after(error).await);
    }
    if let Err(error) = context.commit("publish").await {
        return Err(maintenance.off_after(error).await);
    }
    for (place, (task, target)) in context.job.tasks.iter().zip(targets.iter()).enumerate() {
        context.progress.tasks[place].come_to("publish");
        let swapped = safely(context, target.rollback());
        if let Err(error) = swapped.instrument(span(task)).await {
            for (earlier, progress) in targets[..place].iter().zip(&context.progress.tasks).rev() {
                // Swapping twice is where it began.
                match safely(context, earlier.rollback()).await {
                    Ok(()) => progress.end(RunState::Failed, "undone, since a later task failed"),
                    Err(other) => {
                        tracing::error!(error = %other, "an earlier task of the rollback could not be undone");
                    }
                }
            }
            let error = error.within(format!("task {}", task.name));
            return Err(maintenance.off_after(error).await);
        }
        context.progress.tasks[place].end(RunState::Succeeded, "previous is live again");
    }
    context.step("hooks");
    let after = safely(context, maintenance.after_publish()).await;
    let off = maintenance.off().await;
    after.and(off).map_err(|error| {
        error
            .within("previous IS live again, but")
            .with_kind(Kind::AfterPublish)
    })
}
