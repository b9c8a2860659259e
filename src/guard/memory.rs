//! A run's limit of memory: on a database's host, memory is for the database.
//!
//! What the run's process has touched is watched, and at nine tenths of `memory_max` the run is ended as its timeout would
//! end it: with an error, and with nothing left behind. What comes too fast for that (a length that somebody lies about, all
//! of it asked for at once) meets a limit of the kernel's (`RLIMIT_DATA`, see setrlimit(2): since Linux 4.7 it counts every
//! private writable mapping, threads' stacks too). Then the allocation fails, and the process ends with a line that says why;
//! the next run clears up after it.
//!
//! No cgroup is used: its limit counts files' pages that the kernel keeps for us, and hooks and what they start, and who
//! passes it is killed without a word.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind, Result};
use crate::limits;

/// How often the watch looks. In this time a process can touch some 100 MB.
const EVERY: Duration = Duration::from_millis(50);

/// Bytes that the kernel's limit leaves beside: a thread's stack is 2 MiB, of which hardly any is touched.
const STACKS: u64 = 256 << 20;

/// Limits what this process, and each one that it starts, may set aside: to twice `most` bytes, since what grows is set aside
/// before it is filled. Call it before the runtime starts. Whoever the kernel does not let is warned.
///
/// Only the soft limit is set: a hook that needs more raises its own (`ulimit -S -d unlimited`).
pub fn bound(most: u64) {
    limits::set_memory(most);
    let wanted = most.saturating_mul(2).saturating_add(STACKS);
    // What a run has in memory are rows: they are in no file that a crash would leave.
    let _ = getrlimit(Resource::RLIMIT_CORE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_CORE, 0, hard));
    let set = getrlimit(Resource::RLIMIT_DATA).and_then(|(soft, hard)| {
        // Who started us may have been stricter.
        setrlimit(Resource::RLIMIT_DATA, soft.min(wanted), hard)
    });
    if let Err(error) = set {
        tracing::warn!(%error, "memory is watched, but the system does not let us limit it");
    }
}

/// Watches this process's memory as long as it lives.
#[derive(Debug)]
pub struct Watch {
    /// The bytes in use when the limit was first exceeded; 0: it never was.
    over: Arc<AtomicU64>,
    most: u64,
    /// Its end is the watcher's.
    _alive: Sender<()>,
}

impl Watch {
    /// Cancels the token once nine tenths of `most` bytes are in use.
    pub fn start(most: u64, cancel: CancellationToken) -> Result<Self> {
        let over = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&over);
        let (alive, ended) = mpsc::channel();
        // A thread of its own: the runtime's may be the ones that are busy taking memory.
        std::thread::Builder::new()
            .name("memory".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || {
                while ended.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    let Some(used) = used() else { return };
                    if used > most / 10 * 9 {
                        seen.store(used, Ordering::SeqCst);
                        cancel.cancel();
                        return;
                    }
                }
            })
            .map_err(|error| {
                Error::new(Kind::Internal, "memory cannot be watched").because(error)
            })?;
        Ok(Self {
            over,
            most,
            _alive: alive,
        })
    }

    /// Why the token was cancelled, if it was for this.
    pub fn error(&self) -> Option<Error> {
        let used = self.over.load(Ordering::SeqCst);
        if used == 0 {
            return None;
        }
        let what = format!(
            "the run took {} MiB of memory, and may have {} MiB",
            used >> 20,
            self.most >> 20
        );
        Some(Error::new(Kind::Full, what).hint(
            "see the log for what it was reading, and whether that is what it should be; a job that needs more gets it by `memory_max` in [priority]",
        ))
    }
}

/// Gives the system back what is free. Who has read a large catalogue leaves holes everywhere, which a heap keeps for itself.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it touches nothing but what the allocator has for itself, and may be called at any time by any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// So many heaps do for threads that mostly wait for a disk.
#[cfg(target_env = "gnu")]
const HEAPS: libc::c_int = 2;

/// Has threads that begin from now on share heaps. Each heap keeps what was free in it, and one for each thread keeps several
/// times as much.
pub fn share_heaps() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it touches nothing but what the allocator has for itself, and may be called at any time by any thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, HEAPS);
    }
}

/// Bytes of this process that are in memory and are no file's (proc(5): the second and third number, in pages).
fn used() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = statm.split(' ').skip(1).map(str::parse::<u64>);
    let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok()??;
    Some(resident.saturating_sub(shared) * u64::try_from(page).ok()?)
}

/// The system's own allocator, which says so where it has no more to give: what follows is most often the end of the process.
#[derive(Debug)]
pub struct Telling;

// SAFETY: every call is handed on to the system's allocator as it is, and so is what it returns.
unsafe impl GlobalAlloc for Telling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are those of the callee.
        told(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        told(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        told(unsafe { System.realloc(place, layout, size) }, size)
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

fn told(place: *mut u8, size: usize) -> *mut u8 {
    if place.is_null() {
        tell(size);
    }
    place
}

/// Writes to stderr without any memory of its own. The daemon takes such a line for a run's last words.
#[cold]
fn tell(size: usize) {
    let mut line = [0; 256];
    let mut rest = &mut line[..];
    let _ = writeln!(
        rest,
        "envsyncd: there is no memory for {size} bytes more, and the run may have {} MiB; a job that needs more gets it by `memory_max` in [priority]",
        limits::memory() >> 20
    );
    let left = rest.len();
    let length = line.len() - left;
    // SAFETY: write(2) reads as many bytes as the buffer has.
    let _ = unsafe { libc::write(2, line.as_ptr().cast(), length) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Limits are a whole process's: this test binary again, told to run only [`the_process_under_test`].
    const MARK: &str = "ENVSYNCD_TEST_MEMORY";
    const MOST: u64 = 128 << 20;

    #[test]
    fn the_process_under_test() {
        let Ok(what) = std::env::var(MARK) else {
            return;
        };
        bound(MOST);
        let cancel = CancellationToken::new();
        let watch = Watch::start(MOST, cancel.clone()).unwrap();
        match what.as_str() {
            "touch" => {
                let mut taken = Vec::new();
                while !cancel.is_cancelled() {
                    taken.push(vec![1_u8; 1 << 20]);
                    // The watch has its turn, however quick this is.
                    std::thread::yield_now();
                    assert!(taken.len() < 2000, "nobody ended it");
                }
                println!("\nended {}", watch.error().unwrap());
            }
            "set aside" => {
                // Not touched: none of it is used.
                let aside = Vec::<u8>::with_capacity((MOST + (MOST >> 1)) as usize);
                assert!(watch.error().is_none());
                let much = Vec::<u8>::new().try_reserve_exact(4 * MOST as usize);
                println!("\nended {} {}", aside.capacity(), much.unwrap_err());
            }
            "child" => {
                let limits = "ulimit -S -d; ulimit -S -d unlimited; ulimit -S -d";
                let said = Command::new("sh").args(["-c", limits]).output().unwrap();
                let said = String::from_utf8(said.stdout).unwrap();
                println!("\nended {}", said.replace('\n', " "));
            }
            other => panic!("{other}"),
        }
    }

    fn ended(what: &str) -> String {
        let mut again = Command::new(std::env::current_exe().unwrap());
        let again = again
            .args(["--exact", "guard::memory::tests::the_process_under_test"])
            .args(["--nocapture", "--test-threads=1"])
            .env(MARK, what)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&again.stdout).into_owned();
        let ended = said.lines().find_map(|line| line.strip_prefix("ended "));
        ended.unwrap_or_else(|| panic!("{again:?}")).to_owned()
    }

    #[test]
    fn a_process_that_takes_too_much_is_cancelled_with_a_reason() {
        let error = ended("touch");
        assert!(error.contains("and may have 128 MiB"), "{error}");
        assert!(error.contains("`memory_max` in [priority]"), "{error}");
    }

    #[test]
    fn what_is_only_set_aside_is_limited_to_twice_as_much_and_counts_for_nothing_below() {
        let said = ended("set aside");
        assert!(
            said.starts_with("201326592 ") && said.contains("memory"),
            "{said}"
        );
    }

    #[test]
    fn a_program_that_is_started_has_the_limit_and_may_lift_it() {
        assert_eq!(ended("child").trim(), "524288 unlimited");
    }
}
