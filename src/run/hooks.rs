//! Hooks: the operator's programs around publish. Maintenance that was turned on is turned off, whatever happens.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;

use super::context::RunContext;
use crate::config::job::Hook;
use crate::error::{Error, Result};
use crate::guard::command;

/// How long `maintenance_off` may take where neither it nor its job has a `timeout`.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The shortest time that it gets, however short the job's `timeout` is.
const SHORTEST: Duration = Duration::from_secs(3);

/// The hooks of one run.
pub(super) struct Maintenance<'a> {
    context: &'a Arc<RunContext>,
    on: bool,
    /// Live is broken: a site behind maintenance is better than a broken one in front.
    broken: bool,
}

impl<'a> Maintenance<'a> {
    pub(super) fn new(context: &'a Arc<RunContext>) -> Self {
        Self {
            context,
            on: false,
            broken: false,
        }
    }

    /// Live is broken: `off` leaves maintenance on.
    pub(super) fn stay_on(&mut self) {
        self.broken = true;
    }

    /// Live is whole again.
    pub(super) fn whole(&mut self) {
        self.broken = false;
    }

    /// Whether there is anything to turn off.
    pub(super) fn has_hook(&self) -> bool {
        self.context.job.hooks.maintenance_off.is_some()
    }

    /// Calls `maintenance_on`. From then on `off` is owed, even if it failed: it may have done half of its work.
    pub(super) async fn on(&mut self) -> Result<()> {
        let Some(hook) = &self.context.job.hooks.maintenance_on else {
            return Ok(());
        };
        // What cannot be started has done nothing that would have to be undone.
        command::look(
            hook,
            "maintenance_on",
            self.context.variables.path().as_deref(),
        )?;
        self.on = true;
        call(self.context, hook, "maintenance_on", true).await
    }

    /// Calls `after_publish`.
    pub(super) async fn after_publish(&self) -> Result<()> {
        match &self.context.job.hooks.after_publish {
            Some(hook) => call(self.context, hook, "after_publish", true).await,
            None => Ok(()),
        }
    }

    /// Calls `maintenance_off`; a failure is logged as an error, too.
    pub(super) async fn off(&mut self) -> Result<()> {
        let hooks = &self.context.job.hooks;
        if self.broken {
            if self.has_hook() {
                tracing::warn!("live is broken: maintenance stays on until a run has succeeded");
            }
            return Ok(());
        }
        let owed = self.on || hooks.maintenance_on.is_none();
        let Some(hook) = hooks.maintenance_off.as_ref().filter(|_| owed) else {
            return Ok(());
        };
        self.on = false;
        let mut called = call(self.context, hook, "maintenance_off", false).await;
        // A machine that goes down ends all processes of the run, those that are started meanwhile, too. Once.
        let terminated = called.as_ref().is_err_and(command::was_terminated);
        if terminated {
            self.context.await_signal().await;
        }
        if terminated && self.context.cancel.is_cancelled() {
            tracing::warn!("maintenance_off was ended from outside, and is called again");
            called = call(self.context, hook, "maintenance_off", false).await;
        }
        if let Err(error) = &called {
            tracing::error!(%error, "maintenance may still be on");
        }
        called
    }

    /// Turns maintenance off after a failure, which then says so if it may still be on.
    pub(super) async fn off_after(&mut self, error: Error) -> Error {
        match self.off().await {
            Ok(()) => error,
            Err(other) => error.followed_by(format!("maintenance may still be on: {other}")),
        }
    }
}

/// How long a hook without a `timeout` may take that goes on when the run's time is over: what is left of the job's, and
/// however late it is a fair chance, which ends before the daemon kills the run.
fn limit(timeout: Option<Duration>, spent: Duration, kill_after: Duration) -> Duration {
    let Some(timeout) = timeout else {
        return LONGEST;
    };
    let chance = timeout.min(kill_after * 2 / 3).max(SHORTEST);
    timeout.saturating_sub(spent).max(chance)
}

/// Calls a hook with what it may want to know in its environment. `maintenance_off` is not cut short by a signal, and is
/// under a limit of its own instead.
pub(super) async fn call(
    context: &RunContext,
    hook: &Hook,
    name: &str,
    cancellable: bool,
) -> Result<()> {
    let tasks: Vec<&str> = context
        .job
        .tasks
        .iter()
        .map(|task| task.name.as_str())
        .collect();
    let tasks = tasks.join(",");
    let extra = [
        ("ENVSYNC_JOB", context.job.name.as_str()),
        ("ENVSYNC_RUN", context.id.as_str()),
        ("ENVSYNC_FROM", context.job.from.as_str()),
        ("ENVSYNC_TO", context.job.to.as_str()),
        ("ENVSYNC_TASKS", &tasks),
    ];
    let cancel = cancellable.then_some(&context.cancel);
    let mut hook = hook.clone();
    if !cancellable && hook.timeout.is_none() {
        let spent = (Utc::now() - context.started_at)
            .to_std()
            .unwrap_or_default();
        hook.timeout = Some(limit(
            context.job.timeout,
            spent,
            context.settings.kill_after,
        ));
    }
    command::run(
        &hook,
        name,
        |command| context.variables.apply(command),
        &extra,
        cancel,
    )
    .await
}

/// Looks for the programs of all hooks, before anything takes long.
pub(super) fn look(context: &RunContext) -> Result<()> {
    let path = context.variables.path();
    for (name, hook) in context.job.hooks.named() {
        command::look(hook, name, path.as_deref())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_that_outlives_the_run_has_what_is_left_of_its_time_and_a_fair_chance_after_it() {
        let seconds = Duration::from_secs;
        for (timeout, spent, expected) in [
            (None, 9_999, LONGEST),
            (Some(3_600), 600, seconds(3_000)),
            (Some(3_600), 3_599, seconds(20)),
            (Some(3_600), 9_999, seconds(20)),
            (Some(8), 9, seconds(8)),
            (Some(2), 0, SHORTEST),
        ] {
            let found = limit(timeout.map(seconds), seconds(spent), seconds(30));
            assert_eq!(found, expected, "{timeout:?} {spent}");
        }
    }
}
