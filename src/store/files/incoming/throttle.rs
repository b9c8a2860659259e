//! The pace that a task asks for: so many bytes a second, over all threads that copy.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::store::files::connection::blocking::stopped;

/// Nobody sleeps longer without a look at whether to go on.
const NAP: Duration = Duration::from_millis(50);

/// A limit of bytes a second since it was made.
pub(in crate::store::files) struct Throttle {
    rate: u64,
    since: Instant,
    bytes: AtomicU64,
}

impl Throttle {
    /// So many bytes a second.
    pub(in crate::store::files) fn new(rate: u64) -> Self {
        Self {
            rate: rate.max(1),
            since: Instant::now(),
            bytes: AtomicU64::new(0),
        }
    }

    /// Bytes that are best copied at a time: those of an eighth of a second.
    pub(in crate::store::files) fn piece(&self) -> u64 {
        (self.rate / 8).max(16 * 1024)
    }

    /// When so many more bytes are allowed, from the beginning on.
    fn due(&self, bytes: u64) -> Duration {
        let all = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        Duration::from_secs_f64(all as f64 / self.rate as f64)
    }

    /// Waits until so many more bytes are allowed, and takes no thread for it.
    pub(in crate::store::files) async fn wait(&self, bytes: u64) {
        let left = self.due(bytes).saturating_sub(self.since.elapsed());
        tokio::time::sleep(left).await;
    }

    /// Waits until so many more bytes were allowed.
    pub(in crate::store::files) fn pass(&self, bytes: u64, stop: &CancellationToken) -> Result<()> {
        let due = self.due(bytes);
        loop {
            stopped(stop)?;
            let left = due.saturating_sub(self.since.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(NAP));
        }
    }
}
