//! A state store that is removed under a daemon and under runs.

use std::fs;
use std::path::Path;

use chrono::{Duration, Utc};
use envsyncd::state::{RunState, Trigger};

use super::{gated, tables, under_way};
use crate::support::daemon::House;

/// Takes the store away, or all of its directory.
fn remove(house: &House, what: &str) {
    let state = house.bed.path("state");
    match what {
        "directory" => fs::remove_dir_all(&state).expect("it is there"),
        _ => fs::remove_file(state.join("state.db")).expect("it is there"),
    }
}

/// The bytes that somebody writes into files which have no name any more.
fn lost(pid: u32) -> Vec<String> {
    let open = fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("a process")
        .flatten();
    open.filter_map(|file| fs::read_link(file.path()).ok())
        .map(|file| file.display().to_string())
        .filter(|file| file.contains("/state/state.db") && file.ends_with(" (deleted)"))
        .collect()
}

#[test]
fn a_daemon_whose_state_store_is_removed_says_so_and_goes_on_with_a_new_one() {
    for what in ["file", "directory"] {
        let (mut house, gate) = under_way("max_concurrent_runs = 1", "", &["b", "c"]);
        let due = Utc::now() + Duration::seconds(40);
        let schedule = due.format("schedule = \"%S %M %H * * *\"").to_string();
        house.put("d", &house.draft("d").top(&schedule));
        house.until("d was known", |house| {
            house.state().known_job("d").is_ok_and(|job| job.is_some())
        });
        let first = house.last("a").expect("a run").id;
        let waiting = house.trigger("b");
        house
            .run(&["hold", "qa", "--reason", "release 42"])
            .expect(0);
        house
            .run(&["pause", "c", "--reason", "load test"])
            .expect(0);
        // It looks at holds first, then at pauses and at what waits, and writes down what it has seen.
        house.until("the daemon had seen all", |house| {
            let status = |job: &str| house.status(job).unwrap_or_default();
            status("c")["paused"]["reason"] == "load test" && status("b")["state"] == "pending"
        });
        remove(&house, what);
        house.until_said("the state store was removed or replaced");
        house.until_said("are in the new state store");
        // The run that is under way is in it again, and so is what waits, what is paused and what is held.
        house.until("the run was there again", |house| {
            house
                .last("a")
                .is_some_and(|run| run.id == first && run.state == RunState::Running)
        });
        let again = house.last("b").expect("it waits");
        assert_eq!(
            (again.id, again.state, again.trigger),
            (waiting, RunState::Pending, Trigger::Manual)
        );
        house.run(&["trigger", "c"]).expect(75).says(&["load test"]);
        house
            .run(&["status"])
            .expect(0)
            .says(&["`qa` is held", "load test"]);
        house.run(&["daemon"]).expect(75).says(&["another daemon"]);
        gate.open();
        house.until_run("a", RunState::Succeeded);
        house.until_run("b", RunState::Succeeded);
        // The time that was due afterwards came up once.
        house.until_run("d", RunState::Succeeded);
        assert_eq!(house.runs(Some("d")).len(), 1, "{what}");
        assert_eq!(house.runs(Some("a")).len(), 1, "{what}");
        assert_eq!(lost(house.pid()), Vec::<String>::new(), "{what}");
        house.stop().expect(0);
        house.start();
        house.trigger("b");
        house.until("it ran again", |house| house.runs(Some("b")).len() == 2);
    }
}

#[test]
fn a_run_whose_state_store_is_removed_records_its_end_in_the_new_one() {
    for what in ["file", "directory"] {
        let house = House::new("");
        let (job, gate) = gated(&house, "a");
        house.put("a", &job);
        let mut running = house.bed.start(&house.file("a"));
        gate.wait(&mut running);
        let run = house.last("a").expect("a run").id;
        remove(&house, what);
        gate.open();
        let outcome = running.end().expect(0);
        assert!(
            outcome.stderr.contains("removed or replaced"),
            "{}",
            outcome.stderr
        );
        let runs = house.runs(Some("a"));
        assert_eq!(
            (runs.len(), runs[0].id.as_str(), runs[0].state),
            (1, run.as_str(), RunState::Succeeded)
        );
        assert_eq!(house.status("a").expect("a file")["state"], "succeeded");
    }
}

#[test]
fn a_run_that_cannot_record_its_end_anywhere_fails_loudly() {
    let house = House::new("");
    let (job, gate) = gated(&house, "a");
    house.put("a", &job);
    let mut running = house.bed.start(&house.file("a"));
    gate.wait(&mut running);
    let state = house.bed.path("state");
    fs::remove_dir_all(&state).expect("it is there");
    fs::write(&state, "not a directory").expect("a file");
    gate.open();
    let outcome = running.end().expect(1);
    // It was not published either: what cannot be recorded is not done.
    assert!(
        outcome.stderr.contains("could not be recorded"),
        "{}",
        outcome.stderr
    );
    assert_eq!(tables(&house.target("a")), ["old"]);
    fs::remove_file(Path::new(&state)).expect("it is there");
}
