//! In place of the file proxy, in a build without the feature `file_proxy`.

use std::time::Duration;

use tokio::sync::watch;

use crate::config::file_proxy::FileProxy;
use crate::error::{Error, Kind, Result};

/// What would serve.
pub enum Server {}

impl Server {
    /// Says that there is no file proxy in this build.
    pub fn start(_: Vec<FileProxy>) -> Result<Self> {
        Err(Error::new(
            Kind::Config,
            "there is a table [[file_proxy]] in the settings, and this envsyncd was built without the file proxy",
        ))
    }

    /// Where to say what is wanted.
    pub fn wanted(&self) -> watch::Sender<Vec<FileProxy>> {
        match *self {}
    }

    /// Stops what does not run.
    #[allow(clippy::unused_async)]
    pub async fn stop(&mut self, _: Duration) {
        match *self {}
    }
}
