//! Runs wait for their turn; due times are kept, and none is run twice.

use chrono::{Duration, Utc};
use envsyncd::state::{RunState, Trigger};

use super::{gated, in_state};
use crate::support::daemon::House;

#[test]
fn what_finds_no_room_waits_visibly_and_starts_in_order_even_after_the_daemon_was_killed() {
    let mut house = House::new("max_concurrent_runs = 1");
    let (job, gate) = gated(&house, "z-first");
    house.put("z-first", &job);
    house.job("y-second");
    house.job("x-third");
    house.start();
    house.trigger("z-first");
    house.until("the first was under way", |_| gate.is_reached());
    house.trigger("y-second");
    house.trigger("x-third");
    house
        .run(&["trigger", "x-third"])
        .expect(75)
        .says(&["pending"]);
    for name in ["y-second", "x-third"] {
        house.until_status(name, "state", "pending");
        let status = house.json(&["status", name, "--json"]);
        assert_eq!(status["jobs"][0]["state"], "pending");
        let history = house.json(&["history", name, "--json"]);
        assert_eq!(history["runs"][0]["state"], "pending");
    }
    house.kill();
    house.start();
    house.until_said("found a run that is under way");
    assert_eq!(house.last("y-second").unwrap().state, RunState::Pending);
    gate.open();
    house.until_run("x-third", RunState::Succeeded);
    let mut runs = house.runs(None);
    runs.sort_by_key(|run| run.started_at);
    let order: Vec<&str> = runs.iter().map(|run| run.job.as_str()).collect();
    assert_eq!(order, ["z-first", "y-second", "x-third"]);
    for pair in runs.windows(2) {
        assert!(pair[0].finished_at.unwrap() <= pair[1].started_at);
    }
}

#[test]
fn a_job_that_still_runs_at_its_next_time_is_skipped_with_a_warning() {
    let mut house = House::new("max_concurrent_runs = 2");
    let (job, gate) = gated(&house, "a");
    house.put("a", &job.top("schedule = \"* * * * * *\""));
    house.start();
    house.until("the run was under way", |_| gate.is_reached());
    house.until("two times were skipped", |house| {
        let runs = house.runs(Some("a"));
        runs.iter()
            .filter(|run| run.state == RunState::Skipped)
            .count()
            >= 2
    });
    let runs = house.runs(Some("a"));
    let first = &runs[0];
    assert_eq!(
        (first.state, first.trigger),
        (RunState::Running, Trigger::Schedule)
    );
    for skipped in &runs[1..] {
        assert_eq!(skipped.state, RunState::Skipped);
        assert_eq!((skipped.warnings, skipped.process.as_ref()), (1, None));
        let why = format!(
            "not started: run {} of this job was still running",
            first.id
        );
        assert_eq!(skipped.message, why);
    }
    house.until_said("a run was skipped");
    // A skipped run is no job's last word.
    house.until_status("a", "state", "running");
    gate.open();
    house.until("it ran again", |house| {
        house
            .last("a")
            .is_some_and(|run| run.id != first.id && run.state == RunState::Succeeded)
    });
    assert_eq!(house.runs(Some("a"))[0].state, RunState::Succeeded);
}

#[test]
fn what_was_due_while_the_daemon_was_down_is_run_once_with_catch_up_and_else_recorded_as_missed() {
    let mut house = House::new("");
    // A time of day that is not now.
    let at = (Utc::now() - Duration::hours(6)).format("0 %H * * *");
    let scheduled = |name: &str| house.draft(name).top(&format!("schedule = \"{at}\""));
    house.put("late", &scheduled("late").top("catch_up = true"));
    house.put("missed", &scheduled("missed"));
    house.start();
    house.kill();
    assert_eq!(house.runs(None), []);
    let long_ago = (Utc::now() - Duration::hours(50)).timestamp_micros();
    in_state(
        &house,
        &format!("UPDATE jobs SET handled_until = {long_ago}"),
    );
    for _ in 0..2 {
        house.start();
        let run = house.until_run("late", RunState::Succeeded);
        assert_eq!(run.trigger, Trigger::CatchUp);
        house.until("the missed times were recorded", |house| {
            house.runs(Some("missed")).len() == 1
        });
        house.kill();
    }
    assert_eq!(house.runs(None).len(), 2, "once means once");
    let missed = house.runs(Some("missed")).remove(0);
    assert_eq!((missed.state, missed.warnings), (RunState::Skipped, 1));
    assert!(
        missed.message.starts_with("missed: due 2 times from ")
            && missed.message.contains("`catch_up = true`"),
        "{}",
        missed.message
    );
}

#[test]
fn a_restart_does_not_lose_a_time_that_has_just_passed() {
    let mut house = House::new("");
    let at = (Utc::now() + Duration::hours(6)).format("0 %H * * *");
    house.put("a", &house.draft("a").top(&format!("schedule = \"{at}\"")));
    house.start();
    house.kill();
    // As if it had been due two minutes ago: the timetable is the same, the clock is not.
    let due = Utc::now() - Duration::minutes(2);
    let timetable = house.state().known_job("a").unwrap().unwrap().timetable;
    assert!(!timetable.is_empty());
    house.put(
        "a",
        &house
            .draft("a")
            .top(&format!("schedule = \"{}\"", due.format("%M %H * * *"))),
    );
    house.start();
    house.kill();
    let before = (due - Duration::minutes(2)).timestamp_micros();
    in_state(&house, &format!("UPDATE jobs SET handled_until = {before}"));
    house.start();
    let run = house.until_run("a", RunState::Succeeded);
    assert_eq!(run.trigger, Trigger::Schedule);
    assert_eq!(house.runs(None).len(), 1);
}

#[test]
fn a_queued_run_starts_the_daemons_own_file_and_a_malformed_row_holds_up_nothing() {
    let mut house = House::new("");
    house.job("a");
    house.job("b");
    let ran = house.bed.path("ran");
    let theirs = house.bed.path("theirs");
    std::fs::create_dir(&theirs).expect("a directory");
    let hook = format!(
        "after_publish = [\"/usr/bin/touch\", \"{}\"]",
        ran.display()
    );
    std::fs::write(
        theirs.join("a.toml"),
        house.draft("a").hooks(&hook).to_string(),
    )
    .expect("a file");
    house.start();
    let now = Utc::now().timestamp_micros();
    let row = |id: &str, job: &str, file: &std::path::Path| {
        format!(
            "INSERT INTO runs (id, job, file, verb, from_environment, to_environment, trigger, by, host, state, started_at)
             VALUES ('{id}', '{job}', CAST('{}' AS BLOB), 'run', 'production', 'staging', 'manual', '', '', 'pending', {now});",
            file.display()
        )
    };
    in_state(
        &house,
        &[
            row("019aa3f0-0001", "../../etc/daemon", &house.file("a")),
            row("--config", "b", &house.file("b")),
            row("019aa3f0-0002", "a", &theirs.join("a.toml")),
        ]
        .concat(),
    );
    house.until_run("a", RunState::Refused);
    house.until_said("and does not start");
    for why in ["run 1: job is no name", "run 2: id is no run's id"] {
        assert_eq!(house.times_said(why), 1, "{}", house.said());
    }
    house.trigger("b");
    house.until_run("b", RunState::Succeeded);
    house.trigger("a");
    house.until_run("a", RunState::Succeeded);
    assert!(!ran.exists());
}
