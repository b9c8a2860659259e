//! `run`, `--once` and `rollback`: a job in the foreground.

use std::path::{Path, PathBuf};

use super::options::{self, Options, asker};
use super::runtime::runtime;
use super::state::clear_after;
use super::which::{Place, Which};
use super::{bars, terminal};
use crate::config::job::{Job, JobName, Settings};
use crate::config::{self, Variables};
use crate::control::{Caller, jobs};
use crate::error::{Error, Kind, Result};
use crate::report::log;
use crate::report::passive;
use crate::report::status_file::StatusFile;
use crate::run::record;
use crate::run::start::{self, Start, What};
use crate::state::State;

/// Run one job now, in the foreground
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd run -f config.d/publishing-api.toml\n  envsyncd --once -f config.d/publishing-api.toml\n  envsyncd run -f config.d/publishing-api.toml --only search\n  envsyncd run --site main --from production --to staging\n\nExit codes: 0 succeeded (warnings included), 1 failed, 2 usage or configuration, 3 refused by policy, 75 the target is busy or held (try again later), 130 and 143 cancelled by SIGINT and SIGTERM"
)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
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
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    supervised: Supervised,
}

/// How the daemon starts a run; a person has no use for it.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Supervised {
    /// The run that waits to be begun
    #[arg(long, hide = true, value_name = "RUN")]
    run: Option<String>,
    /// Read instead of the job's file
    #[arg(long, hide = true, value_name = "FILE")]
    last_good: Option<PathBuf>,
    /// Read instead of the settings' file
    #[arg(long, hide = true, value_name = "FILE")]
    last_good_settings: Option<PathBuf>,
    /// The site's job of this name, instead of a file's
    #[arg(long, hide = true, value_name = "JOB")]
    site_job: Option<String>,
}

impl Supervised {
    /// Whether there is any of it.
    pub(super) fn is_there(&self) -> bool {
        self.run.is_some()
            || self.last_good.is_some()
            || self.last_good_settings.is_some()
            || self.site_job.is_some()
    }
}

/// Clean up what a dead run left
#[derive(Debug, clap::Args)]
pub(super) struct ClearArgs {
    /// The run's id
    run: String,
}

/// A job, or a part of it, now and in the foreground.
pub(super) fn run(options: &Options, settings: Settings, job: Job, only: &[String]) -> Result<u8> {
    go(
        options,
        settings,
        job,
        &What::Run(only),
        &Supervised::default(),
    )
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let place = args.which.place();
    in_foreground(
        options,
        place,
        &What::Run(&args.only),
        &Supervised::default(),
    )
}

pub(super) fn once(
    options: &Options,
    file: &Path,
    only: &[String],
    supervised: &Supervised,
) -> Result<u8> {
    let place = match &supervised.site_job {
        Some(name) => Place::Named(name),
        None => Place::File(file),
    };
    in_foreground(options, place, &What::Run(only), supervised)
}

pub(super) fn rollback(options: &Options, args: &RollbackArgs) -> Result<u8> {
    let place = match &args.supervised.site_job {
        Some(name) => Place::Named(name),
        None => args.which.place(),
    };
    in_foreground(options, place, &What::Rollback, &args.supervised)
}

/// A verb of the daemon's, for itself.
pub(super) fn clear(options: &Options, args: &ClearArgs) -> Result<u8> {
    let settings = options::settings(options)?;
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

fn in_foreground(
    options: &Options,
    place: Place<'_>,
    what: &What<'_>,
    supervised: &Supervised,
) -> Result<u8> {
    let settings = match &supervised.last_good_settings {
        None => options::settings(options)?,
        Some(copy) => {
            let loaded = config::load_settings_as(
                options.config.as_deref(),
                copy,
                config::environment(),
                crate::store::registry::formats(),
            );
            loaded.map_err(options::wrong)?.0
        }
    };
    let job = job_of(options, place, what, supervised, &settings).inspect_err(|error| {
        if let Some(caller) = caller(supervised) {
            refused(&caller, &settings, what.verb().as_str(), place, error);
        }
    })?;
    go(options, settings, job, what, supervised)
}

/// Who asks for a run, if it is not the daemon: what that starts was asked for, and audited, before.
fn caller(supervised: &Supervised) -> Option<Caller> {
    supervised.run.is_none().then(options::caller)
}

fn go(
    options: &Options,
    settings: Settings,
    job: Job,
    what: &What<'_>,
    supervised: &Supervised,
) -> Result<u8> {
    let caller = caller(supervised);
    let action = what.verb().as_str();
    let state = State::open(&settings.state_dir)?;
    let (kept, history) = (settings.clone(), state.clone());
    let queued = supervised.run.as_deref();
    let object = format!("job `{}`", job.name);
    let start = Start::new(job, *what, queued, asker(), settings, state);
    let start = start.inspect_err(|error| {
        if let Some(caller) = &caller {
            caller.refused(&history, action, &object, error.to_string());
        }
    })?;
    let object = format!("{object}, run {}", start.id());
    let begun = (caller.as_ref()).map(|caller| caller.begin(&history, action, &object));
    let begun = begun.transpose()?;
    let outcome = followed(options, start, what);
    start::keep_house(&kept, &history);
    match begun {
        Some(begun) => begun.end(outcome),
        None => outcome,
    }
    .map(|()| 0)
}

/// A run to its end, with its progress on the terminal.
fn followed(options: &Options, start: Start, what: &What<'_>) -> Result<()> {
    if matches!(what, What::Rollback) && !start.job().part().is_empty() {
        terminal::note(&format!(
            "the last run was of {} only, and so is its rollback",
            start.job().part().join(", ")
        ));
    }
    let mut bars = bars::Bars::new(start.progress(), options.verbosity() < 0);
    let mut log_options = options.log();
    log_options.printer = Some(bars.printer());
    start.record_log(&mut log_options);
    let counts = log::init(&log_options)?;
    start.limit_process()?;
    bars.start();
    let runtime = runtime(2)?;
    let outcome = runtime.block_on(start.go(counts));
    // Work that waits for a dead server must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    bars.end(outcome.as_ref().err());
    outcome
}

/// The job that is to be run.
fn job_of(
    options: &Options,
    place: Place<'_>,
    what: &What<'_>,
    supervised: &Supervised,
    settings: &Settings,
) -> Result<Job> {
    match place.of_site(settings)? {
        Ok(job) => Ok(job),
        Err(file) => of_file(options, file, what, supervised, settings),
    }
}

/// That a job cannot be had is in the audit list, if there is one.
pub(super) fn refused(
    caller: &Caller,
    settings: &Settings,
    action: &str,
    place: Place<'_>,
    error: &Error,
) {
    let object = match place {
        Place::File(file) => match JobName::of_file(file) {
            Ok(name) => format!("job `{name}`"),
            Err(_) => file.display().to_string(),
        },
        Place::Site { site, from, to } => format!("site `{site}`, {from} to {to}"),
        Place::Named(name) => format!("job `{name}`"),
    };
    if let Ok(Some(state)) = State::open_if_there(&settings.state_dir) {
        caller.refused(&state, action, &object, error.to_string());
    }
}

/// The job of a file. What is wrong with it is in the job's status, too.
fn of_file(
    options: &Options,
    file: &Path,
    what: &What<'_>,
    supervised: &Supervised,
    settings: &Settings,
) -> Result<Job> {
    let loaded = match &supervised.last_good {
        None => options::job(options, file, settings),
        Some(copy) => config::load_job_as(file, copy, settings)
            .map(|(job, _)| job)
            .map_err(options::wrong),
    };
    loaded.inspect_err(|error| {
        // The status of a job that is running is that run's own; of a file that is no job's there is none to write.
        if let Ok(name) = JobName::of_file(file)
            && matches!(what, What::Run(_))
            && file.exists()
        {
            match record::refused(settings, &name, error) {
                Ok(status) => tell_refused(options, settings, &status),
                Err(problem) => terminal::note(&format!("envsyncd: {problem}")),
            }
        }
    })
}

/// The job's file is wrong: there is no run, and no log of one.
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
