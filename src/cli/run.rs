//! `run`, `--once` and `rollback`: a job in the foreground.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::Utc;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{Options, asker, bars, jobs, terminal};
use crate::config::job::{Job, JobName, Settings};
use crate::config::{self, Variables};
use crate::error::{Error, Kind, Result};
use crate::guard::memory::{self, Watch};
use crate::guard::{priority, scope, signals};
use crate::report::log::{self, Counts, RunTag};
use crate::report::status_file::StatusFile;
use crate::report::{metrics, passive};
use crate::run::{Order, record, recover};
use crate::state::{LogLine, Run, RunState, State, Trigger};

/// Run one job now, in the foreground
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd run -f config.d/publishing-api.toml\n  envsyncd --once -f config.d/publishing-api.toml\n  envsyncd run -f config.d/publishing-api.toml --only search\n\nExit codes: 0 succeeded (warnings included), 1 failed, 2 usage or configuration, 3 refused by policy, 75 the target is busy or held (try again later), 130 and 143 cancelled by SIGINT and SIGTERM"
)]
pub(super) struct Args {
    /// The job file
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: PathBuf,
    /// Run only this task (can be repeated); other tasks are neither read nor published
    #[arg(long, value_name = "TASK")]
    pub(super) only: Vec<String>,
}

/// Bring back what was live before a job's last run
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd rollback -f config.d/publishing-api.toml\n\nExit codes: 0 succeeded, 1 failed, 2 usage or configuration, 3 refused by policy, 75 the target is busy or held (try again later), 130 and 143 cancelled by SIGINT and SIGTERM"
)]
pub(super) struct RollbackArgs {
    /// The job file
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: PathBuf,
}

/// How the daemon starts a run; a person has no use for it.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Supervised {
    /// The run that waits to be begun
    #[arg(long, hide = true, requires = "once", value_name = "RUN")]
    run: Option<String>,
    /// Read instead of the job's file
    #[arg(long, hide = true, requires = "once", value_name = "FILE")]
    last_good: Option<PathBuf>,
    /// Read instead of the settings' file
    #[arg(long, hide = true, requires = "once", value_name = "FILE")]
    last_good_settings: Option<PathBuf>,
}

/// Clean up what a dead run left
#[derive(Debug, clap::Args)]
pub(super) struct ClearArgs {
    /// The run's id
    run: String,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    once(options, &args.file, &args.only, &Supervised::default())
}

pub(super) fn once(
    options: &Options,
    file: &Path,
    only: &[String],
    supervised: &Supervised,
) -> Result<u8> {
    in_foreground(options, file, &What::Run(only), supervised)
}

pub(super) fn rollback(options: &Options, args: &RollbackArgs) -> Result<u8> {
    in_foreground(options, &args.file, &What::Rollback, &Supervised::default())
}

/// A verb of the daemon's, for itself.
pub(super) fn clear(options: &Options, args: &ClearArgs) -> Result<u8> {
    let settings = super::settings(options)?;
    let state = State::open(&settings.state_dir)?;
    let run = jobs::find_run(&args.run, &settings, Some(&state))?;
    if !run.state.is_final() {
        return Err(Error::new(
            Kind::Busy,
            format!("run {} is {}", run.id, run.state),
        ));
    }
    clear_after(options, &settings, &state, &run);
    Ok(0)
}

enum What<'a> {
    /// Of these tasks; none: of all.
    Run(&'a [String]),
    Rollback,
}

fn in_foreground(
    options: &Options,
    file: &Path,
    what: &What<'_>,
    supervised: &Supervised,
) -> Result<u8> {
    let settings = match &supervised.last_good_settings {
        None => super::settings(options)?,
        Some(copy) => {
            let loaded =
                config::load_settings_as(options.config.as_deref(), copy, config::environment());
            loaded.map_err(super::wrong)?.0
        }
    };
    let loaded = match &supervised.last_good {
        None => super::job(options, file, &settings),
        Some(copy) => config::load_job_as(file, copy, &settings)
            .map(|(job, _)| job)
            .map_err(super::wrong),
    };
    let job = loaded.inspect_err(|error| {
        // The status of a job that is running is that run's own; of a file that is no job's there is none to write.
        if let Ok(name) = JobName::of_file(file)
            && matches!(what, What::Run(_))
            && file.exists()
        {
            match record::refused(&settings, &name, error) {
                Ok(status) => tell_refused(options, &settings, &status),
                Err(problem) => terminal::note(&format!("envsyncd: {problem}")),
            }
        }
    })?;
    let state = State::open(&settings.state_dir)?;
    let asked = match &supervised.run {
        Some(id) => Some(waiting(&state, id, &job)?),
        None => None,
    };
    let job = match (what, &asked) {
        (_, Some(run)) => job.only(&run.only)?,
        (What::Run(only), None) => job.only(only)?,
        (What::Rollback, None) => as_last_published(job, &state)?,
    };
    let id = match &asked {
        Some(run) => run.id.clone(),
        None => uuid::Uuid::now_v7().to_string(),
    };
    let board = Order::board_for(&job);
    let mut bars = bars::Bars::new(board.clone(), options.verbosity() < 0);
    let mut log_options = options.log();
    log_options.run = Some(RunTag {
        job: job.name.to_string(),
        run: id.clone(),
    });
    log_options.printer = Some(bars.printer());
    let (into, run) = (state.clone(), id.clone());
    log_options.sink = Some(Arc::new(move |line: log::Line| {
        let line = LogLine {
            at: line.at,
            level: line.level.as_str().to_lowercase(),
            task: line.task.unwrap_or_default(),
            message: line.message,
        };
        // A log that cannot be written cannot say so either.
        let _ = into.add_logs(&run, &[line]);
    }));
    let counts = log::init(&log_options)?;
    // Before there is another thread: they inherit it.
    priority::lower(&settings.priority)?;
    memory::bound(settings.priority.memory_max);
    bars.start();
    let runtime = runtime(2)?;
    let keep = (settings.clone(), state.clone());
    let outcome = runtime.block_on(async {
        let mut order = order(job, settings, state, id, counts)?;
        order.board = board;
        if let Some(run) = asked {
            order.trigger = run.trigger;
            order.by = run.by;
            // Before anything that takes long: the daemon may be stopped at any moment, and its unit with it.
            scope::enter(order.job.name.as_str(), &order.id).await;
        }
        // Where there is a daemon, it does so.
        if !super::has_daemon(&order.state)? {
            for dead in recover::bury(&order.state, &order.settings)? {
                clear_now(&order.settings, &order.state, &dead).await;
            }
        }
        match what {
            What::Run(_) => crate::run::execute(order).await,
            What::Rollback => crate::run::rollback::rollback(order).await,
        }
    });
    // Work that waits for a dead server must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    bars.end(outcome.as_ref().err());
    if let Err(error) = keep_house(&keep.0, &keep.1) {
        tracing::warn!(%error, "metrics or old history are not looked after");
    }
    outcome.map(|()| 0)
}

/// What goes back is what the last run brought: before a run of a part, the other tasks had been published long ago.
fn as_last_published(job: Job, state: &State) -> Result<Job> {
    let Some(last) = state.last_published(job.name.as_str())? else {
        return Ok(job);
    };
    if !last.only.is_empty() {
        terminal::note(&format!(
            "the last run was of {} only, and so is its rollback",
            last.only.join(", ")
        ));
    }
    job.only(&last.only)
}

/// Metrics and the history's length are the daemon's business; where there is none, of each run.
fn keep_house(settings: &Settings, state: &State) -> Result<()> {
    if super::has_daemon(state)? {
        return Ok(());
    }
    state.prune(&settings.history, Utc::now())?;
    let Some(file) = &settings.metrics.textfile else {
        return Ok(());
    };
    let paused = state.pauses()?;
    let names = jobs::known(settings, Some(state))?;
    let all: Vec<metrics::Job<'_>> = names
        .iter()
        .map(|name| {
            let file = settings.job_dir.join(format!("{name}.toml"));
            metrics::Job {
                name,
                valid: !file.exists() || config::load_job(&file, settings).is_ok(),
                paused: paused.iter().any(|pause| pause.job == *name),
                pending: false,
                next_run_at: None,
            }
        })
        .collect();
    metrics::write(file, &metrics::render(state, &all, None)?)
}

/// The run that the daemon has put in the queue, and starts this process for.
fn waiting(state: &State, id: &str, job: &Job) -> Result<Run> {
    match state.run(id)? {
        Some(run) if run.state == RunState::Pending && run.job == job.name.as_str() => Ok(run),
        Some(run) => Err(Error::new(
            Kind::Busy,
            format!("run {id} does not wait to be begun: it is {}", run.state),
        )),
        None => Err(Error::new(Kind::Usage, format!("there is no run `{id}`"))),
    }
}

/// A runtime with this many threads for async work.
pub(super) fn runtime(threads: usize) -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| Error::new(Kind::Internal, "threads cannot be started").because(error))
}

/// An order for a job, with signals listened to.
pub(super) fn order(
    job: Job,
    settings: Settings,
    state: State,
    id: String,
    counts: Counts,
) -> Result<Order> {
    let cancel = CancellationToken::new();
    let signals = signals::listen(cancel.clone())?;
    Ok(Order {
        memory: Watch::start(settings.priority.memory_max, cancel.clone())?,
        board: Order::board_for(&job),
        variables: Arc::new(Variables::load(&settings)?),
        by: asker(),
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

fn for_dead(settings: &Settings, state: &State, dead: &Run) -> Result<Order> {
    // What somebody else has put there must not have root call any file's hooks.
    let usual = settings.job_dir.join(format!("{}.toml", dead.job));
    if dead.file != usual && !state.is_our_own() {
        return Err(Error::new(
            Kind::Policy,
            format!(
                "{} is not the job's file in job_dir, and the state store belongs to somebody else",
                dead.file.display()
            ),
        )
        .hint("the job's next run clears it"));
    }
    let job = match config::load_job(&dead.file, settings) {
        Ok((job, _)) => job,
        // It was good when the run began.
        Err(broken) => crate::daemon::last_good(settings, &dead.job, &dead.file)
            .ok_or_else(|| Error::from(broken))?,
    };
    // A task that the file has no more left nothing that could be found.
    let job = job.clone().only(&dead.only).unwrap_or(job);
    order(
        job,
        settings.clone(),
        state.clone(),
        uuid::Uuid::now_v7().to_string(),
        Counts::default(),
    )
}

/// The job file is wrong: there is no run, and no log of one.
fn tell_refused(options: &Options, settings: &Settings, status: &StatusFile) {
    if settings.monitoring.is_none() || log::init(&options.log()).is_err() {
        return;
    }
    if let Ok(runtime) = runtime(1) {
        let variables = Variables::load(settings).unwrap_or_default();
        runtime.block_on(passive::send(settings, &|name| variables.get(name), status));
        runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    }
}

async fn clear_now(settings: &Settings, state: &State, dead: &Run) {
    match for_dead(settings, state, dead) {
        Ok(order) => recover::clear(Arc::new(order), dead).await,
        Err(error) => {
            tracing::warn!(job = dead.job, %error, "what its dead run left is not cleared: its file is not read");
            let variables = Variables::load(settings).unwrap_or_default();
            recover::tell(settings, &|name| variables.get(name), state, dead).await;
        }
    }
}

/// Clean up what a dead run left, for a verb that is no run itself.
pub(super) fn clear_after(options: &Options, settings: &Settings, state: &State, dead: &Run) {
    // A run's own log is set up already; other verbs warn on stderr.
    let _ = log::init(&options.log());
    if let Ok(runtime) = runtime(1) {
        runtime.block_on(clear_now(settings, state, dead));
        runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    }
}
