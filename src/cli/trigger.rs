//! `trigger JOB`

use std::time::Duration;

use super::{Options, asker, has_daemon, jobs, settings, terminal};
use crate::daemon;
use crate::error::{Error, Kind, Result};
use crate::state::{Queued, Run, State, Trigger};

/// Has the daemon run a job now
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd trigger publishing-api\n  envsyncd trigger publishing-api --wait\n\nExit codes: 0 it waits for its turn (with --wait: the run's own exit code), 1 no daemon runs, 75 the job runs already or is paused"
)]
pub(super) struct Args {
    /// The job
    job: String,
    /// Waits for the run's end
    #[arg(short, long)]
    wait: bool,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let state = State::open(&settings.state_dir)?;
    jobs::find(&args.job, &settings, Some(&state))?;
    let file = settings.job_dir.join(format!("{}.toml", args.job));
    if !has_daemon(&state)? {
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
    if let Some(pause) = state.pause_of(&args.job)? {
        return Err(Error::new(
            Kind::Busy,
            format!("job `{}` is {}", args.job, pause.sentence()),
        )
        .hint(format!("`envsyncd resume {}` ends the pause", args.job)));
    }
    if state.known_job(&args.job)?.is_none() {
        return Err(Error::new(
            Kind::Usage,
            format!("the daemon does not know job `{}`", args.job),
        )
        .hint(format!(
            "it reads the files in its own job_dir; is {} among them?",
            file.display()
        )));
    }
    let job = match crate::config::load_job(&file, &settings) {
        Ok((job, warnings)) => {
            options.warn(&warnings);
            job
        }
        Err(broken) => {
            // As for its schedule.
            let Some(job) = daemon::last_good(&settings, &args.job, &file) else {
                return Err(super::wrong(broken));
            };
            terminal::note("the job's file is broken; its last good version runs");
            job
        }
    };
    let id = uuid::Uuid::now_v7().to_string();
    state.ask(&Queued {
        id: &id,
        job: &args.job,
        file: &file,
        from: job.from.as_str(),
        to: job.to.as_str(),
        trigger: Trigger::Manual,
        by: &asker(),
    })?;
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
        if (run.process.is_none() || run.is_dead()) && !has_daemon(state)? {
            return Err(Error::new(
                Kind::State,
                format!("the daemon is gone, and run {id} is {}", run.state),
            )
            .hint("start the daemon: it takes up what waits"));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}
