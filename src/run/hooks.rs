//! Hooks: the operator's programs around publish. Maintenance that was turned on is turned off, whatever happens.

use std::sync::Arc;

use super::Order;
use crate::config::job::Hook;
use crate::error::Result;
use crate::guard::command;

/// The hooks of one run.
pub(super) struct Maintenance<'a> {
    order: &'a Arc<Order>,
    on: bool,
    /// Live is broken: a site behind maintenance is better than a broken one in front.
    broken: bool,
}

impl<'a> Maintenance<'a> {
    pub(super) fn new(order: &'a Arc<Order>) -> Self {
        Self {
            order,
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
        self.order.job.hooks.maintenance_off.is_some()
    }

    /// Calls `maintenance_on`. From then on `off` is owed, even if it failed: it may have done half of its work.
    pub(super) async fn on(&mut self) -> Result<()> {
        let Some(hook) = &self.order.job.hooks.maintenance_on else {
            return Ok(());
        };
        // What cannot be started has done nothing that would have to be undone.
        command::look(
            hook,
            "maintenance_on",
            self.order.variables.path().as_deref(),
        )?;
        self.on = true;
        call(self.order, hook, "maintenance_on", true).await
    }

    /// Calls `after_publish`.
    pub(super) async fn after_publish(&self) -> Result<()> {
        match &self.order.job.hooks.after_publish {
            Some(hook) => call(self.order, hook, "after_publish", true).await,
            None => Ok(()),
        }
    }

    /// Calls `maintenance_off`; a failure is logged as an error and returned as `false`.
    pub(super) async fn off(&mut self) -> bool {
        let hooks = &self.order.job.hooks;
        if self.broken {
            if self.has_hook() {
                tracing::warn!("live is broken: maintenance stays on until a run has succeeded");
            }
            return true;
        }
        let owed = self.on || hooks.maintenance_on.is_none();
        let Some(hook) = hooks.maintenance_off.as_ref().filter(|_| owed) else {
            return true;
        };
        self.on = false;
        match call(self.order, hook, "maintenance_off", false).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "maintenance may still be on");
                false
            }
        }
    }
}

/// Calls a hook with what it may want to know in its environment. `maintenance_off` is not cut short by a signal.
pub(super) async fn call(order: &Order, hook: &Hook, name: &str, cancellable: bool) -> Result<()> {
    let tasks: Vec<&str> = order
        .job
        .tasks
        .iter()
        .map(|task| task.name.as_str())
        .collect();
    let tasks = tasks.join(",");
    let extra = [
        ("ENVSYNC_JOB", order.job.name.as_str()),
        ("ENVSYNC_RUN", order.id.as_str()),
        ("ENVSYNC_FROM", order.job.from.as_str()),
        ("ENVSYNC_TO", order.job.to.as_str()),
        ("ENVSYNC_TASKS", &tasks),
    ];
    let cancel = cancellable.then_some(&order.cancel);
    command::run(
        hook,
        name,
        |command| order.variables.apply(command),
        &extra,
        cancel,
    )
    .await
}

/// Looks for the programs of all hooks, before anything takes long.
pub(super) fn look(order: &Order) -> Result<()> {
    let path = order.variables.path();
    for (name, hook) in order.job.hooks.named() {
        command::look(hook, name, path.as_deref())?;
    }
    Ok(())
}
