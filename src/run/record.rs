//! Record: history, status file and log, while the run goes on and whatever came of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinHandle;

use super::context::RunContext;
use crate::config::job::{Job, JobName, Settings};
use crate::error::{Ending, Error, Kind, Result};
use crate::guard::lease::Lease;
use crate::guard::process::host_name;
use crate::report::passive;
use crate::report::status_file::{self, StatusFile, TaskStatus};
use crate::state::{Beat, Outcome, Run, RunState, State, TaskProgress, Trigger, Verb, presence};
use crate::sync::Mutex;

/// How often progress is written down.
const EVERY: Duration = Duration::from_secs(1);

/// The state of a run that ended with this kind of error.
pub(super) fn state_of(kind: Kind) -> RunState {
    match kind.ending() {
        Ending::Failed => RunState::Failed,
        Ending::Refused => RunState::Refused,
        Ending::Busy => RunState::Busy,
        Ending::Cancelled => RunState::Cancelled,
    }
}

/// Writes a run's progress down until it ends.
pub(super) struct Recorder {
    context: Arc<RunContext>,
    life: Arc<Life>,
    ticker: JoinHandle<()>,
    /// Whether the end is being written, or has been. Who writes holds it: what was read before the end must not be
    /// written after it, and what writes cannot be aborted.
    ended: Arc<Mutex<bool>>,
}

/// What shows others that the run lives.
struct Life {
    verb: Verb,
    lease: Mutex<Option<Lease>>,
    /// Whether it was said that somebody has taken it for dead.
    said: AtomicBool,
    /// How often the tables of each task had changed when they were last written down.
    written: Mutex<HashMap<String, u64>>,
}

/// Records that a run has begun, and goes on recording.
pub(super) fn begin(context: &Arc<RunContext>, verb: Verb) -> Result<Recorder> {
    // Before anybody can look for it.
    let lease = lease(context);
    context.record_begin(verb, None)?;
    Recorder::start(context.clone(), verb, lease)
}

/// What shows on this machine that a run lives, as long as it is held.
fn lease(context: &RunContext) -> Option<Lease> {
    // One that is in memory is nobody else's business.
    let directory = (context.state.file().parent()).filter(|path| !path.as_os_str().is_empty())?;
    Lease::take(directory, &presence::lease_of_run(&context.id))
}

impl Life {
    /// Gives a sign of life. A history that has lost the run gets it again.
    fn beat(&self, context: &RunContext) -> Result<()> {
        match context.state.beat(&context.id)? {
            Beat::Taken => Ok(()),
            Beat::Ended(message) => {
                if !self.said.swap(true, Ordering::SeqCst) {
                    tracing::warn!(
                        recorded = message,
                        "this run was taken for dead, and goes on; its end will be recorded all the same"
                    );
                }
                Ok(())
            }
            Beat::Unknown => {
                // The lease was one of the directory that there was.
                *held(&self.lease) = lease(context);
                held(&self.written).clear();
                context.record_begin(self.verb, Some(context.started_at))?;
                context
                    .state
                    .set_step(&context.id, context.progress.step())?;
                tracing::warn!("the history did not know this run any more, and has it again");
                Ok(())
            }
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Recorder {
    /// Writes the status file once, to see that it can be written, and goes on by itself.
    fn start(context: Arc<RunContext>, verb: Verb, lease: Option<Lease>) -> Result<Self> {
        let ended = Arc::new(Mutex::new(false));
        let life = Arc::new(Life {
            verb,
            lease: Mutex::new(lease),
            said: AtomicBool::new(false),
            written: Mutex::default(),
        });
        write_progress(&context, &life, &ended)?;
        let ticking = (context.clone(), life.clone(), ended.clone());
        let ticker = tokio::spawn(async move {
            let mut complained = false;
            loop {
                tokio::time::sleep(EVERY).await;
                let (context, life, ended) = ticking.clone();
                let written =
                    tokio::task::spawn_blocking(move || write_progress(&context, &life, &ended))
                        .await;
                if let Ok(Err(error)) = written
                    && !std::mem::replace(&mut complained, true)
                {
                    tracing::warn!(%error, "progress cannot be recorded");
                }
            }
        });
        Ok(Self {
            context,
            life,
            ticker,
            ended,
        })
    }

    /// From now on no progress is written down.
    fn stop(&self) {
        self.ticker.abort();
        *held(&self.ended) = true;
    }

    /// Writes down how it ended. That it cannot be written down is an error of the run, too.
    pub(super) fn end(self, outcome: &Result<()>) -> Result<()> {
        self.stop();
        let context = &self.context;
        context.progress.set_step("record");
        let (state, message, exit_code) = match outcome {
            Ok(()) => (RunState::Succeeded, String::new(), 0),
            Err(error) => (
                state_of(error.kind()),
                error.to_string(),
                error.kind().exit_code(),
            ),
        };
        let unfinished = if state == RunState::Succeeded {
            RunState::Succeeded
        } else {
            RunState::Cancelled
        };
        for task in &context.progress.tasks {
            match task.state() {
                RunState::Running => task.end(
                    if unfinished == RunState::Succeeded {
                        unfinished
                    } else {
                        state
                    },
                    &message,
                ),
                RunState::Pending if state != RunState::Succeeded => {
                    task.end(unfinished, "not reached");
                }
                _ => {}
            }
        }
        let seconds = (Utc::now() - context.started_at)
            .to_std()
            .unwrap_or_default();
        let took = humantime::format_duration(Duration::from_millis(
            seconds.as_millis() as u64 / 100 * 100,
        ))
        .to_string();
        let rows: u64 = context.progress.tasks.iter().map(|task| task.rows()).sum();
        match outcome {
            Ok(()) => tracing::info!(rows, took, "run succeeded"),
            // The last line of a failed run.
            Err(error) => tracing::error!(%error, took, "run {state}"),
        }
        let known = self.life.beat(context);
        let recorded = known
            .and_then(|()| tasks(context, &self.life))
            .and_then(|()| {
                context.state.finish_own(
                    &context.id,
                    &Outcome {
                        state,
                        message,
                        errors: context.counts.errors(),
                        warnings: context.counts.warnings(),
                        exit_code,
                    },
                )
            });
        let written = write_status(&context.state, &context.settings, &context.job, &context.id);
        recorded.and(written).map_err(|error| {
            let how = match outcome {
                Ok(()) => {
                    "the run succeeded and its new data IS live, but this could not be recorded"
                        .to_owned()
                }
                Err(failure) => format!("{failure}; and this could not be recorded"),
            };
            error.within(how)
        })
    }
}

/// A panic elsewhere left what is locked as whole as it was.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock()
}

/// Writes down how far it is, unless its end comes or has come.
fn write_progress(context: &RunContext, life: &Life, ended: &Mutex<bool>) -> Result<()> {
    let ended = held(ended);
    if *ended {
        return Ok(());
    }
    life.beat(context)?;
    tasks(context, life)?;
    write_status(&context.state, &context.settings, &context.job, &context.id)
}

/// Writes down how far the tasks are; of their tables, what has changed.
fn tasks(context: &RunContext, life: &Life) -> Result<()> {
    let mut written = held(&life.written);
    for task in &context.progress.tasks {
        let progress = TaskProgress {
            state: task.state(),
            progress_percent: task.percent(),
            rows: task.rows(),
            bytes: task.bytes(),
            duration_seconds: task.seconds(),
            message: task.message(),
            surveyed_at: task.surveyed_at(),
            masked: task.masked(),
            steps: task.steps(),
        };
        context.state.set_task(&context.id, &task.name, &progress)?;
        let before = written.get(&task.name).copied().unwrap_or_default();
        if let Some((changes, tables)) = task.tables_after(before) {
            (context.state).set_tables(&context.id, &task.name, &tables)?;
            written.insert(task.name.clone(), changes);
        }
    }
    Ok(())
}

/// Writes a job's status file from what the history has of its run.
pub(super) fn write_status(state: &State, settings: &Settings, job: &Job, run: &str) -> Result<()> {
    match status(state, settings, job, run)? {
        Some(status) => status_file::write(&settings.status_dir, &status),
        None => Ok(()),
    }
}

fn status(state: &State, settings: &Settings, job: &Job, run: &str) -> Result<Option<StatusFile>> {
    let Some(run) = state.run(run)? else {
        return Ok(None);
    };
    let next = job
        .timetable(settings, &host_name())
        .and_then(|timetable| timetable.next_after(Utc::now()));
    status_of(state, &run, next).map(Some)
}

/// Tells the monitoring how a run ended, and whether that could be recorded. Never fails.
pub(super) async fn tell(context: &RunContext, recorded: &Result<()>) {
    let known = status(&context.state, &context.settings, &context.job, &context.id)
        .ok()
        .flatten();
    let status = match (known, recorded) {
        (Some(status), Ok(())) => status,
        (known, recorded) => {
            let error = recorded.as_ref().err().map(Error::to_string);
            StatusFile {
                state: status_file::State::Failed,
                message: error.unwrap_or_else(|| "its end is not in the history".to_owned()),
                ..known.unwrap_or_else(|| blank(&context.settings, &context.job.name))
            }
        }
    };
    let lookup = |name: &str| context.variables.get(name);
    passive::send(&context.settings, &lookup, &status).await;
}

/// A job whose file is wrong cannot run, and has nothing for the history; but whoever watches its status file hears of
/// it. Returns what was written, for [`passive::send`].
pub fn refused(settings: &Settings, job: &JobName, error: &Error) -> Result<StatusFile> {
    let status = StatusFile {
        message: error.to_string(),
        ..blank(settings, job)
    };
    status_file::write(&settings.status_dir, &status)?;
    Ok(status)
}

/// The status of a job that was refused just now, after what its last file said.
fn blank(settings: &Settings, job: &JobName) -> StatusFile {
    let now = Utc::now();
    let before = status_file::read(&settings.status_dir, job.as_str()).ok();
    let text = |of: fn(&StatusFile) -> &String| before.as_ref().map_or("", |file| of(file));
    let (from, to) = (text(|file| &file.from), text(|file| &file.to));
    StatusFile {
        state: status_file::State::Refused,
        trigger: Some(status_file::Trigger::Manual),
        started_at: Some(now),
        finished_at: Some(now),
        duration_seconds: Some(0.0),
        last_success_at: before.as_ref().and_then(|file| file.last_success_at),
        paused: before.as_ref().and_then(|file| file.paused.clone()),
        broken: before.as_ref().is_some_and(|file| file.broken),
        consecutive_failures: before.as_ref().map_or(0, |file| file.consecutive_failures) + 1,
        errors: 1,
        ..StatusFile::never(job.as_str(), host_name(), from, to)
    }
}

/// A job as a status file shows it, from its last run; without one it is `never`, and was asked to run from and to here.
pub fn status_of_job(
    state: &State,
    job: &str,
    (from, to): (&str, &str),
    next: Option<DateTime<Utc>>,
) -> Result<StatusFile> {
    let around = around(state, job, to)?;
    if let Some(run) = state.last_run(job)? {
        return with_run(state, &run, next, around);
    }
    Ok(StatusFile {
        next_run_at: next,
        paused: around.paused,
        problem: around.problem,
        daemon: around.kept,
        ..StatusFile::never(job, host_name(), from, to)
    })
}

/// What pauses a job, its file's problem, and whether a daemon keeps it.
struct Around {
    paused: Option<status_file::Paused>,
    problem: String,
    /// Whether a daemon keeps its schedule. One that was stopped does not; one that died should.
    kept: bool,
}

fn around(state: &State, job: &str, to: &str) -> Result<Around> {
    let paused = state
        .pause_of(job, Some(to))?
        .map(|pause| status_file::Paused {
            reason: pause.reason,
            by: pause.by,
            since: Some(pause.since),
            until: pause.until,
        });
    let known = state.known_job(job)?;
    let scheduled = (known.as_ref()).is_some_and(|job| job.next_run_at.is_some());
    let daemon = || {
        state
            .daemon()
            .map(|it| it.is_some_and(|it| it.process.is_some()))
    };
    Ok(Around {
        paused,
        kept: scheduled && daemon()?,
        problem: known.map(|job| job.problem).unwrap_or_default(),
    })
}

/// A run as a status file shows it.
pub fn status_of(state: &State, run: &Run, next: Option<DateTime<Utc>>) -> Result<StatusFile> {
    let around = around(state, &run.job, &run.to)?;
    with_run(state, run, next, around)
}

fn with_run(
    state: &State,
    run: &Run,
    next: Option<DateTime<Utc>>,
    around: Around,
) -> Result<StatusFile> {
    let counted = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    let mut status = StatusFile {
        version: status_file::VERSION,
        job: run.job.clone(),
        host: run.host.clone(),
        from: run.from.clone(),
        to: run.to.clone(),
        state: status_state(run.state),
        run_id: Some(run.id.clone()),
        pid: None,
        trigger: Some(match run.trigger {
            Trigger::Schedule => status_file::Trigger::Schedule,
            Trigger::CatchUp => status_file::Trigger::CatchUp,
            Trigger::Manual => status_file::Trigger::Manual,
            Trigger::Api => status_file::Trigger::Api,
        }),
        by: run.by.clone(),
        started_at: Some(run.started_at),
        finished_at: run.finished_at,
        duration_seconds: Some(rounded(run.duration(Utc::now()).as_secs_f64())),
        last_success_at: state.last_success_at(&run.job)?,
        next_run_at: next,
        paused: around.paused,
        problem: around.problem,
        broken: state.is_broken(&run.job)?,
        timeout_seconds: run.timeout.map(|timeout| timeout.as_secs()),
        renewed_at: (run.state == RunState::Running).then(Utc::now),
        process_started: None,
        boot_id: None,
        host_id: None,
        pid_namespace: None,
        daemon: around.kept,
        consecutive_failures: state.consecutive_failures(&run.job)?,
        errors: counted(run.errors),
        warnings: counted(run.warnings),
        message: run.message.clone(),
        only: run.only.clone(),
        tasks: run
            .tasks
            .iter()
            .map(|task| TaskStatus {
                name: task.name.clone(),
                kind: task.kind.clone(),
                state: status_state(task.progress.state),
                progress_percent: task.progress.progress_percent.clamp(0.0, 100.0) as u8,
                rows: task.progress.rows,
                bytes: task.progress.bytes,
                duration_seconds: Some(rounded(task.progress.duration_seconds)),
                message: task.progress.message.clone(),
                surveyed_at: task.progress.surveyed_at,
                masked_columns: task.progress.masked.as_ref().map_or(0, |one| one.columns),
                masked_rows: task.progress.masked.as_ref().map_or(0, |one| one.rows),
            })
            .collect(),
    };
    status.set_process(run.process.as_ref());
    Ok(status)
}

fn status_state(state: RunState) -> status_file::State {
    match state {
        RunState::Pending => status_file::State::Pending,
        RunState::Running => status_file::State::Running,
        RunState::Succeeded => status_file::State::Succeeded,
        RunState::Failed => status_file::State::Failed,
        RunState::Refused => status_file::State::Refused,
        RunState::Busy => status_file::State::Busy,
        // A skipped run is in the history alone: never a job's last.
        RunState::Cancelled | RunState::Skipped => status_file::State::Cancelled,
    }
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}
