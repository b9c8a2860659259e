//! `release ENV`

use super::{Options, settings, terminal};
use crate::error::Result;
use crate::state::State;

/// Lets runs into an environment again, whoever holds it
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd release staging\n\nExit codes: 0 also if nobody holds it"
)]
pub(super) struct Args {
    /// The environment
    #[arg(value_name = "ENV")]
    environment: String,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let released = match State::open_if_there(&settings.state_dir)? {
        Some(state) => state.release(&args.environment)?,
        None => None,
    };
    match released {
        Some(hold) if options.verbosity() >= 0 => {
            terminal::print(&format!("released: {}\n", hold.sentence()))?;
        }
        Some(_) => {}
        None => terminal::note(&format!("nobody holds `{}`", args.environment)),
    }
    Ok(0)
}
