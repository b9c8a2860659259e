//! Panics: a bug of ours ends the work that it is in, as an error does, and nothing else.
//!
//! What a panic says may hold what was being read: who cuts a text within a letter quotes the text. So nobody is told more
//! than where it was.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::task::Poll;

use tokio_util::sync::CancellationToken;

use crate::error::{Error, Kind};
use crate::sync::Mutex;

thread_local! {
    /// How many callers on this thread wait for a panic.
    static CATCHERS: Cell<u32> = const { Cell::new(0) };
    /// Where the last panic was that one of them waits for.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Where the first panic was that nobody waited for: in a task or a thread of its own.
static STRAY: Mutex<Option<String>> = Mutex::new(None);
static STRAYED: LazyLock<CancellationToken> = LazyLock::new(CancellationToken::new);

/// From now on a panic prints nothing, and whoever catches it knows where it was. `RUST_BACKTRACE` has the way there printed.
pub fn watch() {
    LazyLock::force(&STRAYED);
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(
            || "an unknown place".to_owned(),
            |at| format!("{}:{}", source(at.file()), at.line()),
        );
        let way = std::backtrace::Backtrace::capture();
        if way.status() == std::backtrace::BacktraceStatus::Captured {
            use std::io::Write as _;
            // Not `eprintln`, which panics where nobody reads.
            let _ = writeln!(std::io::stderr(), "panicked at {place}\n{way}");
        }
        note(place);
    }));
}

/// Must not panic, nor wait for a lock that the panicking code may hold: nothing is logged from here.
fn note(place: String) {
    if CATCHERS.get() > 0 {
        PLACE.set(Some(place));
        return;
    }
    STRAY.lock().get_or_insert(place);
    STRAYED.cancel();
}

/// A file of source code, without the directories of the machine that it was compiled on.
fn source(file: &str) -> &str {
    for (mark, more) in [("/registry/src/", 1), ("/rustc/", 1)] {
        if let Some(at) = file.find(mark) {
            let rest = &file[at + mark.len()..];
            return rest.splitn(more + 1, '/').last().unwrap_or(rest);
        }
    }
    file
}

/// Does work that may panic; if it does, that is an error like others.
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Error> {
    CATCHERS.set(CATCHERS.get() + 1);
    let done = catch_unwind(AssertUnwindSafe(work));
    CATCHERS.set(CATCHERS.get() - 1);
    done.map_err(|_| at(PLACE.take().as_deref()))
}

/// The same for a future. What it had is dropped once this has ended.
pub fn caught_in<T>(work: impl Future<Output = T>) -> impl Future<Output = Result<T, Error>> {
    // On the heap: those of a run are large.
    let mut work = Box::pin(work);
    std::future::poll_fn(
        move |context| match caught(|| work.as_mut().poll(context)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
            Err(error) => Poll::Ready(Err(error)),
        },
    )
}

/// The panic that nobody waited for, if there was one.
pub fn stray() -> Option<Error> {
    let place = STRAY.lock();
    place.as_deref().map(|place| at(Some(place)))
}

/// Waits for a panic that nobody waits for.
pub async fn strayed() {
    STRAYED.cancelled().await;
}

fn at(place: Option<&str>) -> Error {
    let place = place.unwrap_or("an unknown place");
    Error::new(
        Kind::Internal,
        format!("this is a bug of envsyncd: it panicked at {place}"),
    )
    .hint("report it, with the log and what was being done")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// The hook is the whole process's, so it is set in one of its own: this test binary again, told to run only
    /// [`the_process_under_test`].
    const MARK: &str = "ENVSYNCD_TEST_PANICS";

    #[test]
    fn the_process_under_test() {
        if std::env::var_os(MARK).is_none() {
            return;
        }
        watch();
        let secret = "h\u{e4}unter2".to_owned();
        let error = caught(|| secret[..2].len()).unwrap_err();
        assert!(stray().is_none());
        println!("CAUGHT {error}");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            let inside = caught_in(async {
                tokio::task::yield_now().await;
                secret.parse::<u8>().expect("hunter2")
            });
            println!("CAUGHT {}", inside.await.unwrap_err());
            assert!(stray().is_none());
            let lost = tokio::spawn(async { assert_eq!("hunter2", "x") });
            strayed().await;
            assert!(lost.await.unwrap_err().is_panic());
        });
        println!("STRAY {}", stray().unwrap());
    }

    #[test]
    fn a_panic_is_told_by_its_place_and_what_it_says_is_told_to_nobody() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--nocapture", "--test-threads=1", "the_process_under_test"])
            .env(MARK, "1")
            .env_remove("RUST_BACKTRACE")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(output.status.success(), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        for (word, times) in [("CAUGHT ", 2), ("STRAY ", 1)] {
            let found: Vec<&str> = said.lines().filter(|line| line.contains(word)).collect();
            assert_eq!(found.len(), times, "{said}");
            for line in found {
                assert!(
                    line.contains("it panicked at src/process/panics.rs:"),
                    "{line}"
                );
            }
        }
    }

    #[test]
    fn work_that_does_not_panic_is_left_alone() {
        assert_eq!(caught(|| 7).unwrap(), 7);
        let none: Result<u8, Error> = caught(|| Err(Error::new(Kind::Full, "x"))).and_then(|it| it);
        assert_eq!(none.unwrap_err().kind(), Kind::Full);
    }

    #[test]
    fn a_place_is_named_without_the_directories_of_the_machine_that_compiled_it() {
        for (file, named) in [
            ("src/config/document.rs", "src/config/document.rs"),
            (
                "/root/.cargo/registry/src/index.crates.io-1949/toml-1.0.0/src/de.rs",
                "toml-1.0.0/src/de.rs",
            ),
            (
                "/rustc/4d91de4e48/library/core/src/str/mod.rs",
                "library/core/src/str/mod.rs",
            ),
        ] {
            assert_eq!(source(file), named);
        }
    }
}
