//! Times, lengths and links as the pages write them. All that is written as HTML here is made of numbers and names of ours.

use std::fmt;
use std::time::Duration;

use askama::filters::HtmlSafe;
use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;

/// A time: how long ago it was or how far ahead it is; the clock's time on hover, and on focus where it takes that.
pub(super) struct Time {
    pub(super) at: DateTime<Utc>,
    pub(super) now: DateTime<Utc>,
    pub(super) takes_focus: bool,
}

impl HtmlSafe for Time {}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let focus = if self.takes_focus { " tabindex=0" } else { "" };
        write!(
            f,
            "<time datetime=\"{}\" title=\"{}\"{focus}>{}</time>",
            self.at.to_rfc3339_opts(SecondsFormat::Secs, true),
            absolute(self.at),
            relative(self.at, self.now)
        )
    }
}

/// A time that a schedule makes: how far ahead it is, and the wall clock's in the schedule's zone.
pub(super) struct Due {
    pub(super) at: DateTime<Utc>,
    pub(super) now: DateTime<Utc>,
    pub(super) zone: Tz,
}

impl HtmlSafe for Due {}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let there = self.at.with_timezone(&self.zone);
        let here = self.now.with_timezone(&self.zone);
        let days = (there.date_naive() - here.date_naive()).num_days();
        let clock = there.format(match days {
            0 => "%H:%M",
            1..=6 => "%a %H:%M",
            _ => "%d %b %H:%M",
        });
        write!(
            f,
            "<time datetime=\"{}\" data-zone=\"{}\" title=\"{}\">{}</time> <small>{clock} {}</small>",
            self.at.to_rfc3339_opts(SecondsFormat::Secs, true),
            self.zone,
            absolute(self.at),
            relative(self.at, self.now),
            self.zone
        )
    }
}

/// `2026-11-29 00:18:00 UTC`.
pub(super) fn absolute(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// `6 h ago`, `in 5 min`, `just now`.
pub(super) fn relative(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - at).num_seconds();
    let size = seconds.unsigned_abs();
    let text = match size {
        0..=1 => return "just now".to_owned(),
        2..=119 => format!("{size} s"),
        120..=7199 => format!("{} min", size / 60),
        7200..=172_799 => format!("{} h", size / 3600),
        _ => format!("{} days", size / 86_400),
    };
    if seconds > 0 {
        format!("{text} ago")
    } else {
        format!("in {text}")
    }
}

/// `15 ms`, `0.4 s`, `4 min 11 s`, `2 h 5 min`, `3 days 4 h`.
pub(super) fn length(duration: Duration) -> String {
    let pair = |great: u64, small: u64, names: [&str; 2]| match small {
        0 => format!("{great} {}", names[0]),
        _ => format!("{great} {} {small} {}", names[0], names[1]),
    };
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.as_millis() < 100 => format!("{} ms", duration.as_millis()),
        0..=9 => format!("{:.1} s", duration.as_secs_f64()),
        10..=59 => format!("{seconds} s"),
        60..=3599 => pair(seconds / 60, seconds % 60, ["min", "s"]),
        3600..=86_399 => pair(seconds / 3600, seconds % 3600 / 60, ["h", "min"]),
        _ => pair(seconds / 86_400, seconds % 86_400 / 3600, ["days", "h"]),
    }
}

/// A name as a part of a path or of a query: all but letters, digits and `-._~` is spelt in hexadecimal.
pub(super) fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_lengths_read_as_people_write_them() {
        let now = DateTime::from_timestamp(1_000_000_000, 0).unwrap();
        let at = |seconds: i64| relative(now + chrono::Duration::seconds(seconds), now);
        assert_eq!(at(0), "just now");
        assert_eq!(at(-90), "90 s ago");
        assert_eq!(at(-6 * 3600), "6 h ago");
        assert_eq!(at(-41 * 86_400), "41 days ago");
        assert_eq!(at(300), "in 5 min");
        let of = |millis| length(Duration::from_millis(millis));
        assert_eq!(of(15), "15 ms");
        assert_eq!(of(420), "0.4 s");
        assert_eq!(of(59_999), "59 s");
        assert_eq!(of(251_000), "4 min 11 s");
        assert_eq!(of(7_500_000), "2 h 5 min");
        assert_eq!(of(172_800_000), "2 days");
    }

    #[test]
    fn a_name_in_a_link_stays_one_name() {
        assert_eq!(
            encoded("site:main production->staging"),
            "site%3Amain%20production-%3Estaging"
        );
        assert_eq!(encoded("../ä?&\"#"), "..%2F%C3%A4%3F%26%22%23");
        assert_eq!(encoded("plain-name_1.~"), "plain-name_1.~");
    }

    #[test]
    fn a_due_time_is_told_by_the_clock_of_its_zone() {
        let now: DateTime<Utc> = "2026-07-01T21:00:00Z".parse().unwrap();
        let at = "2026-07-01T23:18:00Z".parse().unwrap();
        let due = Due {
            at,
            now,
            zone: Tz::Europe__London,
        }
        .to_string();
        assert!(
            due.contains(">in 2 h</time> <small>Thu 00:18 Europe/London<"),
            "{due}"
        );
    }
}
