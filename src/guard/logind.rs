//! systemd-logind, where it runs: it is asked not to shut the machine down, and whether it is about to.
//!
//! Where there is no bus or no logind, that is not an error; and a bus that does not answer costs two seconds, no more.
//! What is asked of the bus stands in `bus`.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};

use super::bus::{self, Failure, Shutdown};
use crate::error::{Error, Kind, Result};

const PATIENCE: Duration = Duration::from_secs(2);
const SCHEDULED: &str = "/run/systemd/shutdown/scheduled";

/// While this lives, logind shuts down only for those who insist.
#[derive(Debug)]
pub struct Inhibitor {
    _held: OwnedFd,
}

/// Asks logind not to shut down while the returned value lives; `what_for` is shown by `systemd-inhibit --list`.
pub async fn inhibit(what_for: &str) -> Option<Inhibitor> {
    let held = patiently(bus::inhibit_shutdown(what_for)).await?;
    Some(Inhibitor { _held: held })
}

/// The shutdown that is scheduled or under way, as a person would say it: `a reboot is scheduled for 2026-..`.
pub async fn scheduled_shutdown() -> Option<String> {
    let asked = patiently(async {
        Ok(match bus::coming_shutdown().await? {
            Shutdown::Now => Some("the machine is shutting down".to_owned()),
            Shutdown::At { mode, at } => describe(&mode, at),
        })
    })
    .await;
    asked.unwrap_or_else(|| in_file(Path::new(SCHEDULED)))
}

/// A run that a reboot would cut short does not begin: `Kind::Busy`.
pub async fn refuse_if_rebooting() -> Result<()> {
    match scheduled_shutdown().await {
        None => Ok(()),
        Some(what) => Err(Error::new(Kind::Busy, what)
            .hint("try again after it, or call it off with `shutdown -c`")),
    }
}

async fn patiently<T>(asking: impl Future<Output = std::result::Result<T, Failure>>) -> Option<T> {
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(Failure::Refused(error))) => {
            tracing::warn!(
                %error,
                "systemd-logind does not let this user do that (a polkit rule may)"
            );
            None
        }
        Ok(Err(Failure::NobodyThere(error))) => {
            tracing::debug!(%error, "no systemd-logind here");
            None
        }
        Err(_) => {
            tracing::debug!("systemd-logind did not answer in time");
            None
        }
    }
}

/// `at` is in microseconds since 1970.
fn describe(mode: &str, at: u64) -> Option<String> {
    // `shutdown --dry-run` style requests only warn.
    if mode.is_empty() || mode.starts_with("dry-") {
        return None;
    }
    let when = i64::try_from(at)
        .ok()
        .and_then(DateTime::from_timestamp_micros)
        .map_or_else(
            || "an unknown time".to_owned(),
            |at| at.to_rfc3339_opts(SecondsFormat::Secs, true),
        );
    Some(format!("a {mode} is scheduled for {when}"))
}

/// What logind keeps in a file for itself, for where the bus is closed to us.
fn in_file(path: &Path) -> Option<String> {
    understood(&std::fs::read_to_string(path).ok()?)
}

/// What such a file says.
pub(super) fn understood(text: &str) -> Option<String> {
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    let at = value("USEC")
        .and_then(|at| at.parse().ok())
        .unwrap_or(u64::MAX);
    describe(value("MODE").unwrap_or("shutdown"), at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_scheduled_reboot_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("scheduled");
        assert_eq!(in_file(&file), None);
        std::fs::write(
            &file,
            "USEC=1795238678170613\nWARN_WALL=1\nMODE=reboot\nUID=0\n",
        )
        .unwrap();
        assert_eq!(
            in_file(&file).unwrap(),
            "a reboot is scheduled for 2026-11-21T05:24:38Z"
        );
    }

    #[test]
    fn neither_nothing_nor_a_rehearsal_is_a_shutdown() {
        // What logind says while nothing is scheduled.
        assert_eq!(describe("", u64::MAX), None);
        assert_eq!(describe("dry-reboot", 1), None);
        assert!(
            describe("poweroff", u64::MAX)
                .unwrap()
                .contains("an unknown time")
        );
    }

    #[tokio::test]
    async fn a_bus_that_never_answers_does_not_hold_up_a_run() {
        let answer: Option<()> = patiently(std::future::pending()).await;
        assert!(answer.is_none());
    }
}
