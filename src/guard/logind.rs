//! systemd-logind, where it runs: it is asked not to shut the machine down, and whether it is about to.
//!
//! Where there is no bus or no logind, that is not an error; and a bus that does not answer costs two seconds, no more.
//! The interface is `org.freedesktop.login1.Manager`, see org.freedesktop.login1(5).

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use zbus::zvariant::OwnedFd;

use crate::error::{Error, Kind, Result};

const PATIENCE: Duration = Duration::from_secs(2);
const SCHEDULED: &str = "/run/systemd/shutdown/scheduled";

#[zbus::proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1",
    gen_blocking = false
)]
trait Manager {
    fn inhibit(&self, what: &str, who: &str, why: &str, mode: &str) -> zbus::Result<OwnedFd>;

    #[zbus(property(emits_changed_signal = "false"))]
    fn scheduled_shutdown(&self) -> zbus::Result<(String, u64)>;

    #[zbus(property(emits_changed_signal = "false"))]
    fn preparing_for_shutdown(&self) -> zbus::Result<bool>;
}

/// While this lives, logind shuts down only for those who insist.
#[derive(Debug)]
pub struct Inhibitor {
    _held: OwnedFd,
}

/// Asks logind not to shut down while the returned value lives; `what_for` is shown by `systemd-inhibit --list`.
pub async fn inhibit(what_for: &str) -> Option<Inhibitor> {
    let held = patiently(async {
        manager()
            .await?
            .inhibit("shutdown", "envsyncd", what_for, "block")
            .await
    })
    .await?;
    Some(Inhibitor { _held: held })
}

/// The shutdown that is scheduled or under way, as a person would say it: `a reboot is scheduled for 2026-..`.
pub async fn scheduled_shutdown() -> Option<String> {
    let asked = patiently(async {
        let manager = manager().await?;
        if manager.preparing_for_shutdown().await? {
            return Ok(Some("the machine is shutting down".to_owned()));
        }
        let (mode, at) = manager.scheduled_shutdown().await?;
        Ok(describe(&mode, at))
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

async fn manager() -> zbus::Result<ManagerProxy<'static>> {
    let bus = zbus::Connection::system().await?;
    // Asked once and dropped: a cache would only add a round trip and a signal subscription.
    ManagerProxy::builder(&bus)
        .cache_properties(zbus::proxy::CacheProperties::No)
        .build()
        .await
}

async fn patiently<T>(asking: impl Future<Output = zbus::Result<T>>) -> Option<T> {
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) if is_refusal(&error) => {
            tracing::warn!(%error, "systemd-logind does not let this user do that (a polkit rule may)");
            None
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "no systemd-logind here");
            None
        }
        Err(_) => {
            tracing::debug!("systemd-logind did not answer in time");
            None
        }
    }
}

/// Whether logind is there, but says no: the operator expects a protection that is not in place.
fn is_refusal(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::MethodError(name, _, _)
        if name.ends_with(".AccessDenied") || name.ends_with(".InteractiveAuthorizationRequired"))
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
    let text = std::fs::read_to_string(path).ok()?;
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
