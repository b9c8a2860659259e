//! What objects on their way into a bucket share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

use crate::error::{Error, Kind, Result};
use crate::s3::S3;
use crate::store::Context;
use crate::store::files::rows::warnings::Warnings;

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
