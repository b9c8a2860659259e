//! Locks: nobody else writes the target, nobody holds the environment, nobody reboots the machine.

use std::collections::HashSet;
use std::sync::Arc;

use tracing::Instrument;

use super::context::RunContext;
use super::task_run::{TaskRun, span};
use crate::error::{Error, Kind, Result};
use crate::guard::logind::{self, Inhibitor};
use crate::guard::process::Process;
use crate::guard::reboot_lock::RebootLock;
use crate::guard::target_lock::{Owner, TargetLock};
use crate::state::Verb;

/// Everything that is locked until the run has ended. Dropped, it is free.
#[derive(Default)]
pub(super) struct Held {
    targets: Vec<TargetLock>,
    reboot: Option<RebootLock>,
    inhibitor: Option<Inhibitor>,
}

/// What can be known before a server is asked: whether the environment is held.
pub(super) fn before(context: &RunContext) -> Result<()> {
    let Some(hold) = context.state.hold_on(context.job.to.as_str())? else {
        return Ok(());
    };
    Err(Error::new(Kind::Busy, hold.sentence()).hint(format!(
        "wait, or end the hold with: envsyncd release {}",
        hold.environment
    )))
}

/// This run, as it is named to others who find the lock taken.
pub(super) fn owner(context: &RunContext, verb: Verb) -> Owner {
    Owner {
        job: context.job.name.to_string(),
        run: context.id.clone(),
        process: Process::own(),
        since: context.started_at,
        verb: verb.as_str().to_owned(),
    }
}

/// Takes the locks on every task's target, then the reboot lock.
pub(super) async fn take(
    context: &Arc<RunContext>,
    held: &mut Held,
    runs: &[Arc<TaskRun>],
) -> Result<()> {
    let mut places = HashSet::new();
    for run in runs {
        let place = run.target.identity().await?.place;
        if !places.insert(place.clone()) {
            return Err(Error::new(
                Kind::Policy,
                format!(
                    "two tasks of the job write one target (the second is `{}`)",
                    run.task.name
                ),
            )
            .hint("give each task a target of its own"));
        }
        let lock = TargetLock::take(context.lock_dir(), &place, &owner(context, Verb::Run))?;
        held.targets.push(lock);
        run.target.lock().instrument(span(&run.task)).await?;
    }
    reboot(context, held).await
}

/// Keeps the machine up; a reboot that is already coming is not waited for.
pub(super) async fn reboot(context: &RunContext, held: &mut Held) -> Result<()> {
    crate::guard::refuse_if_rebooting().await?;
    let wanted = &context.settings.reboot_lock;
    if let Some(directory) = &wanted.directory {
        held.reboot = Some(RebootLock::take(
            directory,
            context.job.name.as_str(),
            &context.id,
            &Process::own(),
        )?);
    }
    if wanted.inhibit {
        held.inhibitor = logind::inhibit(&format!("job {}", context.job.name)).await;
    }
    Ok(())
}
