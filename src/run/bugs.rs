//! Bugs of ours: a run that panics ends as failed, says what it was doing, and leaves no more behind than an error does.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::context::RunContext;
use crate::error::{Error, Kind, Result};
use crate::guard::process::panics;

impl RunContext {
    /// A bug, with what the run was doing.
    pub(super) fn during(&self, bug: Error) -> Error {
        let step = self.progress.step();
        let bug = bug.within(format!("during {step}"));
        if step == "publish" {
            return bug
                .followed_by("the target is whole: it has either the old copy or the new one");
        }
        bug
    }
}

/// Does a step of a run; a panic in it is an error of the run, which is cleared up after like any other.
pub(super) fn safely<T>(
    context: &RunContext,
    step: impl Future<Output = Result<T>>,
) -> impl Future<Output = Result<T>> {
    let step = panics::caught_in(step);
    async move {
        match step.await {
            Ok(done) => done,
            Err(bug) => Err(context.during(bug)),
        }
    }
}

/// Has a panic in one of the run's own tasks or threads end the run, whether or not anybody waits for them.
pub(super) fn ends(context: &Arc<RunContext>) -> JoinHandle<()> {
    let context = context.clone();
    tokio::spawn(async move {
        panics::strayed().await;
        context.cancel.cancel();
    })
}

/// A run is no success in which something panicked that nobody waited for.
pub(super) fn none(outcome: Result<()>) -> Result<()> {
    match (outcome, panics::stray()) {
        (Ok(()), Some(bug)) => Err(bug
            .within("the new data IS live, but")
            .with_kind(Kind::AfterPublish)),
        (outcome, _) => outcome,
    }
}

#[cfg(test)]
mod tests;
