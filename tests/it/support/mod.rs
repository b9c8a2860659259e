//! What the tests stand on: servers, jobs, and a network that breaks when it is told to.

pub(crate) mod api;
pub(crate) mod browser;
pub(crate) mod certificates;
pub(crate) mod container;
pub(crate) mod daemon;
pub(crate) mod dump;
pub(crate) mod host;
pub(crate) mod hostile;
pub(crate) mod icinga;
pub(crate) mod job;
pub(crate) mod lease;
pub(crate) mod mysql;
pub(crate) mod network;
pub(crate) mod nsca;
pub(crate) mod origin;
pub(crate) mod postgres;
pub(crate) mod profile;
pub(crate) mod programs;
pub(crate) mod proxy;
pub(crate) mod s3;
pub(crate) mod sqlite;
pub(crate) mod ssh;
pub(crate) mod told;

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a URL alone says.
pub(crate) fn endpoint(url: &str) -> envsyncd::config::job::Endpoint {
    envsyncd::config::endpoint_at(url, envsyncd::store::registry::formats()).expect("it is a URL")
}

/// Waits for something that is going to happen; far longer than it can take, so that only a bug ends in a panic.
pub(crate) fn wait_until(what: &str, happened: impl FnMut() -> bool) {
    assert!(happens(happened), "waited in vain until {what}");
}

/// Waits as long; says whether it has happened.
pub(crate) fn happens(mut happened: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !happened() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
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

/// The same as parts of a run, each with its number: `count` of them, and as many again, up to four times, for who has not yet
/// killed as many runs as make a test. How long a run takes changes with what else the machine does.
pub(crate) fn moments_again(count: u32) -> impl Iterator<Item = (u32, f64)> {
    let parts = (0..4).flat_map(move |_| moments(count, Duration::from_secs(1)));
    (0..).zip(parts.map(|part| part.as_secs_f64()))
}

/// A directory in `home`, and a shell that runs this script for it, as `$1`, until the directory is to go: it holds the other
/// end of a pipe, which closes with this process, however that ends.
pub(crate) fn watched(prefix: &str, home: &Path, script: &str) -> (PathBuf, Child) {
    let place = tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(home)
        .expect("a directory")
        .keep();
    let watcher = Command::new("sh")
        .args(["-c", script, "watcher"])
        .arg(&place)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Out of reach of a terminal's Ctrl-C.
        .process_group(0)
        .spawn()
        .expect("a shell");
    (place, watcher)
}

/// Where the next private server has its directory: in memory, while there is room for it, since most of what a test would
/// wait for is a disk. What they are tested for is what a process leaves when it is killed, and that is the same. Benchmarks
/// stay on the disk. The path is short: a socket's has a limit of 107 bytes.
pub(crate) fn servers_home() -> &'static Path {
    let memory = Path::new("/dev/shm");
    if cfg!(test) && has_room(memory) {
        memory
    } else {
        Path::new("/tmp")
    }
}

/// Whether programs may be started there, and all that lies there has less than an eighth of the machine's memory, and all
/// that runs here leaves three: the servers themselves, compilers and other people's suites have memory, too.
fn has_room(place: &Path) -> bool {
    let Ok(found) = nix::sys::statvfs::statvfs(place) else {
        return false;
    };
    let taken = (found.blocks() - found.blocks_free()) * found.fragment_size();
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let bytes = |key: &str| {
        let mut lines = memory.lines();
        let line = lines.find_map(|line| line.strip_prefix(key))?;
        let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
        Some(kibibytes * 1024)
    };
    let (Some(all), Some(available)) = (bytes("MemTotal:"), bytes("MemAvailable:")) else {
        return false;
    };
    taken < all / 8
        && available > all / 8 * 3
        && !found
            .flags()
            .contains(nix::sys::statvfs::FsFlags::ST_NOEXEC)
}
