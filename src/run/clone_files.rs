//! Clone files: where the store copies the source's files by itself, no rows need be copied. The files are copied before the
//! survey, so what came of them is held against it; if it is not the same, the run goes on by rows, as if nothing had been.

use futures_util::{StreamExt, TryStreamExt, stream};

use super::task_run::TaskRun;
use super::verify;
use crate::config::job::Verify;
use crate::error::{Error, Kind, Result};
use crate::store::{Cloned, Complete, Meter, Part, Survey};

/// Has the store copy the source's files, if it can.
pub(super) async fn clone_files(run: &TaskRun) -> Result<Option<Box<dyn Cloned>>> {
    // What a server copies by itself keeps to no pace, and is there before anybody has seen what has to be masked.
    if !run.pace.is_free() || run.context.selection.describes_columns {
        return Ok(None);
    }
    match run.target.cloning() {
        Some(target) => target.clone_files(&*run.source).await,
        None => Ok(None),
    }
}

/// Holds incoming, made of files, against the survey. One that is not the same is discarded.
pub(super) async fn is_accepted(
    run: &TaskRun,
    complete: &dyn Complete,
    survey: &Survey,
) -> Result<bool> {
    let parts = survey.whole();
    match rows(run, complete, survey, &parts).await {
        Ok(rows) => {
            run.progress
                .expect(parts.iter().map(|part| part.bytes).sum());
            for (part, rows) in parts.iter().zip(rows) {
                run.progress.add(part, rows, part.bytes);
                run.progress.leave(&part.label(), Some(part));
            }
            let (rows, bytes) = (run.progress.rows(), run.progress.bytes());
            tracing::info!(rows, bytes, "copied");
            Ok(true)
        }
        // Nobody is there to ask again.
        Err(error) if error.kind() == Kind::Connection => Err(error),
        Err(error) => {
            tracing::info!(
                reason = %error,
                "the copied files are not what the source is now: copying rows"
            );
            run.target.discard().await?;
            Ok(false)
        }
    }
}

/// The number of rows of each part, when both sides are found to be equal.
async fn rows(
    run: &TaskRun,
    complete: &dyn Complete,
    survey: &Survey,
    parts: &[Part],
) -> Result<Vec<u64>> {
    if run.task.verify == Verify::None {
        verify::verify(run, complete, survey).await?;
    } else if let Some(difference) = verify::differences(run, complete, survey).await?.first() {
        return Err(Error::new(Kind::Verify, verify::shortened(difference)));
    }
    stream::iter((0..parts.len()).map(|place| counted(run, complete, &parts[place])))
        .buffered(run.context.workers)
        .try_collect()
        .await
}

async fn counted(run: &TaskRun, complete: &dyn Complete, part: &Part) -> Result<u64> {
    if run.task.verify == Verify::None {
        return complete.count(part).await;
    }
    if run.task.verify == Verify::Checksum {
        verify::compare(run, complete, part).await?;
    }
    let (source, target) = tokio::try_join!(run.source.count(part), complete.count(part))?;
    if source != target {
        let (label, kind) = (part.label(), Kind::Verify);
        let what = format!("{label}: {source} rows on the source and {target} in the files");
        return Err(Error::new(kind, what));
    }
    Ok(target)
}
