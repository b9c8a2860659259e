//! `daemon`

use std::sync::Arc;
use std::time::Duration;

use super::options::{Options, settings};
use super::runtime::runtime;
use crate::config::job::Settings;
use crate::daemon;
use crate::error::Result;
use crate::proxy::Server;
use crate::report::log;
use crate::sync::Mutex;

/// How long those who are being sent files are waited for.
const GRACE: Duration = Duration::from_secs(10);

/// Run all jobs in job_dir by their schedules, each run as a process of its own
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd daemon\n  envsyncd --config /srv/envsyncd/envsyncd.toml daemon\n\nSIGHUP: read all files again (changes are noticed within seconds anyway). SIGTERM: stop; runs continue, and the next daemon finds them, unless `on_stop = \"cancel\"` under [scheduler] ends them.\n\nWith [http] in envsyncd.toml the daemon serves the API and the control panel; `envsyncd panel` prints a link into it. With [[file_proxy]] it serves files and fetches missing ones, as `envsyncd file-proxy` does alone.\n\nExit codes: 0 stopped by a signal, 2 usage or configuration, 75 another daemon works on the state directory"
)]
pub(super) struct Args {}

pub(super) fn main(options: &Options, _: &Args) -> Result<u8> {
    let settings = settings(options)?;
    log::init(&options.log())?;
    let runtime = runtime(1)?;
    let (put, look) = daemon::views(settings.clone());
    let of_servers = settings.clone();
    let files = Arc::new(Mutex::new(None));
    let of_begun = files.clone();
    let served = runtime.block_on(daemon::serve(daemon::Options {
        config: options.config.clone(),
        settings,
        views: Some(put),
        begun: Box::new(move || {
            *of_begun.lock() = serve_files(&of_servers, look.clone())?;
            serve_http(&of_servers, look)
        }),
    }));
    if let Err(error) = &served {
        tracing::error!(%error, "daemon ends");
    }
    if let Some(mut server) = files.lock().take() {
        runtime.block_on(server.stop(GRACE));
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    served.map(|()| 0)
}

/// Has the settings' file proxies served, and those of the settings to come.
#[cfg(feature = "daemon")]
fn serve_files(settings: &Settings, mut views: Views) -> Result<Option<Server>> {
    // Without the file proxy in this build there is one more thing to say.
    if settings.file_proxies.is_empty() && cfg!(not(feature = "file_proxy")) {
        return Ok(None);
    }
    let server = Server::start(settings.file_proxies.clone())?;
    let wanted = server.wanted();
    tokio::spawn(async move {
        while views.changed().await.is_ok() {
            let proxies = views.borrow_and_update().settings.file_proxies.clone();
            wanted.send_if_modified(|before| {
                let is_new = *before != proxies;
                *before = proxies;
                is_new
            });
        }
    });
    Ok(Some(server))
}

#[cfg(not(feature = "daemon"))]
#[expect(clippy::unnecessary_wraps, reason = "as with the file proxy")]
fn serve_files(_: &Settings, _: Views) -> Result<Option<Server>> {
    Ok(None)
}

/// Has the API and the control panel served, if the settings ask for them.
#[cfg(feature = "http")]
fn serve_http(settings: &Settings, views: Views) -> Result<()> {
    match &settings.http {
        Some(http) => crate::http::Server::bind(http, settings)?.start(views),
        None => Ok(()),
    }
}

#[cfg(not(feature = "http"))]
fn serve_http(settings: &Settings, _: Views) -> Result<()> {
    use crate::error::{Error, Kind};
    match settings.http {
        Some(_) => Err(Error::new(
            Kind::Config,
            "there is a table [http] in the settings, and this envsyncd was built without the API",
        )),
        None => Ok(()),
    }
}

type Views = tokio::sync::watch::Receiver<Arc<daemon::View>>;
