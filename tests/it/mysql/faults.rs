//! Networks that break and tables that change in mid-copy; phase by phase is in `phases`.

use super::{BIG, IN_MID_COPY, Scene};
use crate::support::proxy::{Fault, Proxy};

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
    // Either may have to wait for the copy's lock on the table's definition.
    let altered = [
        "ALTER TABLE users ADD COLUMN late int DEFAULT 5",
        "ALTER TABLE orders DROP COLUMN note",
    ]
    .map(|sql| {
        let sql = format!("SET lock_wait_timeout = 1; {sql}");
        scene.source.try_sql("root", &scene.from, &sql).is_ok()
    });
    source.go_on();
    let outcome = running.end();
    if outcome.code == Some(0) {
        scene.live_is_new();
        assert_eq!(
            scene.live("SELECT count(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND column_name = 'late'"),
            "0"
        );
    } else {
        assert!(
            altered.contains(&true),
            "nothing was altered: {}",
            outcome.stderr
        );
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

/// A table alone goes by itself: what is sent of it is summed up on its way, and read back.
#[test]
fn a_row_that_arrives_otherwise_than_it_was_sent_is_found_by_its_checksum() {
    for column in ["varchar(20)", "blob"] {
        let scene = Scene::of_this_test();
        scene.source(&format!(
            "CREATE TABLE letters (id int PRIMARY KEY, word {column});
             INSERT INTO letters VALUES (1, 'word-41'), (2, 'word-42'), (3, NULL)"
        ));
        let (source, target) = (
            Proxy::before_mysql(scene.source),
            Proxy::before_mysql(scene.target),
        );
        let job = scene.job_through(&source, &target);
        let job = scene.write(&job.task("verify = \"checksum\""));
        scene.bed.once(&job).expect(0);
        target.trap("word-42", Fault::Alter);
        let outcome = scene.bed.once(&job).expect(1);
        assert!(target.is_sprung());
        outcome.says(&["letters", "the checksums of its rows differ"]);
        let kept = "SELECT count(*) FROM letters WHERE word = 'word-42'";
        assert_eq!(scene.live(kept), "1");
    }
}
