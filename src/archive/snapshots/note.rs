//! Who is writing a snapshot: `writer.json`, the first file in its folder. With it, what a dead run left is told apart from
//! what is being written.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::archive::manifest::VERSION;
use crate::error::{Error, Kind, Result};
use crate::store::Claim;

/// What is in `writer.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterNote {
    /// The format's version, which is the manifest's.
    #[serde(default = "version")]
    pub version: u32,
    /// The machine.
    pub host: String,
    /// The job.
    pub job: String,
    /// The run, a UUID.
    pub run: String,
    /// When it began to write. UTC.
    pub started_at: DateTime<Utc>,
    /// The run's process on that machine.
    pub pid: u32,
}

fn version() -> u32 {
    VERSION
}

impl WriterNote {
    /// This process's, for a run that began to write at this time.
    pub fn of(claim: &Claim, started_at: DateTime<Utc>) -> Self {
        Self {
            version: VERSION,
            host: claim.host.clone(),
            job: claim.job.clone(),
            run: claim.run.clone(),
            started_at,
            pid: std::process::id(),
        }
    }

    /// Reads one; `None` if that is not possible, and then nobody is known to write.
    pub fn parse(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }

    /// As it is written.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec_pretty(self).map_err(|error| {
            Error::new(Kind::Internal, "the writer's file cannot be written").because(error)
        })
    }
}
