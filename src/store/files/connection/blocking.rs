//! Work that waits for disks, on threads of its own.

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result};

/// Runs work on a thread; whoever no longer waits for it has it stopped, at the next file.
pub(in crate::store::files) async fn blocking<T: Send + 'static>(
    cancel: &CancellationToken,
    work: impl FnOnce(&CancellationToken) -> Result<T> + Send + 'static,
) -> Result<T> {
    let stop = cancel.child_token();
    let _stops_when_dropped = stop.clone().drop_guard();
    tokio::task::spawn_blocking(move || work(&stop))
        .await
        .map_err(|error| Error::new(Kind::Internal, "a thread broke").because(error))?
}

/// Ends work that nobody waits for any more.
pub(in crate::store::files) fn stopped(stop: &CancellationToken) -> Result<()> {
    if stop.is_cancelled() {
        return Err(Error::new(Kind::Internal, "the work was stopped"));
    }
    Ok(())
}
