//! The threads that a verb works with.

use tokio::runtime::Runtime;

use crate::error::{Error, Kind, Result};

/// A runtime with this many threads for async work.
pub(super) fn runtime(threads: usize) -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| Error::new(Kind::Internal, "threads cannot be started").because(error))
}
