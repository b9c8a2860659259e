//! What lies beside live: leftovers, marks, previous.

use super::SqliteTarget;
use crate::error::{Error, Kind, Result};
use crate::store::sqlite::connection::{blocking, open_read};
use crate::store::sqlite::handle::{self, companion};
use crate::store::sqlite::marks::{Marks, Previous};
use crate::store::sqlite::publish::rename;
use crate::store::sqlite::{derive, live};

impl SqliteTarget {
    pub(super) fn marks(&self) -> Result<Marks> {
        Marks::read(&self.place, &self.context.claim)
    }

    /// This run has nothing beside live any more but what is previous.
    pub(super) fn is_cleared(&self) -> Result<()> {
        let run = &self.context.claim.run;
        self.marks()?.ended(|other| other == run)
    }

    /// The snapshot becomes previous.
    pub(super) fn becomes_previous(&self) -> Result<()> {
        let (snapshot, previous) = (self.snapshot(), self.place.previous());
        self.marks()?.take_previous(&snapshot)?;
        rename(&snapshot, &previous)?;
        self.place.sync_directory()
    }

    /// Removes previous, if it is ours.
    pub(super) fn drop_previous(&self) -> Result<()> {
        let mut marks = self.marks()?;
        match marks.previous() {
            Previous::Missing => return Ok(()),
            Previous::Ours => handle::remove(&self.place.previous())?,
            Previous::Foreign(..) => marks.spare_previous()?,
        }
        marks.settle()
    }

    pub(super) fn remove_building(&self) -> Result<()> {
        for path in [self.incoming(), self.snapshot()] {
            handle::remove(&path)?;
            for end in [derive::REWRITTEN, ".again"] {
                handle::remove(&companion(&path, end))?;
            }
        }
        self.is_cleared()
    }

    /// Removes what dead runs left, under the lock.
    pub(super) fn remove_leftovers(&self) -> Result<Vec<String>> {
        let mut marks = self.marks()?;
        let mut removed = Vec::new();
        for (path, run) in self.place.leftovers()? {
            if !marks.has(&run) {
                tracing::warn!(
                    file = %path.display(),
                    "has the name of a run's file, but bears no mark of one: it is left alone, and can be removed by hand"
                );
                continue;
            }
            handle::remove_one(&path)?;
            removed.push(path.display().to_string());
        }
        // We have the lock: none of them runs.
        marks.ended(|_| true)?;
        Ok(removed)
    }

    /// What is live becomes previous, and previous live.
    pub(super) async fn swap_with_previous(&self) -> Result<()> {
        let (live, previous, snapshot) = (
            self.place.file.clone(),
            self.place.previous(),
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
                    handle::remove(&snapshot)?;
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
