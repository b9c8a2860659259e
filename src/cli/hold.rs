//! `hold ENV --reason TEXT [-- COMMAND...]`

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::options::{Options, caller, settings};
use super::terminal;
use crate::control::environments::{self, Held};
use crate::control::reason;
use crate::error::Result;
use crate::guard::lease::Lease;
use crate::guard::process::{Process, Sight, program};
use crate::state::{Hold, presence};

/// How often it is looked whether a command still runs, and how often that is written down.
const LOOK: Duration = Duration::from_secs(1);
const RENEW: Duration = Duration::from_secs(15);

/// Keep runs out of an environment while COMMAND runs, or until `release`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd hold staging --reason 'release 42' -- ./deploy.sh --all\n  envsyncd hold staging --reason 'load test until Friday'\n  envsyncd release staging\n\nExit codes: that of COMMAND, or 0 without one; 75 the environment is already held, or a run is writing into it; 126 COMMAND cannot be started; 127 there is no such COMMAND"
)]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    pub(super) environment: String,
    /// Say why, for those who have to wait
    #[arg(short, long, value_name = "TEXT", value_parser = reason)]
    pub(super) reason: String,
    /// Run this program, and release the environment when it ends
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

/// Show others that a hold's command is alive
#[derive(Debug, clap::Args)]
pub(super) struct KeepArgs {
    /// The environment
    environment: String,
    /// The command's process
    pid: u32,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let state = super::state::state_to_steer(&settings)?;
    let environment = &args.environment;
    let process = (!args.command.is_empty()).then(Process::own);
    let Held {
        hold,
        is_unheard_of,
    } = environments::hold(
        &settings,
        &state,
        environment,
        &args.reason,
        process,
        &caller(),
    )?;
    if is_unheard_of && options.verbosity() >= 0 {
        terminal::note(&format!(
            "no run has had to do with environment `{environment}` yet"
        ));
    }
    let (Some(process), Some((name, rest))) = (&hold.process, args.command.split_first()) else {
        if options.verbosity() >= 0 {
            terminal::print(&format!(
                "{environment} is held until `envsyncd release {environment}`\n"
            ))?;
        }
        return Ok(0);
    };
    // A command that has just begun gives no signs of life by itself.
    if let Err(error) = keeper(options, environment, process.pid) {
        terminal::note(&format!(
            "the hold is seen on this machine only, as nobody can look after it: {error}"
        ));
    }
    // This process becomes the command: signals, terminal and exit code are its own, and the hold, which belongs to the
    // process, ends with it however it ends.
    let error = program::theirs(name).args(rest).exec();
    state.release_own(environment, process)?;
    terminal::note(&format!(
        "cannot start {}: {error}; {environment} is not held",
        name.display()
    ));
    Ok(if error.kind() == ErrorKind::NotFound {
        127
    } else {
        126
    })
}

/// A process that looks after the command's: in a session of its own, so that what ends the command does not end it first.
fn keeper(options: &Options, environment: &str, pid: u32) -> std::io::Result<()> {
    let mut command = program::own(&std::env::current_exe()?).into_std();
    if let Some(config) = &options.config {
        command.arg("--config").arg(config);
    }
    command
        .args(["keep-hold", environment, &pid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map(drop)
}

/// Gives signs of life of a hold until its command has ended, and ends the hold then.
pub(super) fn keep(options: &Options, args: &KeepArgs) -> Result<u8> {
    let settings = settings(options)?;
    let state = super::state::state_to_steer(&settings)?;
    let environment = &args.environment;
    let is_its = |hold: &Hold| (hold.process.as_ref()).is_some_and(|it| it.pid == args.pid);
    let Some(hold) = state.hold_on(environment)?.filter(is_its) else {
        return Ok(0);
    };
    let Some(process) = &hold.process else {
        return Ok(0);
    };
    let lease = || Lease::take(&settings.state_dir, &presence::lease_of_hold(environment));
    let mut held = lease();
    let (mut renewed, mut store) = (Instant::now(), state.renewed());
    while process.look() == Sight::Alive {
        std::thread::sleep(LOOK);
        if renewed.elapsed() < RENEW {
            continue;
        }
        renewed = Instant::now();
        // A full disk, say: it is tried again.
        let Ok(known) = state.renew_hold(environment, process) else {
            continue;
        };
        if state.renewed() != store {
            store = state.renewed();
            drop(held.take());
            held = lease();
            if !known && state.hold_on(environment)?.is_none() {
                state.restore_hold(&hold)?;
            }
        } else if !known {
            // Somebody has released it.
            return Ok(0);
        }
    }
    state.release_own(environment, process)?;
    drop(held);
    Ok(0)
}
