use super::*;
use proptest::prelude::*;

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn due(schedule: &str, zone: Tz, from: &str, until: &str) -> Vec<String> {
    let schedule = Schedule::parse(schedule).unwrap();
    let mut at = utc(from);
    let mut all = Vec::new();
    while let Some(next) = schedule.next_after(at, zone) {
        if next > utc(until) {
            break;
        }
        all.push(next.format("%dT%H:%M").to_string());
        at = next;
    }
    all
}

const LONDON: Tz = chrono_tz::Europe::London;

#[test]
fn a_named_hour_runs_exactly_once_on_each_night_the_clocks_change() {
    // Berlin: 02:00 becomes 03:00 on 29 March 2026 (01:00 UTC), 03:00 becomes 02:00 on 25 October (01:00 UTC).
    let berlin = chrono_tz::Europe::Berlin;
    assert_eq!(
        due(
            "30 2 * * *",
            berlin,
            "2026-03-27T12:00:00Z",
            "2026-03-30T12:00:00Z"
        ),
        ["28T01:30", "29T01:00", "30T00:30"]
    );
    assert_eq!(
        due(
            "30 2 * * *",
            berlin,
            "2026-10-23T12:00:00Z",
            "2026-10-26T12:00:00Z"
        ),
        ["24T00:30", "25T00:30", "26T01:30"]
    );
}

#[test]
fn a_list_of_hours_is_on_the_clock_too() {
    assert_eq!(
        due(
            "30 1,13 * * *",
            LONDON,
            "2026-03-28T14:00:00Z",
            "2026-03-29T23:00:00Z"
        ),
        ["29T01:00", "29T12:30"]
    );
    assert_eq!(
        due(
            "*/30 1 * * *",
            LONDON,
            "2026-10-24T12:00:00Z",
            "2026-10-25T12:00:00Z"
        ),
        ["25T00:00", "25T00:30"]
    );
}

#[test]
fn every_hour_is_every_hour_whatever_the_clock_says() {
    assert_eq!(
        due(
            "hourly",
            LONDON,
            "2026-03-28T23:30:00Z",
            "2026-03-29T02:30:00Z"
        ),
        ["29T00:00", "29T01:00", "29T02:00"]
    );
    assert_eq!(
        due(
            "*/30 * * * *",
            LONDON,
            "2026-10-24T23:45:00Z",
            "2026-10-25T02:00:00Z"
        ),
        ["25T00:00", "25T00:30", "25T01:00", "25T01:30", "25T02:00"]
    );
}

#[test]
fn the_second_of_two_equal_hours_does_not_lead_back_to_the_first() {
    // 01:10 for the second time.
    let schedule = Schedule::parse("30 1 * * *").unwrap();
    let next = schedule.next_after(utc("2026-10-25T01:10:00Z"), LONDON);
    assert_eq!(next, Some(utc("2026-10-26T01:30:00Z")));
}

#[test]
fn a_time_that_does_not_exist_is_due_even_seen_from_the_second_before_the_jump() {
    let schedule = Schedule::parse("30 1 * * *").unwrap();
    for at in ["00:59:58Z", "00:59:59Z", "00:59:59.999Z"] {
        let next = schedule.next_after(utc(&format!("2028-03-26T{at}")), LONDON);
        assert_eq!(next, Some(utc("2028-03-26T01:00:00Z")), "{at}");
    }
    let next = schedule.next_after(utc("2028-03-26T01:00:00Z"), LONDON);
    assert_eq!(next, Some(utc("2028-03-27T00:30:00Z")));
    // And where the clock goes back in that second.
    let next = schedule.next_after(utc("2028-10-29T00:59:59Z"), LONDON);
    assert_eq!(next, Some(utc("2028-10-30T01:30:00Z")));
}

#[test]
fn words_seconds_and_rare_days_work() {
    let next = |text: &str| {
        Schedule::parse(text)
            .unwrap()
            .next_after(utc("2026-01-01T00:00:00.5Z"), Tz::UTC)
            .unwrap()
    };
    assert_eq!(next("hourly"), utc("2026-01-01T01:00:00Z"));
    assert_eq!(next("daily"), utc("2026-01-02T00:00:00Z"));
    assert_eq!(next("weekly"), utc("2026-01-05T00:00:00Z"));
    assert_eq!(next("*/10 * * * * *"), utc("2026-01-01T00:00:10Z"));
    assert_eq!(next("0 * 29 2 *"), utc("2028-02-29T00:00:00Z"));
    assert_eq!(next("18 0 * * *").second(), 0);
}

#[test]
fn what_is_no_schedule_or_never_due_is_refused() {
    for text in [
        "",
        "often",
        "@daily",
        "60 0 * * *",
        "0 25 * * *",
        "* * * *",
        "0 0 0 1 1 * 2030",
        "0 0 30 2 *",
        "0 * 31 4 *",
        "a b c d e",
    ] {
        assert!(Schedule::parse(text).is_err(), "{text}");
    }
}

#[test]
fn what_is_wrong_names_its_field_and_range_or_what_to_write_instead() {
    for (text, part) in [
        ("@daily", "write `daily`"),
        ("@monthly", "write `0 0 1 * *`"),
        (
            "60 0 * * *",
            "`60` in its minute (`60`) is not within 0 to 59",
        ),
        (
            "0 7-25 * * *",
            "`25` in its hour (`7-25`) is not within 0 to 23",
        ),
        (
            "0 0 0 * *",
            "`0` in its day of the month (`0`) is not within 1 to 31",
        ),
        (
            "0 0 1 13 *",
            "`13` in its month (`13`) is not within 1 to 12",
        ),
        (
            "0 0 * * 1,8",
            "`8` in its day of the week (`1,8`) is not within 0 to 7",
        ),
        (
            "61 0 0 * * *",
            "`61` in its second (`61`) is not within 0 to 59",
        ),
        (
            "*/0 * * * *",
            "its minute has the step `0`, which is not within 1 to 60",
        ),
        ("x 0 * * *", "`x` in its minute (`x`) is not within 0 to 59"),
        (
            "1- 0 * * *",
            "`` in its minute (`1-`) is not within 0 to 59",
        ),
    ] {
        let said = Schedule::parse(text).unwrap_err();
        assert!(said.contains(part), "{text}: {said}");
    }
    for fine in [
        "0 0 L * *",
        "0 0 * JAN-MAR MON-FRI",
        "0 0 15W * *",
        "0 0 * * FRI#2",
        "0 0 * * 5L",
        "*/60 */24 * * *",
        "0-30/10,45 1,2,3 1-31/2 * ?",
    ] {
        Schedule::parse(fine).unwrap();
    }
}

#[test]
fn the_shortest_gap_is_found_beside_longer_ones() {
    for (text, hours) in [
        ("hourly", Some(1)),
        ("0 9,10,18 * * *", Some(1)),
        ("30 2 * * 1-5", Some(24)),
        ("weekly", Some(7 * 24)),
        ("0 0 1,3 6 *", Some(48)),
        ("0 0 29 2 *", None),
    ] {
        let gap = Schedule::parse(text).unwrap().shortest_gap();
        assert_eq!(gap.map(|gap| gap.as_secs() / 3600), hours, "{text}");
    }
}

proptest! {
    /// Whenever one asks, the next time lies ahead, and nothing lies between.
    #[test]
    fn next_is_ahead_and_the_first(
        at in 1_700_000_000i64..1_800_000_000,
        zone in prop::sample::select(vec![LONDON, chrono_tz::America::New_York, chrono_tz::Australia::Lord_Howe, chrono_tz::Asia::Kathmandu]),
        text in prop::sample::select(vec!["*/20 * * * *", "30 2 * * *", "15 */3 * * 1-5", "0 0 1 * *", "45 1,2,3 * * 0"]),
    ) {
        let schedule = Schedule::parse(text).unwrap();
        let at = DateTime::from_timestamp(at, 0).unwrap();
        let next = schedule.next_after(at, zone).unwrap();
        prop_assert!(next > at);
        let middle = at + (next - at) / 2;
        prop_assert_eq!(schedule.next_after(middle, zone).unwrap(), next);
    }
}
