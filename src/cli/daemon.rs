//! `daemon`

use super::options::{Options, settings};
use super::runtime::runtime;
use crate::daemon;
use crate::error::Result;
use crate::report::log;

/// Run all jobs in job_dir by their schedules, each run as a process of its own
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd daemon\n  envsyncd --config /srv/envsyncd/envsyncd.toml daemon\n\nSIGHUP: read all files again (changes are noticed within seconds anyway). SIGTERM: stop; runs continue, and the next daemon finds them, unless `on_stop = \"cancel\"` under [scheduler] ends them.\n\nExit codes: 0 stopped by a signal, 2 usage or configuration, 75 another daemon works on the state directory"
)]
pub(super) struct Args {}

pub(super) fn main(options: &Options, _: &Args) -> Result<u8> {
    let settings = settings(options)?;
    log::init(&options.log())?;
    let runtime = runtime(1)?;
    let served = runtime.block_on(daemon::serve(daemon::Options {
        config: options.config.clone(),
        settings,
    }));
    if let Err(error) = &served {
        tracing::error!(%error, "daemon ends");
    }
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    served.map(|()| 0)
}
