//! `trigger`, `cancel`, `pause` and `resume`.

use envsyncd::state::{RunState, Trigger};

use super::{gated, tables, under_way, user};
use crate::support::daemon::House;

#[test]
fn a_running_run_is_cancelled_by_its_ids_beginning_or_by_its_jobs_name() {
    let mut house = House::new("");
    let (job, gate) = gated(&house, "a");
    house.put("a", &job);
    house.start();
    for by_name in [false, true] {
        let mut waiting = house
            .bed
            .spawn(&mut house.command(&["trigger", "a", "--wait"]));
        house.until("the run was under way", |_| gate.is_reached());
        assert!(waiting.is_running());
        let run = house.last("a").unwrap();
        let name = if by_name { "a" } else { &run.id[..13] };
        house.run(&["cancel", name, "--wait"]).expect(0);
        let ended = house.last("a").unwrap();
        assert_eq!(ended.id, run.id);
        assert_eq!(
            (ended.state, ended.exit_code),
            (RunState::Cancelled, Some(143))
        );
        assert!(
            ended.message.contains(&format!("cancelled by {}", user())),
            "{}",
            ended.message
        );
        waiting.end().expect(143).says(&["cancelled by"]);
        house.until_status("a", "state", "cancelled");
        assert_eq!(tables(&house.target("a")), ["old"]);
        house
            .run(&["cancel", &run.id])
            .expect(2)
            .says(&["has ended"]);
        gate.close();
    }
}

#[test]
fn a_waiting_run_is_cancelled_at_once_and_never_starts() {
    let (house, gate) = under_way("max_concurrent_runs = 1", "", &["b"]);
    house.trigger("b");
    house.until_status("b", "state", "pending");
    house
        .run(&["cancel", "b", "--wait"])
        .expect(0)
        .says(&["is cancelled"]);
    let run = house.last("b").unwrap();
    assert_eq!((run.state, run.exit_code), (RunState::Cancelled, Some(143)));
    assert_eq!(
        run.message,
        format!("cancelled by {} before it began", user())
    );
    house.until_status("b", "state", "cancelled");
    gate.open();
    house.until_run("a", RunState::Succeeded);
    house.run(&["trigger", "b", "--wait"]).expect(0);
    let states: Vec<RunState> = house.runs(Some("b")).iter().map(|run| run.state).collect();
    assert_eq!(states, [RunState::Cancelled, RunState::Succeeded]);
    assert_eq!(house.times_said("run's process started"), 2);
}

#[test]
fn trigger_says_what_keeps_it_and_with_wait_how_the_run_ended() {
    let mut house = House::new("");
    let (job, gate) = gated(&house, "a");
    house.put("a", &job);
    house
        .run(&["trigger", "a"])
        .expect(1)
        .says(&["no daemon works on", "start the daemon"]);
    house.start();
    house.run(&["trigger", "nonsense"]).expect(2);
    house.trigger("a");
    house.until("the run was under way", |_| gate.is_reached());
    house
        .run(&["trigger", "a"])
        .expect(75)
        .says(&["running", "cancel"]);
    gate.open();
    let run = house.until_run("a", RunState::Succeeded);
    assert_eq!((run.trigger, run.by), (Trigger::Manual, user()));
    house
        .run(&["trigger", "a", "--wait"])
        .expect(0)
        .says(&["a succeeded"]);

    std::fs::remove_file(house.bed.path("source.db")).unwrap();
    house
        .run(&["trigger", "a", "--wait"])
        .expect(1)
        .says(&["source.db"]);
    house.stop().expect(0);
    house
        .run(&["trigger", "a"])
        .expect(1)
        .says(&["no daemon works on"]);
}

#[test]
fn a_job_that_was_written_a_moment_ago_can_be_triggered() {
    let mut house = House::new("");
    house.job("a");
    house.start();
    house.job("b");
    house
        .run(&["trigger", "b", "--wait"])
        .expect(0)
        .says(&["b succeeded"]);
    assert!(house.state().known_job("b").unwrap().is_some());

    // One of another directory than the daemon's is none of its jobs.
    std::fs::create_dir(house.bed.path("other")).unwrap();
    std::fs::copy(house.file("a"), house.bed.path("other/c.toml")).unwrap();
    let mut command = house.command(&["trigger", "c"]);
    command.env("ENVSYNCD_JOB_DIR", house.bed.path("other"));
    let refused = house.bed.spawn(&mut command).end().expect(2);
    refused.says(&["does not know job `c`", "its own job_dir"]);
}

#[test]
fn who_waits_for_a_run_that_is_killed_hears_of_it() {
    let mut house = House::new("");
    let (job, gate) = gated(&house, "a");
    house.put("a", &job);
    house.start();
    let waiting = house
        .bed
        .spawn(&mut house.command(&["trigger", "a", "--wait"]));
    house.until("the run was under way", |_| gate.is_reached());
    // The daemon takes a while to see it.
    house.signal(nix::sys::signal::Signal::SIGSTOP);
    let process = crate::support::daemon::process_of(&house.last("a").unwrap());
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(1));
    house.signal(nix::sys::signal::Signal::SIGCONT);
    waiting.end().expect(1).says(&["a failed", "SIGKILL"]);
}

#[test]
fn a_paused_job_is_not_started_until_it_is_resumed_whoever_restarts_the_daemon() {
    let mut house = House::new("max_concurrent_runs = 2");
    for name in ["a", "b"] {
        house.put(name, &house.draft(name).top("schedule = \"* * * * * *\""));
    }
    house.start();
    house.until_run("a", RunState::Succeeded);
    house
        .run(&["pause", "a", "--reason", "load test"])
        .expect(0)
        .says(&["load test", &user()]);
    house.until("the last of its runs had ended", |house| {
        house.last("a").unwrap().state.is_final()
    });
    // One may have been put in the queue while the pause was recorded.
    let others = house.runs(Some("b")).len();
    house.until("others ran", |house| {
        house.runs(Some("b")).len() > others + 1
    });
    let before = house.runs(Some("a")).len();
    house.kill();
    house.start();
    let others = house.runs(Some("b")).len();
    house.until("others ran", |house| {
        house.runs(Some("b")).len() > others + 3
    });
    assert_eq!(house.runs(Some("a")).len(), before);
    let status = house.status("a").unwrap();
    assert_eq!(status["paused"]["reason"], "load test");
    assert_eq!(status["paused"]["by"], user());
    assert!(status["paused"]["until"].is_null(), "{status}");
    house
        .run(&["trigger", "a"])
        .expect(75)
        .says(&["paused by", "load test"]);

    house.run(&["resume", "a"]).expect(0).says(&["load test"]);
    house.until("it ran again", |house| house.runs(Some("a")).len() > before);
    house.until("its status file knows", |house| {
        house.status("a").unwrap()["paused"].is_null()
    });
}

#[test]
fn a_pause_with_an_end_ends_by_itself() {
    let mut house = House::new("");
    house.put("a", &house.draft("a").top("schedule = \"* * * * * *\""));
    // It is known without a daemon, too.
    house
        .run(&["pause", "a", "--reason", "freeze", "--for", "6s"])
        .expect(0)
        .says(&[" until "]);
    let until = house
        .state()
        .pause_of("a", None)
        .unwrap()
        .unwrap()
        .until
        .unwrap();
    house.start();
    let run = house.until_run("a", RunState::Succeeded);
    assert!(run.started_at >= until, "{run:?} {until}");
    house.until("its status file knows", |house| {
        house.status("a").unwrap()["paused"].is_null()
    });
}

#[test]
fn a_watched_status_follows_a_run_from_its_queue_to_its_end() {
    let mut house = House::new("");
    let (job, gate) = gated(&house, "a");
    house.put("a", &job);
    house.put("b", &house.draft("b"));
    house.start();
    house.trigger("a");
    house.until("the run is under way", |_| gate.is_reached());
    house.trigger("b");
    let watch = house.bed.spawn(&mut house.command(&["status", "--watch"]));
    let has = |line: &[&str]| {
        let said = watch.said();
        said.lines()
            .any(|shown| line.iter().all(|word| shown.contains(word)))
    };
    house.until("both were seen", |_| {
        has(&["a ", "running"]) && has(&["b ", "pending", "waits for its turn"])
    });
    gate.open();
    house.until("both ends were seen", |_| {
        has(&["a ", "succeeded"]) && has(&["b ", "succeeded"])
    });
}
