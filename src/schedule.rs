//! When a job is due. Pure.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds};

/// A validated schedule.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    cron: Cron,
}

impl Schedule {
    /// 5 cron fields, 6 with seconds in front, or `hourly`, `daily`, `weekly`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pattern = match text.trim() {
            "hourly" => "0 * * * *",
            "daily" => "0 0 * * *",
            "weekly" => "0 0 * * 0",
            // croner knows more nicknames, and fields for years, than we promise.
            other
                if other.starts_with('@')
                    || !(5..=6).contains(&other.split_whitespace().count()) =>
            {
                return Err(format!(
                    "it has {} fields",
                    other.split_whitespace().count()
                ));
            }
            other => other,
        };
        let cron = CronParser::builder()
            .seconds(Seconds::Optional)
            .build()
            .parse(pattern)
            .map_err(|error| error.to_string())?;
        Ok(Self {
            text: text.to_owned(),
            cron,
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first due time after `now`; `None` if there is none (30 February).
    pub fn next_after(&self, now: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        self.cron
            .find_next_occurrence(&now.with_timezone(&zone), false)
            .ok()
            .map(|next| next.with_timezone(&Utc))
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, now: &str, zone: Tz) -> String {
        let now: DateTime<Utc> = now.parse().unwrap();
        Schedule::parse(schedule)
            .unwrap()
            .next_after(now, zone)
            .unwrap()
            .to_rfc3339()
    }

    #[test]
    fn the_next_time_is_told_in_the_schedules_zone() {
        let london = Tz::Europe__London;
        assert_eq!(
            next("18 0 * * *", "2026-01-01T00:18:00Z", Tz::UTC),
            "2026-01-02T00:18:00+00:00"
        );
        assert_eq!(
            next("18 0 * * *", "2026-07-01T12:00:00Z", london),
            "2026-07-01T23:18:00+00:00"
        );
        assert_eq!(
            next("30 0 0 * * *", "2026-01-01T00:00:00Z", Tz::UTC),
            "2026-01-01T00:00:30+00:00"
        );
        assert_eq!(
            next("hourly", "2026-01-01T00:30:00Z", Tz::UTC),
            "2026-01-01T01:00:00+00:00"
        );
        assert_eq!(
            next("weekly", "2026-01-01T00:30:00Z", Tz::UTC),
            "2026-01-04T00:00:00+00:00"
        );
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in [
            "",
            "18 0 * *",
            "61 0 * * *",
            "@daily",
            "monthly",
            "1 2 3 4 5 6 7",
            "a b c d e",
        ] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
    }
}
