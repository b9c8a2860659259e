//! Tokens and sessions that somebody watches with.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use tokio_util::sync::CancellationToken;

use crate::sync::Mutex;

/// Tokens and sessions that somebody watches with, by their hashes.
#[derive(Default)]
pub(super) struct Bearers(Mutex<HashMap<[u8; 32], Weak<Bearer>>>);

/// A token or a session that somebody watches with.
pub(super) struct Bearer(CancellationToken);

impl Bearers {
    /// True: nobody looks after it yet.
    pub(super) fn of(&self, hash: [u8; 32]) -> (Arc<Bearer>, bool) {
        let mut all = self.0.lock();
        all.retain(|_, bearer| bearer.strong_count() > 0);
        if let Some(bearer) = all.get(&hash).and_then(Weak::upgrade)
            && !bearer.is_over()
        {
            return (bearer, false);
        }
        let bearer = Arc::new(Bearer(CancellationToken::new()));
        all.insert(hash, Arc::downgrade(&bearer));
        (bearer, true)
    }
}

impl Bearer {
    /// It is of no use any more.
    pub(super) fn end(&self) {
        self.0.cancel();
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Ends once it is of no use any more.
    pub(super) async fn over(&self) {
        self.0.cancelled().await;
    }
}
