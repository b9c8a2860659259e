//! What one run needs, put together by who starts it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::masks::coverage;
use super::progress::Progress;
use crate::config::Variables;
use crate::config::job::{Job, Settings, Task};
use crate::error::{Error, Kind, Result};
use crate::guard::command;
use crate::guard::memory::Watch;
use crate::guard::process::{Process, host_name, panics};
use crate::guard::signals::Signals;
use crate::report::log::Counts;
use crate::state::{Beat, NewRun, State, Trigger, Verb};
use crate::store::{self, Claim, Context, Selection};

/// By then a history that has lost a run has it again.
const AGAIN: Duration = Duration::from_secs(5);
/// Between two processes that are told to end together, on a machine that is busy.
const SOON: Duration = Duration::from_secs(2);

/// Everything that one run needs, put together by who starts it.
pub struct RunContext {
    /// What to do.
    pub job: Job,
    /// The host's settings.
    pub settings: Settings,
    /// The environment for hooks and secrets.
    pub variables: Arc<Variables>,
    /// The run's id, a UUID of version 7.
    pub id: String,
    /// What started it.
    pub trigger: Trigger,
    /// Who asked for it.
    pub by: String,
    /// Where it is recorded.
    pub state: State,
    /// What the log has counted.
    pub counts: Counts,
    /// How far it is.
    pub progress: Arc<Progress>,
    /// Ends it.
    pub cancel: CancellationToken,
    /// Why it was ended.
    pub signals: Signals,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// Whether the job's own time limit ended it.
    pub timed_out: AtomicBool,
    /// Ends it when it takes too much memory.
    pub memory: Watch,
}

impl RunContext {
    /// The progress of a job's tasks, none of which has begun.
    pub fn progress_for(job: &Job) -> Arc<Progress> {
        Arc::new(Progress::new(
            job.tasks
                .iter()
                .map(|task| (task.name.clone(), task.kind.to_string())),
        ))
    }

    /// `since`: it is under way, and the history has lost it.
    pub(super) fn record_begin(&self, verb: Verb, since: Option<DateTime<Utc>>) -> Result<()> {
        let tasks: Vec<(String, String)> = self
            .job
            .tasks
            .iter()
            .map(|task| (task.name.clone(), task.kind.to_string()))
            .collect();
        let run = NewRun {
            id: &self.id,
            job: self.job.name.as_str(),
            file: &self.job.file,
            verb,
            from: self.job.from.as_str(),
            to: self.job.to.as_str(),
            trigger: self.trigger,
            by: &self.by,
            host: &host_name(),
            process: &Process::own(),
            timeout: self.job.timeout,
            tasks: &tasks,
            only: &self.job.part(),
        };
        self.state.begin_at(&run, since.unwrap_or_else(Utc::now))
    }

    pub(super) fn claim(&self) -> Claim {
        Claim {
            job: self.job.name.to_string(),
            run: self.id.clone(),
            host: host_name(),
        }
    }

    /// Notes a step, in the history and in the progress.
    pub(super) fn step(&self, step: &'static str) {
        self.progress.set_step(step);
        tracing::debug!(step, "next step");
        if let Err(error) = self.state.set_step(&self.id, step) {
            tracing::warn!(%error, "the step could not be recorded");
        }
    }

    /// Notes a step that changes live. What cannot be recorded is not done: whoever found the run dead afterwards would say
    /// that live is as it was.
    pub(super) async fn commit(&self, step: &'static str) -> Result<()> {
        self.progress.set_step(step);
        tracing::debug!(step, "next step");
        let until = Instant::now() + AGAIN;
        loop {
            let Err(error) = self.state.commit_step(&self.id, step) else {
                return Ok(());
            };
            // A history that was replaced gets the run again, and with the next sign of life at that.
            let lost = matches!(self.state.beat(&self.id), Ok(Beat::Unknown));
            if !lost || Instant::now() > until {
                return Err(error.within(format!("before `{step}`, with live as it was")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The reason why a run was ended, in place of the error that came of it.
    pub(super) fn cause(&self, error: Error) -> Error {
        if let Some(bug) = panics::stray() {
            return self.during(bug);
        }
        if !self.cancel.is_cancelled() {
            return error;
        }
        if let Some(error) = self.memory.error() {
            return error;
        }
        if self.timed_out.load(Ordering::SeqCst) {
            let limit = self
                .job
                .timeout
                .map(|limit| humantime::format_duration(limit).to_string());
            return Error::new(
                Kind::Timeout,
                format!("the job's timeout of {} is over", limit.unwrap_or_default()),
            )
            .hint("see the log for what took so long, or give the job a longer `timeout`");
        }
        match self.signals.received() {
            Some(number) => {
                if let Ok(Some(run)) = self.state.run(&self.id)
                    && let Some(by) = run.cancelled_by
                {
                    return Error::new(Kind::Cancelled(number), format!("cancelled by {by}"));
                }
                let name = nix::sys::signal::Signal::try_from(number)
                    .map_or("a signal", nix::sys::signal::Signal::as_str);
                Error::new(Kind::Cancelled(number), format!("cancelled by {name}"))
            }
            None => error,
        }
    }

    /// The same of what may be the end of a program of ours that somebody ended together with the run: who stops a unit tells
    /// all of its processes, one after another, and the program's end may be here before our own signal.
    pub(super) async fn cause_with_programs(&self, error: Error) -> Error {
        if command::was_terminated(&error) {
            self.await_signal().await;
        }
        self.cause(error)
    }

    /// Waits for the signal that a program of ours has had; it comes soon or not at all.
    pub(super) async fn await_signal(&self) {
        let _ = tokio::time::timeout(SOON, self.cancel.cancelled()).await;
    }

    pub(super) async fn cancelled(&self) -> Error {
        self.cancel.cancelled().await;
        self.cause(Error::new(Kind::Internal, "cancelled"))
    }

    pub(super) fn store_context(&self, task: &Task) -> Result<Context> {
        let variables = self.variables.clone();
        let driver = store::registry::driver(task.kind)?;
        let mut selection = if driver.selects_by_itself() {
            Selection::everything()
        } else {
            Selection::of(task, driver.ignores_case())?
        };
        // Who pulls what is pushed may have masks of their own.
        let is_snapshot = task.pushes() && !task.dumps();
        selection.describes_columns |= is_snapshot || coverage::is_required(&self.job);
        Ok(Context {
            claim: self.claim(),
            cancel: self.cancel.clone(),
            selection: Arc::new(selection),
            workers: store::workers(task),
            lookup: Arc::new(move |name| variables.get(name)),
        })
    }

    /// The settings' lock directory, made if it is missing.
    pub(super) fn lock_dir(&self) -> &Path {
        &self.settings.lock_dir
    }
}
