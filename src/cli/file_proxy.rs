//! `file-proxy`: the settings' file proxies alone, without the daemon.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::options::{Options, settings};
use super::runtime::runtime;
use crate::error::{Error, Kind, Result};
use crate::proxy::Server;
use crate::report::log;

/// How long those who are being answered are waited for.
const GRACE: Duration = Duration::from_secs(60);

/// Serve the files of each [[file_proxy]]; fetch what is missing from production
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd file-proxy\n  envsyncd --config /srv/envsyncd/envsyncd.toml file-proxy\n\nThe daemon serves them, too: run this where there is no daemon, or where it is not a user who may write into the site's files. SIGHUP: read the settings again. SIGTERM: take no more requests, answer those that are open, and end.\n\nExit codes: 0 stopped by a signal, 1 a socket or a directory cannot be had, 2 usage or configuration, 75 another process serves the directory"
)]
pub(super) struct Args {}

pub(super) fn main(options: &Options, _: &Args) -> Result<u8> {
    let settings = settings(options)?;
    if settings.file_proxies.is_empty() {
        let what = "there is no [[file_proxy]] in the settings";
        return Err(Error::new(Kind::Config, what)
            .hint("add one with `listen`, `root` and `origin`, see docs/file-proxy.md"));
    }
    log::init(&options.log())?;
    let runtime = runtime(1)?;
    let done = runtime.block_on(async {
        let failed =
            |error| Error::new(Kind::Internal, "signals cannot be listened to").because(error);
        let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut server = Server::start(settings.file_proxies)?;
        loop {
            tokio::select! {
                _ = hangup.recv() => reload(options, &server),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        tracing::info!("file proxy stops");
        tokio::select! {
            () = server.stop(GRACE) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(0)
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    done
}

/// Settings that make no sense change nothing.
fn reload(options: &Options, server: &Server) {
    match settings(options) {
        Ok(settings) => {
            server.wanted().send_replace(settings.file_proxies);
            tracing::info!("settings are read again");
        }
        Err(error) => {
            tracing::error!(%error, "the settings are broken; their last good version stays in force");
        }
    }
}
