//! Rollback: what was live before the last run is live again.

use std::sync::Arc;

use tracing::Instrument;

use super::bugs::safely;
use super::context::Order;
use super::hooks::{self, Maintenance};
use super::task_run::span;
use super::{locks, record};
use crate::archive;
use crate::config::job::Publish;
use crate::error::{Error, Kind, Result};
use crate::guard::process::panics;
use crate::guard::target_lock::TargetLock;
use crate::state::{RunState, Verb};
use crate::store::Target;

/// Publishes previous again, for every task of the job; recorded as a run of its own.
pub async fn rollback(order: Order) -> Result<()> {
    let order = Arc::new(order);
    let recorder = record::begin(&order, Verb::Rollback)?;
    tracing::info!(to = %order.job.to, "rollback started");
    let mut targets = Vec::new();
    let mut maintenance = Maintenance::new(&order);
    let outcome = match nothing_to_return_to(&order) {
        Some(error) => Err(error),
        None => match panics::caught_in(swap(&order, &mut targets, &mut maintenance)).await {
            Ok(swapped) => swapped,
            Err(bug) => Err(maintenance.off_after(order.during(bug)).await),
        },
    };
    for target in &targets {
        if let Err(bug) = panics::caught_in(target.close()).await {
            tracing::error!(%bug, "a session may be left open");
        }
    }
    if let Err(error) = &outcome {
        for task in &order.board.tasks {
            if task.state() == RunState::Running {
                task.end(RunState::Failed, &error.to_string());
            }
        }
    }
    let recorded = recorder.end(&outcome);
    record::tell(&order, &recorded).await;
    recorded.and(outcome)
}

fn nothing_to_return_to(order: &Order) -> Option<Error> {
    let task = order
        .job
        .tasks
        .iter()
        .find(|task| task.publish == Publish::InPlace)?;
    let error = Error::new(
        Kind::Config,
        format!(
            "task {} is published in place: what was live before is gone, and there is nothing to go back to",
            task.name
        ),
    );
    Some(error.hint("only publish = \"swap\" keeps what was live"))
}

async fn swap(
    order: &Arc<Order>,
    targets: &mut Vec<Box<dyn Target>>,
    maintenance: &mut Maintenance<'_>,
) -> Result<()> {
    hooks::look(order)?;
    locks::before(order)?;
    // Held until the end of this function.
    let mut host_locks = Vec::new();
    let mut held = locks::Held::default();
    for (task, board) in order.job.tasks.iter().zip(&order.board.tasks) {
        board.start();
        let opened = async {
            let target = archive::open_target(task, &order.job.from, &order.context(task)?).await?;
            let place = target.identity().await?.place;
            host_locks.push(TargetLock::take(
                order.lock_dir(),
                &place,
                &locks::owner(order, Verb::Rollback),
            )?);
            target.lock().await?;
            Ok(target)
        };
        let opened: Result<Box<dyn Target>> = opened.instrument(span(task)).await;
        targets.push(opened.map_err(|error| error.within(format!("task {}", task.name)))?);
    }
    locks::reboot(order, &mut held).await?;
    order.step("maintenance");
    if let Err(error) = safely(order, maintenance.on()).await {
        return Err(maintenance.off_after(error).await);
    }
    if let Err(error) = order.commit("publish").await {
        return Err(maintenance.off_after(error).await);
    }
    for (place, (task, target)) in order.job.tasks.iter().zip(targets.iter()).enumerate() {
        let swapped = safely(order, target.rollback());
        if let Err(error) = swapped.instrument(span(task)).await {
            for (earlier, board) in targets[..place].iter().zip(&order.board.tasks).rev() {
                // Swapping twice is where it began.
                match safely(order, earlier.rollback()).await {
                    Ok(()) => board.end(RunState::Failed, "undone, since a later task failed"),
                    Err(other) => {
                        tracing::error!(error = %other, "an earlier task of the rollback could not be undone");
                    }
                }
            }
            let error = error.within(format!("task {}", task.name));
            return Err(maintenance.off_after(error).await);
        }
        order.board.tasks[place].end(RunState::Succeeded, "previous is live again");
    }
    order.step("hooks");
    let after = safely(order, maintenance.after_publish()).await;
    let off = maintenance.off().await;
    after.and(off).map_err(|error| {
        error
            .within("previous IS live again, but")
            .with_kind(Kind::AfterPublish)
    })
}
