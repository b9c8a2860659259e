//! `trigger JOB`

use std::time::Duration;

use super::options::{Options, caller, settings};
use super::terminal;
use crate::control::jobs::NotLoaded;
use crate::control::runs::{self, Wanted};
use crate::error::{Error, Kind, Result};
use crate::state::{Run, State, Verb};

/// Have the daemon run a job now
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd trigger publishing-api\n  envsyncd trigger publishing-api --wait\n  envsyncd trigger publishing-api --only database --only search\n  envsyncd trigger publishing-api --rollback --wait\n\nExit codes: 0 the run is queued (with --wait: the run's own exit code), 1 no daemon is running, 3 data may not go that way, 75 the job is already running, or paused, or its target environment is held"
)]
pub(super) struct Args {
    /// The job
    pub(super) job: String,
    /// Run only this task (can be repeated); other tasks are neither read nor published
    #[arg(long, value_name = "TASK")]
    pub(super) only: Vec<String>,
    /// Bring back what was live before its last run instead
    #[arg(long, conflicts_with = "only")]
    pub(super) rollback: bool,
    /// Wait until the run has ended
    #[arg(short, long)]
    pub(super) wait: bool,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let state = super::state::state_to_steer(&settings)?;
    // A file that was written a moment ago: the daemon reads it for this run.
    let is_new = state.known_job(&args.job)?.is_none();
    let verb = if args.rollback {
        Verb::Rollback
    } else {
        Verb::Run
    };
    let found = runs::job_named(&settings, &state, &args.job, verb, &caller());
    let (job, warnings, is_broken) = found.map_err(|why| match why {
        NotLoaded::Wrong(found) => super::options::wrong(found),
        NotLoaded::Not(error) => error,
    })?;
    options.warn(&warnings);
    if is_broken {
        terminal::note("the job's file is broken; its last good version runs");
    }
    let wanted = Wanted {
        job: &job,
        only: &args.only,
        verb,
        is_new,
    };
    let id = runs::trigger(&settings, &state, &wanted, &caller())?;
    terminal::print(&format!("{id}\n"))?;
    if !args.wait {
        return Ok(0);
    }
    let run = wait(&state, &id)?;
    if run.message.is_empty() {
        terminal::note(&format!("{} {}", run.job, run.state));
    } else {
        terminal::note(&format!("{} {}: {}", run.job, run.state, run.message));
    }
    Ok(run.exit_code.unwrap_or(1))
}

fn wait(state: &State, id: &str) -> Result<Run> {
    loop {
        let Some(run) = state.run(id)? else {
            return Err(Error::new(
                Kind::State,
                format!("run {id} is gone from the history"),
            ));
        };
        if run.finished_at.is_some() {
            return Ok(run);
        }
        // A daemon that is there is about to say how it died.
        if (run.process.is_none() || run.is_dead()) && !state.has_daemon()? {
            return Err(Error::new(
                Kind::State,
                format!("the daemon is gone, and run {id} is {}", run.state),
            )
            .hint("start the daemon: it takes up what waits"));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}
