//! In place of the daemon, in a build without the feature `daemon`.

use std::path::PathBuf;

use crate::config::job::Settings;
use crate::error::{Error, Kind, Result};

/// What the daemon would be started with.
pub struct Options {
    /// The settings' file, as it was given.
    pub config: Option<PathBuf>,
    /// The settings in it.
    pub settings: Settings,
    /// Who would be shown what the files say.
    pub views: Option<tokio::sync::watch::Sender<std::sync::Arc<View>>>,
    /// What would be called when it begins.
    pub begun: Box<dyn FnOnce() -> Result<()>>,
}

/// Says that there is no daemon in this build.
#[allow(clippy::unused_async)]
pub async fn serve(_: Options) -> Result<()> {
    Err(Error::new(
        Kind::Config,
        "this envsyncd was built without the daemon",
    ))
}

/// What a daemon would show.
pub struct View;

/// A place for what a daemon would show.
pub fn views(
    _: Settings,
) -> (
    tokio::sync::watch::Sender<std::sync::Arc<View>>,
    tokio::sync::watch::Receiver<std::sync::Arc<View>>,
) {
    tokio::sync::watch::channel(std::sync::Arc::new(View))
}
