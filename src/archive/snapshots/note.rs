//! Who is writing a snapshot: `writer.json`, the first file in its folder, which is written anew while its writer lives. With
//! it, what a dead run left is told apart from what is being written.
//!
//! A writer whose process can be seen from here is judged by that. All others are judged by the archive's own clock: hosts
//! and containers may share a name, a machine-id and process ids, and their clocks may be wrong.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::archive::manifest::SELF_CONTAINED;
use crate::error::{Error, Kind, Result};
use crate::process::{self, Process, Sight, host_name};
use crate::store::Claim;

/// What is in `writer.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterNote {
    /// The format's version.
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
    /// When that process started, in clock ticks since boot.
    #[serde(default)]
    pub process_started: u64,
    /// The boot that the process is of; empty: an older envsyncd wrote this.
    #[serde(default)]
    pub boot_id: String,
    /// The pid namespace that the process id is of.
    #[serde(default)]
    pub pid_namespace: u64,
    /// How often this is written anew at the least; `None`: never.
    #[serde(default)]
    pub renewed_every_seconds: Option<u64>,
}

fn version() -> u32 {
    SELF_CONTAINED
}

impl WriterNote {
    /// This process's, for a run that began to write at this time.
    pub fn of(claim: &Claim, started_at: DateTime<Utc>, renewed_every: Duration) -> Self {
        let own = Process::own();
        Self {
            version: SELF_CONTAINED,
            host: claim.host.clone(),
            job: claim.job.clone(),
            run: claim.run.clone(),
            started_at,
            pid: own.pid,
            process_started: own.started,
            boot_id: own.boot,
            pid_namespace: own.namespace,
            renewed_every_seconds: Some(renewed_every.as_secs()),
        }
    }

    /// What can be seen of its writer from here. Another boot says nothing: machines that were made from one image may share
    /// their machine-id.
    pub fn look(&self) -> Sight {
        if self.boot_id.is_empty() {
            // An older envsyncd's. In doubt it is of this machine, and alive.
            let there = self.host == host_name() && process::was_there(self.pid, self.started_at);
            return if there { Sight::Alive } else { Sight::Unseen };
        }
        let process = Process {
            pid: self.pid,
            started: self.process_started,
            boot: self.boot_id.clone(),
            machine: String::new(),
            namespace: self.pid_namespace,
        };
        if process.namespace == 0 || process.started == 0 {
            return Sight::Unseen;
        }
        process.look()
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
