//! `hold` and `release`: keep runs out of an environment.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use chrono::Utc;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{Global, print, run};
use crate::error::{Error, Kind, Result, io};
use crate::guard::process::{Process, host_name};
use crate::policy::Environment;
use crate::state::{Hold, State};

const HOLD_EXAMPLES: &str = "Examples:
  envsyncd hold staging --reason \"deploying release 4\"       until it is released
  envsyncd hold staging --reason deploy -- ./deploy.sh now     for the length of the command

Runs into the environment end with exit code 75 meanwhile. With a COMMAND, its exit code is ours, and signals are
passed on to it. An environment that is held already: exit code 75.";

const RELEASE_EXAMPLES: &str = "Examples:
  envsyncd release staging";

/// `hold ENV --reason TEXT [-- COMMAND...]`
#[derive(Debug, Args)]
#[command(after_help = HOLD_EXAMPLES)]
pub(super) struct HoldArgs {
    /// The environment
    environment: String,
    /// Why, for whoever finds it held
    #[arg(short, long, value_name = "TEXT")]
    reason: String,
    /// Hold for the length of this command
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// `release ENV`
#[derive(Debug, Args)]
#[command(after_help = RELEASE_EXAMPLES)]
pub(super) struct ReleaseArgs {
    /// The environment
    environment: String,
}

/// An environment that envsyncd.toml does not know is most likely misspelt; without any there it cannot be known.
fn known(settings: &crate::config::job::Settings, name: &str) -> Result<()> {
    let all: Vec<&str> = settings
        .environments
        .names()
        .map(Environment::as_str)
        .collect();
    if all.is_empty() || all.contains(&name) {
        return Ok(());
    }
    Err(
        Error::new(Kind::Usage, format!("environment `{name}` is not defined"))
            .hint(format!("defined: {}", all.join(", "))),
    )
}

pub(super) fn hold(global: &Global, args: &HoldArgs) -> Result<u8> {
    let settings = global.settings()?;
    known(&settings, &args.environment)?;
    if args.reason.trim().is_empty() {
        return Err(
            Error::new(Kind::Usage, "a hold has a reason").hint("--reason \"deploying release 4\"")
        );
    }
    let state = State::open(&settings.state_dir)?;
    let lasting = args.command.is_empty();
    state.hold(&Hold {
        environment: args.environment.clone(),
        reason: args.reason.clone(),
        by: std::env::var("SUDO_USER")
            .or_else(|_| std::env::var("USER"))
            .unwrap_or_else(|_| "someone".to_owned()),
        host: host_name(),
        since: Utc::now(),
        // Killed, this process takes its hold with it.
        process: (!lasting).then(Process::own),
    })?;
    if lasting {
        return print(&format!(
            "{} is held; end it with: envsyncd release {}\n",
            args.environment, args.environment
        ));
    }
    let code = for_the_length(&args.command);
    state.release(&args.environment)?;
    code
}

/// Runs a command to its end, passing signals on; its exit code.
fn for_the_length(command: &[String]) -> Result<u8> {
    let runtime = run::runtime(1)?;
    runtime.block_on(async {
        let cannot = || io("signals cannot be listened to");
        let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot())?;
        let mut terminate = signal(SignalKind::terminate()).map_err(cannot())?;
        let mut hangup = signal(SignalKind::hangup()).map_err(cannot())?;
        let mut child: tokio::process::Child =
            tokio::process::Command::from(Command::new(&command[0]))
                .args(&command[1..])
                .spawn()
                .map_err(|error| {
                    Error::new(Kind::Usage, format!("{} cannot be started", command[0]))
                        .because(error)
                })?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        loop {
            let number = tokio::select! {
                status = child.wait() => {
                    let status = status.map_err(io("the command got lost"))?;
                    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(1));
                    return Ok(u8::try_from(code).unwrap_or(1));
                }
                // A terminal sends its interrupt to the command as well.
                _ = interrupt.recv() => continue,
                _ = terminate.recv() => nix::sys::signal::Signal::SIGTERM,
                _ = hangup.recv() => nix::sys::signal::Signal::SIGHUP,
            };
            if let Some(pid) = pid {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), number);
            }
        }
    })
}

pub(super) fn release(global: &Global, args: &ReleaseArgs) -> Result<u8> {
    let settings = global.settings()?;
    let released = match State::open_if_there(&settings.state_dir)? {
        Some(state) => state.release(&args.environment)?,
        None => None,
    };
    match released {
        Some(hold) => print(&format!(
            "{} is free; it was held by {} ({})\n",
            hold.environment, hold.by, hold.reason
        )),
        None => {
            known(&settings, &args.environment)?;
            print(&format!("{} was not held\n", args.environment))
        }
    }
}
