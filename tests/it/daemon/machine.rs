//! What a machine does to a daemon: disks that are full or read-only, a second daemon, a newer program's state.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use chrono::{Duration, Utc};
use envsyncd::state::{RunState, Trigger};

use super::clocks::Clock;
use super::in_state;
use crate::support::daemon::House;
use crate::support::postgres::Must as _;
use crate::support::wait_until;

/// A small file system of its own, until it is dropped: before the house, whose directory can go only then.
struct Disk(PathBuf);

impl Disk {
    fn at(place: PathBuf) -> Self {
        Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m,mode=0755", "tmpfs"])
            .arg(&place)
            .must("mount (as root)");
        Self(place)
    }

    fn remount(&self, how: &str) {
        // While somebody has a file open for writing, it does not become read-only.
        wait_until("it was mounted anew (as root)", || {
            let mut mount = Command::new("mount");
            mount.args(["-o", &format!("remount,{how}")]).arg(&self.0);
            mount.status().expect("mount").success()
        });
    }

    /// Not a byte is left.
    fn fill(&self) -> PathBuf {
        let filler = self.0.join("filler");
        let _ = fs::write(&filler, vec![0; 4 * 1024 * 1024]);
        filler
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_status_directory_that_becomes_read_only_is_told_once_and_caught_up_with() {
    let mut house = House::new("");
    let disk = Disk::at(house.bed.path("status"));
    for name in ["a", "b", "c"] {
        house.job(name);
    }
    house.start();
    house.until("all status files were there", |house| {
        ["a", "b", "c"]
            .iter()
            .all(|name| house.status(name).is_some())
    });
    disk.remount("ro");
    for name in ["a", "b", "c"] {
        house.run(&["pause", name, "--reason", "look"]).expect(0);
    }
    let trouble = "trouble; it is tried again";
    house.until_said(trouble);
    house.run(&["resume", "c"]).expect(0);
    let outcome = house.run(&["trigger", "c", "--wait"]).expect(1);
    assert!(outcome.stderr.contains("status"), "{}", outcome.stderr);
    assert!(house.status("a").unwrap()["paused"].is_null());
    assert_eq!(house.times_said(trouble), 1, "{}", house.said());

    disk.remount("rw");
    house.until("the status files were caught up with", |house| {
        let paused = |name: &str| house.status(name).unwrap()["paused"]["reason"] == "look";
        paused("a") && paused("b") && house.status("c").unwrap()["state"] == "failed"
    });
    house.until_said("the trouble is over");
    house.run(&["trigger", "c", "--wait"]).expect(0);
    house.until_status("c", "state", "succeeded");
}

#[test]
fn what_is_due_while_the_disk_is_full_runs_when_there_is_room_again() {
    let mut house = House::new("");
    let disk = Disk::at(house.bed.path("state"));
    let clock = Clock::of(&mut house);
    let job = house.draft("a").top("schedule = \"30 12 * * *\"");
    house.put("a", &job);
    house.start();
    let filler = disk.fill();
    clock.set("12:31");
    house.until_said("the daemon's work is held up");
    assert_eq!(house.runs(None), []);
    fs::remove_file(filler).unwrap();
    let run = house.until_run("a", RunState::Succeeded);
    assert_eq!(run.trigger, Trigger::Schedule);
    house.until_said("the trouble is over");
    assert_eq!(house.runs(None).len(), 1);
    assert_eq!(
        house.times_said("the daemon's work is held up"),
        2,
        "{}",
        house.said()
    );
}

#[test]
fn a_run_that_ends_while_the_disk_is_full_is_recorded_when_there_is_room_again() {
    let mut house = House::new("max_concurrent_runs = 1");
    let disk = Disk::at(house.bed.path("state"));
    let (job, gate) = super::gated(&house, "a");
    house.put("a", &job);
    house.job("b");
    house.start();
    house.trigger("a");
    house.until("the run was under way", |_| gate.is_reached());
    house.trigger("b");
    let filler = disk.fill();
    let process = crate::support::daemon::process_of(&house.last("a").unwrap());
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).unwrap();
    house.until_said("cannot be recorded");
    // A few more rounds.
    let rounds = std::time::Instant::now();
    house.until("it was tried again", |_| rounds.elapsed().as_secs() >= 3);
    assert!(
        house.times_said("cannot be recorded") <= 2,
        "{}",
        house.said()
    );
    fs::remove_file(filler).unwrap();
    let run = house.until_run("a", RunState::Failed);
    assert!(run.message.contains("SIGKILL"), "{}", run.message);
    house.until_run("b", RunState::Succeeded);
    assert_eq!(
        house.times_said("run's process started"),
        2,
        "{}",
        house.said()
    );
    gate.open();
}

#[test]
fn what_cannot_be_recorded_is_not_published() {
    let house = House::new("");
    let disk = Disk::at(house.bed.path("state"));
    let (job, gate) = super::gated(&house, "a");
    house.put("a", &job);
    let mut running = house.bed.start(&house.file("a"));
    gate.wait(&mut running);
    let filler = disk.fill();
    gate.open();
    running
        .end()
        .expect(1)
        .says(&["before `publish`, with live as it was", "free space"]);
    assert_eq!(super::tables(&house.target("a")), ["old"]);
    fs::remove_file(filler).unwrap();
    house
        .run(&["history"])
        .expect(0)
        .says(&["the target is as it was"]);
    house
        .run(&["--once", "-f", house.file("a").to_str().unwrap()])
        .expect(0);
    assert_eq!(super::tables(&house.target("a")), ["t"]);
}

#[test]
fn check_notices_a_daemon_that_is_gone_once_a_due_time_has_passed() {
    let mut house = House::new("");
    let daily = house.draft("a").top("schedule = \"daily\"");
    house.put("a", &daily);
    house.job("b");
    // Without a daemon nobody has promised anything.
    house
        .run(&["--once", "-f", house.file("a").to_str().unwrap()])
        .expect(0);
    let passes = |house: &House| {
        let file = house.bed.path("status/a.json");
        let text = fs::read_to_string(&file).unwrap();
        let mut status: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(status["next_run_at"].is_string(), "{text}");
        status["next_run_at"] = (Utc::now() - Duration::hours(1)).to_rfc3339().into();
        fs::write(&file, status.to_string()).unwrap();
    };
    passes(&house);
    house.run(&["check"]).expect(0);
    house.start();
    house.until("the daemon kept the schedule", |house| {
        house.status("a").unwrap()["daemon"] == true && house.status("b").is_some()
    });
    house.run(&["check", "a"]).expect(0);
    house.run(&["trigger", "a", "--wait"]).expect(0);
    house.until_status("a", "state", "succeeded");
    assert_eq!(house.status("a").unwrap()["daemon"], true);
    house.kill();
    passes(&house);
    house
        .run(&["check", "a"])
        .expect(2)
        .says(&["was due 60m ago", "see that the daemon runs"]);
    house.start();
    house.until("it was caught up with", |house| {
        house.run(&["check", "a"]).code == Some(0)
    });
    house.run(&["pause", "a", "--reason", "look"]).expect(0);
    house.until("it was paused", |house| {
        !house.status("a").unwrap()["paused"].is_null()
    });
    house.kill();
    passes(&house);
    house.run(&["check", "a"]).expect(0);
}

#[test]
fn a_second_daemon_is_told_which_process_has_the_state_directory() {
    let mut house = House::new("");
    house.start();
    house
        .run(&["daemon"])
        .expect(75)
        .says(&["another daemon", &format!("(process {})", house.pid())]);
    house.stop().expect(0);
    house.start();
}

#[test]
fn a_state_store_of_a_newer_version_is_refused_and_left_alone() {
    let mut house = House::new("");
    house.job("a");
    house.start();
    house.stop().expect(0);
    in_state(&house, "PRAGMA user_version = 999");
    house
        .run(&["daemon"])
        .expect(1)
        .says(&["state.db", "999", "install the newer"]);
    let version: i64 = rusqlite::Connection::open(house.bed.path("state/state.db"))
        .and_then(|store| store.query_row("PRAGMA user_version", [], |row| row.get(0)))
        .unwrap();
    assert_eq!(version, 999);
}

#[test]
fn a_job_directory_that_is_not_there_is_refused_at_the_start() {
    let house = House::new("");
    fs::remove_dir(house.bed.path("jobs")).unwrap();
    house.run(&["daemon"]).expect(2).says(&["job_dir", "jobs"]);
    assert!(!Path::new(&house.bed.path("jobs")).exists());
}
