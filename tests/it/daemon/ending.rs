//! Runs that do not want to end, and the daemon's own end.

use envsyncd::state::RunState;

use super::{in_state, incoming, tables, under_way, user};
use crate::support::daemon::{House, process_of};

/// Nothing that a run started is left: neither its process nor its hook's.
#[track_caller]
fn only_the_daemon_is_left(house: &House) {
    let daemon = i32::try_from(house.pid()).unwrap();
    house.until("only the daemon was left", |house| {
        house.processes() == [daemon]
    });
}

#[test]
fn a_cancelled_run_that_does_not_end_is_killed_with_its_hook() {
    let (house, _gate) = under_way("kill_after = \"1s\"", "", &[]);
    house.freeze(process_of(&house.last("a").unwrap()));
    house.run(&["cancel", "a", "--wait"]).expect(0);
    let run = house.last("a").unwrap();
    assert_eq!(run.state, RunState::Failed);
    for piece in [
        &format!("cancelled by {}", user()),
        "did not end by itself and was killed",
        "SIGKILL",
        "the target is as it was",
    ] {
        assert!(run.message.contains(piece), "{piece}: {}", run.message);
    }
    house.until_status("a", "state", "failed");
    only_the_daemon_is_left(&house);
    house.until("its incoming was cleared", |house| {
        incoming(house, "a").is_empty()
    });
    assert_eq!(tables(&house.target("a")), ["old"]);
}

#[test]
fn a_run_that_sleeps_through_its_timeout_is_killed_with_its_hook() {
    // Long enough to come to its hook on a machine that is busy.
    let (house, _gate) = under_way("kill_after = \"1s\"", "timeout = \"30s\"", &[]);
    house.freeze(process_of(&house.last("a").unwrap()));
    let run = house.until_run("a", RunState::Failed);
    for piece in [
        "the job's timeout of 30s is over",
        "did not end by itself and was killed",
        "SIGKILL",
    ] {
        assert!(run.message.contains(piece), "{piece}: {}", run.message);
    }
    only_the_daemon_is_left(&house);
}

#[test]
fn a_run_that_another_daemon_started_is_killed_after_its_timeout_just_as_well() {
    let (mut house, _gate) = under_way("kill_after = \"1s\"", "timeout = \"30m\"", &[]);
    house.kill();
    // Not before: the kernel wakes up what is stopped when its parent dies.
    house.freeze(process_of(&house.last("a").unwrap()));
    // The next daemon goes by what is written down: that its time is over.
    in_state(&house, "UPDATE runs SET timeout_ms = 1000");
    house.start();
    let run = house.until_run("a", RunState::Failed);
    for piece in [
        "the job's timeout of 1s is over",
        "did not end by itself and was killed",
    ] {
        assert!(run.message.contains(piece), "{piece}: {}", run.message);
    }
    only_the_daemon_is_left(&house);
}

#[test]
fn a_stopped_daemon_leaves_its_runs_to_the_next_one() {
    let (mut house, gate) = under_way("", "", &[]);
    house.stop().expect(0).says(&["runs go on"]);
    assert_eq!(house.last("a").unwrap().state, RunState::Running);
    house.start();
    house.until_said("found a run that is under way");
    gate.open();
    house.until_run("a", RunState::Succeeded);
    house.until("the daemon had seen its end", |house| {
        house.run(&["trigger", "a", "--wait"]).code == Some(0)
    });
}

#[test]
fn a_daemon_that_is_to_cancel_its_runs_waits_for_their_end() {
    let (mut house, _gate) = under_way("on_stop = \"cancel\"", "", &["b"]);
    house.trigger("b");
    house.stop().expect(0);
    let run = house.last("a").unwrap();
    assert_eq!((run.state, run.exit_code), (RunState::Cancelled, Some(143)));
    assert_eq!(house.processes_of(&run.id), []);
    // What its hook was about just then is killed, and may need a moment to be gone.
    house.until("nothing was left", |house| house.processes().is_empty());
    assert_eq!(tables(&house.target("a")), ["old"]);
    assert_eq!(incoming(&house, "a"), Vec::<String>::new());
    // No new run is started on the way out; what waits is started by the next daemon.
    assert_eq!(house.last("b").unwrap().state, RunState::Pending);
    house.start();
    house.until_run("b", RunState::Succeeded);
}

#[test]
fn a_run_that_does_not_end_with_its_daemon_is_killed_after_stop_timeout() {
    let (mut house, _gate) = under_way("on_stop = \"cancel\"\nstop_timeout = \"1s\"", "", &[]);
    house.freeze(process_of(&house.last("a").unwrap()));
    house.stop().expect(0);
    let run = house.last("a").unwrap();
    assert_eq!(run.state, RunState::Failed);
    for piece in ["the daemon was told to stop", "was killed", "SIGKILL"] {
        assert!(run.message.contains(piece), "{piece}: {}", run.message);
    }
    assert_eq!(house.bed.status_text("a", "state"), "failed");
    house.until("nothing was left", |house| house.processes().is_empty());
}
