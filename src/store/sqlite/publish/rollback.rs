//! Rolls back to previous, and what was live becomes previous.

use tokio_util::sync::CancellationToken;

use super::live;
use super::run_files::RunFiles;
use crate::error::{Error, Kind, Result};
use crate::store::sqlite::connection::files;
use crate::store::sqlite::connection::open::open_read;
use crate::store::sqlite::connection::session::blocking;

/// Makes previous live again, in one step; live becomes previous.
pub(in crate::store::sqlite) async fn swap_with_previous(
    run: &RunFiles,
    cancel: &CancellationToken,
) -> Result<()> {
    let (live, previous, snapshot) = (run.live(), run.location.previous(), run.snapshot());
    if previous.symlink_metadata().is_err() {
        return Err(Error::new(
            Kind::Statement,
            format!("there is no previous copy of {}", live.display()),
        )
        .hint("it is kept by runs with `previous = \"keep\"`, until the next run"));
    }
    let mut marks = run.marks()?;
    marks.spare_previous()?;
    marks.begin()?;
    let swapped = blocking(cancel, move |stop| {
        let watch = live::snapshot(&live, &snapshot, stop)?;
        let from = open_read(&previous)?;
        let mut again = || {
            if watch.is_changed()? {
                files::remove(&snapshot)?;
                live::snapshot_under_lock(&watch, &live, &snapshot, stop)?;
            }
            Ok(())
        };
        live::replace(&live, &from, &mut again, stop).map(drop)
    })
    .await;
    if swapped.is_err() {
        run.remove_building()?;
        return swapped;
    }
    run.keep_previous()?;
    run.mark_cleared()
}
