//! When a job is due next, for `validate` and `plan`.

use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;

use crate::config::job::{Job, Settings};
use crate::guard::process::host_name;

/// How many due times are shown: enough to see a rhythm.
const TIMES: usize = 3;

/// A job's next due times on this host, in its own time zone, its jitter included; none without a schedule.
pub(super) fn next(job: &Job, settings: &Settings, now: DateTime<Utc>) -> Vec<DateTime<Tz>> {
    let Some(timetable) = job.timetable(settings, &host_name()) else {
        return Vec::new();
    };
    let zone = job.timezone.unwrap_or(settings.timezone);
    let times = timetable.times_after(now).take(TIMES);
    times.map(|at| at.with_timezone(&zone)).collect()
}

/// `due: Sun 2026-11-29 00:18:00 GMT, ... (Europe/London)`
pub(super) fn sentence(times: &[DateTime<Tz>]) -> Option<String> {
    let zone = times.first()?.timezone().name();
    let times: Vec<String> = (times.iter())
        .map(|at| at.format("%a %Y-%m-%d %H:%M:%S %Z").to_string())
        .collect();
    Some(format!("due: {} ({zone})", times.join(", ")))
}

/// As documents have them, with their offset.
pub(super) fn rfc3339(times: &[DateTime<Tz>]) -> Vec<String> {
    let text = |at: &DateTime<Tz>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    times.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_their_zone_through_a_change_of_clocks() {
        let zone = chrono_tz::Europe::London;
        let times: Vec<DateTime<Tz>> = ["2026-03-28T02:30:00Z", "2026-03-29T01:30:00Z"]
            .map(|at| at.parse::<DateTime<Utc>>().unwrap().with_timezone(&zone))
            .to_vec();
        assert_eq!(
            sentence(&times).unwrap(),
            "due: Sat 2026-03-28 02:30:00 GMT, Sun 2026-03-29 02:30:00 BST (Europe/London)"
        );
        assert_eq!(
            rfc3339(&times),
            ["2026-03-28T02:30:00Z", "2026-03-29T02:30:00+01:00"]
        );
        assert_eq!(sentence(&[]), None);
    }
}
