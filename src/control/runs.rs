//! Runs: put into the daemon's queue, and ended.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::jobs::NotLoaded;
use super::{Caller, jobs};
use crate::config::Diagnostic;
use crate::config::job::{Job, Settings, Task};
use crate::error::{Error, Kind, Result};
use crate::guard::process::Sight;
use crate::policy;
use crate::run::start;
use crate::state::{Queued, Run, RunState, State, Trigger, Verb};

/// How long the daemon may take to look at a new file.
const UNTIL_KNOWN: Duration = Duration::from_secs(5);

/// A run that somebody wants.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The whole job.
    pub job: &'a Job,
    /// The names of the tasks to run; empty: all. A rollback is of those of the last run that published.
    pub only: &'a [String],
    /// Whether it copies or rolls back.
    pub verb: Verb,
    /// Whether the daemon may not know the job's file yet: then it is waited, for seconds, for what it says.
    pub is_new: bool,
}

/// What became of a run that was to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It waited, and never begins.
    Dropped,
    /// It is told to end.
    Told,
    /// It had just ended by itself.
    Ended,
}

/// Has the daemon run a job, and returns the run's id. `Kind::State`: there is no daemon; `Kind::Policy`: data may not go that
/// way; `Kind::Busy`: it is paused, its target environment is held, or a run is in the way.
pub fn trigger(
    settings: &Settings,
    state: &State,
    wanted: &Wanted<'_>,
    caller: &Caller,
) -> Result<String> {
    let job = format!("job `{}`", wanted.job.name);
    let action = wanted.verb.as_str();
    let asked = admit(settings, state, wanted, caller)
        .and_then(|job| ask(settings, state, wanted, &job, caller));
    let object = match &asked {
        Ok(id) => format!("{job}, run {id}"),
        Err(_) => job,
    };
    caller.audit(state, action, &object, asked)
}

/// The job that somebody wants to run or to roll back, as [`jobs::job_named`] finds it. That it cannot be had is in the audit
/// list.
pub fn job_named(
    settings: &Settings,
    state: &State,
    name: &str,
    verb: Verb,
    caller: &Caller,
) -> Result<(Job, Vec<Diagnostic>, bool), NotLoaded> {
    jobs::job_named(settings, state, name).inspect_err(|why| {
        let said = match why {
            NotLoaded::Not(error) => error.to_string(),
            NotLoaded::Wrong(found) => Error::from(found.clone()).to_string(),
        };
        caller.refused(state, verb.as_str(), &format!("job `{name}`"), said);
    })
}

/// The part of the job that is to be run, unless something keeps it from being started.
fn admit(settings: &Settings, state: &State, wanted: &Wanted<'_>, caller: &Caller) -> Result<Job> {
    let job = wanted.job;
    let name = job.name.as_str();
    if !state.has_daemon()? {
        let what = format!(
            "no daemon works on {}: job `{name}` is not started",
            settings.state_dir.display()
        );
        let by_hand = match wanted.verb {
            Verb::Run => "--once",
            Verb::Rollback => "rollback",
        };
        return Err(Error::new(Kind::State, what).hint(format!(
            "start the daemon, or run it here: envsyncd {by_hand} -f {}",
            job.file.display()
        )));
    }
    policy::permit(&job.environments, &job.from, &job.to)?;
    if let Some(pause) = state.pause_of(name, Some(job.to.as_str()))? {
        let what = format!("{} is {}", pause.what, pause.sentence());
        return Err(Error::new(Kind::Busy, what).hint(format!(
            "`envsyncd resume {}` ends the pause",
            pause.what.arguments()
        )));
    }
    if let Some(hold) = state.hold_on(job.to.as_str())? {
        return Err(Error::new(Kind::Busy, hold.sentence())
            .hint(format!("wait, or `envsyncd release {}`", hold.environment)));
    }
    // Somebody at a terminal waits in the queue; a program is told at once.
    if caller.trigger == Trigger::Api {
        refuse_taken(settings, state, job)?;
    }
    match wanted.verb {
        Verb::Run => job.clone().only(wanted.only),
        Verb::Rollback if wanted.only.is_empty() => start::as_last_published(job.clone(), state),
        Verb::Rollback => {
            let what = "a rollback is of what the last run brought";
            Err(Error::new(Kind::Usage, what).hint("leave the tasks out"))
        }
    }
}

/// `Kind::Busy` if another job's run that waits or runs is to write into one of the same targets.
fn refuse_taken(settings: &Settings, state: &State, job: &Job) -> Result<()> {
    let mine: Vec<String> = job.tasks.iter().map(|task| task.target.place()).collect();
    for run in state.unfinished()? {
        if run.job == job.name.as_str() || run.is_dead() {
            continue;
        }
        // Of one whose file is not to be had, the target's lock is left.
        let Ok((other, ..)) = jobs::job_named(settings, state, &run.job) else {
            continue;
        };
        let taken = |task: &Task| mine.contains(&task.target.place());
        if let Some(task) = other.tasks.iter().find(|task| taken(task)) {
            let what = format!(
                "run {} of job `{}`, which is {}, has the target {}",
                run.id, run.job, run.state, task.target.url
            );
            return Err(Error::new(Kind::Busy, what)
                .hint(format!("wait for its end, or `envsyncd cancel {}`", run.id)));
        }
    }
    Ok(())
}

fn ask(
    settings: &Settings,
    state: &State,
    wanted: &Wanted<'_>,
    job: &Job,
    caller: &Caller,
) -> Result<String> {
    let id = uuid::Uuid::now_v7().to_string();
    let run = Queued {
        id: &id,
        job: job.name.as_str(),
        file: &job.file,
        verb: wanted.verb,
        from: job.from.as_str(),
        to: job.to.as_str(),
        trigger: caller.trigger,
        by: &caller.name,
        only: &job.part(),
    };
    state.ask(&run, settings.one_manual_run)?;
    if wanted.is_new {
        until_known(state, &id, job.name.as_str())?;
    }
    Ok(id)
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

/// Ends a run cleanly, or takes it out of the queue. `Kind::Usage` if it has ended, or is elsewhere.
pub fn cancel(state: &State, run: &Run, caller: &Caller) -> Result<Cancelled> {
    let object = format!("run {} of job `{}`", run.id, run.job);
    caller.audit(state, "cancel", &object, end(state, run, &caller.name))
}

fn end(state: &State, run: &Run, by: &str) -> Result<Cancelled> {
    if run.state.is_final() {
        let what = format!(
            "run {} of job `{}` has ended: {}",
            run.id, run.job, run.state
        );
        return Err(Error::new(Kind::Usage, what));
    }
    if run.state == RunState::Running && !run.is_here() {
        let what = format!("run {} is on {}, or in another container", run.id, run.host);
        return Err(Error::new(Kind::Usage, what).hint("cancel it there"));
    }
    if !state.ask_cancel(&run.id, by)? {
        return Ok(Cancelled::Ended);
    }
    if run.state != RunState::Running {
        return Ok(Cancelled::Dropped);
    }
    // A daemon tells it, once: a second SIGTERM would keep it from ending cleanly.
    if !state.has_daemon()? {
        tell(run)?;
    }
    Ok(Cancelled::Told)
}

/// Tells a run's process to end, if it lives.
fn tell(run: &Run) -> Result<()> {
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
    let Some(pid) = process.and_then(|process| i32::try_from(process.pid).ok()) else {
        return Ok(());
    };
    kill(Pid::from_raw(pid), Signal::SIGTERM).map_err(|error| {
        Error::new(
            Kind::Permission,
            format!("run {} (process {pid}) cannot be told to end", run.id),
        )
        .because(error)
        .hint("do this as the user that it runs as, or as root")
    })
}
