//! Pauses of environments and of everything, rollbacks in the queue, and one run by hand at a time.

use std::time::Duration;

use envsyncd::state::{RunState, Trigger, Verb};

use super::notify::Ear;
use super::{gated, tables, under_way, user};
use crate::support::daemon::House;

/// Waits until `b`'s schedule has started so many more runs.
fn until_more(house: &House, job: &str, more: usize) {
    let before = house.runs(Some(job)).len();
    house.until("others ran", |house| {
        house.runs(Some(job)).len() >= before + more
    });
}

#[test]
fn a_pause_of_an_environment_or_of_all_stops_its_jobs_and_no_others() {
    let mut house = House::new("max_concurrent_runs = 2");
    let ear = Ear::at(&mut house, Some(Duration::from_secs(30)));
    let every_second = |name: &str| house.draft(name).top("schedule = \"* * * * * *\"");
    house.put("a", &every_second("a"));
    let other = house.draft("b").flow("staging", "qa");
    let other = other.environment("qa", "staging");
    let other = other.top("schedule = \"* * * * * *\"");
    house.put("b", &other);
    house.start();
    house.until_run("a", RunState::Succeeded);
    house.until_run("b", RunState::Succeeded);
    house
        .run(&["pause", "--to", "staging", "--reason", "load test"])
        .expect(0)
        .says(&["everything into `staging`", &user()]);
    // One may have been put in the queue while the pause was recorded.
    until_more(&house, "b", 1);
    let before = house.runs(Some("a")).len();
    until_more(&house, "b", 3);
    assert_eq!(house.runs(Some("a")).len(), before);
    house.until("its status file knows", |house| {
        house.status("a").unwrap()["paused"]["reason"] == "load test"
    });
    assert!(house.status("b").unwrap()["paused"].is_null());
    house.run(&["trigger", "a"]).expect(75).says(&[
        "everything into `staging` is paused by",
        "resume --to staging",
    ]);
    let status = house.json(&["status", "--json"]);
    assert_eq!(status["pauses"][0]["environment"], "staging");
    assert_eq!(status["jobs"][0]["paused"]["scope"], "environment");
    assert!(status["jobs"][1]["paused"].is_null(), "{status}");

    house
        .run(&["pause", "--all", "--reason", "the network"])
        .expect(0);
    // Whatever it was about when the pause was recorded, the daemon has come round since.
    ear.beats(&house, 3);
    house.until("the last of its runs had ended", |house| {
        house.last("b").unwrap().state.is_final()
    });
    let others = house.runs(Some("b")).len();
    ear.beats(&house, 4);
    assert_eq!(house.runs(Some("b")).len(), others);
    house
        .run(&["status"])
        .expect(0)
        .says(&["everything is paused by", "everything into `staging` is"]);
    house.run(&["resume", "--all"]).expect(0);
    until_more(&house, "b", 1);
    assert_eq!(house.runs(Some("a")).len(), before, "its own pause holds");
    house.run(&["resume", "--to", "staging"]).expect(0);
    until_more(&house, "a", 1);
}

#[test]
fn a_pause_is_of_one_thing_and_of_an_environment_that_there_is() {
    let house = House::new("");
    house.job("a");
    for arguments in [
        &["pause", "--reason", "r"][..],
        &["pause", "a", "--all", "--reason", "r"],
        &["pause", "--all", "--to", "staging", "--reason", "r"],
        &["resume"],
        &["resume", "a", "--to", "staging"],
        &["pause", "b", "--reason", "r"],
    ] {
        house.run(arguments).expect(2);
    }
    assert!(house.state().pauses().unwrap().is_empty());
}

#[test]
fn a_rollback_waits_in_the_queue_and_is_run_by_the_daemon() {
    let mut house = House::new("");
    house.job("a");
    house.start();
    house.run(&["trigger", "a", "--wait"]).expect(0);
    rusqlite::Connection::open(house.bed.path("source.db"))
        .and_then(|source| source.execute_batch("CREATE TABLE late (a)"))
        .unwrap();
    house.run(&["trigger", "a", "--wait"]).expect(0);
    assert_eq!(tables(&house.target("a")), ["late", "t"]);
    house
        .run(&["trigger", "a", "--rollback", "--only", "sqlite"])
        .expect(2);
    house
        .run(&["trigger", "a", "--rollback", "--wait"])
        .expect(0)
        .says(&["a succeeded"]);
    assert_eq!(tables(&house.target("a")), ["t"]);
    let run = house.last("a").unwrap();
    assert_eq!((run.verb, run.trigger), (Verb::Rollback, Trigger::Manual));
    assert_eq!((run.by, run.exit_code), (user(), Some(0)));
    house
        .run(&["history"])
        .expect(0)
        .says(&["previous -> staging"]);
    let audit = house.json(&["history", "--audit", "--json"]);
    assert_eq!(audit["entries"][0]["action"], "rollback");
    let object = audit["entries"][0]["object"].as_str().unwrap();
    assert!(
        object.contains("`a`") && object.contains(&run.id),
        "{object}"
    );
}

#[test]
fn a_job_into_a_held_environment_is_refused_before_it_waits() {
    let mut house = House::new("");
    house.job("a");
    house.start();
    house
        .run(&["hold", "staging", "--reason", "release 42"])
        .expect(0);
    house.run(&["trigger", "a"]).expect(75).says(&[
        "`staging` is held by",
        "release 42",
        "envsyncd release staging",
    ]);
    assert!(house.runs(None).is_empty());
    house.run(&["release", "staging"]).expect(0);
    house.run(&["trigger", "a", "--wait"]).expect(0);
}

#[test]
fn where_one_run_by_hand_may_be_the_second_is_told_of_the_first() {
    let (house, gate) = under_way("one_manual_run = true\nmax_concurrent_runs = 2", "", &["b"]);
    let first = house.last("a").unwrap().id;
    house
        .run(&["trigger", "b"])
        .expect(75)
        .says(&[&first, "`a`", "running"]);
    let (job, other) = gated(&house, "c");
    house.put("c", &job.top("schedule = \"* * * * * *\""));
    house.until("what is due was started", |_| other.is_reached());
    other.open();
    gate.open();
    house.until_run("a", RunState::Succeeded);
    house.run(&["trigger", "b", "--wait"]).expect(0);
}
