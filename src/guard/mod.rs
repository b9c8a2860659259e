//! What keeps a run from treading on others: locks, the reboot lock, priority, signals, and the programs it calls.

#[cfg(feature = "systemd")]
mod bus;
#[cfg(not(feature = "systemd"))]
#[path = "bus/without.rs"]
mod bus;
pub mod command;
pub mod daemon_lock;
pub mod descriptors;
#[cfg(test)]
mod fuzz;
pub mod lease;
pub mod logind;
pub mod memory;
pub mod priority;
pub mod reboot_lock;
pub mod scope;
pub mod signals;
pub mod sockets;
pub mod target_lock;

pub use crate::process;
pub use logind::refuse_if_rebooting;

/// A process as our lock files spell it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct StoredProcess {
    pid: u32,
    started: u64,
    boot: String,
    #[serde(default)]
    machine: String,
    #[serde(default)]
    namespace: u64,
}

impl From<&process::Process> for StoredProcess {
    fn from(process: &process::Process) -> Self {
        Self {
            pid: process.pid,
            started: process.started,
            boot: process.boot.clone(),
            machine: process.machine.clone(),
            namespace: process.namespace,
        }
    }
}

impl From<StoredProcess> for process::Process {
    fn from(stored: StoredProcess) -> Self {
        Self {
            pid: stored.pid,
            started: stored.started,
            boot: stored.boot,
            machine: stored.machine,
            namespace: stored.namespace,
        }
    }
}
