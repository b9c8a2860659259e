//! Recovery: a run whose process is gone without a word is recorded as failed, and what it left is cleared.

use std::sync::Arc;
use std::time::Duration;

use super::bugs::safely;
use super::context::RunContext;
use super::task_run::is_broken;
use super::{hooks, in_place, locks, record};
use crate::archive;
use crate::config::job::Settings;
use crate::error::Result;
use crate::guard::process::Process;
use crate::guard::reboot_lock::RebootLock;
use crate::guard::target_lock::TargetLock;
use crate::report::{passive, status_file};
use crate::state::{Outcome, Run, RunState, State, Verb};

/// How long clearing up may take where it is not the verb's own business.
const PATIENCE: Duration = Duration::from_secs(20);

/// Records every dead run as failed; returns them.
pub fn bury(state: &State, settings: &Settings) -> Result<Vec<Run>> {
    let mut dead = Vec::new();
    for run in state.dead_runs()? {
        tracing::warn!(job = run.job, run = run.id, "found a dead run");
        let why = "killed, out of memory, or the machine went down";
        let buried = if run.is_here() {
            bury_one(state, settings, &run, "the run's process died", Some(why))?
        } else {
            bury_elsewhere(state, settings, &run)?
        };
        if buried {
            dead.push(run);
        }
    }
    Ok(dead)
}

/// Records a run as failed that cannot be seen from here, and that has given no sign of life for too long.
pub fn bury_elsewhere(state: &State, settings: &Settings, run: &Run) -> Result<bool> {
    let pid = run.process.as_ref().map_or(0, |process| process.pid);
    let why = format!(
        "process {pid} on {} gives no sign of life: its container or machine is gone, or has another name",
        run.host
    );
    bury_one(state, settings, run, "the run died", Some(&why))
}

/// Records a run as failed whose process ended without a word: `how`, and what else is known. False if somebody else
/// did, or it had ended after all.
pub fn bury_one(
    state: &State,
    settings: &Settings,
    run: &Run,
    how: &str,
    known: Option<&str>,
) -> Result<bool> {
    let step = if run.step.is_empty() {
        "start"
    } else {
        &run.step
    };
    let live = match step {
        "publish" => "; the target is whole: it has either the old copy or the new one",
        "hooks" | "record" => "; the new copy is live",
        "in place: empty" | "in place: publish" => {
            "; LIVE MAY BE BROKEN until the next run succeeds, and maintenance stays on if it is"
        }
        step if in_place::is_step(step) => {
            "; LIVE IS BROKEN until the next run succeeds (it was emptied and is not loaded), and maintenance stays on"
        }
        _ => "; the target is as it was",
    };
    let known = known.map_or_else(String::new, |known| format!(" ({known})"));
    let buried = state.finish(
        &run.id,
        &Outcome {
            state: RunState::Failed,
            message: format!("{how} during {step}{known}{live}"),
            errors: run.errors.max(1),
            warnings: run.warnings,
            exit_code: 1,
        },
    )?;
    // A status file that cannot be written must not keep the next run from starting.
    let next = state.known_job(&run.job)?.and_then(|job| job.next_run_at);
    if let Some(buried) = state.run(&run.id)?
        && let Err(error) = record::status_of(state, &buried, next)
            .and_then(|status| status_file::write(&settings.status_dir, &status))
    {
        tracing::warn!(%error, "the dead run's status file cannot be written");
    }
    Ok(buried)
}

/// Clears what a dead run of this job left: incoming, the reboot lock, maintenance; and tells the monitoring. Best
/// effort: what cannot be cleared now is cleared by the next run.
pub async fn clear(context: Arc<RunContext>, dead: &Run) {
    let lookup = |name: &str| context.variables.get(name);
    let (cleared, ()) = tokio::join!(
        tokio::time::timeout(PATIENCE, safely(&context, sweep(&context, dead))),
        tell(&context.settings, &lookup, &context.state, dead),
    );
    match cleared {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(%error, "what a dead run left is not cleared yet; the next run does it");
        }
        Err(_) => tracing::warn!(
            "what a dead run left is not cleared yet: a server did not answer; the next run does it"
        ),
    }
}

/// Tells the monitoring of a run that [`bury`] returned. Never fails.
pub async fn tell(settings: &Settings, lookup: passive::Lookup<'_>, state: &State, dead: &Run) {
    let buried = state.run(&dead.id).and_then(|run| {
        let next = state.known_job(&dead.job)?.and_then(|job| job.next_run_at);
        run.map(|run| record::status_of(state, &run, next))
            .transpose()
    });
    match buried {
        Ok(Some(status)) => passive::send(settings, lookup, &status).await,
        // Pruned in the meantime.
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(job = dead.job, %error, "the dead run's check result could not be sent");
        }
    }
}

async fn sweep(context: &Arc<RunContext>, dead: &Run) -> Result<()> {
    // Whoever works on the target right now clears it, too.
    let mut locked = Vec::new();
    let mut problem = Ok(());
    // Unknown of a server that does not answer.
    let mut broken = Vec::new();
    for task in &context.job.tasks {
        let swept = async {
            let target =
                archive::open_target(task, &context.job.from, &context.store_context(task)?)
                    .await?;
            let place = target.identity().await?.place;
            locked.push(TargetLock::take(
                context.lock_dir(),
                &place,
                &locks::owner(context, Verb::Run),
            )?);
            target.lock().await?;
            for leftover in target.sweep().await? {
                tracing::warn!(leftover, "removed what a dead run had left");
            }
            let is_broken = is_broken(&*target).await;
            target.close().await;
            is_broken
        };
        let swept: Result<bool> = swept.await;
        broken.push(swept.as_ref().ok().copied());
        let swept = swept.map(|_| ());
        problem = problem.and(swept);
    }
    if let Some(directory) = &context.settings.reboot_lock.directory {
        // Taking over a dead run's file and dropping it removes it.
        drop(RebootLock::take(
            directory,
            context.job.name.as_str(),
            &context.id,
            &Process::own(),
        )?);
    }
    let emptied = in_place::is_step(&dead.step);
    let maintained = emptied || matches!(dead.step.as_str(), "maintenance" | "publish" | "hooks");
    let broken = broken.iter().any(|broken| broken.unwrap_or(emptied));
    if broken {
        tracing::warn!(
            "live is broken until a run succeeds: it was emptied and is not loaded; maintenance is left as it is"
        );
    } else if maintained && let Some(hook) = &context.job.hooks.maintenance_off {
        tracing::warn!("the dead run may have left maintenance on; turning it off");
        hooks::call(context, hook, "maintenance_off", false).await?;
    }
    problem
}
