//! `cancel RUN`

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::options::{Options, asker, settings};
use super::{jobs, terminal};
use crate::error::{Error, Kind, Result};
use crate::guard::process::Sight;
use crate::state::{Run, RunState, State};

/// End a run cleanly, or take it out of the queue; its target stays as it was
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd cancel 0199f3c2\n  envsyncd cancel publishing-api\n  envsyncd cancel publishing-api --wait\n\nExit codes: 0 the run was told to end, 1 it could not be told, 2 no such run, or it has ended"
)]
pub(super) struct Args {
    /// A run's id or the beginning of it; or a job, for its current run
    run: String,
    /// Wait until it has ended
    #[arg(short, long)]
    wait: bool,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let state = super::state::state_to_steer(&settings)?;
    let of_job = state
        .unfinished()?
        .into_iter()
        .find(|run| run.job == args.run);
    let run = match of_job {
        Some(run) => run,
        None => jobs::find_run(&args.run, &settings, Some(&state))?,
    };
    if run.state.is_final() {
        return Err(Error::new(
            Kind::Usage,
            format!(
                "run {} of job `{}` has ended: {}",
                run.id, run.job, run.state
            ),
        ));
    }
    if run.state == RunState::Running && !run.is_here() {
        let what = format!("run {} is on {}, or in another container", run.id, run.host);
        return Err(Error::new(Kind::Usage, what).hint("cancel it there"));
    }
    if !state.ask_cancel(&run.id, &asker())? {
        terminal::note(&format!("run {} has ended in the meantime", run.id));
        return Ok(0);
    }
    // A daemon tells it, once: a second SIGTERM would keep it from ending cleanly.
    if run.state == RunState::Running && !state.has_daemon()? {
        let process = run
            .process
            .as_ref()
            .filter(|process| process.look() == Sight::Alive);
        if process.is_some_and(|process| !process.may_be_told()) {
            let what = format!(
                "the process that the state store names for run {} is not envsyncd",
                run.id
            );
            return Err(Error::new(Kind::State, what)
                .hint("nothing is sent to it; find out who has written into the state store"));
        }
        let pid = process.and_then(|process| i32::try_from(process.pid).ok());
        if let Some(pid) = pid {
            kill(Pid::from_raw(pid), Signal::SIGTERM).map_err(|error| {
                Error::new(
                    Kind::Permission,
                    format!("run {} (process {pid}) cannot be told to end", run.id),
                )
                .because(error)
                .hint("do this as the user that it runs as, or as root")
            })?;
        }
    }
    let word = if run.state == RunState::Running {
        "is told to end"
    } else {
        "is cancelled"
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
