//! What the tests stand on: servers, jobs, and a network that breaks when it is told to.

pub(crate) mod certificates;
pub(crate) mod container;
pub(crate) mod daemon;
pub(crate) mod dump;
pub(crate) mod host;
pub(crate) mod hostile;
pub(crate) mod icinga;
pub(crate) mod job;
pub(crate) mod mysql;
pub(crate) mod network;
pub(crate) mod nsca;
pub(crate) mod postgres;
pub(crate) mod profile;
pub(crate) mod proxy;
pub(crate) mod s3;
pub(crate) mod sqlite;
pub(crate) mod told;

use std::time::{Duration, Instant};

/// Waits for something that is going to happen; far longer than it can take, so that only a bug ends in a panic.
pub(crate) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !happened() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
