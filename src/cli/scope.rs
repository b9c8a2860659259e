//! `scope`: what `envsyncd-scope@.service` starts.

use super::options::Options;
use crate::error::Result;
use crate::guard::scope;
use crate::report::log;

/// Have systemd create a scope for the run that asks for it on standard input, a socket; started by systemd
#[derive(Debug, clap::Args)]
#[command(hide = true, after_help = "Examples:\n  envsyncd scope")]
pub(super) struct Args {}

pub(super) fn main(options: &Options) -> Result<u8> {
    log::init(&options.log())?;
    scope::serve()?;
    Ok(0)
}
