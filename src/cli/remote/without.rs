//! In place of `--server`, in a build without the feature `http`.

use std::path::Path;

use crate::error::{Error, Kind, Result};

/// Another host's daemon, which this build asks nothing.
pub(super) enum Server {}

impl Server {
    /// Says that there is none in this build.
    pub(super) fn new(_: &str, _: Option<&Path>) -> Result<Self> {
        Err(Error::new(
            Kind::Config,
            "this envsyncd was built without the API, and without --server",
        ))
    }
}
