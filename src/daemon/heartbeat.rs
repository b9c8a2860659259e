//! The heartbeat: once a second, the daemon looks at the clock.

use std::time::Duration;

use tokio::sync::mpsc::{Receiver, channel};
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};

use crate::error::{Error, Kind, Result};

/// No beat for so long means that the clock was set back: the scheduler waits for a time that it takes for the next.
const SILENCE: Duration = Duration::from_secs(2);

/// Beats in UTC, since no calendar matters here: the planner owns those.
pub(super) struct Heartbeat {
    scheduler: JobScheduler,
    beats: Receiver<()>,
}

impl Heartbeat {
    /// The first beat comes within a second.
    pub(super) async fn start() -> Result<Self> {
        // One beat that nobody has taken yet is as good as many.
        let (beat, beats) = channel(1);
        let start = async {
            let scheduler = JobScheduler::new().await?;
            let job = Job::new("* * * * * *", move |_, _| {
                let _ = beat.try_send(());
            })?;
            scheduler.add(job).await?;
            scheduler.start().await?;
            Ok::<_, JobSchedulerError>(scheduler)
        };
        let scheduler = start.await.map_err(|error| {
            Error::new(Kind::Internal, "the heartbeat cannot be started").because(error)
        })?;
        Ok(Self { scheduler, beats })
    }

    /// Waits for the next beat, at most [`SILENCE`] by the clock that nobody can set. Nothing is lost by dropping it.
    pub(super) async fn beat(&mut self) -> Beat {
        match tokio::time::timeout(SILENCE, self.beats.recv()).await {
            Ok(Some(())) => Beat::Regular,
            _ => Beat::Silence,
        }
    }

    /// Begins anew, on the clock as it is now.
    pub(super) async fn restart(&mut self) -> Result<()> {
        let new = Self::start().await?;
        let mut old = std::mem::replace(self, new);
        if let Err(error) = old.scheduler.shutdown().await {
            tracing::debug!(%error, "the old heartbeat did not end");
        }
        Ok(())
    }
}

/// The result of waiting for a beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    /// A beat.
    Regular,
    /// None for too long.
    Silence,
}
