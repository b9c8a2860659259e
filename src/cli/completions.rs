//! `completions`: a script for a shell.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, print};
use crate::error::Result;

const EXAMPLES: &str = "Examples:
  envsyncd completions bash > /etc/bash_completion.d/envsyncd
  envsyncd completions zsh > /usr/share/zsh/vendor-completions/_envsyncd
  envsyncd completions fish > ~/.config/fish/completions/envsyncd.fish";

/// `completions SHELL`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn completions(args: &CompletionsArgs) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "envsyncd", &mut script);
    print(&String::from_utf8_lossy(&script))
}
