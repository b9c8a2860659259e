//! `release ENV`

use super::options::{Options, caller, settings};
use super::terminal;
use crate::control::environments;
use crate::error::Result;
use crate::state::State;

/// Let runs into an environment again, whoever holds it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd release staging\n\nExit codes: 0 nobody holds it any more, 2 there is no such environment"
)]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    pub(super) environment: String,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let state = State::open_if_there(&settings.state_dir)?;
    let environment = &args.environment;
    let released = if let Some(state) = &state {
        environments::release(&settings, state, environment, &caller())
            .map_err(super::state::for_operators)?
    } else {
        environments::check_name(environment, &settings, None)?;
        None
    };
    match released {
        Some(hold) if options.verbosity() >= 0 => {
            terminal::print(&format!("released: {}\n", hold.sentence()))?;
        }
        Some(_) => {}
        None => terminal::note(&format!("nobody holds `{environment}`")),
    }
    Ok(0)
}
