//! Runs that are ended: by a signal, by a limit, by a power cut. Live is as it was, and nothing stays behind.

use nix::sys::signal::Signal;

use super::Scene;
use crate::support::wait_until;

#[test]
fn sigterm_in_mid_copy_ends_the_run_cleanly_with_143() {
    ended_by(Signal::SIGTERM, 143);
}

#[test]
fn sigint_in_mid_copy_ends_the_run_cleanly_with_130() {
    ended_by(Signal::SIGINT, 130);
}

fn ended_by(signal: Signal, code: i32) {
    let scene = Scene::new();
    let (job, proxy) = scene.job_that_stalls();
    let running = scene.bed.start(&scene.write(&job));
    proxy.wait_for_stall();
    running.signal(signal);
    running.end().expect(code);
    scene.live_is_old();
    scene.nothing_is_left();
    assert_eq!(scene.bed.status_text("app", "state"), "cancelled");
    // No lock is left either.
    proxy.go_on();
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    scene.live_is_new();
}

#[test]
fn sigterm_in_maintenance_turns_maintenance_off_and_leaves_live_as_it_was() {
    let scene = Scene::new();
    let gate = scene.bed.gate("on");
    let hooks = format!(
        "maintenance_on = {}\nmaintenance_off = {}",
        gate.hook,
        scene.bed.note("off")
    );
    let mut running = scene.bed.start(&scene.write(&scene.job().hooks(&hooks)));
    gate.wait(&mut running);
    running.signal(Signal::SIGTERM);
    running.end().expect(143);
    assert_eq!(scene.bed.notes(), ["off"]);
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn a_second_signal_ends_a_run_at_once() {
    let scene = Scene::new();
    let gate = scene.bed.gate("off");
    let hooks = format!(
        "maintenance_on = [\"false\"]\nmaintenance_off = {}",
        gate.hook
    );
    let mut running = scene.bed.start(&scene.write(&scene.job().hooks(&hooks)));
    gate.wait(&mut running);
    // The gate never opens: only a run that does not wait for its clean end comes back.
    running.signal(Signal::SIGTERM);
    // Before it has heard the first one, two are one.
    wait_until("it heard the first one", || {
        running.said().contains("asked to stop")
    });
    running.signal(Signal::SIGTERM);
    assert_ne!(running.end().code, Some(0));
    scene.live_is_old();
}

#[test]
fn a_time_limit_ends_a_run_and_is_named() {
    let scene = Scene::new();
    let (job, proxy) = scene.job_that_stalls();
    let outcome = scene
        .bed
        .once(&scene.write(&job.top("timeout = \"3s\"")))
        .expect(1);
    assert!(outcome.stderr.contains("3s"), "{}", outcome.stderr);
    scene.live_is_old();
    scene.nothing_is_left();
    assert_eq!(scene.bed.status_text("app", "state"), "failed");
    drop(proxy);
}

#[test]
fn after_kill_9_in_mid_copy_the_next_run_clears_up_and_the_dead_one_is_recorded_as_failed() {
    let scene = Scene::new();
    let (job, proxy) = scene.job_that_stalls();
    let file = scene.write(&job);
    let running = scene.bed.start(&file);
    proxy.wait_for_stall();
    let incoming = scene.beside_live();
    assert_eq!(incoming.len(), 1, "{incoming:?}");
    let dead = scene.bed.status_text("app", "run_id");
    running.kill();
    scene.live_is_old();
    proxy.go_on();
    scene.bed.once(&file).expect(0);
    scene.live_is_new();
    let left = scene.beside_live();
    assert!(!left.contains(&incoming[0]), "{left:?} has {incoming:?}");
    assert_eq!(left.len(), 1, "previous alone: {left:?}");
    let shown = scene.bed.run(&["show", &dead]).expect(0);
    assert!(shown.stdout.contains("failed"), "{}", shown.stdout);
}

#[test]
fn a_dead_run_is_seen_by_status_too() {
    let scene = Scene::new();
    let (job, proxy) = scene.job_that_stalls();
    let running = scene.bed.start(&scene.write(&job));
    proxy.wait_for_stall();
    wait_until("the status file says running", || {
        scene.bed.status_text("app", "state") == "running"
    });
    assert_eq!(scene.bed.status("app")["pid"], running.pid().as_raw());
    running.kill();
    scene
        .bed
        .run(&["status", "app"])
        .expect(0)
        .says(&["failed"]);
}

#[test]
fn after_kill_9_in_maintenance_the_next_run_turns_it_off() {
    let scene = Scene::new();
    let gate = scene.bed.gate("on");
    let hooks = format!(
        "maintenance_on = {}\nmaintenance_off = {}",
        gate.hook,
        scene.bed.note("off")
    );
    let file = scene.write(&scene.job().hooks(&hooks));
    let mut running = scene.bed.start(&file);
    gate.wait(&mut running);
    running.kill();
    scene.live_is_old();
    gate.open();
    scene.bed.once(&file).expect(0);
    assert_eq!(scene.bed.notes().last().map(String::as_str), Some("off"));
    scene.live_is_new();
    assert_eq!(scene.beside_live().len(), 1, "{:?}", scene.beside_live());
}
