//! Who is reading a snapshot: a mark in the archive, `reading/SNAPSHOT.ID.json`, that is written anew while somebody reads
//! and removed at the end. A prune leaves a snapshot with a fresh mark to the next one.
//!
//! It is a courtesy and no lock: who may not write into the archive reads without one, and a prune that has looked a moment
//! too early goes on. Then the reader's next file is not there, and its run fails.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Snapshots;
use crate::archive::bucket::{Bucket, Object};
use crate::archive::layout::{Name, READING, mark, marked};
use crate::archive::manifest::SELF_CONTAINED;
use crate::error::{Error, Kind, Result};
use crate::store::Claim;

/// A mark is written anew so often.
const FRESHENED: Duration = Duration::from_secs(10 * 60);

/// A mark that was not written anew for so long is that of somebody who died. Longer than clocks may disagree: S3 refuses
/// who is off by more than 15 minutes (Amazon S3 API Reference, "RequestTimeTooSkewed").
const FRESH: TimeDelta = TimeDelta::hours(1);

/// So long the end of a run waits for a mark to go.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is in a mark, for people.
#[derive(Serialize)]
struct Note<'n> {
    version: u32,
    snapshot: &'n str,
    job: &'n str,
    run: &'n str,
    host: &'n str,
    pid: u32,
    since: DateTime<Utc>,
}

/// A snapshot that is being read. Dropped, its mark stays until it is old.
pub struct Mark(Kept);

/// An object that is written anew from time to time. Dropped, it stays, and grows old.
pub(super) struct Kept {
    stop: CancellationToken,
    keeper: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Kept {
    /// Writes it so often, from now on or, if it was written just now, from the next time on.
    pub(super) fn start(bucket: &Bucket, path: String, content: Bytes, how: Keeping) -> Self {
        let stop = CancellationToken::new();
        let keeper = keep(bucket.clone(), path, content, how, stop.clone());
        Self {
            stop,
            keeper: tokio::spawn(keeper),
        }
    }

    /// Ends it, and takes away what there is if that was asked for. From then on nothing is written.
    pub(super) async fn end(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(PATIENCE, &mut self.keeper)
            .await
            .is_err()
        {
            tracing::debug!("a mark stays until it expires: the archive does not answer");
        }
    }
}

/// How an object is kept fresh.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keeping {
    pub(super) every: Duration,
    /// How soon it is tried again where that did not work.
    pub(super) again: Duration,
    /// Whether it is there already.
    pub(super) there: bool,
    /// Whether it goes at the end.
    pub(super) goes: bool,
}

impl Mark {
    /// Marks a snapshot, and keeps the mark fresh; nobody waits for it, and who may not write goes on without.
    pub fn keep(bucket: &Bucket, snapshot: &str, reader: &Claim) -> Result<Self> {
        let note = Note {
            version: SELF_CONTAINED,
            snapshot,
            job: &reader.job,
            run: &reader.run,
            host: &reader.host,
            pid: std::process::id(),
            since: Utc::now(),
        };
        let note = serde_json::to_vec(&note).map_err(|error| {
            Error::new(Kind::Internal, "a reader's mark cannot be written").because(error)
        })?;
        let how = Keeping {
            every: FRESHENED,
            again: FRESHENED,
            there: false,
            goes: true,
        };
        let path = mark(snapshot, reader.short());
        Ok(Self(Kept::start(bucket, path, note.into(), how)))
    }

    /// Takes it away.
    pub async fn remove(self) {
        self.0.end().await;
    }
}

async fn keep(bucket: Bucket, path: String, note: Bytes, how: Keeping, stop: CancellationToken) {
    let mut there = how.there;
    let mut pause = if there { how.every } else { Duration::ZERO };
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
        }
        pause = how.every;
        match bucket.put(&path, note.clone()).await {
            Ok(()) => there = true,
            Err(error) if there => {
                tracing::debug!(%error, path, "the mark is not renewed");
                pause = how.again;
            }
            Err(error) => {
                tracing::debug!(%error, "the snapshot is not marked as being read: a prune would not wait");
                return;
            }
        }
    }
    if how.goes
        && let Err(error) = bucket.delete(vec![path]).await
    {
        tracing::debug!(%error, "the mark stays until it expires");
    }
}

/// The snapshots that somebody reads, and the marks of those who died.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) fresh: HashSet<Name>,
    /// Paths.
    pub(super) old: Vec<String>,
}

impl Marks {
    fn of(objects: Vec<Object>, now: DateTime<Utc>) -> Self {
        let mut marks = Self::default();
        for object in objects {
            let Some(name) = marked(&object.path) else {
                continue;
            };
            // One of the future is of a clock that is wrong, and should not stay for ever.
            if (now - object.modified).abs() < FRESH {
                marks.fresh.insert(name);
            } else {
                marks.old.push(object.path);
            }
        }
        marks
    }
}

impl Snapshots {
    /// The readers of each snapshot. A user who may not see the marks gets none, as if nobody were reading.
    pub(super) async fn marks(&self) -> Result<Marks> {
        match self.bucket.list(READING).await {
            Ok(objects) if objects.is_empty() => Ok(Marks::default()),
            Ok(objects) => Ok(Marks::of(objects, self.bucket.now().await?)),
            Err(error) if error.kind() == Kind::Permission => {
                tracing::debug!(%error, "it cannot be seen who reads a snapshot");
                Ok(Marks::default())
            }
            Err(error) => Err(error),
        }
    }

    /// Removes the marks of those who died.
    pub(super) async fn sweep_marks(&self) -> Result<()> {
        let old = self.marks().await?.old;
        if old.is_empty() {
            return Ok(());
        }
        self.bucket.delete(old).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_fresh_is_written_anew_until_that_is_ended() {
        let directory = tempfile::tempdir().unwrap();
        let endpoint = crate::config::archive_in(directory.path()).unwrap();
        let lookup: crate::store::Lookup = std::sync::Arc::new(|_| None);
        let bucket = Bucket::open(&endpoint, &lookup).await.unwrap();
        let how = Keeping {
            every: Duration::from_millis(10),
            again: Duration::from_millis(10),
            there: true,
            goes: false,
        };
        let kept = Kept::start(&bucket, "a/writer.json".to_owned(), "{}".into(), how);
        let file = directory.path().join("a/writer.json");
        for _ in 0..3 {
            while !file.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // Whatever becomes of it.
            let _ = std::fs::remove_file(&file);
        }
        kept.end().await;
        let _ = std::fs::remove_file(&file);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!file.exists());
    }

    #[test]
    fn only_a_fresh_mark_says_that_somebody_reads() {
        let name = "20260102T030405Z-my-job.x-0123456789ab";
        let now: DateTime<Utc> = "2026-01-03T12:00:00Z".parse().unwrap();
        let marks = |path: String, modified: &str| {
            let object = Object {
                path,
                size: 1,
                modified: modified.parse().unwrap(),
            };
            Marks::of(vec![object], now)
        };
        let path = || mark(name, "ba9876543210");
        for (modified, fresh) in [
            ("2026-01-03T11:59:59Z", true),
            ("2026-01-03T11:00:01Z", true),
            ("2026-01-03T11:00:00Z", false),
            ("2026-01-01T00:00:00Z", false),
            ("2026-01-03T12:14:00Z", true),
            ("2026-01-03T14:00:00Z", false),
        ] {
            let marks = marks(path(), modified);
            let read = marks.fresh.contains(&Name::parse(name).unwrap());
            assert_eq!((read, marks.old.is_empty()), (fresh, fresh), "{modified}");
        }
        // What is not ours is not touched, however old.
        let other = marks("reading/notes.json".to_owned(), "2020-01-01T00:00:00Z");
        assert_eq!(other, Marks::default());
    }
}
