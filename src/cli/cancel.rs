//! `cancel RUN`

use std::time::{Duration, Instant};

use super::options::{Options, caller, settings};
use super::terminal;
use crate::control::jobs;
use crate::control::runs::{self, Cancelled};
use crate::error::{Error, Kind, Result};
use crate::state::{Run, State};

/// End a run cleanly, or take it out of the queue; its target stays as it was
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd cancel 0199f3c2\n  envsyncd cancel publishing-api\n  envsyncd cancel publishing-api --wait\n\nExit codes: 0 the run was told to end, 1 it could not be told, 2 no such run, or it has ended"
)]
pub(super) struct Args {
    /// A run's id or the beginning of it; or a job, for its current run
    pub(super) run: String,
    /// Wait until it has ended
    #[arg(short, long)]
    pub(super) wait: bool,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let state = super::state::state_to_steer(&settings)?;
    let run = jobs::find_current(&args.run, &settings, &state)?;
    let word = match runs::cancel(&state, &run, &caller())? {
        Cancelled::Ended => {
            terminal::note(&format!("run {} has ended in the meantime", run.id));
            return Ok(0);
        }
        Cancelled::Told => "is told to end",
        Cancelled::Dropped => "is cancelled",
    };
    terminal::print(&format!("run {} of job {} {word}\n", run.id, run.job))?;
    if args.wait {
        wait(&state, &run, settings.kill_after + Duration::from_secs(60))?;
    }
    Ok(0)
}

fn wait(state: &State, run: &Run, patience: Duration) -> Result<()> {
    let since = Instant::now();
    loop {
        let Some(run) = state.run(&run.id)? else {
            return Ok(());
        };
        // Where there is a daemon, it is about to say how a dead one died.
        if run.finished_at.is_some() || (run.is_dead() && !state.has_daemon()?) {
            return Ok(());
        }
        if since.elapsed() > patience {
            return Err(
                Error::new(Kind::Timeout, format!("run {} has not ended yet", run.id))
                    .hint("see `envsyncd show` and its process"),
            );
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
