//! Wrong tokens, by the addresses that they came from.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::sync::Mutex;

/// So many wrong tokens from one address within [`WINDOW`], and no more is looked at.
const GUESSES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// So many addresses are remembered.
const ADDRESSES: usize = 4096;

/// How often each address has failed to say who it is.
#[derive(Default)]
pub(super) struct Failures(Mutex<BTreeMap<String, (Instant, u32)>>);

impl Failures {
    /// Whether somebody there has guessed too often.
    pub(super) fn are_many(&self, address: &str) -> bool {
        let all = self.0.lock();
        let found = all.get(address);
        found.is_some_and(|(since, count)| since.elapsed() < WINDOW && *count >= GUESSES)
    }

    pub(super) fn count(&self, address: &str) {
        let mut all = self.0.lock();
        if all.len() >= ADDRESSES {
            all.retain(|_, (since, _)| since.elapsed() < WINDOW);
        }
        if all.len() >= ADDRESSES && !all.contains_key(address) {
            // Somebody has thousands of addresses; nobody is forgotten for that.
            return;
        }
        let (since, count) = all.entry(address.to_owned()).or_insert((Instant::now(), 0));
        if since.elapsed() >= WINDOW {
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
    }
}
