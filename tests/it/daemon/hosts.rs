//! Runs, holds and daemons in other containers, on hosts with other names, under clocks that are wrong: who cannot be seen
//! is judged by signs of life.

use envsyncd::guard::lease::Lease;
use envsyncd::state::{Run, RunState, Trigger, presence};

use super::{gated, in_state, tables};
use crate::support::container::{contained, off};
use crate::support::daemon::House;
use crate::support::job::{Gate, Running};

/// A house with a run of job `a` under way in a container, under a clock that is off.
fn elsewhere(clock: &str, schedule: &str) -> (House, Gate, Running) {
    let house = House::new("");
    let (job, gate) = gated(&house, "a");
    house.put("a", &job.top(schedule));
    let file = house.file("a");
    let mut command = house.command(&["--once", "-f", file.to_str().expect("text")]);
    off(&mut command, clock);
    let mut running = house.bed.spawn(&mut contained(&command, "other"));
    gate.wait(&mut running);
    (house, gate, running)
}

/// Ends it as if its container had been removed, and waits until that is so.
fn end(house: &House, running: Running) -> Run {
    let run = house.last("a").expect("a run");
    running.kill();
    let lease = presence::lease_of_run(&run.id);
    house.until("the container was gone", |house| {
        !Lease::is_held(&house.bed.path("state"), &lease)
    });
    run
}

/// So much time goes by for who listens to signs of life.
fn later(house: &House, run: &Run, seconds: i64) {
    in_state(
        house,
        &format!(
            "UPDATE runs SET beat_at = unixepoch() * 1000000 - {seconds} * 1000000 WHERE id = '{}'",
            run.id
        ),
    );
}

#[test]
fn a_run_in_another_container_lives_while_it_says_so_whatever_its_clock_says() {
    for clock in ["-5h", "+5h"] {
        let (house, gate, mut running) = elsewhere(clock, "");
        for _ in 0..3 {
            let status = house.json(&["status", "a", "--json"]);
            let run = &status["jobs"][0]["last_run"];
            assert_eq!(
                (&run["state"], &run["dead"]),
                (&"running".into(), &false.into())
            );
            assert_eq!(run["host"], "other");
        }
        // Neither do a hold, nor another run of the same job, take it for dead.
        let hold = ["hold", "staging", "--reason", "release 42"];
        house
            .run(&hold)
            .expect(75)
            .says(&["has been writing into `staging`", "other"]);
        let file = house.file("a");
        let file = file.to_str().expect("text");
        house
            .run(&["--once", "-f", file])
            .expect(75)
            .says(&["target is busy"]);
        house.until("its status was its own again", |house| {
            house.run(&["check", "a"]).stdout.contains("running")
        });
        house
            .run(&["cancel", "a"])
            .expect(2)
            .says(&["another container", "cancel it there"]);
        assert!(running.is_running());
        gate.open();
        running.end().expect(0);
        let history = house.runs(Some("a"));
        assert_eq!(history[0].state, RunState::Succeeded, "{history:?}");
    }
}

#[test]
fn a_run_whose_container_is_gone_is_dead_after_two_minutes_and_not_before() {
    let (house, _gate, running) = elsewhere("+0h", "");
    let run = end(&house, running);
    later(&house, &run, 100);
    let status = house.json(&["status", "a", "--json"]);
    assert_eq!(status["jobs"][0]["last_run"]["state"], "running");
    later(&house, &run, 121);
    house
        .run(&["status"])
        .expect(0)
        .says(&["failed", "process 1 on other gives no sign of life"]);
    let run = house.last("a").expect("a run");
    assert!(
        run.message.contains("the target is as it was"),
        "{}",
        run.message
    );
    assert_eq!(house.status("a").expect("a file")["state"], "failed");
    assert_eq!(tables(&house.target("a")), ["old"]);
    house
        .run(&["hold", "staging", "--reason", "release 42"])
        .expect(0);
}

#[test]
fn due_times_go_on_after_a_run_whose_container_is_gone_whatever_its_clock_said() {
    // By its own clock it gave its last sign of life five hours from now.
    let (mut house, gate, running) = elsewhere("+5h", "schedule = \"* * * * * *\"");
    house.start();
    house.until("a time was skipped", |house| {
        house
            .runs(Some("a"))
            .iter()
            .any(|run| run.state == RunState::Skipped)
    });
    assert_eq!(house.last("a").expect("a run").state, RunState::Running);
    gate.close();
    end(&house, running);
    house.until_said("a run elsewhere is dead");
    house.until("the next one was started", |house| {
        house
            .last("a")
            .is_some_and(|run| run.trigger == Trigger::Schedule)
    });
    // Whoever comes next records it, right after it began.
    house.until("the dead one was recorded", |house| {
        let dead = &house.runs(Some("a"))[0];
        (dead.state, dead.host.as_str()) == (RunState::Failed, "other")
    });
    gate.open();
    house.until_run("a", RunState::Succeeded);
}

#[test]
fn what_waits_is_started_and_what_died_is_recorded_after_the_host_was_renamed() {
    let mut house = House::new("max_concurrent_runs = 1");
    let (job, gate) = gated(&house, "a");
    house.put("a", &job);
    house.job("b");
    house.start();
    house.trigger("a");
    house.until("the run was under way", |_| gate.is_reached());
    house.trigger("b");
    let process = crate::support::daemon::process_of(&house.last("a").expect("a run"));
    house.kill();
    nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).expect("it is there");
    in_state(
        &house,
        "UPDATE runs SET host = 'as-it-was-called'; UPDATE daemon SET host = 'as-it-was-called'",
    );
    house.start();
    house.until_run("a", RunState::Failed);
    house.until_run("b", RunState::Succeeded);
    gate.open();
}

#[test]
fn a_daemon_in_another_container_is_seen_and_does_what_it_is_asked() {
    let house = House::new("");
    house.job("a");
    let mut command = house.command(&["daemon"]);
    off(&mut command, "-3h");
    let daemon = house.bed.spawn(&mut contained(&command, "other"));
    house.until("the daemon was ready", |_| {
        daemon.said().contains("daemon is ready")
    });
    let status = house.json(&["status", "--json"]);
    assert_eq!(
        (&status["daemon"]["alive"], &status["daemon"]["host"]),
        (&true.into(), &"other".into())
    );
    let outcome = house.run(&["trigger", "a", "--wait"]).expect(0);
    assert!(outcome.stderr.contains("succeeded"), "{}", outcome.stderr);
    house.run(&["daemon"]).expect(75).says(&["another daemon"]);
    daemon.kill();
    house.until("it was gone", |house| {
        !Lease::is_held(&house.bed.path("state"), presence::LEASE_OF_DAEMON)
    });
    house.run(&["trigger", "a"]).expect(1).says(&["no daemon"]);
}

#[test]
fn a_hold_around_a_command_in_another_container_ends_with_it() {
    let house = House::new("");
    house.job("a");
    let gate = house.bed.gate("deploy");
    let words: Vec<String> = serde_json::from_str(&gate.hook).expect("words");
    let mut all = vec!["hold", "staging", "--reason", "release 42", "--"];
    all.extend(words.iter().map(String::as_str));
    let mut command = house.command(&all);
    off(&mut command, "-3h");
    let mut deploy = house.bed.spawn(&mut contained(&command, "other"));
    gate.wait(&mut deploy);
    let lease = presence::lease_of_hold("staging");
    let state = house.bed.path("state");
    house.until("somebody looked after it", |_| {
        Lease::is_held(&state, &lease)
    });
    let file = house.file("a");
    let once = ["--once", "-f", file.to_str().expect("text")];
    house
        .run(&once)
        .expect(75)
        .says(&["held by", "on other", "release 42"]);
    deploy.kill();
    house.until("the container was gone", |_| {
        !Lease::is_held(&state, &lease)
    });
    house.run(&once).expect(0);
}
