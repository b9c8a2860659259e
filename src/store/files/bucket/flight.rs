//! What objects on their way into a bucket share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result};
use crate::s3::S3;
use crate::store::Context;
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::stat::{FileKind, Stat};
use crate::store::files::incoming::throttle::Throttle;
use crate::store::files::rows::listing::{Entry, Listing};
use crate::store::files::rows::sorter::Sorter;
use crate::store::files::rows::warnings::Warnings;
use crate::sync::Mutex;

/// So many MiB of contents are in memory.
pub(super) const MEMORY: u32 = 32;

/// Is told of a path, and of files and bytes that have arrived from there on.
pub(super) type Told = dyn Fn(&[u8], u64, u64) + Send + Sync;

/// What all objects on their way share.
pub(super) struct Shared {
    pub(super) s3: Arc<S3>,
    pub(super) told: Arc<Told>,
    pub(super) warnings: Arc<Warnings>,
    pub(super) context: Context,
    /// Uploads that nobody goes on with, by their paths.
    pub(super) unfinished: HashMap<String, Vec<String>>,
    pub(super) memory: Arc<Semaphore>,
    /// Whether the server may be asked to copy by itself.
    pub(super) copies_itself: AtomicBool,
    /// The pace of what goes through this machine.
    pub(super) throttle: Option<Throttle>,
    /// Nobody waits for what is on its way any more.
    pub(super) stop: CancellationToken,
    /// What was written, if somebody wants to know.
    pub(super) written: Option<Mutex<Sorter>>,
}

/// What is held while content is in memory.
pub(super) type Room = tokio::sync::OwnedSemaphorePermit;

impl Shared {
    /// Waits until there is room for so many bytes.
    pub(super) async fn room(&self, bytes: u64) -> Result<Room> {
        let mib = bytes.div_ceil(1 << 20).clamp(1, MEMORY.into()) as u32;
        let room = Arc::clone(&self.memory).acquire_many_owned(mib).await;
        room.map_err(|error| Error::new(Kind::Internal, "nobody has room any more").because(error))
    }

    /// Before an upload in parts begins: ends those that dead runs have begun of the same object.
    pub(super) async fn clear(&self, path: &str) -> Result<()> {
        for id in self.unfinished.get(path).into_iter().flatten() {
            self.s3.abort_parts(path, id).await?;
        }
        Ok(())
    }

    /// Waits until so many more bytes may be sent.
    pub(super) async fn pace(&self, bytes: u64) {
        if let Some(throttle) = &self.throttle {
            throttle.wait(bytes).await;
        }
    }

    /// Ends what nobody waits for any more.
    pub(super) fn go_on(&self) -> Result<()> {
        stopped(&self.stop)
    }

    /// Notes what an object has become.
    pub(super) async fn wrote(&self, path: &str, size: u64, tag: Option<String>) -> Result<()> {
        let Some(written) = &self.written else {
            return Ok(());
        };
        let tag = match tag {
            Some(tag) => Some(tag),
            // Its answer did not say so, or was lost.
            None => self.s3.look(path).await?.and_then(|found| found.tag),
        };
        let entry = Entry {
            path: path.as_bytes().to_vec(),
            stat: Stat {
                size,
                ..Stat::unknown(FileKind::Regular)
            },
            link: tag.map(String::into_bytes),
        };
        written.lock().push(entry)
    }

    /// All that was written, in the order of the walk.
    pub(super) fn all_written(&self) -> Result<Option<Listing>> {
        let Some(written) = &self.written else {
            return Ok(None);
        };
        let written = std::mem::replace(&mut *written.lock(), Sorter::new());
        written.finish(|_| Ok(())).map(Some)
    }

    /// One has arrived, or bytes of one.
    pub(super) fn count(&self, path: &[u8], files: u64, bytes: u64) {
        (self.told)(path, files, bytes);
    }

    /// Has the server copy no more by itself.
    pub(super) fn stop_copying(&self, why: &str) {
        if self.copies_itself.swap(false, Ordering::Relaxed) {
            tracing::info!(
                why,
                "the server does not copy by itself: objects go through this machine"
            );
        }
    }
}
