//! What lies beside live: leftovers, marks, previous.

use super::SqliteTarget;
use crate::error::{Error, Kind, Result};
use crate::store::sqlite::connection::files::{self, companion, rename_file};
use crate::store::sqlite::connection::open::open_read;
use crate::store::sqlite::connection::session::blocking;
use crate::store::sqlite::incoming::rewrite;
use crate::store::sqlite::publish::live;
use crate::store::sqlite::publish::marks::{Marks, Previous};

impl SqliteTarget {
    pub(in crate::store::sqlite) fn marks(&self) -> Result<Marks> {
        Marks::read(&self.location, &self.context.claim)
    }

    /// This run has nothing beside live any more but what is previous.
    pub(super) fn is_cleared(&self) -> Result<()> {
        let run = &self.context.claim.run;
        self.marks()?.ended(|other| other == run)
    }

    /// The snapshot becomes previous.
    pub(super) fn becomes_previous(&self) -> Result<()> {
        let (snapshot, previous) = (self.snapshot(), self.location.previous());
        self.marks()?.take_previous(&snapshot)?;
        rename_file(&snapshot, &previous)?;
        self.location.sync_directory()
    }

    /// Removes previous, if it is ours.
    pub(super) fn drop_previous(&self) -> Result<()> {
        let mut marks = self.marks()?;
        match marks.previous() {
            Previous::Missing => return Ok(()),
            Previous::Ours => files::remove(&self.location.previous())?,
            Previous::Foreign(..) => marks.spare_previous()?,
        }
        marks.settle()
    }

    pub(super) fn remove_building(&self) -> Result<()> {
        for path in [self.incoming(), self.snapshot()] {
            files::remove(&path)?;
            for end in [rewrite::REWRITTEN, ".again"] {
                files::remove(&companion(&path, end))?;
            }
        }
        self.is_cleared()
    }

    /// Removes what dead runs left, under the lock.
    pub(super) fn remove_leftovers(&self) -> Result<Vec<String>> {
        let mut marks = self.marks()?;
        let mut removed = Vec::new();
        for (path, run) in self.location.leftovers()? {
            if !marks.has(&run) {
                tracing::warn!(
                    file = %path.display(),
                    "has the name of a run's file, but bears no mark of one: it is left alone, and can be removed by hand"
                );
                continue;
            }
            files::remove_one(&path)?;
            removed.push(path.display().to_string());
        }
        // We have the lock: none of them runs.
        marks.ended(|_| true)?;
        Ok(removed)
    }

    /// What is live becomes previous, and previous live.
    pub(super) async fn swap_with_previous(&self) -> Result<()> {
        let (live, previous, snapshot) = (
            self.location.file.clone(),
            self.location.previous(),
            self.snapshot(),
        );
        if previous.symlink_metadata().is_err() {
            return Err(Error::new(
                Kind::Statement,
                format!("there is no previous copy of {}", live.display()),
            )
            .hint("it is kept by runs with `previous = \"keep\"`, until the next run"));
        }
        let mut marks = self.marks()?;
        marks.spare_previous()?;
        marks.begin()?;
        let swapped = blocking(&self.context.cancel, move |stop| {
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
            self.remove_building()?;
            return swapped;
        }
        self.becomes_previous()?;
        self.is_cleared()
    }
}
