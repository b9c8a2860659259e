//! A clock that is set forward and back under a real daemon (libfaketime; the monotonic clock stays what it is).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{NaiveTime, Utc};
use envsyncd::state::{RunState, Trigger};

use super::notify::Ear;
use crate::support::daemon::House;
use crate::support::host::faketime;

/// The clock of a house's daemon and of all that it starts.
pub(super) struct Clock(PathBuf);

impl Clock {
    /// Before its daemon starts: at ten past noon.
    pub(super) fn of(house: &mut House) -> Self {
        let library = faketime();
        let file = house.bed.path("clock");
        for (name, value) in [
            ("LD_PRELOAD", library.to_str().expect("text")),
            ("FAKETIME_TIMESTAMP_FILE", file.to_str().expect("text")),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ] {
            house.variable(name, value);
        }
        let clock = Self(file);
        clock.set("12:10");
        clock
    }

    /// Sets it to a time of today (UTC), from where it goes on.
    pub(super) fn set(&self, time: &str) {
        let now = Utc::now();
        let time = NaiveTime::parse_from_str(time, "%H:%M").expect("a time");
        let ahead = (now.date_naive().and_time(time).and_utc() - now).num_seconds();
        let new = Path::new(&self.0).with_extension("new");
        fs::write(&new, format!("{ahead:+}\n")).expect("a file");
        fs::rename(new, &self.0).expect("the same directory");
    }
}

#[test]
fn no_time_is_run_twice_or_lost_when_the_clock_is_set_and_the_heart_goes_on_beating() {
    let mut house = House::new("");
    let ear = Ear::at(&mut house, Some(Duration::from_secs(30)));
    let clock = Clock::of(&mut house);
    house.put(
        "hourly",
        &house.draft("hourly").top("schedule = \"30 * * * *\""),
    );
    house.job("manual");
    house.start();
    ear.beats(&house, 2);
    assert_eq!(house.runs(None), []);

    // Forward over 12:30: one run.
    clock.set("13:10");
    let run = house.until_run("hourly", RunState::Succeeded);
    assert_eq!(run.trigger, Trigger::Schedule);
    assert_eq!(run.started_at.format("%H").to_string(), "13");

    // Back by an hour, and over 12:30 again: none.
    clock.set("12:10");
    ear.beats(&house, 3);
    house.until_said("the clock was set back");
    house.trigger("manual");
    house.until_run("manual", RunState::Succeeded);
    clock.set("12:35");
    ear.beats(&house, 3);
    assert_eq!(house.runs(Some("hourly")).len(), 1);

    // Over 13:30, which has not been before: the second.
    clock.set("13:31");
    house.until("it ran a second time", |house| {
        let runs = house.runs(Some("hourly"));
        runs.len() == 2 && runs[1].state == RunState::Succeeded
    });

    // Back and forth once more: none.
    clock.set("12:10");
    clock.set("13:35");
    ear.beats(&house, 3);
    assert_eq!(house.runs(Some("hourly")).len(), 2);
    house.stop().expect(0);
}

#[test]
fn a_run_that_is_under_way_outlives_a_clock_that_is_set() {
    let mut house = House::new("");
    let ear = Ear::at(&mut house, Some(Duration::from_secs(30)));
    let clock = Clock::of(&mut house);
    let (job, gate) = super::gated(&house, "a");
    house.put("a", &job.top("timeout = \"30m\""));
    house.start();
    house.trigger("a");
    house.until("the run was under way", |_| gate.is_reached());
    for time in ["18:10", "11:10"] {
        clock.set(time);
        ear.beats(&house, 3);
        assert_eq!(house.last("a").unwrap().state, RunState::Running);
    }
    gate.open();
    let run = house.until_run("a", RunState::Succeeded);
    assert!(run.finished_at.unwrap() >= run.started_at);
}
