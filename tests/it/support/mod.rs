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

/// What a URL alone says.
pub(crate) fn endpoint(url: &str) -> envsyncd::config::job::Endpoint {
    envsyncd::config::endpoint_at(url, envsyncd::store::formats()).expect("it is a URL")
}

/// Waits for something that is going to happen; far longer than it can take, so that only a bug ends in a panic.
pub(crate) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !happened() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// At how many moments a test kills a run: at all of them in script/soak, at a third of them, spread alike, in script/test.
pub(crate) fn kills(all: u32) -> u32 {
    let is_soak = std::env::var_os("ENVSYNCD_SOAK").is_some();
    if is_soak { all } else { all / 3 }
}

/// Moments from the start of a run to its end, in no order, the same in every run of the tests. `count` is not a multiple
/// of 37.
pub(crate) fn moments(count: u32, all: Duration) -> impl Iterator<Item = Duration> {
    (0..count).map(move |n| all * (n * 37 % count) / count)
}
