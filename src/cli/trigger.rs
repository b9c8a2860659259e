//! `trigger JOB`

use std::time::{Duration, Instant};

use super::options::{Options, asker, settings};
use super::{jobs, terminal};
use crate::error::{Error, Kind, Result};
use crate::run::last_good;
use crate::state::{Queued, Run, RunState, State, Trigger, Verb};

/// How long the daemon may take to look at a new file.
const UNTIL_KNOWN: Duration = Duration::from_secs(5);

/// Have the daemon run a job now
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd trigger publishing-api\n  envsyncd trigger publishing-api --wait\n  envsyncd trigger publishing-api --only database --only search\n\nExit codes: 0 the run is queued (with --wait: the run's own exit code), 1 no daemon is running, 75 the job is already running, or paused"
)]
pub(super) struct Args {
    /// The job
    job: String,
    /// Run only this task (can be repeated); other tasks are neither read nor published
    #[arg(long, value_name = "TASK")]
    only: Vec<String>,
    /// Wait until the run has ended
    #[arg(short, long)]
    wait: bool,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let state = super::state::state_to_steer(&settings)?;
    jobs::find(&args.job, &settings, Some(&state))?;
    let file = settings.job_dir.join(format!("{}.toml", args.job));
    if !state.has_daemon()? {
        return Err(Error::new(
            Kind::State,
            format!(
                "no daemon works on {}: job `{}` is not started",
                settings.state_dir.display(),
                args.job
            ),
        )
        .hint(format!(
            "start the daemon, or run it here: envsyncd --once -f {}",
            file.display()
        )));
    }
    // A file that was written a moment ago: the daemon reads it for this run.
    let is_new = state.known_job(&args.job)?.is_none();
    let job = match crate::config::load_job(&file, &settings) {
        Ok((job, warnings)) => {
            options.warn(&warnings);
            job
        }
        Err(broken) => {
            // As for its schedule.
            let Some(job) = last_good::load(&settings, &args.job, &file) else {
                return Err(super::options::wrong(broken));
            };
            terminal::note("the job's file is broken; its last good version runs");
            job
        }
    };
    if let Some(pause) = state.pause_of(&args.job, Some(job.to.as_str()))? {
        let what = format!("{} is {}", pause.what, pause.sentence());
        return Err(Error::new(Kind::Busy, what).hint(format!(
            "`envsyncd resume {}` ends the pause",
            pause.what.arguments()
        )));
    }
    let job = job.only(&args.only)?;
    let id = uuid::Uuid::now_v7().to_string();
    let run = Queued {
        id: &id,
        job: &args.job,
        file: &file,
        verb: Verb::Run,
        from: job.from.as_str(),
        to: job.to.as_str(),
        trigger: Trigger::Manual,
        by: &asker(),
        only: &job.part(),
    };
    state.ask(&run, settings.one_manual_run)?;
    if is_new {
        until_known(&state, &id, &args.job)?;
    }
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

/// The daemon says within seconds whether the file is one of its own.
fn until_known(state: &State, id: &str, job: &str) -> Result<()> {
    let since = Instant::now();
    while since.elapsed() < UNTIL_KNOWN && state.has_daemon()? {
        if state.known_job(job)?.is_some() {
            return Ok(());
        }
        if let Some(run) = state.run(id)?
            && run.state == RunState::Refused
        {
            return Err(Error::new(Kind::Usage, run.message));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
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
