//! In place of `snapshots`, in a build without the feature `archive`.

use super::Options;
use crate::archive;
use crate::error::Result;

/// List, show, verify, prune and fetch what is in an archive (not in this build)
#[derive(Debug, clap::Args)]
#[command(hide = true, disable_help_flag = true)]
pub(super) struct Args {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _words: Vec<String>,
}

pub(super) fn main(_: &Options, _: &Args) -> Result<u8> {
    Err(archive::without())
}
