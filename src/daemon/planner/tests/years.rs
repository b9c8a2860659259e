//! Ten years under a simulated clock.

use std::collections::BTreeMap;
use std::thread;

use chrono::{Datelike, NaiveDate, Offset};
use proptest::prelude::*;

use super::calendar::{CLOCK, Case, DAYS, ZONES, decade};
use super::*;

/// SplitMix64: all of a simulation follows from its seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `from` to `to`, both included.
    fn between(&mut self, from: i64, to: i64) -> i64 {
        from + (self.throw() % (to - from + 1) as u64) as i64
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.throw().is_multiple_of(n)
    }
}

/// How far the clock is off at the most, in seconds. Twice that is less than [`WRONG`].
const OFF: i64 = 11 * 3600;

/// A daemon's life: it looks at a clock that is set now and then, sleeps, is restarted, has its job's file edited. At each look, the
/// calendar says what it has to find. Returns how many runs by schedule, runs to catch up, and skipped ones it found.
fn live(tables: &[(Timetable, Vec<DateTime<Utc>>)], seed: u64) -> [usize; 3] {
    let mut dice = Dice(seed);
    let (begin, end) = decade();
    let midnight = |day: NaiveDate| day.and_hms_opt(0, 0, 0).unwrap().and_utc();
    // A day off either end, where the zones' calendars begin and end.
    let mut real = midnight(begin) + Duration::days(2);
    let end = midnight(end) - Duration::days(2);
    let mut off = Duration::zero();
    let mut catch_up = dice.one_in(2);
    let mut table = 0;
    let mut plan = Planned::new(tables[0].0.clone(), catch_up, None, real);
    // All due times of the calendar before this one have come up.
    let mut come = tables[0].1.partition_point(|due| *due <= real);
    let mut absence = Absence::None;
    let mut counts = [0; 3];

    loop {
        // On to something that is due, or just before it, or to somewhere in between; at times, past a lot of it.
        let ahead = match plan.next() {
            Some(next) if !dice.one_in(4) => (next - real - off).max(Duration::zero()),
            _ => Duration::seconds(dice.between(0, 3 * 86400)),
        };
        let more = match dice.between(0, 9) {
            0..=5 => Duration::milliseconds(dice.between(0, 1000)),
            6 => Duration::milliseconds(-1),
            7 => Duration::seconds(dice.between(0, 600)),
            8 => Duration::seconds(dice.between(0, 5 * 3600)),
            _ => Duration::seconds(dice.between(0, 5 * 86400)),
        };
        real += (ahead + more).max(Duration::zero());
        if dice.one_in(16) {
            off = match dice.between(0, 2) {
                0 => Duration::zero(),
                _ => Duration::seconds(dice.between(-OFF, OFF)),
            };
        }
        let now = real + off;
        if now >= end {
            break;
        }
        if dice.one_in(16) {
            catch_up = dice.one_in(2);
            let kept = plan.handled_until();
            plan = Planned::new(tables[table].0.clone(), catch_up, Some(kept), now);
            absence = Absence::Down;
        }

        let calendar = &tables[table].1;
        let (first, last) = (come, calendar.partition_point(|due| *due <= now));
        let expected = (first < last).then(|| {
            let late = now - calendar[last - 1];
            let count = u32::try_from(last - first).unwrap().min(MANY);
            let tolerated = match absence {
                Absence::None => Duration::hours(3),
                Absence::Down => Duration::minutes(5),
            };
            let due = calendar[last - 1];
            let run = |trigger| Due::Run {
                due,
                trigger,
                covers: count,
            };
            match (late <= tolerated, catch_up) {
                (true, _) => run(Trigger::Schedule),
                (false, true) => run(Trigger::CatchUp),
                (false, false) => Due::Missed {
                    first: calendar[first],
                    last: due,
                    count,
                },
            }
        });
        come = come.max(last);

        let found = if absence == Absence::None && dice.one_in(32) {
            let before = plan.handled_until();
            let edited = dice.between(0, tables.len() as i64 - 1) as usize;
            catch_up = dice.one_in(2);
            let found = plan.change(tables[edited].0.clone(), catch_up, now);
            if edited != table {
                table = edited;
                let since = now.max(before);
                come = tables[table].1.partition_point(|due| *due <= since);
            }
            found
        } else {
            plan.look(now, absence)
        };
        absence = Absence::None;
        assert_eq!(found, expected, "{} at {now}", tables[table].0);
        match found {
            None | Some(Due::Rewound { .. }) => {}
            Some(Due::Run { trigger, .. }) => {
                counts[usize::from(trigger == Trigger::CatchUp)] += 1;
            }
            Some(Due::Missed { .. }) => counts[2] += 1,
        }
        match tables[table].1.get(come) {
            Some(due) => assert_eq!(plan.next(), Some(*due)),
            None => assert!(plan.next().is_none_or(|next| next > now)),
        }
        assert_eq!(plan.look(now, Absence::None), None);
    }
    counts
}

/// A case's timetable, and its due times by the calendar, moved by the same offset.
fn with_jitter(
    case: &Case,
    zone: Tz,
    calendar: &[DateTime<Utc>],
    jitter: Option<u64>,
) -> (Timetable, Vec<DateTime<Utc>>) {
    let jitter = jitter.map(std::time::Duration::from_secs);
    let schedule = Schedule::parse(case.schedule).unwrap();
    let table = Timetable::new(schedule, zone, jitter, "db1.example", "accounts");
    let due = calendar.iter().map(|at| *at + table.offset()).collect();
    (table, due)
}

/// Each pair on one of the machine's processors.
fn for_each<T: Sync, R: Send>(all: &[T], what: impl Fn(&T) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let threads: Vec<_> = all.iter().map(|one| scope.spawn(|| what(one))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

/// What ten undisturbed years bring: a look each time something is due.
fn undisturbed(schedule: &str, zone: Tz) -> Vec<DateTime<Utc>> {
    let (begin, end) = decade();
    let midnight = |day: NaiveDate| day.and_hms_opt(0, 0, 0).unwrap();
    let local = |day| midnight(day).and_local_timezone(zone).unwrap().to_utc();
    let before = local(begin) - Duration::seconds(1);
    let mut plan = Planned::new(timetable(schedule, zone), false, None, before);
    let mut runs = Vec::new();
    while let Some(next) = plan.next().filter(|next| *next < local(end)) {
        let found = plan.look(next + Duration::milliseconds(300), Absence::None);
        let expected = Due::Run {
            due: next,
            trigger: Trigger::Schedule,
            covers: 1,
        };
        assert_eq!(found, Some(expected));
        runs.push(next);
    }
    runs
}

#[test]
fn a_nightly_job_runs_once_on_every_day_of_ten_years_in_every_zone() {
    for_each(ZONES, |zone| {
        for schedule in ["30 1 * * *", "30 2 * * *", "15 2 * * *", "daily"] {
            let runs = undisturbed(schedule, *zone);
            let days = runs.iter().map(|run| run.with_timezone(zone).date_naive());
            let (begin, end) = decade();
            let all = begin.iter_days().take_while(|day| *day < end);
            assert!(days.eq(all), "{schedule} in {zone}");
        }
    });
}

#[test]
fn ten_years_are_as_the_calendar_has_them() {
    for_each(ZONES, |zone| {
        for case in DAYS {
            let runs = undisturbed(case.schedule, *zone);
            assert!(runs == case.due(*zone), "{} in {zone}", case.schedule);
        }
    });
}

#[test]
fn on_each_second_around_a_change_of_clocks_the_next_time_is_the_calendars() {
    for_each(ZONES, |zone| {
        let (begin, end) = decade();
        let half_hours = |day: NaiveDate| {
            let midnight = day.and_hms_opt(0, 0, 0).unwrap().and_utc();
            (0..48).map(move |n| midnight + Duration::minutes(30 * n))
        };
        // A zone's calendar ends within a day of the UTC one.
        let days = begin.iter_days().skip(1).take_while(|day| *day < end);
        let offset = |at: DateTime<Utc>| at.with_timezone(zone).offset().fix();
        let changes: Vec<_> = days
            .flat_map(half_hours)
            .filter(|at| offset(*at) != offset(*at - Duration::seconds(1)))
            .collect();
        let steady = [Tz::UTC, chrono_tz::Asia::Kathmandu].contains(zone);
        assert_eq!(changes.len(), if steady { 0 } else { 20 }, "{zone}");
        for case in DAYS.iter().chain(CLOCK) {
            let calendar = case.due(*zone);
            let (table, _) = with_jitter(case, *zone, &calendar, None);
            for at in &changes {
                for millis in (-4000..4000).step_by(500) {
                    let after = *at + Duration::milliseconds(millis);
                    let due = calendar.get(calendar.partition_point(|due| *due <= after));
                    // The calendar may be at its end.
                    if let Some(due) = due {
                        assert_eq!(table.next_after(after), Some(*due), "{table} after {after}");
                    }
                }
            }
        }
    });
}

#[test]
fn there_are_seven_31sts_a_year_and_three_leap_days() {
    for zone in ZONES {
        let mut years = BTreeMap::new();
        for run in undisturbed("0 0 31 * *", *zone) {
            let day = run.with_timezone(zone).date_naive();
            assert_eq!(day.day(), 31);
            *years.entry(day.year()).or_insert(0) += 1;
        }
        let seven: BTreeMap<i32, i32> = (2026..2036).map(|year| (year, 7)).collect();
        assert_eq!(years, seven);
    }
    let mut plan = Planned::new(
        timetable("0 0 29 2 *", chrono_tz::Europe::London),
        false,
        None,
        utc("2026-01-01T00:00:00Z"),
    );
    for year in [2028, 2032, 2036] {
        let due = plan.next().unwrap();
        let day = NaiveDate::from_ymd_opt(year, 2, 29).unwrap();
        assert_eq!(due.date_naive(), day);
        assert!(plan.look(due, Absence::None).is_some());
    }
}

#[test]
fn an_hourly_job_runs_once_in_every_hour_that_passes() {
    for_each(ZONES, |zone| {
        let runs = undisturbed("hourly", *zone);
        let mut gaps = BTreeMap::new();
        for pair in runs.windows(2) {
            *gaps.entry((pair[1] - pair[0]).num_minutes()).or_insert(0) += 1;
        }
        let hours = (runs[runs.len() - 1] - runs[0]).num_hours() as usize;
        if *zone == chrono_tz::Australia::Lord_Howe {
            // Twice a year the whole hour itself moves by half an hour.
            assert_eq!(gaps.remove(&90), Some(20));
            assert_eq!(runs.len(), hours - 10 + 1);
        } else {
            assert_eq!(runs.len(), hours + 1);
        }
        assert_eq!(gaps.into_keys().collect::<Vec<_>>(), [60], "{zone}");
    });
}

#[test]
fn no_clock_sleep_restart_or_edit_loses_or_repeats_a_time_of_the_elapsed_hour() {
    let zones = [chrono_tz::Europe::London, chrono_tz::Australia::Lord_Howe];
    let all: Vec<(Tz, &Case)> = zones
        .iter()
        .flat_map(|zone| CLOCK.iter().map(|case| (*zone, case)))
        .collect();
    for_each(&all, |(zone, case)| {
        let calendar = case.due(*zone);
        let tables = [None, Some(300)].map(|jitter| with_jitter(case, *zone, &calendar, jitter));
        let counts = live(&tables, 1);
        assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    /// Each due time comes up exactly once, in order: in a run, or as missed; whatever clock, machine, daemon and job go through.
    #[test]
    fn no_clock_sleep_restart_or_edit_loses_or_repeats_a_due_time(
        seed: u64,
        jitter in 2u64..7200,
        // One that is due often: rare ones would take up the years.
        other in 0usize..4,
    ) {
        let found = for_each(ZONES, |zone| {
            let calendars: Vec<_> = DAYS.iter().map(|case| case.due(*zone)).collect();
            let edited = with_jitter(&DAYS[other], *zone, &calendars[other], None);
            let mut all = [0; 3];
            for (case, calendar) in DAYS.iter().zip(&calendars) {
                let still = with_jitter(case, *zone, calendar, None);
                let moved = with_jitter(case, *zone, calendar, Some(jitter));
                let found = live(&[still, moved, edited.clone()], seed);
                all = std::array::from_fn(|n| all[n] + found[n]);
            }
            all
        });
        prop_assert!(found.iter().flatten().all(|count| *count > 100), "{found:?}");
    }
}
