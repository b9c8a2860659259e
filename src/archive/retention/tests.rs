use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const DAY: u64 = 86_400;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn good(time: &str) -> Candidate {
    Candidate {
        name: time.to_owned(),
        taken_at: at(time),
        good: true,
    }
}

/// The names of those that go.
fn gone(candidates: &[Candidate], retention: &Retention, now: DateTime<Utc>) -> BTreeSet<String> {
    let verdicts = judge(candidates, retention, now);
    assert_eq!(verdicts.len(), candidates.len());
    candidates
        .iter()
        .zip(verdicts)
        .filter(|(_, verdict)| verdict.goes())
        .map(|(candidate, _)| candidate.name.clone())
        .collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Two a day, for four days around the turn of a year whose last days are of the next one's first week.
fn nights() -> Vec<Candidate> {
    [
        "2025-12-28T01:00:00Z", // Sunday: 2025-W52
        "2025-12-28T23:00:00Z",
        "2025-12-29T01:00:00Z", // Monday: 2026-W01
        "2025-12-31T23:59:59Z",
        "2026-01-01T00:00:00Z", // Thursday: 2026-W01
        "2026-01-01T23:00:00Z",
        "2026-01-05T01:00:00Z", // Monday: 2026-W02
    ]
    .map(good)
    .into()
}

#[test]
fn without_a_rule_nothing_goes() {
    let now = at("2099-01-01T00:00:00Z");
    assert_eq!(gone(&nights(), &Retention::default(), now), names(&[]));
    assert_eq!(
        judge(&nights(), &Retention::default(), now)[0],
        Verdict::Stays(vec![Reason::Unlimited])
    );
}

#[test]
fn the_last_ones_are_the_newest_whatever_the_order_they_are_listed_in() {
    let retention = Retention {
        keep_last: Some(5),
        ..Retention::default()
    };
    let mut listed = nights();
    listed.swap(0, 6);
    listed.swap(2, 4);
    assert_eq!(
        gone(&listed, &retention, at("2026-01-06T00:00:00Z")),
        names(&["2025-12-28T01:00:00Z", "2025-12-28T23:00:00Z"])
    );
}

#[test]
fn of_a_day_the_newest_stays_and_days_without_a_snapshot_do_not_count() {
    let retention = Retention {
        keep_daily: Some(4),
        ..Retention::default()
    };
    assert_eq!(
        gone(&nights(), &retention, at("2026-01-06T00:00:00Z")),
        names(&[
            "2025-12-28T01:00:00Z",
            "2025-12-28T23:00:00Z",
            "2026-01-01T00:00:00Z"
        ])
    );
}

#[test]
fn a_week_is_one_across_the_turn_of_the_year() {
    let retention = Retention {
        keep_weekly: Some(3),
        ..Retention::default()
    };
    let now = at("2026-01-06T00:00:00Z");
    assert_eq!(
        gone(&nights(), &retention, now),
        names(&[
            "2025-12-28T01:00:00Z",
            "2025-12-29T01:00:00Z",
            "2025-12-31T23:59:59Z",
            "2026-01-01T00:00:00Z"
        ])
    );
    let said: Vec<String> = judge(&nights(), &retention, now)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(said[1], "keep_weekly: 2025-W52");
    assert_eq!(said[4], "no rule keeps it");
    assert_eq!(said[5], "keep_weekly: 2026-W01");
    assert_eq!(said[6], "the newest good one, keep_weekly: 2026-W02");
}

#[test]
fn what_one_rule_wants_stays_though_another_does_not() {
    let retention = Retention {
        keep_last: Some(1),
        keep_daily: Some(2),
        keep_weekly: Some(3),
        max_age: None,
    };
    assert_eq!(
        gone(&nights(), &retention, at("2026-01-06T00:00:00Z")),
        names(&[
            "2025-12-28T01:00:00Z",
            "2025-12-29T01:00:00Z",
            "2025-12-31T23:59:59Z",
            "2026-01-01T00:00:00Z"
        ])
    );
}

#[test]
fn age_alone_keeps_the_younger_and_is_stronger_than_the_rules() {
    let now = at("2026-01-06T00:00:00Z");
    let mut retention = Retention {
        max_age: Some(Duration::from_secs(5 * DAY)),
        ..Retention::default()
    };
    let old = names(&[
        "2025-12-28T01:00:00Z",
        "2025-12-28T23:00:00Z",
        "2025-12-29T01:00:00Z",
        "2025-12-31T23:59:59Z",
    ]);
    // One that is exactly as old as that stays.
    assert_eq!(gone(&nights(), &retention, now), old);
    retention.keep_last = Some(100);
    assert_eq!(gone(&nights(), &retention, now), old);
    assert_eq!(
        judge(&nights(), &retention, now)[0].to_string(),
        "older than max_age"
    );
}

#[test]
fn the_newest_good_one_stays_however_old_it_is() {
    let mut all = nights();
    for time in ["2026-01-10T00:00:00Z", "2026-01-11T00:00:00Z"] {
        all.push(Candidate {
            good: false,
            ..good(time)
        });
    }
    let retention = Retention {
        keep_last: Some(1),
        max_age: Some(Duration::from_secs(1)),
        ..Retention::default()
    };
    let gone = gone(&all, &retention, at("2030-01-01T00:00:00Z"));
    assert!(!gone.contains("2026-01-05T01:00:00Z"));
    assert_eq!(gone.len(), 6);
}

#[test]
fn what_is_of_the_future_stays_and_pushes_nothing_out() {
    let now = at("2026-01-03T00:00:00Z");
    let retention = Retention {
        keep_last: Some(1),
        ..Retention::default()
    };
    let gone = gone(&nights(), &retention, now);
    assert!(!gone.contains("2026-01-05T01:00:00Z"));
    assert!(!gone.contains("2026-01-01T23:00:00Z"));
    assert_eq!(gone.len(), 5);
}

fn a_candidate() -> impl Strategy<Value = Candidate> {
    // Seconds around the days, so that many are of one day and some of one moment.
    (0u64..60, 0u64..4, any::<u32>(), prop::bool::weighted(0.8)).prop_map(
        |(day, quarter, id, good)| {
            let taken_at =
                DateTime::from_timestamp((day * DAY + quarter * DAY / 4) as i64, 0).unwrap();
            Candidate {
                name: format!("{}-{id:08x}", taken_at.format("%Y%m%dT%H%M%SZ")),
                taken_at,
                good,
            }
        },
    )
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
    prop::collection::vec(a_candidate(), 0..40).prop_map(|mut all| {
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.dedup_by(|a, b| a.name == b.name);
        all
    })
}

fn a_retention() -> impl Strategy<Value = Retention> {
    (
        prop::option::of(0u32..12),
        prop::option::of(0u32..12),
        prop::option::of(0u32..6),
        prop::option::of(0u64..60),
    )
        .prop_map(|(keep_last, keep_daily, keep_weekly, days)| Retention {
            keep_last,
            keep_daily,
            keep_weekly,
            max_age: days.map(|days| Duration::from_secs(days * DAY)),
        })
}

fn a_time() -> impl Strategy<Value = DateTime<Utc>> {
    (0i64..80 * DAY as i64).prop_map(|seconds| DateTime::from_timestamp(seconds, 0).unwrap())
}

proptest! {
    #[test]
    fn the_newest_good_one_and_what_is_not_good_never_go(
        all in candidates(), retention in a_retention(), now in a_time()
    ) {
        let gone = gone(&all, &retention, now);
        let newest = |candidates: &mut dyn Iterator<Item = &Candidate>| candidates
            .filter(|candidate| candidate.good)
            .max_by_key(|candidate| (candidate.taken_at, candidate.name.clone()))
            .map(|candidate| candidate.name.clone());
        let overall = newest(&mut all.iter());
        let so_far = newest(&mut all.iter().filter(|candidate| candidate.taken_at <= now));
        for name in overall.into_iter().chain(so_far) {
            prop_assert!(!gone.contains(&name));
        }
        for candidate in &all {
            if !candidate.good || candidate.taken_at > now {
                prop_assert!(!gone.contains(&candidate.name));
            }
        }
    }

    #[test]
    fn what_was_left_once_is_left_again(
        all in candidates(), retention in a_retention(), now in a_time()
    ) {
        let first = gone(&all, &retention, now);
        let left: Vec<Candidate> = all
            .into_iter()
            .filter(|candidate| !first.contains(&candidate.name))
            .collect();
        prop_assert!(gone(&left, &retention, now).is_empty());
    }

    #[test]
    fn what_goes_today_goes_tomorrow(
        all in candidates(), retention in a_retention(), now in a_time(), later in 0i64..10_000_000
    ) {
        let today = gone(&all, &retention, now);
        let tomorrow = gone(&all, &retention, now + TimeDelta::seconds(later));
        prop_assert!(today.is_subset(&tomorrow));
    }

    #[test]
    fn who_asks_for_more_keeps_no_less(
        all in candidates(), retention in a_retention(), now in a_time(), more in 0u32..5
    ) {
        let larger = Retention {
            keep_last: retention.keep_last.map(|count| count + more),
            keep_daily: retention.keep_daily.map(|count| count + more),
            keep_weekly: retention.keep_weekly.map(|count| count + more),
            max_age: retention.max_age.map(|age| age + Duration::from_secs(u64::from(more) * DAY)),
        };
        prop_assert!(gone(&all, &larger, now).is_subset(&gone(&all, &retention, now)));
    }

    #[test]
    fn the_order_of_the_list_and_what_is_not_good_in_it_change_nothing(
        all in candidates(), retention in a_retention(), now in a_time()
    ) {
        let mut other: Vec<Candidate> = all.iter().filter(|one| one.good).cloned().collect();
        other.reverse();
        prop_assert_eq!(gone(&all, &retention, now), gone(&other, &retention, now));
    }
}
