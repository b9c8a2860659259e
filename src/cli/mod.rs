//! The command line: its arguments, and a file for each verb. The only place that knows a terminal.

mod bars;
mod cancel;
mod check;
mod completions;
mod daemon;
mod due;
mod file_proxy;
#[cfg(test)]
mod fuzz;
mod help;
mod history;
mod hold;
mod import;
mod links;
mod logs;
mod man;
mod options;
#[cfg(feature = "http")]
mod panel;
mod pause;
mod plan;
mod pull;
mod release;
#[cfg(feature = "http")]
mod remote;
#[cfg(not(feature = "http"))]
#[path = "remote/without.rs"]
mod remote;
mod run;
mod runtime;
mod scan;
mod scope;
mod show;
#[cfg(feature = "archive")]
mod snapshots;
#[cfg(not(feature = "archive"))]
#[path = "snapshots/without.rs"]
mod snapshots;
mod state;
mod status;
mod table;
mod terminal;
mod text;
mod token;
mod trigger;
mod validate;
mod which;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

pub use self::options::{Options, asker};
use crate::error::{Error, Kind, Result};
use crate::guard::descriptors;
use crate::process::panics;
use crate::report::log;

const EXAMPLES: &str = "Examples:
  envsyncd --once -f publishing-api.toml    run one job now, in the foreground
  envsyncd plan -f publishing-api.toml      show what that would do, with sizes
  envsyncd pull @production                 copy this host's site from production, now
  envsyncd scan -f publishing-api.toml      show what looks personal, and what masks it
  envsyncd daemon                           keep the schedules of all jobs
  envsyncd trigger publishing-api           have the daemon run it now
  envsyncd status --watch                   show every job, live
  envsyncd check -w 28h -c 52h              check for Icinga or Nagios
  envsyncd snapshots list s3://backups/api  list what is in an archive
  envsyncd hold staging --reason 'release 42' -- ./deploy.sh
  envsyncd help trigger                     explain one command

Exit codes of a run: 0 succeeded (warnings included), 1 failed, 2 usage or configuration, 3 refused by policy, \
75 the target is busy or held (try again later), 130 and 143 cancelled by SIGINT and SIGTERM";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "envsyncd",
    version,
    about = "Copies an environment's databases into the environment below it: verified, published in one step, never uphill",
    after_help = EXAMPLES,
    help_template = help::template(&Command::augment_subcommands(clap::Command::default())),
    arg_required_else_help = true
)]
pub struct Cli {
    /// What every verb takes.
    #[command(flatten)]
    pub options: Options,
    /// Run one job now, in the foreground; the same as `run`
    #[arg(long, requires = "file")]
    once: bool,
    /// The job file, with --once
    #[arg(short, long, value_name = "FILE", requires = "once")]
    file: Option<PathBuf>,
    /// Run only this task, with --once (can be repeated)
    #[arg(long, value_name = "TASK", requires = "once")]
    only: Vec<String>,
    /// How the daemon starts a run.
    #[command(flatten)]
    supervised: run::Supervised,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Daemon(daemon::Args),
    FileProxy(file_proxy::Args),
    Run(run::Args),
    Pull(pull::Args),
    Trigger(trigger::Args),
    Cancel(cancel::Args),
    Pause(pause::Args),
    Resume(pause::ResumeArgs),
    Validate(validate::Args),
    Plan(plan::Args),
    Scan(scan::Args),
    Status(status::Args),
    History(history::Args),
    Show(show::Args),
    Logs(logs::Args),
    Check(check::Args),
    Hold(hold::Args),
    Release(release::Args),
    Rollback(run::RollbackArgs),
    Snapshots(snapshots::Args),
    Token(token::Args),
    Import(import::Args),
    Links(links::Args),
    #[cfg(feature = "http")]
    Panel(panel::Args),
    Completions(completions::Args),
    Man(man::Args),
    Scope(scope::Args),
    Names(completions::NamesArgs),
    #[command(hide = true)]
    Clear(run::ClearArgs),
    #[command(hide = true)]
    KeepHold(hold::KeepArgs),
}

/// Reads the command line and does what it says; the result is the exit code. A panic is an error like others.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args = links::resolved(args.into_iter().collect());
    let monitors = is_check(&args);
    let done = panics::caught(|| match parse(args).map(dispatch) {
        // The command line was `--help` or made no sense: that is said already.
        Err(code) | Ok(Ok(code)) => code,
        Ok(Err(error)) => fail(&error),
    });
    let bug = match done {
        Ok(code) => match panics::stray().filter(|_| code == 0) {
            Some(bug) => bug,
            None => return code,
        },
        Err(bug) => bug,
    };
    if monitors {
        let _ = terminal::print(&format!("ENVSYNCD UNKNOWN - {bug}\n"));
        return 3;
    }
    fail(&bug)
}

/// Reads the command line. What is wrong with it, or `--help`, is printed here: then this is the exit code.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, u8> {
    let args: Vec<OsString> = args.into_iter().collect();
    Cli::try_parse_from(&args).map_err(|error| {
        let asked = matches!(
            error.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
        );
        if !asked && is_check(&args) {
            // A monitor shows the first line of standard output and knows 3 as UNKNOWN (Monitoring Plugins guidelines).
            let text = error.render().to_string();
            let line = text.lines().next().unwrap_or_default();
            let line = line.strip_prefix("error: ").unwrap_or(line);
            let _ = terminal::print(&format!("ENVSYNCD UNKNOWN - {line}\n"));
            return 3;
        }
        let steers = |arg: &OsString| arg.to_string_lossy().contains(log::steers);
        if !asked && args.iter().any(steers) {
            // It is said again what was typed, or put there by a script.
            terminal::note(error.render().to_string().trim_end());
            return 2;
        }
        // Whoever closed the other end does not want to read it.
        let _ = error.print();
        if asked { 0 } else { 2 }
    })
}

/// Does what the command line says; the result is the exit code.
pub fn dispatch(cli: Cli) -> Result<u8> {
    let options = &cli.options;
    // COMMAND of `hold` has what the shell gave it.
    if !matches!(cli.command, Some(Command::Hold(_))) {
        descriptors::keep();
    }
    if cli.once {
        return match (cli.file, cli.command) {
            (Some(file), None) => run::once(options, &file, &cli.only, &cli.supervised),
            _ => Err(Error::new(Kind::Usage, "--once is a run and takes no verb")
                .hint("envsyncd --once -f FILE")),
        };
    }
    if cli.supervised.is_there() {
        return Err(
            Error::new(Kind::Usage, "only a run and a rollback are supervised")
                .hint("envsyncd --once -f FILE"),
        );
    }
    let Some(command) = cli.command else {
        return Err(Error::new(Kind::Usage, "there is nothing to do")
            .hint("envsyncd --help lists the verbs"));
    };
    if let Some(server) = &options.server {
        let server = remote::Server::new(server, options.token_file.as_deref())?;
        return elsewhere(&server, command);
    }
    match command {
        Command::Daemon(args) => daemon::main(options, &args),
        Command::FileProxy(args) => file_proxy::main(options, &args),
        Command::Run(args) => run::main(options, &args),
        Command::Pull(args) => pull::main(options, &args),
        Command::Links(args) => links::main(&args),
        Command::Trigger(args) => trigger::main(options, &args),
        Command::Cancel(args) => cancel::main(options, &args),
        Command::Pause(args) => pause::main(options, &args),
        Command::Resume(args) => pause::resume(options, &args),
        Command::Validate(args) => validate::main(options, &args),
        Command::Plan(args) => plan::main(options, &args),
        Command::Scan(args) => scan::main(options, &args),
        Command::Status(args) => status::main(options, &args),
        Command::History(args) => history::main(options, &args),
        Command::Show(args) => show::main(options, &args),
        Command::Logs(args) => logs::main(options, &args),
        Command::Check(args) => Ok(check::main(options, &args)),
        Command::Hold(args) => hold::main(options, &args),
        Command::Release(args) => release::main(options, &args),
        Command::Rollback(args) => run::rollback(options, &args),
        Command::Snapshots(args) => snapshots::main(options, &args),
        Command::Token(args) => token::main(options, &args),
        Command::Import(args) => import::main(options, &args),
        #[cfg(feature = "http")]
        Command::Panel(args) => panel::main(options, &args),
        Command::Completions(args) => completions::main(&args, Cli::command()),
        Command::Names(args) => completions::names(options, &args),
        Command::Man(args) => man::main(&args, Cli::command()),
        Command::Scope(scope::Args {}) => scope::main(options),
        Command::Clear(args) => run::clear(options, &args),
        Command::KeepHold(args) => hold::keep(options, &args),
    }
}

/// Has another host's daemon do what the command line says; the result is the exit code.
#[cfg(feature = "http")]
fn elsewhere(server: &remote::Server, command: Command) -> Result<u8> {
    match command {
        Command::Trigger(args) if !args.rollback => server.trigger(&args.job, &args.only, args.wait),
        Command::Cancel(args) => server.cancel(&args.run, args.wait),
        Command::Status(args) => server.status(args.job.as_deref(), args.json),
        Command::History(args) if !args.audit => {
            server.history(args.job.as_deref(), args.limit, args.json)
        }
        Command::Show(args) => server.show(&args.run, args.json),
        Command::Logs(args) => server.logs(&args),
        Command::Pause(args) => server.pause(&args),
        Command::Resume(args) => server.resume(&args.what),
        Command::Hold(args) if args.command.is_empty() => {
            server.hold(&args.environment, &args.reason)
        }
        Command::Release(args) => server.release(&args.environment),
        _ => Err(Error::new(Kind::Usage, "this does not work with --server").hint(
            "trigger, cancel, status, history, show, logs, pause, resume, hold without a COMMAND, and release do",
        )),
    }
}

#[cfg(not(feature = "http"))]
fn elsewhere(server: &remote::Server, _: Command) -> Result<u8> {
    match *server {}
}

/// Says why a verb failed; the result is the exit code.
pub fn fail(error: &Error) -> u8 {
    terminal::note(&error.to_string());
    error.kind().exit_code()
}

/// Whether the verb is `check`: the first argument that is neither an option nor the value of `--config`.
fn is_check(args: &[OsString]) -> bool {
    let mut rest = args.iter().skip(1);
    while let Some(arg) = rest.next() {
        match arg.to_str() {
            Some("--config") => drop(rest.next()),
            Some(option) if option.starts_with('-') => {}
            verb => return verb == Some("check"),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_command_line_makes_sense() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_an_example_that_it_would_understand() {
        let cli = Cli::command();
        let verbs = cli
            .get_subcommands()
            .flat_map(|verb| std::iter::once(verb).chain(verb.get_subcommands()))
            .filter(|verb| !verb.is_hide_set());
        for verb in verbs {
            let help = verb.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            let examples: Vec<&str> = help
                .lines()
                .map(str::trim)
                .filter(|line| line.starts_with("envsyncd "))
                .collect();
            assert!(!examples.is_empty(), "{} has no example", verb.get_name());
            for example in examples {
                // Quotes in examples stand around blanks in one word only; what a shell does with the output is its own.
                let line = example.split(" > ").next().unwrap();
                let mut words = Vec::new();
                for (number, piece) in line.split('\'').enumerate() {
                    if number % 2 == 1 {
                        words.push(piece.to_owned());
                    } else {
                        words.extend(piece.split_whitespace().map(str::to_owned));
                    }
                }
                if let Err(error) = Cli::try_parse_from(&words) {
                    panic!("{example}: {error}");
                }
            }
        }
    }

    #[test]
    fn the_verb_is_found_behind_options_and_their_values() {
        let found = |line: &str| is_check(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert!(found("envsyncd check --nonsense"));
        assert!(found("envsyncd -v --config status check"));
        assert!(!found("envsyncd --config check status"));
        assert!(!found("envsyncd status check"));
        assert!(!found("envsyncd"));
    }
}
