//! In place: a copy into a target without room for two. All that can fail while live is whole is done before it is
//! emptied: policy, locks, survey, checks, scripts read, definitions made on incoming. From then on a failure means that
//! live is broken until a run succeeds; it says so, and leaves maintenance on: behind it is the best place for such a run.

use std::sync::Arc;
use std::time::Duration;

use tracing::Instrument;

use super::bugs::safely;
use super::build::fill;
use super::context::RunContext;
use super::hooks::Maintenance;
use super::task_run::{TaskRun, failing, span};
use crate::error::{Error, Kind, Result};
use crate::state::IN_PLACE;
use crate::store::Incoming;

/// How long a failed run asks the server whether live was emptied.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether live may be broken while a run is in this step, and after it ended there.
pub fn is_step(step: &str) -> bool {
    step.starts_with(IN_PLACE)
}

/// Empties and loads every task that is published in place, in the job's order, each published as soon as it is whole.
pub(super) async fn load_all(
    context: &Arc<RunContext>,
    prepared: Vec<(Arc<TaskRun>, Arc<dyn Incoming>)>,
    maintenance: &mut Maintenance<'_>,
) -> Result<()> {
    let mut loaded: Vec<String> = Vec::new();
    for (run, incoming) in prepared {
        let loading = safely(context, load(context, &run, incoming));
        let outcome = loading.instrument(span(&run.task)).await;
        let Err(error) = outcome else {
            run.progress.rest();
            tracing::info!(task = run.task.name, "published in place");
            loaded.push(run.task.name.clone());
            continue;
        };
        // Whoever does not answer in time is taken to be broken: that is the worse mistake to make the other way round.
        let asked = tokio::time::timeout(PATIENCE, run.is_broken()).await;
        let broken = !matches!(asked, Ok(Ok(false)));
        let mut error = context.cause_with_programs(error).await;
        if broken {
            maintenance.stay_on();
            let stays = if maintenance.has_hook() {
                ", maintenance stays on"
            } else {
                ""
            };
            error = error
                .within(format!(
                    "LIVE IS BROKEN until the next run succeeds (it was emptied and is not loaded{stays})"
                ))
                .with_kind(Kind::Broken);
            if error.advice().is_none() {
                error = error.hint("run the job again as soon as this is mended");
            }
        } else {
            // The history's word for a live target that is whole.
            context.step("maintenance");
        }
        let error = failing::<()>(&run.progress, Err(error)).expect_err("it is one");
        let error = maintenance.off_after(error).await;
        return Err(if loaded.is_empty() {
            error
        } else {
            let names = loaded.join(", ");
            error.within(format!("the new data of task {names} IS live, but"))
        });
    }
    Ok(())
}

async fn load(
    context: &Arc<RunContext>,
    run: &Arc<TaskRun>,
    incoming: Arc<dyn Incoming>,
) -> Result<()> {
    if context.cancel.is_cancelled() {
        return Err(context.cancelled().await);
    }
    // The last look at the source: maintenance_on may have taken its time.
    run.source
        .identity()
        .await
        .map_err(|error| error.within("before live was emptied"))?;
    context.commit("in place: empty").await?;
    run.progress.come_to("in place: empty");
    let Some(target) = run.target.in_place() else {
        let why = "this store does not publish in place";
        return Err(Error::new(Kind::Internal, why));
    };
    // Not cut short, so that what it left is known.
    target.empty().await?;
    let survey = run.survey()?;
    let complete = tokio::select! {
        filled = fill(context, run, incoming, survey) => filled?,
        error = run.lost() => return Err(error),
        error = context.cancelled() => return Err(error),
    };
    context.step("in place: publish");
    run.progress.come_to("in place: publish");
    let published = complete.publish().await?;
    published.confirm().await.map_err(|error| {
        error
            .within("the new data IS live, but")
            .with_kind(Kind::AfterPublish)
    })?;
    if let Err(error) = published.settle().await {
        tracing::warn!(%error, "what was live before could not be cleared up; the next run does it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_a_swap_keep_their_names() {
        for step in ["copy", "finish", "publish", "maintenance", "hooks"] {
            assert!(!is_step(step), "{step}");
        }
        assert!(is_step("in place: empty"));
    }
}
