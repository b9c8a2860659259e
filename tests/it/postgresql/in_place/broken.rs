//! Runs in place that end before live is loaded again: live is broken until a run succeeds.

use super::*;

#[test]
fn a_source_that_dies_in_mid_load_leaves_live_broken_and_says_so_until_a_run_succeeds() {
    let scene = Scene::new();
    let (job, proxy) = scene.stalling();
    let running = scene.bed.start(&scene.write(&job.hooks(&scene.noting())));
    proxy.wait_for_stall();
    proxy.cut();
    running.end().expect(1).says(&[
        "LIVE IS BROKEN until the next run succeeds",
        "maintenance stays on",
    ]);
    scene.live_is_closed();
    scene.live_is_called_broken();
    assert_eq!(scene.bed.notes(), ["on"]);
    // One that is turned away before it comes to live changes nothing about that.
    scene
        .bed
        .run(&["hold", "staging", "--reason", "deploying"])
        .expect(0);
    let job = scene.job().task(IN_PLACE).hooks(&scene.noting());
    scene.bed.once(&scene.write(&job)).expect(75);
    scene
        .bed
        .run(&["check", "app"])
        .expect(2)
        .says(&["live is broken"]);
    scene.bed.run(&["release", "staging"]).expect(0);
    scene
        .bed
        .with_file("plan", &scene.write(&job))
        .expect(0)
        .says(&["live is broken"]);
    assert_eq!(scene.bed.notes(), ["on"]);
    scene.mended_by(&job);
    assert_eq!(scene.bed.notes(), ["on", "on", "after_publish", "off"]);
}

#[test]
fn a_run_that_fails_before_maintenance_leaves_it_on_while_live_is_broken() {
    let scene = Scene::new();
    scene.bed.file("fails.sql", "SELECT 1/0;");
    let broken = scene.job().task(IN_PLACE).task("scripts = [\"fails.sql\"]");
    scene
        .bed
        .once(&scene.write(&broken.hooks(&scene.noting())))
        .expect(1)
        .says(&["LIVE IS BROKEN", "fails.sql"]);
    scene.live_is_called_broken();
    let hooks = format!(
        "maintenance_on = [\"false\"]\nmaintenance_off = {}",
        scene.bed.note("off")
    );
    let job = scene.job().task(IN_PLACE).hooks(&hooks);
    scene.bed.once(&scene.write(&job)).expect(1);
    assert_eq!(scene.bed.notes(), ["on"]);
    scene.mended_by(&scene.job().task(IN_PLACE).hooks(&scene.noting()));
    assert_eq!(scene.bed.notes().last().map(String::as_str), Some("off"));
}

#[test]
fn a_copy_that_is_not_equal_leaves_live_broken_and_says_so() {
    let scene = Scene::new();
    // The source's own word for a row changes with who asks: what is read back is not what was sent.
    scene.source(
        "CREATE TABLE odd (id int, at text);
         INSERT INTO odd SELECT g, 'x' FROM generate_series(1, 10) AS g;
         CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.at := 'spoilt'; RETURN NEW; END$$;
         CREATE TABLE only_here (id int);",
    );
    let job = scene.job().task(IN_PLACE).task("verify = \"checksum\"");
    let gate = scene.bed.gate("on");
    let mut running = scene
        .bed
        .start(&scene.write(&job.hooks(&gate.maintenance())));
    gate.wait(&mut running);
    // Somebody meddles with incoming: a rule of their own.
    let incoming = scene.beside_live();
    assert_eq!(incoming.len(), 1, "{incoming:?}");
    scene.target.psql(
        &incoming[0],
        "CREATE TRIGGER spoil BEFORE INSERT ON odd FOR EACH ROW EXECUTE FUNCTION spoil()",
    );
    gate.open();
    running.end().expect(1).says(&["LIVE IS BROKEN"]);
    scene.live_is_closed();
    scene.live_is_called_broken();
    scene.mended_by(&scene.job().task(IN_PLACE));
}

#[test]
fn after_kill_9_in_mid_load_live_is_called_broken_maintenance_stays_on_and_the_next_run_works() {
    let scene = Scene::new();
    let (job, proxy) = scene.stalling();
    let file = scene.write(&job.hooks(&scene.noting()));
    let running = scene.bed.start(&file);
    proxy.wait_for_stall();
    running.kill();
    // Any verb finds it.
    scene
        .bed
        .run(&["status", "app"])
        .expect(0)
        .says(&["failed"]);
    scene.live_is_closed();
    scene.live_is_called_broken();
    proxy.go_on();
    let job = scene.job().task(IN_PLACE).hooks(&scene.noting());
    scene.mended_by(&job);
    assert_eq!(scene.bed.notes(), ["on", "on", "after_publish", "off"]);
}

#[test]
fn sigterm_in_mid_load_ends_the_run_as_failed_because_live_is_broken() {
    let scene = Scene::new();
    let (job, proxy) = scene.stalling();
    let running = scene.bed.start(&scene.write(&job));
    proxy.wait_for_stall();
    running.signal(Signal::SIGTERM);
    running.end().expect(1).says(&["LIVE IS BROKEN", "SIGTERM"]);
    scene.live_is_called_broken();
    assert_eq!(scene.beside_live(), Vec::<String>::new());
    proxy.go_on();
    scene.mended_by(&scene.job().task(IN_PLACE));
}

#[test]
fn a_target_that_crashes_in_mid_load_comes_back_closed_and_the_next_run_works() {
    let target = Cluster::builder()
        .set("fsync", "on")
        .set("full_page_writes", "on")
        .start();
    let scene = Scene::on(&shared().source, &target);
    let (job, proxy) = scene.stalling();
    let running = scene.bed.start(&scene.write(&job));
    proxy.wait_for_stall();
    target.crash();
    proxy.go_on();
    running.end().expect(1).says(&["LIVE IS BROKEN"]);
    target.start_again();
    scene.live_is_closed();
    scene.live_is_called_broken();
    scene.mended_by(&scene.job().task(IN_PLACE));
}

#[test]
fn a_swap_mends_what_a_load_has_broken_and_keeps_no_shell_for_rollback() {
    let scene = Scene::new();
    scene.bed.file("fails.sql", "SELECT 1/0;");
    let broken = scene.job().task(IN_PLACE).task("scripts = [\"fails.sql\"]");
    scene.bed.once(&scene.write(&broken)).expect(1);
    scene.live_is_called_broken();
    scene.mended_by(&scene.job().task("keep = [\"only_live\"]"));
    scene
        .bed
        .with_file("rollback", &scene.write(&scene.job()))
        .expect(2);
    scene.live_is_new();
}
