//! What those who watch a run share: its newest lines, and how far it is.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use tokio::sync::watch;

use crate::sync::Mutex;

/// Runs that somebody watches.
#[derive(Default)]
pub(super) struct Hub(Mutex<HashMap<String, Weak<Feed>>>);

/// A run that somebody watches.
pub(super) struct Feed {
    /// Its newest lines.
    pub(super) lines: Mutex<VecDeque<(i64, Arc<str>)>>,
    /// How far it is.
    pub(super) seen: watch::Sender<Seen>,
}

/// How far a run is.
#[derive(Clone, Default)]
pub(super) struct Seen {
    /// The number of its last line.
    pub(super) last: i64,
    /// Its progress, as JSON.
    pub(super) progress: Arc<str>,
    /// Whether there is nothing to come.
    pub(super) ended: bool,
}

impl Hub {
    /// The feed of a run from a line on. True: nobody fills it yet.
    pub(super) fn feed(&self, run: &str, last: i64) -> (Arc<Feed>, bool) {
        let mut all = self.0.lock();
        all.retain(|_, feed| feed.strong_count() > 0);
        if let Some(feed) = all.get(run).and_then(Weak::upgrade) {
            return (feed, false);
        }
        let feed = Arc::new(Feed {
            lines: Mutex::new(VecDeque::new()),
            seen: watch::Sender::new(Seen {
                last,
                ..Seen::default()
            }),
        });
        all.insert(run.to_owned(), Arc::downgrade(&feed));
        (feed, true)
    }
}
