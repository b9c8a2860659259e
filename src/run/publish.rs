//! Publish: what is built becomes live, all tasks or none, with the hooks around it.

use std::sync::Arc;

use tracing::Instrument;

use super::bugs::safely;
use super::build::Built;
use super::context::RunContext;
use super::hooks::Maintenance;
use super::in_place;
use super::task_run::{TaskRun, failing, span};
use crate::error::{Error, Kind, Result};
use crate::guard::process::panics;
use crate::state::RunState;
use crate::store::{Complete, Published};

/// A task whose copy is live.
type Live = (Arc<TaskRun>, Box<dyn Published>);

/// Publishes all tasks, in the job's order, with the hooks around it.
pub(super) async fn publish_all(
    context: &Arc<RunContext>,
    runs: &[Arc<TaskRun>],
    built: Built,
) -> Result<()> {
    let mut maintenance = Maintenance::new(context);
    match panics::caught_in(publish_each(context, runs, built, &mut maintenance)).await {
        Ok(published) => published,
        Err(bug) => Err(maintenance.off_after(context.during(bug)).await),
    }
}

async fn publish_each(
    context: &Arc<RunContext>,
    runs: &[Arc<TaskRun>],
    built: Built,
    maintenance: &mut Maintenance<'_>,
) -> Result<()> {
    for run in runs {
        if run.is_broken().await? {
            maintenance.stay_on();
        }
    }
    context.step("maintenance");
    if let Err(error) = safely(context, maintenance.on()).await {
        let error = context.cause_with_programs(error).await;
        return Err(maintenance.off_after(error).await);
    }
    let loaded = !built.in_place.is_empty();
    in_place::load_all(context, built.in_place, maintenance).await?;
    if !built.beside.is_empty()
        && let Err(error) = context.commit("publish").await
    {
        if loaded {
            maintenance.whole();
        }
        let error = maintenance.off_after(error).await;
        return Err(if loaded { partly_live(error) } else { error });
    }
    let live = beside(context, built.beside, loaded, maintenance).await?;
    context.step("hooks");
    maintenance.whole();
    let after = safely(context, maintenance.after_publish()).await;
    let off = maintenance.off().await;
    for (run, published) in &live {
        let settled = safely(context, published.settle());
        if let Err(error) = settled.instrument(span(&run.task)).await {
            tracing::warn!(%error, "what was live before could not be cleared up; the next run does it");
        }
    }
    for run in runs {
        run.progress.end(RunState::Succeeded, "");
    }
    after.and(off).map_err(|error| {
        error
            .within("the new data IS live, but")
            .with_kind(Kind::AfterPublish)
            .hint("run the hook by hand; the copy itself is complete")
    })
}

/// Of a run of which some tasks are published in place already.
fn partly_live(error: Error) -> Error {
    error
        .within("the new data of the tasks that are published in place IS live, but")
        .with_kind(Kind::AfterPublish)
}

/// Publishes what was built beside live; if a later one fails, the earlier ones are undone. `loaded`: other tasks are
/// published in place already.
async fn beside(
    context: &Arc<RunContext>,
    built: Vec<(Arc<TaskRun>, Box<dyn Complete>)>,
    loaded: bool,
    maintenance: &mut Maintenance<'_>,
) -> Result<Vec<Live>> {
    let mut live: Vec<Live> = Vec::new();
    for (run, complete) in built {
        run.progress.come_to("publish");
        let published = if context.cancel.is_cancelled() {
            Err(context.cancelled().await)
        } else {
            safely(context, publish(context, complete))
                .instrument(span(&run.task))
                .await
        };
        match failing(&run.progress, published) {
            Ok(published) => {
                run.progress.rest();
                tracing::info!(task = run.task.name, "published");
                live.push((run, published));
            }
            Err(error) => {
                let undone = undo(context, &live).await;
                if loaded {
                    // What was published in place is whole.
                    maintenance.whole();
                }
                let error = maintenance.off_after(error).await;
                return Err(match undone {
                    Ok(()) if loaded => partly_live(error),
                    Ok(()) => error,
                    Err(other) => Error::new(
                        Kind::AfterPublish,
                        format!(
                            "{error}; and an earlier task could not be undone, its new data is live: {other}"
                        ),
                    ),
                });
            }
        }
    }
    Ok(live)
}

/// Undoes what was published, the last first.
async fn undo(context: &Arc<RunContext>, live: &[Live]) -> Result<()> {
    let mut undone = Ok(());
    for (run, published) in live.iter().rev() {
        let reverted = safely(context, published.revert());
        undone = undone.and(reverted.instrument(span(&run.task)).await);
    }
    undone
}

/// Publishes a task and looks at what was published; what is not as it should be is undone.
async fn publish(context: &RunContext, complete: Box<dyn Complete>) -> Result<Box<dyn Published>> {
    let published = complete.publish().await?;
    let Err(error) = safely(context, published.confirm()).await else {
        return Ok(published);
    };
    match safely(context, published.revert()).await {
        Ok(()) => Err(error),
        Err(other) => Err(Error::new(
            Kind::AfterPublish,
            format!("{error}; and it could not be undone, the new data is live: {other}"),
        )),
    }
}
