//! What a run has beside the live file: incoming, a snapshot of live, previous, and the marks that say which of them are ours.

use std::path::PathBuf;

use super::marks::{Marks, Previous};
use crate::error::Result;
use crate::store::Claim;
use crate::store::sqlite::connection::files::{self, companion, rename_file};
use crate::store::sqlite::connection::location::Location;
use crate::store::sqlite::incoming::rewrite;

/// The files of one run beside one database.
#[derive(Clone)]
pub(in crate::store::sqlite) struct RunFiles {
    pub(in crate::store::sqlite) location: Location,
    pub(in crate::store::sqlite) claim: Claim,
}

impl RunFiles {
    /// The database that is replaced.
    pub(in crate::store::sqlite) fn live(&self) -> PathBuf {
        self.location.file.clone()
    }

    /// The copy that is being built.
    pub(in crate::store::sqlite) fn incoming(&self) -> PathBuf {
        self.location.incoming(self.claim.short())
    }

    /// The copy of live that becomes previous.
    pub(in crate::store::sqlite) fn snapshot(&self) -> PathBuf {
        self.location.snapshot(self.claim.short())
    }

    /// The marks, as they are now.
    pub(in crate::store::sqlite) fn marks(&self) -> Result<Marks> {
        Marks::read(&self.location, &self.claim)
    }

    /// Writes down that this run has nothing beside live any more but what is previous.
    pub(in crate::store::sqlite) fn mark_cleared(&self) -> Result<()> {
        let run = &self.claim.run;
        self.marks()?.ended(|other| other == run)
    }

    /// Makes the snapshot previous.
    pub(in crate::store::sqlite) fn keep_previous(&self) -> Result<()> {
        let (snapshot, previous) = (self.snapshot(), self.location.previous());
        self.marks()?.take_previous(&snapshot)?;
        rename_file(&snapshot, &previous)?;
        self.location.sync_directory()
    }

    /// Removes previous, if it is ours.
    pub(in crate::store::sqlite) fn drop_previous(&self) -> Result<()> {
        let mut marks = self.marks()?;
        match marks.previous() {
            Previous::Missing => return Ok(()),
            Previous::Ours => files::remove(&self.location.previous())?,
            Previous::Foreign(..) => marks.spare_previous()?,
        }
        marks.settle()
    }

    /// Removes what this run was building.
    pub(in crate::store::sqlite) fn remove_building(&self) -> Result<()> {
        for path in [self.incoming(), self.snapshot()] {
            files::remove(&path)?;
            for end in [rewrite::REWRITTEN, ".again"] {
                files::remove(&companion(&path, end))?;
            }
        }
        self.mark_cleared()
    }

    /// Removes what dead runs left, under the lock; returns what was removed.
    pub(in crate::store::sqlite) fn remove_leftovers(&self) -> Result<Vec<String>> {
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
}
