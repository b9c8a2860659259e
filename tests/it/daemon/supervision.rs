//! Runs are looked after, whoever started them, and whatever becomes of the daemon.

use envsyncd::state::{Queued, RunState, Trigger, Verb};
use nix::sys::signal::{Signal, kill};

use super::{gated, incoming, tables, under_way};
use crate::support::daemon::{House, process_of};
use crate::support::job::Gate;

#[test]
fn three_runs_outlive_a_killed_daemon_and_the_next_one_sees_them_to_their_end() {
    let mut house = House::new("max_concurrent_runs = 3");
    let names = ["a", "b", "c"];
    let gates = names.map(|name| {
        let (job, gate) = gated(&house, name);
        house.put(name, &job);
        gate
    });
    house.start();
    let ids = names.map(|name| house.trigger(name));
    house.until("three runs were under way", |_| {
        gates.iter().all(Gate::is_reached)
    });
    house.kill();
    for name in names {
        assert_eq!(house.last(name).unwrap().state, RunState::Running);
    }
    house.start();
    house.until("all three were found", |house| {
        house.times_said("found a run that is under way") == 3
    });
    for gate in &gates {
        gate.open();
    }
    for (name, id) in names.iter().zip(&ids) {
        let run = house.until_run(name, RunState::Succeeded);
        assert_eq!(run.id, *id);
        house.until_status(name, "state", "succeeded");
    }
    // That they have ended is seen, too: there is room for others.
    house.trigger("a");
    house.until("a fourth run ended", |house| {
        house.runs(Some("a")).len() == 2 && house.last("a").unwrap().state == RunState::Succeeded
    });
    assert_eq!(house.runs(None).len(), 4);
    assert_eq!(house.times_said("run's process started"), 4);
}

#[test]
fn a_killed_run_is_failed_with_its_signal_and_last_line_and_what_it_left_is_cleared() {
    let (house, gate) = under_way("", "", &[]);
    assert!(!incoming(&house, "a").is_empty());
    let run = house.last("a").unwrap();
    kill(process_of(&run), Signal::SIGKILL).unwrap();
    let run = house.until_run("a", RunState::Failed);
    for piece in ["SIGKILL", "its last line: ", "the target is as it was"] {
        assert!(run.message.contains(piece), "{}", run.message);
    }
    assert_eq!(run.exit_code, Some(1));
    house.until_status("a", "state", "failed");
    house.run(&["check"]).expect(2).says(&["CRITICAL", "a"]);
    house.until("its incoming was cleared", |house| {
        incoming(house, "a").is_empty()
    });
    assert_eq!(tables(&house.target("a")), ["old"]);
    gate.open();
    house.run(&["trigger", "a", "--wait"]).expect(0);
    assert_eq!(tables(&house.target("a")), ["t"]);
    house.run(&["check"]).expect(0);
}

#[test]
fn a_run_that_died_with_its_daemon_is_recorded_by_the_next_one() {
    let (mut house, _gate) = under_way("", "", &[]);
    house.kill();
    kill(process_of(&house.last("a").unwrap()), Signal::SIGKILL).unwrap();
    house.start();
    let run = house.until_run("a", RunState::Failed);
    assert!(run.message.contains("died"), "{}", run.message);
    house.until("its incoming was cleared", |house| {
        incoming(house, "a").is_empty()
    });
}

#[test]
fn a_run_that_somebody_starts_by_hand_is_seen_and_counts() {
    let mut house = House::new("max_concurrent_runs = 1");
    let (job, gate) = gated(&house, "a");
    house.put("a", &job);
    house.job("b");
    house.start();
    let file = house.file("a");
    let mut by_hand =
        house
            .bed
            .spawn(&mut house.command(&["--once", "-f", file.to_str().unwrap()]));
    gate.wait(&mut by_hand);
    house.until_said("found a run that is under way");
    house.run(&["trigger", "a"]).expect(75);
    house.trigger("b");
    house.until_status("b", "state", "pending");
    gate.open();
    by_hand.end().expect(0);
    let b = house.until_run("b", RunState::Succeeded);
    assert!(b.started_at >= house.last("a").unwrap().finished_at.unwrap());

    gate.close();
    let mut by_hand =
        house
            .bed
            .spawn(&mut house.command(&["--once", "-f", file.to_str().unwrap()]));
    gate.wait(&mut by_hand);
    by_hand.kill();
    let run = house.until_run("a", RunState::Failed);
    assert!(run.message.contains("died"), "{}", run.message);
    house.until_status("a", "state", "failed");
}

#[test]
fn a_run_that_cannot_begin_is_refused_or_failed_in_its_own_words() {
    let mut house = House::new("");
    house.job("a");
    house.start();
    // Its settings are broken, and there is no good version.
    house.raw_settings("no settings at all");
    house.until_said("the settings' file is broken");
    std::fs::remove_file(house.bed.path("state/last-good/settings")).unwrap();
    ask(&house, "a");
    let run = house.until_run("a", RunState::Refused);
    assert!(run.message.contains("envsyncd.toml"), "{}", run.message);
    assert_eq!(run.exit_code, Some(2));
    house.until_status("a", "state", "refused");
    house.settings("");

    // There is no place for its locks.
    std::fs::remove_dir_all(house.bed.path("lock")).unwrap();
    std::fs::write(house.bed.path("lock"), "").unwrap();
    ask(&house, "a");
    let run = house.until_run("a", RunState::Failed);
    assert!(run.message.contains("/lock"), "{}", run.message);

    // There is no place for its status file.
    house.until_status("a", "state", "failed");
    house.until("nobody wrote there", |house| house.processes().len() == 1);
    std::fs::rename(house.bed.path("status"), house.bed.path("away")).unwrap();
    std::fs::write(house.bed.path("status"), "").unwrap();
    let id = ask(&house, "a");
    house.until("the run ended", |house| {
        house
            .last("a")
            .is_some_and(|run| run.id == id && run.state.is_final())
    });
    let run = house.last("a").unwrap();
    assert_eq!(run.state, RunState::Failed);
    assert!(run.message.contains("/status"), "{}", run.message);
}

#[test]
fn a_process_that_is_killed_before_it_recorded_anything_is_a_failed_run() {
    let mut house = House::new("");
    house.job("a");
    house.start();
    house.freeze_daemon();
    let id = ask(&house, "a");
    // Nobody can record a begin meanwhile.
    let store = writer(&house);
    house.signal(Signal::SIGCONT);
    kill(until_process(&house, &id), Signal::SIGKILL).unwrap();
    store.execute_batch("ROLLBACK").unwrap();
    let run = house.until_run("a", RunState::Failed);
    assert!(
        run.message.contains("SIGKILL (9) before it began"),
        "{}",
        run.message
    );
    house.until_status("a", "state", "failed");
}

#[test]
fn a_run_that_two_daemons_have_started_is_run_once_and_the_second_process_does_not_end_it() {
    let mut house = House::new("max_concurrent_runs = 1");
    let (job, gate) = gated(&house, "a");
    house.put("a", &job);
    let (job, other_gate) = gated(&house, "b");
    house.put("b", &job);
    house.start();
    // The first daemon dies after it has started the process, and before that could record anything.
    house.freeze_daemon();
    let id = ask(&house, "a");
    let store = writer(&house);
    house.signal(Signal::SIGCONT);
    let first = until_process(&house, &id);
    house.kill();
    kill(first, Signal::SIGSTOP).unwrap();
    store.execute_batch("ROLLBACK").unwrap();
    // The next one starts another, which is not quick either.
    let file = house.file("b");
    let mut by_hand =
        house
            .bed
            .spawn(&mut house.command(&["--once", "-f", file.to_str().unwrap()]));
    other_gate.wait(&mut by_hand);
    house.start();
    assert_eq!(house.processes_of(&id), [first]);
    let store = writer(&house);
    house.settings("max_concurrent_runs = 2");
    house.until("there was a second process", |house| {
        house.processes_of(&id).len() == 2
    });
    let second = house
        .processes_of(&id)
        .into_iter()
        .find(|pid| *pid != first);
    kill(second.unwrap(), Signal::SIGSTOP).unwrap();
    store.execute_batch("ROLLBACK").unwrap();
    // The first wins.
    kill(first, Signal::SIGCONT).unwrap();
    house.until("the run was under way", |_| gate.is_reached());
    kill(second.unwrap(), Signal::SIGCONT).unwrap();
    house.until("the first was found", |house| {
        let pid = format!("a: found a run that is under way pid={first}");
        house.said().contains(&pid)
    });
    let run = house.last("a").unwrap();
    assert_eq!(run.state, RunState::Running, "{}", run.message);
    assert_eq!(process_of(&run), first);
    assert_eq!(house.processes_of(&id), [first]);
    gate.open();
    other_gate.open();
    assert_eq!(house.until_run("a", RunState::Succeeded).id, id);
    assert_eq!(house.runs(Some("a")).len(), 1);
}

/// Whoever wants to write to the state store waits, until this is rolled back.
fn writer(house: &House) -> rusqlite::Connection {
    let store = rusqlite::Connection::open(house.bed.path("state/state.db")).unwrap();
    store
        .busy_timeout(std::time::Duration::from_secs(20))
        .unwrap();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    store
}

/// Waits until a run has a process.
fn until_process(house: &House, run: &str) -> nix::unistd::Pid {
    let mut process = None;
    house.until("the run's process was there", |house| {
        process = house.processes_of(run).pop();
        process.is_some()
    });
    process.unwrap()
}

/// As `trigger` does, which itself would find out what is wrong.
fn ask(house: &House, job: &str) -> String {
    let id = uuid::Uuid::now_v7().to_string();
    house
        .state()
        .ask(
            &Queued {
                id: &id,
                job,
                file: &house.file(job),
                verb: Verb::Run,
                from: "production",
                to: "staging",
                trigger: Trigger::Manual,
                by: "ada",
                only: &[],
            },
            false,
        )
        .unwrap();
    id
}
