//! `man DIRECTORY`: for packagers.

use std::path::PathBuf;

use clap::CommandFactory;

use super::Cli;
use crate::error::{Result, io};

/// Write the manual pages into a directory
#[derive(Debug, clap::Args)]
#[command(
    hide = true,
    after_help = "Examples:\n  envsyncd man /usr/local/share/man/man1"
)]
pub(super) struct Args {
    /// An existing directory
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let what = format!(
        "manual pages cannot be written to {}",
        args.directory.display()
    );
    clap_mangen::generate_to(Cli::command(), &args.directory).map_err(io(what))?;
    Ok(0)
}
