//! What is refused before any server is asked, by a run and by `plan`.

use super::context::RunContext;
use super::hooks;
use super::task_run::capabilities;
use crate::config::job::{Job, Publish};
use crate::error::{Error, Kind, Result};
use crate::policy;
use crate::state::State;

/// Refuses what must not or cannot be run. `history`: what came of earlier runs, if there were any.
pub(super) fn admit(context: &RunContext, history: Option<&State>) -> Result<()> {
    policy::permit(
        &context.job.environments,
        &context.job.from,
        &context.job.to,
    )?;
    capabilities(&context.job)?;
    if let Some(history) = history {
        refuse_a_part_of_what_is_broken(&context.job, history)?;
    }
    hooks::look(context)
}

/// A run of a part of the job turns maintenance off at its end: not in front of what another task's run has emptied.
fn refuse_a_part_of_what_is_broken(job: &Job, state: &State) -> Result<()> {
    let mut left_out = (job.left_out.iter()).filter(|task| task.publish == Publish::InPlace);
    let Some(task) = left_out.next() else {
        return Ok(());
    };
    if !state.is_broken(job.name.as_str())? {
        return Ok(());
    }
    let what = format!(
        "live is broken since a run in place failed, and this part of job `{}` leaves task `{}` out",
        job.name, task.name
    );
    Err(Error::new(Kind::Usage, what)
        .hint("run the whole job, or a part with all tasks that are published in place"))
}
