//! Whether runs and holds are alive: by their process where it can be seen from here, else by their signs of life.
//!
//! A lease (a lock that the kernel frees) shows everybody on this machine that its holder lives, whatever anybody's clock
//! says. Without one there is the heartbeat: when its holder last wrote into the state store. That is held against our own
//! clock, so it says nothing of who has a clock that is wrong, unless he has a lease.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::Transaction;

use crate::guard::lease::Lease;
use crate::guard::process::{Process, Sight, host_name};

/// A process is dead if it has given no sign of life for so long. A run gives one every second, and waits up to ten for others' writes.
pub const LIMIT: TimeDelta = TimeDelta::minutes(2);

/// As long for what an older envsyncd began, which gives none: by then nobody waits for it any more.
const SILENT: TimeDelta = TimeDelta::hours(24);

/// What the state store knows of a process.
pub(super) struct Trace<'t> {
    pub(super) process: &'t Process,
    /// The name of its machine, for what an older envsyncd wrote.
    pub(super) host: &'t str,
    /// The name of its lease.
    pub(super) lease: &'t str,
    /// When it began.
    pub(super) since: DateTime<Utc>,
    /// When it last gave a sign of life; `None`: it gives none.
    pub(super) beat: Option<DateTime<Utc>>,
}

/// The name of the lease that a run has.
pub fn lease_of_run(id: &str) -> String {
    format!("run {id}")
}

/// The name of the lease that a hold has.
pub fn lease_of_hold(environment: &str) -> String {
    format!("hold {environment}")
}

/// The name of the daemon's lease.
pub const LEASE_OF_DAEMON: &str = "daemon";

impl Trace<'_> {
    /// Whether the process is gone, as far as anybody here can know.
    pub(super) fn is_gone(&self, t: &Transaction<'_>) -> bool {
        let directory = directory(t);
        let leased = || {
            directory
                .as_deref()
                .is_some_and(|dir| Lease::is_held(dir, self.lease))
        };
        self.is_gone_at(Utc::now(), leased)
    }

    fn is_gone_at(&self, now: DateTime<Utc>, leased: impl FnOnce() -> bool) -> bool {
        match self.process.look() {
            Sight::Alive => false,
            Sight::Gone => true,
            // An older envsyncd wrote down neither machine nor namespace: another boot was one of this machine.
            Sight::Unseen if self.process.namespace == 0 && self.host == host_name() => true,
            Sight::Unseen if leased() => false,
            Sight::Unseen => match self.beat {
                // A sign of life of the future is of a clock that is wrong, and should not count for ever.
                Some(beat) => (now - beat).abs() > LIMIT,
                None => (now - self.since).abs() > SILENT,
            },
        }
    }
}

/// Where the state store is; `None`: in memory.
pub(super) fn directory(t: &Transaction<'_>) -> Option<PathBuf> {
    let file = Path::new(t.path().filter(|path| !path.is_empty())?);
    file.parent().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(process: &Process, host: &str, beat: Option<i64>, leased: bool) -> bool {
        let now: DateTime<Utc> = "2026-01-01T12:00:00Z".parse().unwrap();
        let trace = Trace {
            process,
            host,
            lease: "run 1",
            since: now - TimeDelta::hours(3),
            beat: beat.map(|seconds| now - TimeDelta::seconds(seconds)),
        };
        trace.is_gone_at(now, || leased)
    }

    #[test]
    fn who_cannot_be_seen_is_judged_by_signs_of_life_and_never_by_a_name() {
        let inside = Process {
            namespace: 1,
            ..Process::own()
        };
        for host in [host_name().as_str(), "elsewhere"] {
            for (beat, leased, gone) in [
                (1, false, false),
                (119, false, false),
                (121, false, true),
                (-119, false, false),
                (-3600, false, true),
                (7200, true, false),
                (-7200, true, false),
            ] {
                assert_eq!(
                    judge(&inside, host, Some(beat), leased),
                    gone,
                    "{beat} {leased}"
                );
            }
        }
    }

    #[test]
    fn who_can_be_seen_is_judged_by_his_process_alone() {
        let own = Process::own();
        assert!(!judge(&own, "renamed", Some(86_400), false));
        let reused = Process {
            started: own.started + 1,
            ..own
        };
        assert!(judge(&reused, "renamed", Some(1), true));
    }

    #[test]
    fn what_an_older_version_wrote_is_still_understood() {
        let old = |boot: &str| Process {
            boot: boot.to_owned(),
            ..Process::unknown(1)
        };
        assert!(judge(&old("another"), &host_name(), None, false));
        assert!(!judge(&old("another"), "elsewhere", None, false));
        let boot = Process::own().boot;
        assert!(
            !judge(&old(&boot), "elsewhere", None, false),
            "process 1 is there"
        );
    }
}
