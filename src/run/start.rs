//! Starting a run: one way for the command line, for the daemon's child processes, and for whoever else may ask for one.
//!
//! What a run takes is put together here: its id, its record, the signals that end it, the memory that it may take, the
//! scope that it is in. Where there is no daemon, dead runs are recorded and cleared first, and the house is kept after.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::Utc;
use tokio_util::sync::CancellationToken;

use super::context::RunContext;
use super::progress::Progress;
use super::{execute, housekeeping, last_good, recover, rollback};
use crate::config::job::{Job, Settings, Task};
use crate::config::{self, Variables};
use crate::error::{Error, Kind, Result};
use crate::guard::memory::{self, Watch};
use crate::guard::{priority, scope, signals};
use crate::report::log::{self, Counts, RunTag};
use crate::state::{LogLine, Run, RunState, State, Trigger, Verb};
use crate::store::{Driver, registry};

/// What is done with a job.
#[derive(Debug, Clone, Copy)]
pub enum What<'a> {
    /// It is run: these tasks; none: all.
    Run(&'a [String]),
    /// What was live before its last run is published again.
    Rollback,
}

impl What<'_> {
    /// As the history has it.
    pub fn verb(&self) -> Verb {
        match self {
            Self::Run(_) => Verb::Run,
            Self::Rollback => Verb::Rollback,
        }
    }
}

/// A run that is about to begin.
pub struct Start {
    settings: Settings,
    state: State,
    job: Job,
    id: String,
    is_rollback: bool,
    by: String,
    /// The run that waited in the queue; `None`: nobody but this process knows of it yet.
    queued: Option<Run>,
    progress: Arc<Progress>,
}

impl Start {
    /// For somebody, `by`. `queued` is the id of the run that the daemon has put in the queue, and starts this process for.
    /// `Kind::Usage` and `Kind::Busy` if there is no such run to be begun, or no such task.
    pub fn new(
        job: Job,
        what: What<'_>,
        queued: Option<&str>,
        by: String,
        settings: Settings,
        state: State,
    ) -> Result<Self> {
        let verb = what.verb();
        let queued = queued
            .map(|id| waiting(&state, id, &job, verb))
            .transpose()?;
        let job = match (what, &queued) {
            (What::Run(_), Some(run)) => job.only(&run.only)?,
            (What::Run(only), None) => job.only(only)?,
            (What::Rollback, _) => as_last_published(job, &state)?,
        };
        Ok(Self {
            id: match &queued {
                Some(run) => run.id.clone(),
                None => uuid::Uuid::now_v7().to_string(),
            },
            progress: RunContext::progress_for(&job),
            is_rollback: verb == Verb::Rollback,
            settings,
            state,
            job,
            by,
            queued,
        })
    }

    /// The job, without the tasks that are left alone.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// The run's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How far it is.
    pub fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }

    /// Has the log's lines go into the run's own record, too.
    pub fn record_log(&self, options: &mut log::Options) {
        options.run = Some(RunTag {
            job: self.job.name.to_string(),
            run: self.id.clone(),
        });
        let (into, run) = (self.state.clone(), self.id.clone());
        options.sink = Some(Arc::new(move |line: log::Line| {
            let line = LogLine {
                at: line.at,
                level: line.level.as_str().to_lowercase(),
                task: line.task.unwrap_or_default(),
                message: line.message,
            };
            // A log that cannot be written cannot say so either.
            let _ = into.add_logs(&run, &[line]);
        }));
    }

    /// Limits this process as the settings say. Before there is another thread: they inherit it.
    pub fn limit_process(&self) -> Result<()> {
        priority::lower(&self.settings.priority)?;
        memory::bound(self.settings.priority.memory_max);
        let waits = |task: &Task| {
            let driver = registry::driver(task.kind);
            driver.is_ok_and(Driver::waits_for_disks)
        };
        if self.job.tasks.iter().all(waits) {
            memory::share_heaps();
        }
        Ok(())
    }

    /// Runs it to its end. The error is the run's own.
    pub async fn go(self, counts: Counts) -> Result<()> {
        let (settings, state) = (self.settings, self.state);
        let mut context = run_context(self.job, settings, state, self.id, self.by.clone(), counts)?;
        context.progress = self.progress;
        if let Some(run) = self.queued {
            context.trigger = run.trigger;
            context.by = run.by;
            // Before anything that takes long: the daemon may be stopped at any moment, and its unit with it.
            scope::enter(context.job.name.as_str(), &context.id).await;
        }
        // Where there is a daemon, it does so.
        if !context.state.has_daemon()? {
            for dead in recover::bury(&context.state, &context.settings)? {
                clear(&context.settings, &context.state, &dead, &self.by).await;
            }
        }
        if self.is_rollback {
            rollback::rollback(context).await
        } else {
            execute(context).await
        }
    }
}

/// Looks after what the daemon would look after, if there were one. What fails is warned of.
pub fn keep_house(settings: &Settings, state: &State) {
    if let Err(error) = housekeeping::keep(settings, state) {
        tracing::warn!(%error, "metrics or old history are not looked after");
    }
}

/// Puts together the context of a run that `by` asked for, and listens to signals.
pub fn run_context(
    job: Job,
    settings: Settings,
    state: State,
    id: String,
    by: String,
    counts: Counts,
) -> Result<RunContext> {
    let cancel = CancellationToken::new();
    let signals = signals::listen(cancel.clone())?;
    Ok(RunContext {
        memory: Watch::start(settings.priority.memory_max, cancel.clone())?,
        progress: RunContext::progress_for(&job),
        variables: Arc::new(Variables::load(&settings)?),
        by,
        job,
        settings,
        id,
        trigger: Trigger::Manual,
        state,
        counts,
        cancel,
        signals,
        started_at: Utc::now(),
        timed_out: AtomicBool::new(false),
    })
}

/// The run that the daemon has put in the queue.
fn waiting(state: &State, id: &str, job: &Job, verb: Verb) -> Result<Run> {
    let is_meant = |run: &Run| run.job == job.name.as_str() && run.verb == verb;
    match state.run(id)? {
        Some(run) if run.state == RunState::Pending && is_meant(&run) => Ok(run),
        Some(run) => Err(Error::new(
            Kind::Busy,
            format!("run {id} does not wait to be begun: it is {}", run.state),
        )),
        None => Err(Error::new(Kind::Usage, format!("there is no run `{id}`"))),
    }
}

/// What goes back is what the last run brought: before a run of a part, the other tasks had been published long ago.
pub fn as_last_published(job: Job, state: &State) -> Result<Job> {
    match state.last_published(job.name.as_str())? {
        Some(last) => job.only(&last.only),
        None => Ok(job),
    }
}

/// Clears what a dead run left, as far as that can be done now; `by` has it done. Never fails: what cannot be cleared is
/// warned of.
pub async fn clear(settings: &Settings, state: &State, dead: &Run, by: &str) {
    match for_dead(settings, state, dead, by) {
        Ok(context) => recover::clear(Arc::new(context), dead).await,
        Err(error) => {
            tracing::warn!(job = dead.job, %error, "what its dead run left is not cleared: its file is not read");
            let variables = Variables::load(settings).unwrap_or_default();
            recover::tell(settings, &|name| variables.get(name), state, dead).await;
        }
    }
}

fn for_dead(settings: &Settings, state: &State, dead: &Run, by: &str) -> Result<RunContext> {
    // What somebody else has put there must not have root call any file's hooks.
    let of_site = settings.site_job_named(&dead.job);
    let usual = match &of_site {
        Some(_) => settings.file.clone().unwrap_or_default(),
        None => settings.job_file(&dead.job),
    };
    if dead.file != usual && !state.is_our_own() {
        return Err(Error::new(
            Kind::Policy,
            format!(
                "{} is not the job's file in job_dir or managed_job_dir, and the state store belongs to somebody else",
                dead.file.display()
            ),
        )
        .hint("the job's next run clears it"));
    }
    let job = match of_site {
        Some(job) => job?,
        None => match config::load_job(&dead.file, settings) {
            Ok((job, _)) => job,
            // It was good when the run began.
            Err(broken) => last_good::load(settings, &dead.job, &dead.file)
                .ok_or_else(|| Error::from(broken))?,
        },
    };
    // A task that the file has no more left nothing that could be found.
    let job = job.clone().only(&dead.only).unwrap_or(job);
    run_context(
        job,
        settings.clone(),
        state.clone(),
        uuid::Uuid::now_v7().to_string(),
        by.to_owned(),
        Counts::default(),
    )
}
