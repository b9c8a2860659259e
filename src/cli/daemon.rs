//! `daemon`

use super::options::{Options, settings};
use super::runtime::runtime;
use crate::daemon;
use crate::error::Result;
use crate::report::log;

/// Run all jobs in job_dir by their schedules, each run as a process of its own
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd daemon\n  envsyncd --config /srv/envsyncd/envsyncd.toml daemon\n\nSIGHUP: read all files again (changes are noticed within seconds anyway). SIGTERM: stop; runs continue, and the next daemon finds them, unless `on_stop = \"cancel\"` under [scheduler] ends them.\n\nWith [http] in envsyncd.toml the daemon serves the API and the control panel; `envsyncd panel` prints a link into it.\n\nExit codes: 0 stopped by a signal, 2 usage or configuration, 75 another daemon works on the state directory"
)]
pub(super) struct Args {}

pub(super) fn main(options: &Options, _: &Args) -> Result<u8> {
    let settings = settings(options)?;
    log::init(&options.log())?;
    let runtime = runtime(1)?;
    let (put, look) = daemon::views(settings.clone());
    let of_http = settings.clone();
    let served = runtime.block_on(daemon::serve(daemon::Options {
        config: options.config.clone(),
        settings,
        views: Some(put),
        begun: Box::new(move || serve_http(&of_http, look)),
    }));
    if let Err(error) = &served {
        tracing::error!(%error, "daemon ends");
    }
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    served.map(|()| 0)
}

/// Has the API and the control panel served, if the settings ask for them.
#[cfg(feature = "http")]
fn serve_http(settings: &crate::config::job::Settings, views: Views) -> Result<()> {
    match &settings.http {
        Some(http) => crate::http::Server::bind(http, settings)?.start(views),
        None => Ok(()),
    }
}

#[cfg(not(feature = "http"))]
fn serve_http(settings: &crate::config::job::Settings, _: Views) -> Result<()> {
    use crate::error::{Error, Kind};
    match settings.http {
        Some(_) => Err(Error::new(
            Kind::Config,
            "there is a table [http] in the settings, and this envsyncd was built without the API",
        )),
        None => Ok(()),
    }
}

type Views = tokio::sync::watch::Receiver<std::sync::Arc<daemon::View>>;
