//! One task of a run with both of its sides open.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use tracing::Instrument;

use super::context::RunContext;
use super::masks::compiled::Masks;
use super::pace::Pace;
use super::progress::TaskProgress;
use super::record;
use super::sent::Sent;
use crate::archive;
use crate::config::job::{Job, Publish, Task};
use crate::error::{Error, Kind, Result};
use crate::guard::process::panics;
use crate::policy::{self, Identity};
use crate::store::{self, Context, Part, Survey};

/// One task with both of its sides open.
pub(super) struct TaskRun {
    pub(super) task: Task,
    pub(super) context: Context,
    pub(super) source: Box<dyn store::Source>,
    pub(super) target: Box<dyn store::Target>,
    pub(super) progress: Arc<TaskProgress>,
    pub(super) pace: Arc<Pace>,
    pub(super) survey: OnceCell<Survey>,
    /// Sums of the rows that passed, where they are read back.
    pub(super) sent: Arc<Sent>,
    /// What becomes of its rows on their way.
    pub(super) masks: Masks,
}

impl TaskRun {
    /// Whether live is emptied and loaded. What a store puts in place without emptying it is built beside live like all else.
    pub(super) fn in_place(&self) -> bool {
        self.task.publish == Publish::InPlace && self.target.in_place().is_some()
    }

    /// Whether a part's rows are to be others than the source's, or fewer.
    pub(super) fn is_altered(&self, part: &Part) -> bool {
        part.condition.is_some() || self.masks.has(part)
    }

    pub(super) fn survey(&self) -> Result<&Survey> {
        self.survey
            .get()
            .ok_or_else(|| Error::new(Kind::Internal, "a task was not surveyed"))
    }

    /// Whether a run in place has emptied live, and none has loaded it since.
    pub(super) async fn is_broken(&self) -> Result<bool> {
        is_broken(&*self.target).await
    }

    /// Drops the task's incoming; a failure here is told, and the next run tries again.
    pub(super) async fn discard(&self) {
        let limit = Duration::from_secs(60);
        let discarding = panics::caught_in(self.target.discard());
        let problem = match tokio::time::timeout(limit, discarding).await {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(error)) | Err(error)) => error.to_string(),
            Err(_) => "the server did not answer".to_owned(),
        };
        tracing::warn!(
            task = self.task.name,
            problem,
            "incoming could not be removed; the next run does it"
        );
    }

    /// Closes both sides.
    pub(super) async fn close(&self) {
        for closed in [
            panics::caught_in(self.source.close()).await,
            panics::caught_in(self.target.close()).await,
        ] {
            if let Err(bug) = closed {
                tracing::error!(task = self.task.name, %bug, "a session may be left open");
            }
        }
    }

    /// Ends when a server is gone.
    pub(super) async fn lost(&self) -> Error {
        let error = tokio::select! {
            error = self.source.lost() => error,
            error = self.target.lost() => error,
        };
        // Unless that is how its own work ended, in words that say more.
        tokio::time::sleep(Duration::from_secs(1)).await;
        error
    }
}

/// Whether a run in place has emptied this target, and none has loaded it since.
pub(super) async fn is_broken(target: &dyn store::Target) -> Result<bool> {
    match target.in_place() {
        Some(target) => target.is_broken().await,
        None => Ok(false),
    }
}

/// Opens both sides of every task. What was opened is in `runs` even if it fails.
pub(super) async fn open_all(context: &RunContext, runs: &mut Vec<Arc<TaskRun>>) -> Result<()> {
    for (task, progress) in context.job.tasks.iter().zip(&context.progress.tasks) {
        let opened = open(context, task, progress.clone())
            .instrument(span(task))
            .await;
        let run = failing(progress, opened)?;
        runs.push(Arc::new(run));
    }
    // What one task reads, no other one writes. (An archive is read and written at once without harm.)
    for reader in runs.iter().filter(|run| !run.task.pulls()) {
        let source = reader.source.identity().await?;
        for writer in runs.iter().filter(|run| !Arc::ptr_eq(run, reader)) {
            let found = unwritten(&source, writer).await.map_err(|error| {
                error.within(format!("what it reads, task {} writes", writer.task.name))
            });
            failing(&reader.progress, found)?;
        }
    }
    Ok(())
}

/// Refuses a source that this task's run writes, replaces or drops.
async fn unwritten(source: &Identity, writer: &TaskRun) -> Result<()> {
    policy::distinct(source, &writer.target.identity().await?)?;
    for displaced in writer.target.displaced().await? {
        policy::spared(source, &displaced)?;
    }
    Ok(())
}

/// Ends when the source of a task that waits for its turn is gone, with the task.
pub(super) async fn any_source_lost<'a>(runs: &[&'a Arc<TaskRun>]) -> (&'a Arc<TaskRun>, Error) {
    if runs.is_empty() {
        return std::future::pending().await;
    }
    let lost = runs
        .iter()
        .map(|run| Box::pin(async move { (*run, run.source.lost().await) }));
    futures_util::future::select_all(lost).await.0
}

pub(super) fn span(task: &Task) -> tracing::Span {
    crate::report::log::task_span(&task.name)
}

/// Notes a task's failure in its progress.
pub(super) fn failing<T>(progress: &TaskProgress, outcome: Result<T>) -> Result<T> {
    if let Err(error) = &outcome {
        progress.end(record::state_of(error.kind()), &error.to_string());
    }
    outcome.map_err(|error| error.within(format!("task {}", progress.name)))
}

async fn open(context: &RunContext, task: &Task, progress: Arc<TaskProgress>) -> Result<TaskRun> {
    let own = context.store_context(task)?;
    let target = archive::open_target(task, &context.job.from, &own).await?;
    let source = archive::open_source(task, &own).await?;
    if let Some(origin) = source.origin().await? {
        let job = &context.job;
        policy::of_origin(&job.environments, &origin, &job.from, &job.to)?;
    }
    let pace = Arc::new(Pace::open(task, &own).await?);
    let run = TaskRun {
        task: task.clone(),
        context: own,
        source,
        target,
        progress,
        pace,
        survey: OnceCell::new(),
        sent: Arc::default(),
        masks: Masks::default(),
    };
    unwritten(&run.source.identity().await?, &run).await?;
    run.target.refuse_strangers().await?;
    Ok(run)
}

/// Refuses what a store cannot do, as `validate` does.
pub(super) fn capabilities(job: &Job) -> Result<()> {
    for task in &job.tasks {
        if let Some(refusal) = store::registry::refusals(task).into_iter().next() {
            return Err(Error::new(
                Kind::Config,
                format!(
                    "task `{}`, key `{}`: {}",
                    task.name, refusal.key, refusal.why
                ),
            )
            .hint(match &job.site {
                Some(site) => format!("look under [sites.{site}] in envsyncd.toml"),
                None => "envsyncd validate -f shows the place".to_owned(),
            }));
        }
    }
    Ok(())
}
