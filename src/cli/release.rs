//! `release ENV`

use super::options::{Options, settings};
use super::{hold, terminal};
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
    environment: String,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let state = State::open_if_there(&settings.state_dir)?;
    let environment = &args.environment;
    let released = match &state {
        Some(state) => state
            .release(environment)
            .map_err(super::state::for_operators)?,
        None => None,
    };
    match released {
        Some(hold) if options.verbosity() >= 0 => {
            terminal::print(&format!("released: {}\n", hold.sentence()))?;
        }
        Some(_) => {}
        None => {
            // A slip in the name: the hold that was meant would stay, and nobody know.
            hold::check_name(environment, &settings, state.as_ref())?;
            terminal::note(&format!("nobody holds `{environment}`"));
        }
    }
    Ok(0)
}
