//! `completions SHELL`

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, terminal};
use crate::error::Result;

/// Prints a shell's completions for this command
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd completions bash > /etc/bash_completion.d/envsyncd\n  envsyncd completions fish > ~/.config/fish/completions/envsyncd.fish"
)]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "envsyncd", &mut text);
    terminal::print(&String::from_utf8_lossy(&text))?;
    Ok(0)
}
