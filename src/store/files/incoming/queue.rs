//! Work on its way from the thread that walks to those that copy, never more than a little of it.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::sync::Mutex;

/// Batches that wait at the most.
const WAITING: usize = 32;

/// Where copying threads find their work.
pub(in crate::store::files) struct Queue<T>(Mutex<Receiver<T>>);

impl<T> Queue<T> {
    /// A queue, and what puts into it.
    pub(in crate::store::files) fn new() -> (SyncSender<T>, Self) {
        let (sender, receiver) = sync_channel(WAITING);
        (sender, Self(Mutex::new(receiver)))
    }

    /// The next; `None`: there will be no more.
    pub(in crate::store::files) fn next(&self) -> Option<T> {
        self.0.lock().recv().ok()
    }
}
