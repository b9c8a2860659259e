//! A writer at work: its note, [`super::WriterNote`], is written anew while it lives, so that whoever clears what dead runs
//! left knows by the archive's own clock that it is not one of them.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::mark::{Keeping, Kept};
use super::{Snapshots, WriterNote};
use crate::archive::layout::{Name, WRITER};
use crate::error::Result;
use crate::store::Claim;

/// A note is written anew so often.
const EVERY: Duration = Duration::from_secs(60);

/// The pause before it is written again after a server did not take it.
const AGAIN: Duration = Duration::from_secs(5);

/// A snapshot that is being written. Dropped, its note stays, and grows old.
pub struct Pen(Kept);

impl Snapshots {
    /// Says who writes a snapshot, before anything else of it is there, and goes on saying it.
    pub async fn begin(&self, name: &Name, writer: &Claim, at: DateTime<Utc>) -> Result<Pen> {
        let note = WriterNote::of(writer, at, EVERY);
        let (path, note) = (format!("{name}/{WRITER}"), note.to_json()?);
        self.bucket.put(&path, note.clone().into()).await?;
        let how = Keeping {
            every: EVERY,
            again: AGAIN,
            there: true,
            goes: false,
        };
        Ok(Pen(Kept::start(&self.bucket, path, note.into(), how)))
    }
}

impl Pen {
    /// Says it no more. What removes the note comes after this.
    pub async fn down(self) {
        self.0.end().await;
    }
}
