//! How often the origin is asked, and how much at a time: whoever floods us does not flood production.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::reply::Refusal;
use crate::config::file_proxy::Limits;
use crate::sync::Mutex;

/// How long a request waits for its turn, with the redirects that it leads through.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many wait.
const QUEUE: usize = 256;
/// How long the origin is left alone at the most, unless it asks for more itself.
const LONGEST: Duration = Duration::from_secs(60);
/// And if it does.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

const BUSY: &str = "too many files are missing at once";
const LEFT_ALONE: &str = "production does not answer, or is slow, and is left alone for a while";

/// Who asks the origin, and when.
pub(super) struct Pace {
    slots: Arc<Semaphore>,
    queue: Arc<Semaphore>,
    rate: f64,
    throttle: Option<u64>,
    inner: Mutex<Inner>,
}

struct Inner {
    /// When the next request may go; those before now are a burst that is still to be had.
    next: Instant,
    /// When the next byte may come.
    next_bytes: Instant,
    troubles: u32,
    alone_until: Option<Instant>,
}

/// One that may ask.
pub(super) struct Turn<'a> {
    pace: &'a Pace,
    _slot: OwnedSemaphorePermit,
    /// How long it may still wait to ask, for all its requests together.
    patience: Duration,
}

impl Turn<'_> {
    /// Waits for the place of another request.
    pub(super) async fn again(&mut self) -> Result<(), Refusal> {
        let wait = self.pace.reserve(Instant::now(), self.patience);
        let wait = wait.ok_or_else(busy)?;
        self.patience = self.patience.saturating_sub(wait);
        tokio::time::sleep(wait).await;
        self.pace.check()
    }
}

impl Pace {
    pub(super) fn new(limits: &Limits) -> Self {
        let now = Instant::now();
        Self {
            slots: Arc::new(Semaphore::new(limits.max_fetches)),
            queue: Arc::new(Semaphore::new(QUEUE)),
            rate: f64::from(limits.rate.max(1)),
            throttle: limits.throttle,
            inner: Mutex::new(Inner {
                next: now,
                next_bytes: now,
                troubles: 0,
                alone_until: None,
            }),
        }
    }

    /// Waits for a turn, and the place of its first request. Who would wait too long is told to come again.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, Refusal> {
        self.check()?;
        let begun = Instant::now();
        let Ok(_queued) = self.queue.clone().try_acquire_owned() else {
            return Err(busy());
        };
        let slot = tokio::time::timeout(PATIENCE, self.slots.clone().acquire_owned()).await;
        let Ok(Ok(slot)) = slot else {
            return Err(busy());
        };
        let mut turn = Turn {
            pace: self,
            _slot: slot,
            patience: PATIENCE.saturating_sub(begun.elapsed()),
        };
        turn.again().await?;
        Ok(turn)
    }

    /// How long to wait for a request's place; `None`: longer than it may. A second's requests may go at once.
    fn reserve(&self, now: Instant, patience: Duration) -> Option<Duration> {
        let mut inner = self.inner.lock();
        let step = Duration::from_secs_f64(1.0 / self.rate);
        let burst = Duration::from_secs(1).saturating_sub(step);
        let earliest = now.checked_sub(burst).unwrap_or(now);
        let place = inner.next.max(earliest);
        let wait = place.saturating_duration_since(now);
        if wait > patience {
            return None;
        }
        inner.next = place + step;
        Some(wait)
    }

    fn check(&self) -> Result<(), Refusal> {
        let alone_until = self.inner.lock().alone_until;
        let left = alone_until.map(|until| until.saturating_duration_since(Instant::now()));
        match left {
            Some(left) if !left.is_zero() => Err(Refusal::Later(left, LEFT_ALONE)),
            _ => Ok(()),
        }
    }

    /// The origin has answered as it should.
    pub(super) fn answered(&self) {
        let mut inner = self.inner.lock();
        if inner.troubles > 0 {
            tracing::info!("the file proxy's origin answers again");
        }
        inner.troubles = 0;
        inner.alone_until = None;
    }

    /// The origin is silent, slow, or says that it has too much to do. What is to be answered.
    pub(super) fn troubled(&self, asked: Option<Duration>) -> Refusal {
        let mut inner = self.inner.lock();
        let now = Instant::now();
        // Those that were under way tell of the same trouble.
        if let Some(until) = inner.alone_until.filter(|until| *until > now) {
            return Refusal::Later(until - now, LEFT_ALONE);
        }
        inner.troubles = inner.troubles.saturating_add(1);
        let own = Duration::from_secs(1 << inner.troubles.min(6)).min(LONGEST);
        let wait = asked.map_or(own, |asked| asked.clamp(own, LONGEST_ASKED));
        inner.alone_until = Some(now + wait);
        tracing::warn!(
            seconds = wait.as_secs(),
            "the file proxy's origin does not answer as it should, and is left alone"
        );
        Refusal::Later(wait, LEFT_ALONE)
    }

    /// Waits until so many bytes may have come.
    pub(super) async fn took(&self, bytes: usize) {
        let Some(throttle) = self.throttle else {
            return;
        };
        let wait = {
            let mut inner = self.inner.lock();
            let now = Instant::now();
            let length = Duration::from_secs_f64(bytes as f64 / throttle as f64);
            inner.next_bytes = inner.next_bytes.max(now) + length;
            inner.next_bytes - now
        };
        tokio::time::sleep(wait).await;
    }
}

/// What those are told who would wait too long.
fn busy() -> Refusal {
    Refusal::Later(Duration::from_secs(2), BUSY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seconds_requests_go_at_once_and_the_others_one_after_another() {
        let pace = Pace::new(&Limits {
            rate: 10,
            ..Limits::default()
        });
        let now = Instant::now() + Duration::from_secs(100);
        let waits: Vec<u128> = (0..13)
            .map(|_| pace.reserve(now, PATIENCE).unwrap().as_millis())
            .collect();
        assert_eq!(waits[..10], [0; 10]);
        assert_eq!(waits[10..], [100, 200, 300]);
        let kept = std::iter::from_fn(|| pace.reserve(now, PATIENCE)).count();
        assert_eq!(kept, 97);
    }

    #[tokio::test]
    async fn each_request_of_a_turn_takes_its_place_and_all_wait_no_longer_than_one_may() {
        let pace = Pace::new(&Limits {
            rate: 10,
            max_fetches: 1,
            ..Limits::default()
        });
        let mut turn = pace.turn().await.unwrap();
        let next = pace.inner.lock().next;
        turn.again().await.unwrap();
        let after = pace.inner.lock().next;
        assert!(after >= next + Duration::from_millis(100));
        // Nine seconds for one that has waited for nine already.
        let next = Instant::now() + Duration::from_secs(9);
        pace.inner.lock().next = next;
        turn.patience = Duration::from_secs(1);
        assert!(matches!(turn.again().await, Err(Refusal::Later(..))));
        assert_eq!(pace.inner.lock().next, next);
        // The wait for a slot is a part of it.
        pace.inner.lock().next = Instant::now();
        let others = async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(turn);
        };
        let (one, ()) = tokio::join!(pace.turn(), others);
        assert!(one.unwrap().patience + Duration::from_millis(50) <= PATIENCE);
    }

    #[test]
    fn an_origin_in_trouble_is_left_alone_longer_each_time() {
        let pace = Pace::new(&Limits::default());
        let mut waits = Vec::new();
        for _ in 0..8 {
            let Refusal::Later(wait, _) = pace.troubled(None) else {
                panic!("not later")
            };
            waits.push(wait.as_secs());
            assert!(matches!(pace.check(), Err(Refusal::Later(..))));
            pace.inner.lock().alone_until = Some(Instant::now());
            assert!(pace.check().is_ok());
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
        pace.answered();
        let asked = pace.troubled(Some(Duration::from_secs(120)));
        assert!(matches!(asked, Refusal::Later(wait, _) if wait.as_secs() == 120));
    }
}
