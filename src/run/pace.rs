//! Pace: how fast rows may leave a source that must not suffer. A limit of bytes a second over all of a task's workers,
//! and a pause while the source's replication lags.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::config::job::Task;
use crate::error::{Error, Result};
use crate::store::{self, Context, LagProbe};
use crate::sync::Mutex;

/// How often the lag is measured.
const EVERY: Duration = Duration::from_secs(1);
/// A lag counts when it is found twice in a row: one commit after a quiet hour looks like an hour for a moment.
const AGAIN: Duration = Duration::from_millis(250);
/// What may be caught up with after a moment without rows.
const CREDIT: Duration = Duration::from_millis(100);

/// The limits on reading that a task's workers share.
pub(super) struct Pace {
    bucket: Option<Mutex<Bucket>>,
    limit: Option<Limit>,
}

struct Limit {
    probe: Box<dyn LagProbe>,
    most: Duration,
    /// Whether rows may flow.
    open: watch::Sender<bool>,
}

impl Pace {
    /// As the task says. The source's server is asked for nothing yet.
    pub(super) async fn open(task: &Task, context: &Context) -> Result<Self> {
        let limit = match task.max_replication_lag {
            Some(most) => Some(Limit {
                probe: store::registry::open_lag_probe(task, context).await?,
                most,
                open: watch::Sender::new(true),
            }),
            None => None,
        };
        let now = Instant::now();
        Ok(Self {
            bucket: task.throttle.map(|rate| Mutex::new(Bucket::new(rate, now))),
            limit,
        })
    }

    /// Whether rows flow as they come.
    pub(super) fn is_free(&self) -> bool {
        self.bucket.is_none() && self.limit.is_none()
    }

    /// Refuses what cannot be measured.
    pub(super) async fn check(&self) -> Result<()> {
        if let Some(limit) = &self.limit {
            limit.probe.lag().await?;
        }
        Ok(())
    }

    /// Waits until these bytes may go on.
    pub(super) async fn pass(&self, bytes: u64) {
        if let Some(limit) = &self.limit {
            // The sender is ours: it does not go away.
            let _ = limit.open.subscribe().wait_for(|open| *open).await;
        }
        if let Some(bucket) = &self.bucket {
            let until = bucket.lock().take(bytes, Instant::now());
            tokio::time::sleep_until(until.into()).await;
        }
    }

    /// Opens and closes the way by the source's lag, for as long as it is polled; ends with an error when the lag cannot
    /// be measured any more.
    pub(super) async fn watch(&self) -> Error {
        let Some(limit) = &self.limit else {
            return std::future::pending().await;
        };
        let mut paused: Option<Instant> = None;
        loop {
            let lag = match limit.measured().await {
                Ok(lag) => lag,
                Err(error) => return error.within("the source's replication lag"),
            };
            match paused {
                None if lag > limit.most => {
                    paused = Some(Instant::now());
                    limit.open.send_replace(false);
                    let (lag, limit) = (shown(lag), shown(limit.most));
                    tracing::warn!(lag, limit, "the source's replication lags: reading pauses");
                }
                Some(since) if lag <= limit.most => {
                    paused = None;
                    limit.open.send_replace(true);
                    let (lag, paused) = (shown(lag), shown(since.elapsed()));
                    tracing::info!(
                        lag,
                        paused,
                        "the source's replication caught up: reading goes on"
                    );
                }
                _ => {}
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}

impl Limit {
    async fn measured(&self) -> Result<Duration> {
        let lag = self.probe.lag().await?;
        if lag <= self.most {
            return Ok(lag);
        }
        tokio::time::sleep(AGAIN).await;
        self.probe.lag().await
    }
}

fn shown(duration: Duration) -> String {
    let tenths = duration.as_millis() as u64 / 100 * 100;
    humantime::format_duration(Duration::from_millis(tenths)).to_string()
}

/// A token bucket that is empty at first: `n` bytes have passed no sooner than after `n / rate` seconds.
struct Bucket {
    rate: u64,
    /// When all that was taken is paid for.
    paid: Instant,
}

impl Bucket {
    fn new(rate: u64, now: Instant) -> Self {
        Self { rate, paid: now }
    }

    /// Takes bytes; they may pass at the time that is returned.
    fn take(&mut self, bytes: u64, now: Instant) -> Instant {
        let start = now
            .checked_sub(CREDIT)
            .map_or(self.paid, |at| self.paid.max(at));
        self.paid = start + Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        self.paid
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_more_passes_than_the_rate_and_a_moment_s_credit(
            rate in 1_u64..1_000_000_000,
            takes in prop::collection::vec((0_u64..2_000_000, 0_u64..500), 1..60),
        ) {
            let begin = Instant::now();
            let mut bucket = Bucket::new(rate, begin);
            let (mut now, mut all, mut passed) = (begin, 0, Vec::new());
            for (bytes, idle) in takes {
                now += Duration::from_millis(idle);
                let at = bucket.take(bytes, now);
                all += bytes;
                // From the start: never sooner than the rate allows.
                let least = all as f64 / rate as f64;
                prop_assert!((at - begin).as_secs_f64() >= least * 0.999_999 - 1e-6);
                passed.push((at, bytes));
                now = now.max(at);
            }
            // Over any stretch: at most the rate, and what a moment's credit is worth.
            for (first, (from, _)) in passed.iter().enumerate() {
                let mut sum = 0.0;
                for (at, bytes) in &passed[first + 1..] {
                    sum += *bytes as f64;
                    let most = rate as f64 * ((*at - *from).as_secs_f64() + CREDIT.as_secs_f64());
                    prop_assert!(sum <= most * 1.000_001 + 1.0);
                }
            }
        }
    }

    #[test]
    fn two_workers_share_one_bucket() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(1000, begin);
        assert_eq!(bucket.take(500, begin), begin + Duration::from_millis(500));
        assert_eq!(bucket.take(500, begin), begin + Duration::from_secs(1));
    }
}
