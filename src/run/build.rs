//! Build: everything up to where a copy can be published.

use std::sync::Arc;

use tracing::Instrument;

use super::bugs::safely;
use super::context::RunContext;
use super::masks::watch::is_wanted;
use super::task_run::{TaskRun, any_source_lost, failing, open_all, span};
use super::{canary, clone_files, copy, locks, masks, plan, scripts, verify};
use crate::config::job::PointInTime;
use crate::error::{Error, Kind, Result};
use crate::guard::memory;
use crate::store::{Complete, Incoming, Survey};

/// What is ready to be published, each kind in the job's order.
#[derive(Default)]
pub(super) struct Built {
    /// Built beside live, and verified.
    pub(super) beside: Vec<(Arc<TaskRun>, Box<dyn Complete>)>,
    /// Prepared: live is emptied and loaded in maintenance.
    pub(super) in_place: Vec<(Arc<TaskRun>, Arc<dyn Incoming>)>,
}

/// Opens, locks, builds and verifies every task. What was opened is in `runs` even if it fails.
pub(super) async fn build_all(
    context: &Arc<RunContext>,
    held: &mut locks::Held,
    runs: &mut Vec<Arc<TaskRun>>,
) -> Result<Built> {
    locks::before(context)?;
    open_all(context, runs).await?;
    context.step("locks");
    locks::take(context, held, runs).await?;
    // Those first that are built beside live.
    let (last, first): (Vec<_>, Vec<_>) = runs.iter().partition(|run| run.in_place());
    let together = context.job.point_in_time == PointInTime::Job && first.len() > 1;
    if together {
        survey_together(context, &first).await?;
    }
    let mut built = Built::default();
    for (place, run) in first.iter().enumerate() {
        let waiting = if together { &first[place + 1..] } else { &[] };
        let complete = tokio::select! {
            complete = safely(context, build(context, run)).instrument(span(&run.task)) => complete,
            error = run.lost() => Err(error),
            (other, error) = any_source_lost(waiting) => return failing(&other.progress, Err(error)),
        };
        let complete = failing(&run.progress, complete)?;
        built.beside.push(((*run).clone(), complete));
    }
    // A target that is emptied has its source surveyed as late as can be.
    for run in last {
        let prepared = tokio::select! {
            prepared = safely(context, prepare(context, run)).instrument(span(&run.task)) => prepared,
            error = run.lost() => Err(error),
        };
        let incoming = failing(&run.progress, prepared)?;
        built.in_place.push((run.clone(), incoming));
    }
    Ok(built)
}

/// Surveys tasks at once, so that their points in time lie as near to each other as can be. What has to be made before
/// it can be surveyed is made before any is.
async fn survey_together(context: &RunContext, runs: &[&Arc<TaskRun>]) -> Result<()> {
    for run in runs {
        run.progress.start();
        let ready = tokio::select! {
            ready = ready(context, run).instrument(span(&run.task)) => ready,
            error = run.lost() => Err(error),
        };
        failing(&run.progress, ready)?;
        run.progress.wait();
    }
    context.step("survey");
    let all = runs.iter().map(|run| async move {
        run.progress.start();
        run.progress.come_to("survey");
        let surveyed = tokio::select! {
            surveyed = survey(context, run).instrument(span(&run.task)) => surveyed,
            error = run.lost() => Err(error),
        };
        run.progress.wait();
        failing(&run.progress, surveyed)
    });
    futures_util::future::try_join_all(all).await?;
    let apart = crate::state::apart(runs.iter().filter_map(|run| run.progress.surveyed_at()));
    tracing::info!(
        tasks = runs.len(),
        milliseconds = apart.unwrap_or_default().as_millis() as u64,
        "all tasks are surveyed, so far apart"
    );
    Ok(())
}

/// What comes before a task's survey.
async fn ready(context: &RunContext, run: &TaskRun) -> Result<()> {
    for leftover in run.target.sweep().await? {
        tracing::warn!(leftover, "removed what a dead run had left");
    }
    run.pace.check().await?;
    if let Some(source) = run.source.deferred() {
        enter(context, run, "restore");
        source.begin().await?;
    }
    Ok(())
}

/// Fixes a task's point in time, and refuses what could not be published.
async fn survey(context: &RunContext, run: &TaskRun) -> Result<()> {
    let taker = run.target.taker().await?;
    let mut survey = run.source.survey(&taker).await?;
    run.progress.surveyed(survey.taken_at);
    plan::warn_unmatched(&run.context.selection, &survey);
    tracing::info!(
        parts = survey.parts.len(),
        bytes = survey.parts.iter().map(|part| part.bytes).sum::<u64>(),
        "surveyed"
    );
    masks::resolve(context, run, &mut survey).await?;
    run.target.check(&survey).await?;
    run.source.pin().await?;
    memory::give_back();
    run.survey
        .set(survey)
        .map_err(|_| Error::new(Kind::Internal, "a task was surveyed twice"))
}

/// Prepares a task that is published in place, up to where live has to be emptied.
async fn prepare(context: &RunContext, run: &TaskRun) -> Result<Arc<dyn Incoming>> {
    run.progress.start();
    if run.survey.get().is_none() {
        ready(context, run).await?;
        enter(context, run, "survey");
        survey(context, run).await?;
    }
    scripts::look(run).await?;
    enter(context, run, "prepare");
    let incoming = run.target.prepare(run.survey()?).await?;
    run.progress.rest();
    tracing::info!("everything is prepared; the rows come once live is emptied");
    Ok(incoming)
}

/// Builds one task's incoming beside live, up to where it can be published.
pub(super) async fn build(context: &RunContext, run: &Arc<TaskRun>) -> Result<Box<dyn Complete>> {
    run.progress.start();
    let mut cloned = None;
    if run.survey.get().is_none() {
        ready(context, run).await?;
        enter(context, run, "survey");
        // A server copies files in its own time: a copy that has to be of one moment with others is made of rows.
        cloned = clone_files::clone_files(run).await?;
        survey(context, run).await?;
    }
    let survey = run.survey()?;
    enter(context, run, "prepare");
    if let Some(cloned) = cloned {
        let complete = cloned.complete(survey).await?;
        enter(context, run, "verify");
        if clone_files::is_accepted(run, &*complete, survey).await? {
            return finish(context, run, complete).await;
        }
        enter(context, run, "prepare");
    }
    let incoming = run.target.prepare(survey).await?;
    memory::give_back();
    fill(context, run, incoming, survey).await
}

/// Fills an incoming that was prepared.
pub(super) async fn fill(
    context: &RunContext,
    run: &Arc<TaskRun>,
    incoming: Arc<dyn Incoming>,
    survey: &Survey,
) -> Result<Box<dyn Complete>> {
    let step = |name| enter(context, run, step_of(run, name));
    step("copy");
    copy::copy(run, &incoming, survey).await?;
    run.progress.set_masked(run.masks.counted());
    tracing::info!(
        rows = run.progress.rows(),
        bytes = run.progress.bytes(),
        "copied"
    );
    step("finish");
    let complete = incoming.complete().await?;
    step("verify");
    verify::verify(run, &*complete, survey).await?;
    finish(context, run, complete).await
}

/// What comes once incoming is what the source is.
async fn finish(
    context: &RunContext,
    run: &TaskRun,
    complete: Box<dyn Complete>,
) -> Result<Box<dyn Complete>> {
    run.source.close().await;
    run.progress.rest();
    context.step(step_of(run, "scripts"));
    if !run.task.scripts.is_empty() {
        run.progress.come_to(step_of(run, "scripts"));
        scripts::run(run, &*complete).await?;
        enter(context, run, step_of(run, "derive"));
        complete.derive().await?;
    }
    if is_wanted(&context.job, &run.task) && run.masks.record().is_some() {
        enter(context, run, step_of(run, "canary"));
        canary::search(run, &*complete).await?;
    }
    run.progress.built();
    tracing::info!("incoming is complete");
    Ok(complete)
}

/// The run comes to a step, and this task with it.
fn enter(context: &RunContext, run: &TaskRun, step: &'static str) {
    context.step(step);
    run.progress.come_to(step);
}

/// A step's name in a run of this task: in place it says that live is empty.
fn step_of(run: &TaskRun, step: &'static str) -> &'static str {
    match (run.in_place(), step) {
        (true, "copy") => "in place: copy",
        (true, "finish") => "in place: finish",
        (true, "verify") => "in place: verify",
        (true, "scripts") => "in place: scripts",
        (true, "derive") => "in place: derive",
        (true, "canary") => "in place: canary",
        _ => step,
    }
}
