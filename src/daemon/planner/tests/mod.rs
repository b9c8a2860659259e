//! The rules one by one; `years` holds them to ten years of nights.

use chrono_tz::Tz;

use super::*;
use crate::schedule::Schedule;

mod calendar;
mod years;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn timetable(schedule: &str, zone: Tz) -> Timetable {
    Timetable::new(Schedule::parse(schedule).unwrap(), zone, None, "db1", "job")
}

/// A plan of 02:30 each night, dealt with until 1 January's.
fn nightly(catch_up: bool) -> Planned {
    Planned::new(
        timetable("30 2 * * *", Tz::UTC),
        catch_up,
        Some(utc("2026-01-01T02:30:00Z")),
        utc("2026-01-01T12:00:00Z"),
    )
}

fn run(due: &str, trigger: Trigger, covers: u32) -> Due {
    Due::Run {
        due: utc(due),
        trigger,
        covers,
    }
}

fn missed(first: &str, last: &str, count: u32) -> Due {
    Due::Missed {
        first: utc(first),
        last: utc(last),
        count,
    }
}

#[test]
fn a_due_time_comes_up_once_and_not_a_moment_early() {
    let mut plan = nightly(false);
    assert_eq!(plan.next(), Some(utc("2026-01-02T02:30:00Z")));
    let look = |plan: &mut Planned, at: &str| plan.look(utc(at), Absence::None);
    assert_eq!(look(&mut plan, "2026-01-02T02:29:59.999Z"), None);
    let due = Some(run("2026-01-02T02:30:00Z", Trigger::Schedule, 1));
    assert_eq!(look(&mut plan, "2026-01-02T02:30:00Z"), due);
    assert_eq!(plan.handled_until(), utc("2026-01-02T02:30:00Z"));
    assert_eq!(plan.next(), Some(utc("2026-01-03T02:30:00Z")));
    assert_eq!(look(&mut plan, "2026-01-02T02:30:00Z"), None);
    assert_eq!(look(&mut plan, "2026-01-02T02:30:01Z"), None);
}

#[test]
fn nothing_before_a_job_was_seen_first_is_due() {
    let now = utc("2026-01-01T12:00:00Z");
    let mut plan = Planned::new(timetable("30 2 * * *", Tz::UTC), true, None, now);
    assert_eq!(plan.handled_until(), now);
    assert_eq!(plan.look(now, Absence::Down), None);
    assert_eq!(plan.next(), Some(utc("2026-01-02T02:30:00Z")));
    // Not even the time it was seen at.
    let mut plan = Planned::new(timetable("0 12 * * *", Tz::UTC), true, None, now);
    assert_eq!(plan.look(now, Absence::Down), None);
}

#[test]
fn up_to_three_hours_late_is_on_time_while_the_daemon_is_there() {
    for catch_up in [false, true] {
        let due = Some(run("2026-01-02T02:30:00Z", Trigger::Schedule, 1));
        let look = |at| nightly(catch_up).look(utc(at), Absence::None);
        assert_eq!(look("2026-01-02T02:30:04Z"), due);
        assert_eq!(look("2026-01-02T05:30:00Z"), due);
    }
    let late = utc("2026-01-02T05:30:01Z");
    assert_eq!(
        nightly(false).look(late, Absence::None),
        Some(missed("2026-01-02T02:30:00Z", "2026-01-02T02:30:00Z", 1))
    );
    assert_eq!(
        nightly(true).look(late, Absence::None),
        Some(run("2026-01-02T02:30:00Z", Trigger::CatchUp, 1))
    );
}

#[test]
fn up_to_five_minutes_late_is_on_time_after_a_restart() {
    for catch_up in [false, true] {
        assert_eq!(
            nightly(catch_up).look(utc("2026-01-02T02:35:00Z"), Absence::Down),
            Some(run("2026-01-02T02:30:00Z", Trigger::Schedule, 1))
        );
    }
    let late = utc("2026-01-02T02:35:01Z");
    assert_eq!(
        nightly(false).look(late, Absence::Down),
        Some(missed("2026-01-02T02:30:00Z", "2026-01-02T02:30:00Z", 1))
    );
    assert_eq!(
        nightly(true).look(late, Absence::Down),
        Some(run("2026-01-02T02:30:00Z", Trigger::CatchUp, 1))
    );
}

#[test]
fn what_came_together_comes_up_as_one() {
    let later = utc("2026-01-05T12:00:00Z");
    let mut plan = nightly(false);
    assert_eq!(
        plan.look(later, Absence::Down),
        Some(missed("2026-01-02T02:30:00Z", "2026-01-05T02:30:00Z", 4))
    );
    assert_eq!(plan.look(later, Absence::None), None);
    assert_eq!(plan.next(), Some(utc("2026-01-06T02:30:00Z")));
    assert_eq!(
        nightly(true).look(later, Absence::Down),
        Some(run("2026-01-05T02:30:00Z", Trigger::CatchUp, 4))
    );
    // The newest decides.
    for (absence, now) in [
        (Absence::None, "2026-01-05T04:00:00Z"),
        (Absence::Down, "2026-01-05T02:31:00Z"),
    ] {
        assert_eq!(
            nightly(false).look(utc(now), absence),
            Some(run("2026-01-05T02:30:00Z", Trigger::Schedule, 4))
        );
    }
}

#[test]
fn a_clock_set_back_by_up_to_a_day_brings_nothing_again() {
    let mut plan = nightly(true);
    assert!(
        plan.look(utc("2026-01-02T02:30:00Z"), Absence::None)
            .is_some()
    );
    for (at, absence) in [
        ("2026-01-02T01:30:00Z", Absence::None),
        ("2026-01-02T02:30:00Z", Absence::None),
        ("2026-01-01T02:30:00Z", Absence::Down),
        ("2026-01-02T03:30:00Z", Absence::Down),
    ] {
        assert_eq!(plan.look(utc(at), absence), None, "{at}");
        assert_eq!(plan.next(), Some(utc("2026-01-03T02:30:00Z")));
    }
}

#[test]
fn a_plan_more_than_a_day_ahead_begins_anew_and_says_so() {
    let ahead = utc("2027-06-01T02:30:00Z");
    let now = utc("2026-01-02T02:29:00Z");
    for absence in [Absence::None, Absence::Down] {
        let table = timetable("30 2 * * *", Tz::UTC);
        let mut plan = Planned::new(table, true, Some(ahead), now);
        assert_eq!(plan.look(now, absence), Some(Due::Rewound { from: ahead }));
        assert_eq!(plan.handled_until(), now);
        assert_eq!(
            plan.look(utc("2026-01-02T02:30:00Z"), Absence::None),
            Some(run("2026-01-02T02:30:00Z", Trigger::Schedule, 1))
        );
    }
}

#[test]
fn a_year_of_seconds_is_neither_walked_through_nor_counted() {
    let begin = utc("2026-01-01T00:00:00Z");
    let now = utc("2027-01-01T00:00:00.7Z");
    for (schedule, last) in [
        ("* * * * * *", "2027-01-01T00:00:00Z"),
        ("0-9 * 3 1 5 *", "2026-05-01T03:59:09Z"),
        ("*/7 * * * *", "2027-01-01T00:00:00Z"),
    ] {
        let table = timetable(schedule, Tz::UTC);
        let plan = Planned::new(table, false, Some(begin), now);
        let one = plan.next().unwrap();
        assert_eq!(plan.last_by(one, now), utc(last), "{schedule}");
        // Seen from the due time itself, and from itself alone.
        assert_eq!(plan.last_by(one, utc(last)), utc(last), "{schedule}");
        assert_eq!(plan.last_by(utc(last), now), utc(last), "{schedule}");
    }
    let table = timetable("* * * * * *", chrono_tz::Europe::London);
    let mut plan = Planned::new(table, false, Some(begin), now);
    assert_eq!(
        plan.look(now, Absence::Down),
        Some(run("2027-01-01T00:00:00Z", Trigger::Schedule, MANY))
    );
    assert_eq!(plan.next(), Some(utc("2027-01-01T00:00:01Z")));
    // One below the limit is counted exactly.
    let mut plan = Planned::new(
        timetable("* * * * * *", Tz::UTC),
        false,
        Some(begin),
        begin + Duration::hours(1),
    );
    let at = begin + Duration::seconds(i64::from(MANY) - 1);
    assert!(
        matches!(plan.look(at, Absence::Down), Some(Due::Run { covers, due, .. }) if covers == MANY - 1 && due == at)
    );
}

#[test]
fn a_schedule_may_come_to_its_end() {
    // The calendar of schedules ends with the year 4999.
    let last = utc("4999-12-31T00:00:00Z");
    let table = timetable("0 0 31 12 *", Tz::UTC);
    let mut plan = Planned::new(table, false, Some(last - Duration::days(1)), last);
    assert_eq!(plan.next(), Some(last));
    let due = plan.look(last, Absence::None);
    assert_eq!(due, Some(run("4999-12-31T00:00:00Z", Trigger::Schedule, 1)));
    assert_eq!(plan.next(), None);
    assert_eq!(plan.look(last + Duration::days(800), Absence::Down), None);
}

#[test]
fn an_edited_schedule_is_not_due_for_the_time_before_it() {
    let mut plan = nightly(true);
    let edited = utc("2026-01-01T14:00:00Z");
    let noon = timetable("0 13 * * *", Tz::UTC);
    assert_eq!(plan.change(noon.clone(), true, edited), None);
    assert_eq!(plan.next(), Some(utc("2026-01-02T13:00:00Z")));
    assert_eq!(plan.timetable(), &noon);
    assert_eq!(plan.look(edited, Absence::None), None);
    // What the old one had due comes up with it.
    let again = timetable("30 2 * * *", Tz::UTC);
    assert_eq!(
        plan.change(again, true, utc("2026-01-02T13:00:01Z")),
        Some(run("2026-01-02T13:00:00Z", Trigger::Schedule, 1))
    );
    assert_eq!(plan.next(), Some(utc("2026-01-03T02:30:00Z")));
}

#[test]
fn an_edit_of_something_else_moves_nothing() {
    let mut plan = nightly(false);
    let same = plan.timetable().clone();
    let now = utc("2026-01-01T14:00:00Z");
    assert_eq!(plan.change(same, true, now), None);
    assert_eq!(plan.handled_until(), utc("2026-01-01T02:30:00Z"));
    // `catch_up` is taken over.
    assert_eq!(
        plan.look(utc("2026-01-02T12:00:00Z"), Absence::Down),
        Some(run("2026-01-02T02:30:00Z", Trigger::CatchUp, 1))
    );
}

#[test]
fn an_edit_after_the_clock_was_set_back_brings_nothing_again() {
    let mut plan = nightly(true);
    let due = utc("2026-01-02T02:30:00Z");
    assert!(plan.look(due, Absence::None).is_some());
    let every = timetable("*/30 * * * *", Tz::UTC);
    assert_eq!(plan.change(every, true, due - Duration::hours(1)), None);
    assert_eq!(plan.next(), Some(due + Duration::minutes(30)));
}
