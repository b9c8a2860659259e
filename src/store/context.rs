//! What both sides of a task need to know of the run around them.

use std::sync::Arc;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::part::Part;
use super::selection::Selection;
use crate::config::job::{Endpoint, Task};
use crate::error::Result;
use crate::secret::Lookup;

/// The run that works: named in locks, session names and the names of incoming.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The job's name.
    pub job: String,
    /// The run's id, a UUID.
    pub run: String,
    /// This machine's name.
    pub host: String,
}

impl Claim {
    /// The last 12 hexadecimal digits of the run's id (a version 7 UUID's random part).
    pub fn short(&self) -> &str {
        &self.run[self.run.len().saturating_sub(12)..]
    }

    /// How sessions call themselves on servers: `envsyncd JOB RUN`.
    pub fn application(&self) -> String {
        format!("envsyncd {} {}", self.job, self.run)
    }
}

/// What both sides need to know of the run around them.
#[derive(Clone)]
pub struct Context {
    /// The run that works.
    pub claim: Claim,
    /// Ends everything when it is cancelled.
    pub cancel: CancellationToken,
    /// Which tables are copied, and how.
    pub selection: Arc<Selection>,
    /// Workers for this task.
    pub workers: usize,
    /// Finds a variable for secrets: the process's environment with `env_dir` over it.
    pub lookup: Lookup,
}

impl Context {
    /// The password of a server's endpoint, if it has one; `side` is what an error calls it.
    pub async fn password(&self, endpoint: &Endpoint, side: &str) -> Result<Option<SecretString>> {
        let Some(secret) = &endpoint.password else {
            return Ok(None);
        };
        let what = format!("the {side}'s password");
        secret.resolve(&what, &*self.lookup).await.map(Some)
    }
}

/// Where rows and bytes are counted while they flow.
pub trait Meter: Send + Sync {
    /// These rows and bytes of the part have reached the target.
    fn add(&self, part: &Part, rows: u64, bytes: u64);
}

/// How many workers a task gets: what it says, else the machine's cores, 4 at the most.
pub fn workers(task: &Task) -> usize {
    task.jobs.unwrap_or_else(|| {
        std::thread::available_parallelism()
            .map_or(1, std::num::NonZero::get)
            .min(4)
    })
}
