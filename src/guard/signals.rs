//! SIGINT, SIGTERM and SIGHUP: the first asks the run to end cleanly, the second ends the process at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::command;
use crate::error::{Error, Kind, Result};

/// Listens as long as it lives. Keep it until the process ends: once a handler is in place, a signal that nobody
/// listens for is lost.
#[derive(Debug)]
pub struct Signals {
    received: Arc<AtomicI32>,
    listener: JoinHandle<()>,
}

impl Signals {
    /// The number of the first signal that came.
    pub fn received(&self) -> Option<i32> {
        match self.received.load(Ordering::SeqCst) {
            0 => None,
            number => Some(number),
        }
    }
}

#[cfg(test)]
impl Signals {
    /// None that ever comes.
    pub(crate) fn none() -> Self {
        Self {
            received: Arc::default(),
            listener: tokio::spawn(std::future::pending()),
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Cancels the token at the first signal; at the second kills the programs that we started and exits with 128 + its
/// number. Needs a tokio runtime.
pub fn listen(cancel: CancellationToken) -> Result<Signals> {
    let failed = |error| Error::new(Kind::Internal, "signals cannot be listened to").because(error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    // A lost terminal must not leave a half-built copy behind; but who said `nohup` meant it.
    let mut hangup = if hangup_is_ignored() {
        None
    } else {
        Some(signal(SignalKind::hangup()).map_err(failed)?)
    };
    // A file that grows beyond its limit (see setrlimit(2)) is an error where it is written, and no sudden end.
    let outgrown = SignalKind::from_raw(Signal::SIGXFSZ as i32);
    drop(signal(outgrown).map_err(failed)?);
    let received = Arc::new(AtomicI32::new(0));
    let first = Arc::clone(&received);
    let listener = tokio::spawn(async move {
        loop {
            let kind = tokio::select! {
                Some(()) = interrupt.recv() => SignalKind::interrupt(),
                Some(()) = terminate.recv() => SignalKind::terminate(),
                Some(()) = async { hangup.as_mut()?.recv().await }, if hangup.is_some() => SignalKind::hangup(),
                else => return,
            };
            let number = kind.as_raw_value();
            if first
                .compare_exchange(0, number, Ordering::SeqCst, Ordering::SeqCst)
                .is_err()
            {
                command::kill_all();
                std::process::exit(128 + number);
            }
            tracing::warn!(
                signal = number,
                "asked to stop: ending cleanly, a second signal ends at once"
            );
            cancel.cancel();
        }
    });
    Ok(Signals { received, listener })
}

/// Signal dispositions survive exec: bit 0 of `SigIgn` is SIGHUP, see proc(5).
fn hangup_is_ignored() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let mask = status
                .lines()
                .find_map(|line| line.strip_prefix("SigIgn:"))?;
            u64::from_str_radix(mask.trim(), 16).ok()
        })
        .is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Child, Command, Stdio};

    use nix::sys::signal::kill;
    use nix::unistd::Pid;

    /// A signal reaches a whole process, so the listener runs in one of its own: this test binary again, told to run
    /// only [`the_process_under_test`].
    const MARK: &str = "ENVSYNCD_TEST_SIGNALS";

    #[tokio::test]
    async fn the_process_under_test() {
        if std::env::var_os(MARK).is_none() {
            return;
        }
        let cancel = CancellationToken::new();
        let signals = listen(cancel.clone()).unwrap();
        let hook = crate::config::job::Hook {
            argv: vec!["/bin/sleep".to_owned(), "600".to_owned()],
            timeout: None,
        };
        let running =
            tokio::spawn(async move { command::run(&hook, "a", |_| {}, &[], None).await });
        while command::groups().is_empty() {
            tokio::task::yield_now().await;
        }
        println!("\nready {}", command::groups()[0]);
        cancel.cancelled().await;
        println!("received {:?}", signals.received());
        running.await.unwrap().unwrap();
    }

    fn start() -> (Child, impl Iterator<Item = String>, i32) {
        // Whoever runs the tests behind `nohup` has SIGHUP ignored, and so would their children.
        let mut child = Command::new("env")
            .arg("--default-signal=HUP")
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "guard::signals::tests::the_process_under_test",
                "--nocapture",
            ])
            .env(MARK, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(|line| line.unwrap());
        let group = lines
            .find_map(|line| {
                line.strip_prefix("ready ")
                    .map(|group| group.parse().unwrap())
            })
            .unwrap();
        (child, lines, group)
    }

    #[test]
    fn the_first_signal_cancels_and_the_second_ends_the_process_and_its_children() {
        for (signal, code) in [
            (Signal::SIGINT, 130),
            (Signal::SIGTERM, 143),
            (Signal::SIGHUP, 129),
        ] {
            let (mut child, mut lines, group) = start();
            let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
            kill(pid, signal).unwrap();
            let line = lines.find(|line| line.starts_with("received")).unwrap();
            assert_eq!(line, format!("received Some({})", signal as i32));
            kill(pid, signal).unwrap();
            let status = child.wait().unwrap();
            assert_eq!((status.code(), status.signal()), (Some(code), None));
            // Killed before the exit above, but the kernel may take a moment to bury it.
            while super::super::process::Process::of(u32::try_from(group).unwrap()).is_some() {
                std::thread::yield_now();
            }
        }
    }
}
