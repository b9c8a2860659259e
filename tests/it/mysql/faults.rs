//! Networks that break and tables that change in mid-copy; phase by phase is in `phases`.

use super::{BIG, IN_MID_COPY, Scene};
use crate::support::proxy::Proxy;

/// A view, a trigger and a routine beside the tables.
fn scene() -> Scene<'static> {
    let scene = Scene::of_this_test();
    scene.source(BIG);
    scene.source(
        "CREATE VIEW seen AS SELECT id FROM users;
         CREATE TRIGGER tr BEFORE INSERT ON users FOR EACH ROW SET NEW.email = 'by trigger';
         CREATE PROCEDURE p() SELECT 1;",
    );
    scene
}

#[test]
fn a_network_that_breaks_in_mid_copy_fails_the_run() {
    for side in ["source", "target"] {
        let scene = scene();
        let (source, target) = (
            Proxy::before_mysql(scene.source),
            Proxy::before_mysql(scene.target),
        );
        let broken = if side == "source" { &source } else { &target };
        broken.stall_after(IN_MID_COPY);
        let running = scene
            .bed
            .start(&scene.write(&scene.job_through(&source, &target)));
        broken.wait_for_stall();
        broken.cut();
        running.end().expect(1).says(&[side]);
        scene.live_is_old();
        if side == "source" {
            scene.nothing_is_left();
        }
        scene.copy(&scene.job().task("previous = \"drop\""));
        scene.live_is_new();
        scene.nothing_is_left();
    }
}

#[test]
fn a_table_altered_in_mid_copy_fails_the_run_or_is_copied_as_it_was() {
    let scene = scene();
    let (source, target) = (
        Proxy::before_mysql(scene.source),
        Proxy::before_mysql(scene.target),
    );
    source.stall_after(IN_MID_COPY);
    let running = scene
        .bed
        .start(&scene.write(&scene.job_through(&source, &target)));
    source.wait_for_stall();
    // It may have to wait for the copy's lock on the table's definition.
    let altered = scene.source.try_sql(
        "root",
        &scene.from,
        "SET lock_wait_timeout = 1; ALTER TABLE users ADD COLUMN late int DEFAULT 5; ALTER TABLE orders DROP COLUMN note",
    );
    source.go_on();
    let outcome = running.end();
    if outcome.code == Some(0) {
        scene.live_is_new();
        assert_eq!(
            scene.live("SELECT count(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND column_name = 'late'"),
            "0"
        );
    } else {
        assert!(altered.is_ok(), "nothing was altered: {}", outcome.stderr);
        outcome.expect(1);
        scene.live_is_old();
        scene.nothing_is_left();
    }
}

#[test]
fn rows_that_come_and_go_in_mid_copy_are_not_half_in_it() {
    let scene = scene();
    let (source, target) = (
        Proxy::before_mysql(scene.source),
        Proxy::before_mysql(scene.target),
    );
    source.stall_after(IN_MID_COPY);
    let running = scene
        .bed
        .start(&scene.write(&scene.job_through(&source, &target).task("jobs = 2")));
    source.wait_for_stall();
    scene.source("START TRANSACTION; DELETE FROM orders WHERE id > 100; INSERT INTO users VALUES (9999, 'late'); UPDATE users SET email = 'late'; INSERT INTO big VALUES (-1, 'late'); COMMIT");
    source.go_on();
    running.end().expect(0);
    scene.live_is_new();
    assert_eq!(scene.live("SELECT count(*), min(id) FROM big"), "40000|1");
}
