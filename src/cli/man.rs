//! `man DIRECTORY`: for packagers.

use std::path::PathBuf;

use clap::Command;

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

/// `command` is this whole command line.
pub(super) fn main(args: &Args, command: Command) -> Result<u8> {
    let what = format!(
        "manual pages cannot be written to {}",
        args.directory.display()
    );
    clap_mangen::generate_to(command, &args.directory).map_err(io(what))?;
    Ok(0)
}
