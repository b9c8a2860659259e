//! Publishes incoming, into the live file or as a new one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;

use super::confirm::{PublishedCopy, Shape, Untouched};
use super::live::{self, Watch};
use crate::error::{Error, Kind, Result, io};
use crate::store::Selection;
use crate::store::sqlite::connection::errors::on;
use crate::store::sqlite::connection::files::{self, CreatedFile, companion, rename_file};
use crate::store::sqlite::connection::open::{self, open_write, watched};
use crate::store::sqlite::incoming::preserve::Preserved;
use crate::store::sqlite::schema::definitions::Definitions;

/// Incoming becomes a file where there was none.
pub(in crate::store::sqlite) fn publish_new(
    file: &CreatedFile,
    incoming: &Path,
    live: &Path,
    definitions: &Definitions,
) -> Result<PublishedCopy> {
    let connection = open_write(incoming)?;
    let shape = Shape::of(&connection).map_err(on(incoming))?;
    let mode = if definitions.settings.is_wal() {
        "WAL"
    } else {
        "DELETE"
    };
    connection
        .pragma_update_and_check(None, "journal_mode", mode, |_| Ok(()))
        .map_err(on(incoming))?;
    drop(connection);
    file.is_there()?;
    file.dress_new(definitions.mode)?;
    file.sync()?;
    // What a file that was here has left would be taken for this one's, and its rows would be read. SQLite itself removes what
    // stands beside a file with nothing in it.
    for left in files::companions(live) {
        tracing::warn!(file = %left.display(), "belongs to a database that is gone, and is removed");
    }
    files::remove_companions(live)?;
    // Unlike a rename, a link never replaces a file that someone made meanwhile.
    files::link(incoming, live).map_err(io(format!(
        "cannot put incoming in place as {}",
        live.display()
    )))?;
    if !live.symlink_metadata().is_ok_and(|found| file.is(&found)) {
        return Err(Error::new(
            Kind::Verify,
            format!(
                "{} is not the file that was put there: somebody has put another in its place",
                live.display()
            ),
        )
        .hint("check who can write to that directory"));
    }
    Ok(PublishedCopy {
        shape,
        untouched: Untouched::new_file(live),
    })
}

/// A publish into a file that is there.
pub(in crate::store::sqlite) struct Publishing {
    pub(in crate::store::sqlite) live: PathBuf,
    pub(in crate::store::sqlite) incoming: PathBuf,
    pub(in crate::store::sqlite) file: Arc<CreatedFile>,
    pub(in crate::store::sqlite) snapshot: PathBuf,
    pub(in crate::store::sqlite) definitions: Arc<Definitions>,
    pub(in crate::store::sqlite) selection: Arc<Selection>,
    pub(in crate::store::sqlite) preserved: Option<Arc<Preserved>>,
}

impl Publishing {
    /// Ends with the new content live and the snapshot true, or with live as it was.
    pub(in crate::store::sqlite) fn run(
        &self,
        mut watch: Watch,
        stop: &tokio_util::sync::CancellationToken,
    ) -> Result<PublishedCopy> {
        let incoming = open::open_building(&self.incoming)?;
        self.file.is_there()?;
        watched(&incoming, stop).map_err(on(&self.incoming))?;
        // Each page is read once: mapped, from where it lies in the system's cache.
        incoming
            .pragma_update(None, "cache_size", -2000)
            .and_then(|()| incoming.pragma_update(None, "mmap_size", open::MAPPED))
            // Rows that the target keeps may be caught up with, and what goes then should be gone.
            .and_then(|()| incoming.pragma_update(None, "secure_delete", true))
            .map_err(on(&self.incoming))?;
        // A script may have changed it, and live would follow.
        incoming
            .pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(()))
            .map_err(on(&self.incoming))?;
        let again = companion(&self.snapshot, ".again");
        if watch.is_changed()? {
            // Most of what was written since the snapshot is caught up with while live can still be written.
            watch = live::snapshot(&self.live, &again, stop)?;
            self.catch_up(&incoming, &again)?;
        }
        let mut under_lock = || {
            if watch.is_changed()? {
                live::snapshot_under_lock(&watch, &self.live, &again, stop)?;
                self.catch_up(&incoming, &again)?;
            }
            Ok(())
        };
        // Who catches up changes rows alone.
        let shape = Shape::of(&incoming).map_err(on(&self.incoming))?;
        let witness = live::replace(&self.live, &incoming, &mut under_lock, stop)?;
        Ok(PublishedCopy {
            shape,
            untouched: Untouched::Replaced(witness),
        })
    }

    /// A newer snapshot takes the place of the old one; what the target keeps follows it.
    fn catch_up(&self, incoming: &Connection, again: &Path) -> Result<()> {
        if let Some(preserved) = self
            .preserved
            .as_ref()
            .filter(|preserved| !preserved.is_empty())
        {
            preserved.catch_up(
                incoming,
                &self.snapshot,
                again,
                &self.definitions,
                &self.selection,
            )?;
        }
        rename_file(again, &self.snapshot)
    }
}

/// An error that came when the new data was live already.
pub(in crate::store::sqlite) fn after_publish(error: Error) -> Error {
    error
        .with_kind(Kind::AfterPublish)
        .within("the new data is live")
}
