//! `run`, `--once` and `rollback`: a job in the foreground.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use chrono::Utc;
use clap::Args;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::{Global, bars};
use crate::config::Variables;
use crate::config::job::{Job, Settings};
use crate::error::{Error, Kind, Result};
use crate::guard::{priority, signals};
use crate::report::log::{self, Counts, RunTag};
use crate::run::{Order, recover};
use crate::state::{LogLine, Run, State, Trigger};

const RUN_EXAMPLES: &str = "Examples:
  envsyncd run -f publishing-api.toml
  envsyncd --once -f publishing-api.toml -q      (the same, quietly)

Exit codes: 0 succeeded, 1 failed (the target is as it was, unless the message says that the new data is live),
2 usage or configuration, 3 refused by policy, 75 the target is busy or held, 130/143 cancelled.";

const ROLLBACK_EXAMPLES: &str = "Examples:
  envsyncd rollback -f publishing-api.toml

What was live becomes previous: a second rollback takes the first one back.";

/// `run -f FILE`
#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
pub(super) struct RunArgs {
    /// The job's file
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
}

impl RunArgs {
    pub(super) fn of(file: PathBuf) -> Self {
        Self { file }
    }
}

/// `rollback -f FILE`
#[derive(Debug, Args)]
#[command(after_help = ROLLBACK_EXAMPLES)]
pub(super) struct RollbackArgs {
    /// The job's file
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(global: &Global, args: &RunArgs) -> Result<u8> {
    in_foreground(global, &args.file, What::Run)
}

pub(super) fn rollback(global: &Global, args: &RollbackArgs) -> Result<u8> {
    in_foreground(global, &args.file, What::Rollback)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Run,
    Rollback,
}

fn in_foreground(global: &Global, file: &std::path::Path, what: What) -> Result<u8> {
    let settings = global.settings()?;
    let job = global.job(file, &settings)?;
    let state = State::open(&settings.state_dir)?;
    let id = uuid::Uuid::now_v7().to_string();
    let board = Order::board_for(&job);
    let bars = bars::Bars::start(board.clone(), global.quiet);
    let mut options = global.log_options();
    options.run = Some(RunTag {
        job: job.name.to_string(),
        run: id.clone(),
    });
    options.printer = Some(bars.printer());
    let (into, run) = (state.clone(), id.clone());
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
    let counts = log::init(&options)?;
    // Before there is another thread: they inherit it.
    priority::lower(&settings.priority)?;
    let runtime = runtime(2)?;
    let outcome = runtime.block_on(async {
        let mut order = order(job, settings, state, id, counts)?;
        order.board = board;
        for dead in recover::bury(&order.state, &order.settings)? {
            if dead.job != order.job.name.as_str() {
                clear_now(&order.settings, &order.state, &dead).await;
            } else if let Ok(cleared) = for_dead(&order.settings, &order.state, &dead) {
                recover::clear(Arc::new(cleared), &dead).await;
            }
        }
        match what {
            What::Run => crate::run::execute(order).await,
            What::Rollback => crate::run::rollback::rollback(order).await,
        }
    });
    // Work that waits for a dead server must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    bars.end(outcome.as_ref().err());
    outcome.map(|()| 0)
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
        board: Order::board_for(&job),
        variables: Arc::new(Variables::load(&settings)?),
        by: std::env::var("SUDO_USER")
            .or_else(|_| std::env::var("USER"))
            .unwrap_or_default(),
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
    let (job, _) =
        crate::config::load_job(&dead.file, settings).map_err(|found| found.to_error())?;
    order(
        job,
        settings.clone(),
        state.clone(),
        uuid::Uuid::now_v7().to_string(),
        Counts::default(),
    )
}

async fn clear_now(settings: &Settings, state: &State, dead: &Run) {
    match for_dead(settings, state, dead) {
        Ok(order) => recover::clear(Arc::new(order), dead).await,
        Err(error) => {
            tracing::warn!(job = dead.job, %error, "what its dead run left is not cleared: its file cannot be read")
        }
    }
}

/// Clears what a dead run left, for a verb that is no run itself.
pub(super) fn clear_after(global: &Global, settings: &Settings, state: &State, dead: &Run) {
    // A run's own log is set up already; other verbs warn on stderr.
    let _ = log::init(&global.log_options());
    if let Ok(runtime) = runtime(1) {
        runtime.block_on(clear_now(settings, state, dead));
        runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    }
}
