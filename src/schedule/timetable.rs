//! A job's own due times: its schedule, in its zone, on its host. Pure.

use std::fmt;

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use sha2::{Digest, Sha256};

use super::Schedule;

/// A schedule in a zone, moved by a fixed offset (jitter).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timetable {
    schedule: Schedule,
    zone: Tz,
    offset: Duration,
}

/// What makes its due times: equal texts, equal due times. `30 2 * * * Europe/London +17s`.
impl fmt::Display for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = self.offset.num_seconds();
        write!(f, "{} {} +{offset}s", self.schedule, self.zone)
    }
}

impl Timetable {
    /// With `jitter`, every due time comes later by the same whole number of seconds below it, which depends on host and
    /// job alone: a fleet spreads, and each host keeps its rhythm.
    pub fn new(
        schedule: Schedule,
        zone: Tz,
        jitter: Option<std::time::Duration>,
        host: &str,
        job: &str,
    ) -> Self {
        let seconds = jitter.map_or(0, |jitter| jitter.as_secs());
        let offset = number(host, job).checked_rem(seconds).unwrap_or(0);
        let offset = i64::try_from(offset).ok().and_then(Duration::try_seconds);
        Self {
            schedule,
            zone,
            offset: offset.unwrap_or_default(),
        }
    }

    /// The first time after this one that is due, to the second; `None` if there is none.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = after.checked_sub_signed(self.offset)?;
        let due = self.schedule.next_after(after, self.zone)?;
        due.checked_add_signed(self.offset)
    }

    /// All times after this one that are due.
    pub fn times_after(&self, after: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        std::iter::successors(self.next_after(after), |at| self.next_after(*at))
    }

    /// By how much the schedule is moved.
    pub fn offset(&self) -> Duration {
        self.offset
    }
}

/// A number of host and job that no version of this program may change: a fleet would start all at once.
fn number(host: &str, job: &str) -> u64 {
    // No host's name has a zero byte, so no two pairs run together.
    let hash = Sha256::new()
        .chain_update(host)
        .chain_update([0])
        .chain_update(job)
        .finalize();
    hash.iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::Europe::London;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn timetable(schedule: &str, zone: Tz, jitter: u64, host: &str, job: &str) -> Timetable {
        let jitter = (jitter > 0).then(|| std::time::Duration::from_secs(jitter));
        Timetable::new(Schedule::parse(schedule).unwrap(), zone, jitter, host, job)
    }

    fn offset(jitter: u64, host: &str, job: &str) -> i64 {
        timetable("daily", Tz::UTC, jitter, host, job)
            .offset()
            .num_seconds()
    }

    #[test]
    fn a_hosts_and_jobs_offset_is_the_same_in_every_version() {
        // Computed by hand: the first 16 hexadecimal digits of `printf 'db1\0accounts' | sha256sum`, modulo the jitter.
        for (jitter, host, job, seconds) in [
            (300, "db1", "accounts", 39),
            (300, "db2", "accounts", 233),
            (300, "db1", "catalogue", 67),
            (7200, "db2", "accounts", 2033),
            (300, "", "", 92),
        ] {
            assert_eq!(offset(jitter, host, job), seconds, "{jitter} {host} {job}");
        }
    }

    #[test]
    fn without_a_jitter_of_more_than_a_second_nothing_moves() {
        assert_eq!(offset(0, "db1", "accounts"), 0);
        assert_eq!(offset(1, "db1", "accounts"), 0);
        let half = Some(std::time::Duration::from_millis(500));
        let schedule = Schedule::parse("daily").unwrap();
        let moved = Timetable::new(schedule, Tz::UTC, half, "db1", "accounts");
        assert_eq!(moved.offset(), Duration::zero());
    }

    #[test]
    fn a_fleet_spreads_evenly() {
        // 6,000 hosts over 5 minutes: 200 for each slot of ten seconds, within five standard deviations.
        let mut slots = BTreeMap::new();
        for host in 0..6000 {
            let offset = offset(300, &format!("db{host}.example"), "accounts");
            *slots.entry(offset / 10).or_insert(0) += 1;
        }
        assert_eq!(slots.len(), 30);
        assert!(slots.values().all(|n| (130..=270).contains(n)), "{slots:?}");
        // So do one host's jobs.
        let mut slots = BTreeMap::new();
        for job in 0..6000 {
            let offset = offset(300, "db1.example", &format!("job-{job}"));
            *slots.entry(offset / 10).or_insert(0) += 1;
        }
        assert!(slots.values().all(|n| (130..=270).contains(n)), "{slots:?}");
    }

    #[test]
    fn its_text_names_all_that_makes_its_due_times() {
        let one = timetable("30 2 * * *", London, 0, "db1", "accounts");
        assert_eq!(one.to_string(), "30 2 * * * Europe/London +0s");
    }

    #[test]
    fn a_jitter_of_aeons_neither_panics_nor_wraps() {
        for jitter in [u64::MAX, u64::MAX / 2, 10_000_000_000_000] {
            let far = timetable("daily", London, jitter, "db1", "accounts");
            assert!(far.offset() >= Duration::zero());
            let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
            assert!(far.next_after(now).is_none_or(|due| due > now));
        }
    }

    proptest! {
        /// Moved by the offset, and by nothing else, on every side of a change of clocks.
        #[test]
        fn every_due_time_moves_by_the_offset(
            at in 1_767_225_600i64..2_082_758_400,
            jitter in 1u64..100_000,
            host in "[a-z0-9.]{0,12}",
            text in prop::sample::select(vec!["*/20 * * * *", "30 1 * * *", "30 2 * * *", "0 0 31 * *"]),
        ) {
            let still = timetable(text, London, 0, &host, "job");
            let moved = timetable(text, London, jitter, &host, "job");
            prop_assert!(moved.offset() >= Duration::zero());
            prop_assert!(moved.offset() < Duration::seconds(jitter as i64));
            let at = DateTime::from_timestamp(at, 0).unwrap();
            let due = still.next_after(at).unwrap();
            prop_assert_eq!(moved.next_after(at + moved.offset()), Some(due + moved.offset()));
        }
    }
}
