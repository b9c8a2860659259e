//! Due times once more, from calendars and clocks alone: nothing here asks a `Schedule`.

use chrono::{Datelike, LocalResult, NaiveDate, NaiveDateTime, TimeZone, Timelike, Weekday};

use super::*;

/// The first and the day after the last of ten years.
pub(super) fn decade() -> (NaiveDate, NaiveDate) {
    let day = |year| NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
    (day(2026), day(2036))
}

/// A schedule, and what it means.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) schedule: &'static str,
    pub(super) meaning: Meaning,
}

#[derive(Clone, Copy)]
pub(super) enum Meaning {
    /// On these days, at these times of the day (hour, minute, second).
    Days(fn(NaiveDate) -> bool, &'static [(u32, u32, u32)]),
    /// Whenever a clock shows one of these minutes, at this second. All of them are multiples of five.
    Clock(fn(u32) -> bool, i64),
}

fn every_day(_: NaiveDate) -> bool {
    true
}

/// Schedules that are due at most a few times a day.
pub(super) const DAYS: &[Case] = &[
    days("30 1 * * *", every_day, &[(1, 30, 0)]),
    days("30 2 * * *", every_day, &[(2, 30, 0)]),
    // In the half hour that Lord Howe Island leaves out.
    days("15 2 * * *", every_day, &[(2, 15, 0)]),
    days("daily", every_day, &[(0, 0, 0)]),
    days("weekly", |day| day.weekday() == Weekday::Mon, &[(0, 0, 0)]),
    days(
        "30 2 * * 0",
        |day| day.weekday() == Weekday::Sun,
        &[(2, 30, 0)],
    ),
    days("0 0 31 * *", |day| day.day() == 31, &[(0, 0, 0)]),
    days(
        "15 12 29 2 *",
        |day| (day.month(), day.day()) == (2, 29),
        &[(12, 15, 0)],
    ),
    days(
        "45 30 0,1,13 * * *",
        every_day,
        &[(0, 30, 45), (1, 30, 45), (13, 30, 45)],
    ),
];

/// Schedules that go by elapsed time.
pub(super) const CLOCK: &[Case] = &[
    clock("hourly", |minute| minute == 0, 0),
    clock("*/20 * * * *", |minute| minute % 20 == 0, 0),
    clock("10 */30 * * * *", |minute| minute % 30 == 0, 10),
];

pub(super) const ZONES: &[Tz] = &[
    Tz::UTC,
    chrono_tz::Europe::London,
    chrono_tz::America::New_York,
    // Half an hour's change.
    chrono_tz::Australia::Lord_Howe,
    // An odd offset with changes, an odder one without.
    chrono_tz::America::St_Johns,
    chrono_tz::Asia::Kathmandu,
    // Midnight does not exist there on the day the clocks go forward.
    chrono_tz::Asia::Beirut,
    // Two hours' change.
    chrono_tz::Antarctica::Troll,
];

const fn days(
    schedule: &'static str,
    which: fn(NaiveDate) -> bool,
    times: &'static [(u32, u32, u32)],
) -> Case {
    Case {
        schedule,
        meaning: Meaning::Days(which, times),
    }
}

const fn clock(schedule: &'static str, which: fn(u32) -> bool, second: i64) -> Case {
    Case {
        schedule,
        meaning: Meaning::Clock(which, second),
    }
}

impl Case {
    /// All due times of ten years in a zone.
    pub(super) fn due(&self, zone: Tz) -> Vec<DateTime<Utc>> {
        let (begin, end) = decade();
        let midnight = |day: NaiveDate| first_of(day.and_hms_opt(0, 0, 0).unwrap(), zone);
        match self.meaning {
            Meaning::Days(which, times) => begin
                .iter_days()
                .take_while(|day| *day < end)
                .filter(|day| which(*day))
                .flat_map(|day| {
                    times
                        .iter()
                        .map(move |(h, m, s)| first_of(day.and_hms_opt(*h, *m, *s).unwrap(), zone))
                })
                .collect(),
            Meaning::Clock(which, second) => {
                let (begin, end) = (midnight(begin).timestamp(), midnight(end).timestamp());
                // These zones' clocks change on UTC's half hours only: in between, one look tells the rest.
                let half_hours = (begin / 1800..=end / 1800)
                    .filter_map(|half| DateTime::from_timestamp(half * 1800, 0));
                half_hours
                    .flat_map(|at| {
                        let there = at.with_timezone(&zone).minute();
                        let shown = (0..30).step_by(5).filter(move |more| {
                            let minute = (there + more) % 60;
                            which(minute)
                        });
                        shown.map(move |more| at + Duration::minutes(i64::from(more)))
                    })
                    .map(|at| at + Duration::seconds(second))
                    .filter(|at| (begin..end).contains(&at.timestamp()))
                    .collect()
            }
        }
    }
}

/// The first moment at which a clock shows this time or, having jumped, a later one.
fn first_of(time: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    let mut time = time;
    loop {
        match zone.from_local_datetime(&time) {
            LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => return at.to_utc(),
            // The clocks jump to a whole minute.
            LocalResult::None => {
                time = time.with_second(0).unwrap() + Duration::minutes(1);
            }
        }
    }
}
