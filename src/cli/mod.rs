//! The command line: one file a verb. The only place that knows a terminal.

mod bars;
mod check;
mod completions;
mod history;
mod hold;
mod logs;
mod plan;
mod run;
mod show;
mod status;
mod table;
mod validate;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgAction, Args, Parser, Subcommand};

use crate::config::diagnostics::{Diagnostic, Diagnostics};
use crate::config::job::{Job, Settings};
use crate::error::{Error, Kind, Result};
use crate::report::log;
use crate::run::recover;
use crate::state::State;

const EXAMPLES: &str = "Examples:
  envsyncd --once -f publishing-api.toml        run one job now, in the foreground
  envsyncd plan -f publishing-api.toml          what that would do, with sizes; changes nothing
  envsyncd status                               every job's last run
  envsyncd check publishing-api -w 28h -c 52h   for Icinga or Nagios
  envsyncd hold staging --reason deploy -- ./deploy.sh

Exit codes of a run: 0 succeeded, 1 failed, 2 usage or configuration, 3 refused by policy,
75 the target is busy or held, 130/143 cancelled by SIGINT/SIGTERM.";

/// Copies an environment's data into the environment below it: verified, published in one step, never uphill.
#[derive(Debug, Parser)]
#[command(name = "envsyncd", version, after_help = EXAMPLES, args_conflicts_with_subcommands = false)]
struct Cli {
    #[command(flatten)]
    global: Global,
    /// Run one job now, in the foreground; the same as `run`
    #[arg(long, requires = "file")]
    once: bool,
    /// The job's file, with --once
    #[arg(short, long, value_name = "FILE", requires = "once")]
    file: Option<PathBuf>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

/// Options of every verb.
#[derive(Debug, Clone, Args)]
struct Global {
    /// The settings' file [default: /etc/envsyncd/envsyncd.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE", env = "ENVSYNCD_CONFIG")]
    config: Option<PathBuf>,
    /// Log more; twice: everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Log only warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run one job now, in the foreground
    Run(run::RunArgs),
    /// Check one job file, or all of job_dir
    Validate(validate::ValidateArgs),
    /// Show what a run would do, with sizes; changes nothing
    Plan(plan::PlanArgs),
    /// Show every job's last run, or one job's
    Status(status::StatusArgs),
    /// List past runs, newest first
    History(history::HistoryArgs),
    /// Show one run with its tasks
    Show(show::ShowArgs),
    /// Print a run's log
    Logs(logs::LogsArgs),
    /// A monitoring plugin over the status files
    Check(check::CheckArgs),
    /// Keep runs out of an environment, for the length of COMMAND if one is given
    Hold(hold::HoldArgs),
    /// End a hold
    Release(hold::ReleaseArgs),
    /// Publish again what was live before the last run
    Rollback(run::RollbackArgs),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

/// Runs the command; the exit code is the process's.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    // A monitoring plugin's wrong usage is UNKNOWN.
    let is_check = arguments
        .iter()
        .skip(1)
        .find(|a| !a.to_string_lossy().starts_with('-'))
        .is_some_and(|a| a == "check");
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) if is_check && error.use_stderr() => {
            let first = error
                .to_string()
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned();
            let _ = writeln!(
                std::io::stdout(),
                "ENVSYNCD UNKNOWN - {}",
                first.trim_start_matches("error: ")
            );
            return ExitCode::from(3);
        }
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match dispatch(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "envsyncd: {error}");
            ExitCode::from(error.kind().exit_code())
        }
    }
}

fn dispatch(cli: Cli) -> Result<u8> {
    let global = cli.global;
    if cli.once {
        if cli.verb.is_some() {
            return Err(Error::new(
                Kind::Usage,
                "--once is a run of its own and takes no verb",
            ));
        }
        let file = cli.file.expect("clap requires it");
        return run::run(&global, &run::RunArgs::of(file));
    }
    match cli.verb {
        Some(Verb::Run(args)) => run::run(&global, &args),
        Some(Verb::Validate(args)) => validate::validate(&global, &args),
        Some(Verb::Plan(args)) => plan::plan(&global, &args),
        Some(Verb::Status(args)) => status::status(&global, &args),
        Some(Verb::History(args)) => history::history(&global, &args),
        Some(Verb::Show(args)) => show::show(&global, &args),
        Some(Verb::Logs(args)) => logs::logs(&global, &args),
        Some(Verb::Check(args)) => Ok(check::check(&global, &args)),
        Some(Verb::Hold(args)) => hold::hold(&global, &args),
        Some(Verb::Release(args)) => hold::release(&global, &args),
        Some(Verb::Rollback(args)) => run::rollback(&global, &args),
        Some(Verb::Completions(args)) => completions::completions(&args),
        None => Err(Error::new(Kind::Usage, "there is nothing to do").hint("try: envsyncd --help")),
    }
}

impl Global {
    fn verbosity(&self) -> i8 {
        if self.quiet {
            -1
        } else {
            i8::try_from(self.verbose).unwrap_or(i8::MAX)
        }
    }

    /// Logging as far as this process's command line and environment say.
    fn log_options(&self) -> log::Options {
        log::Options {
            verbosity: self.verbosity(),
            filter: std::env::var("ENVSYNCD_LOG")
                .ok()
                .filter(|text| !text.is_empty()),
            ..log::Options::default()
        }
    }

    /// envsyncd.toml; its warnings go to stderr.
    fn settings(&self) -> Result<Settings> {
        // A variable that is not Unicode is none of ours.
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let (settings, warnings) = crate::config::load_settings(self.config.as_deref(), variables)
            .map_err(|found| wrong(&found))?;
        self.warn(&warnings);
        Ok(settings)
    }

    /// A job's file; its warnings go to stderr.
    fn job(&self, file: &Path, settings: &Settings) -> Result<Job> {
        let (job, warnings) =
            crate::config::load_job(file, settings).map_err(|found| wrong(&found))?;
        self.warn(&warnings);
        Ok(job)
    }

    fn warn(&self, warnings: &[Diagnostic]) {
        if !self.quiet {
            for warning in warnings {
                let _ = writeln!(std::io::stderr(), "{warning}\n");
            }
        }
    }
}

/// Prints all that is wrong with a file, and makes one error of it.
fn wrong(found: &Diagnostics) -> Error {
    let _ = writeln!(std::io::stderr(), "{found}\n");
    found.to_error()
}

/// The state store for a verb that only reads; dead runs found there are recorded, and what they left is cleared, first.
fn state_to_read(global: &Global, settings: &Settings) -> Result<Option<State>> {
    let Some(state) = State::open_if_there(&settings.state_dir)? else {
        return Ok(None);
    };
    match recover::bury(&state, settings) {
        Ok(dead) => {
            for run in dead {
                run::clear_after(global, settings, &state, &run);
            }
        }
        // Whoever may only read the history may still do that.
        Err(error) => tracing::debug!(%error, "dead runs could not be recorded"),
    }
    Ok(Some(state))
}

/// Prints to stdout; a reader that has gone away is no error.
fn print(text: &str) -> Result<u8> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(Kind::Io, "stdout cannot be written to").because(error))
        }
        _ => Ok(0),
    }
}

/// Prints JSON to stdout.
fn print_json(value: &impl serde::Serialize) -> Result<u8> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::new(Kind::Internal, "JSON cannot be made").because(error))?;
    print(&format!("{text}\n"))
}

/// An error for a job that the history does not know.
fn unknown_job(state: &State, name: &str) -> Error {
    let jobs = state.jobs().unwrap_or_default();
    let near = jobs
        .iter()
        .map(|job| (strsim::damerau_levenshtein(job, name), job))
        .filter(|(distance, job)| *distance <= 3.max(job.len() / 3))
        .min();
    let error = Error::new(Kind::Usage, format!("there is no run of a job `{name}`"));
    match near {
        Some((_, job)) => error.hint(format!("did you mean `{job}`?")),
        None if jobs.is_empty() => error.hint("no job has run yet"),
        None => error.hint(format!("jobs that have run: {}", jobs.join(", "))),
    }
}
