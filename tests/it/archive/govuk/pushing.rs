//! Pushes: dumps that others read, or none.

use std::fs;

use super::{DATABASE, Dumped};
use crate::support::postgres::{Must, bare, unique};
use crate::support::wait_until;

#[test]
fn a_pushed_dump_is_restored_by_pg_restore_as_the_source_was() {
    let dumped = Dumped::new();
    let scene = &dumped.scene;
    scene.source(
        "CREATE TABLE orders (id bigserial PRIMARY KEY, note text); \
         INSERT INTO orders (note) SELECT CASE WHEN i % 7 = 0 THEN NULL WHEN i % 5 = 0 THEN E'a\\nb\\\\.' ELSE repeat('x', i % 300) END FROM generate_series(1, 30000) i; \
         CREATE TABLE empty (a integer); CREATE VIEW big AS SELECT * FROM orders; \
         SELECT lo_from_bytea(4711, 'a large object')",
    );
    dumped.once("push", &dumped.push()).expect(0);
    let dump = dumped.only_dump();
    let name = dump.file_name().unwrap().to_str().unwrap();
    assert_eq!(
        fs::read_to_string(dumped.file(&format!("latest-{DATABASE}.txt"))).unwrap(),
        name
    );
    assert_eq!(dumped.files().len(), 2, "{:?}", dumped.files());
    let status = scene.bed.status("push");
    assert_eq!(status["tasks"][0]["rows"], 30_004);
    let restored = unique("restored");
    scene.pair.target.create_db(&restored);
    bare(scene.pair.target.program("pg_restore"))
        .arg("--exit-on-error")
        .arg("--dbname")
        .arg(scene.pair.target.url("postgres", &restored))
        .arg(&dump)
        .must("pg_restore");
    assert_eq!(
        scene.pair.target.pg_dump(&restored),
        scene.pair.source.pg_dump(&scene.from)
    );
}

#[test]
fn a_pushed_dump_is_pulled_again() {
    let dumped = Dumped::new();
    dumped.once("push", &dumped.push()).expect(0);
    dumped.scene.source("UPDATE users SET name = 'later'");
    dumped.once("pull", &dumped.pull()).expect(0);
    dumped.scene.live_is_new();
}

#[test]
fn what_is_left_out_is_not_in_the_dump_and_neither_is_what_hangs_on_it() {
    let dumped = Dumped::new();
    dumped.scene.source(
        "CREATE TABLE cache_x (a integer PRIMARY KEY); CREATE VIEW of_cache AS SELECT * FROM cache_x; \
         COMMENT ON VIEW of_cache IS 'x'; CREATE TABLE points (a integer REFERENCES cache_x); \
         CREATE TABLE audit (a integer); INSERT INTO audit VALUES (1)",
    );
    let push = dumped
        .push()
        .task("exclude = [\"cache_*\"]")
        .task("schema_only = [\"audit\"]");
    dumped.once("push", &push).expect(0);
    dumped.once("pull", &dumped.pull()).expect(0);
    dumped.scene.live_is_new();
    let found = "SELECT to_regclass('cache_x') IS NULL, to_regclass('of_cache') IS NULL, to_regclass('points') IS NULL, (SELECT count(*) FROM audit)";
    assert_eq!(dumped.scene.live(found), "t|t|f|0");
}

#[test]
fn a_push_whose_pg_dump_fails_leaves_no_file() {
    let dumped = Dumped::new();
    // A value that its type does not know any more cannot be sent.
    dumped.scene.source("CREATE TYPE mood AS ENUM ('x'); CREATE TABLE moods (m mood); INSERT INTO moods VALUES ('x'); DELETE FROM pg_enum WHERE enumtypid = 'mood'::regtype");
    dumped
        .once("push", &dumped.push())
        .expect(1)
        .says(&["pg_dump failed", "moods"]);
    assert_eq!(dumped.files(), Vec::<String>::new());
}

#[test]
fn a_push_is_not_there_before_it_is_published_and_not_after_it_was_killed() {
    let dumped = Dumped::new();
    let gate = dumped.scene.bed.gate("on");
    let slow = dumped.push().hooks(&gate.maintenance());
    let start = || {
        let mut running = dumped.scene.bed.start(&dumped.scene.bed.job("push", &slow));
        gate.wait(&mut running);
        running
    };
    let visible = || {
        let mut files = dumped.files();
        files.retain(|name| !name.starts_with('.'));
        files
    };
    let running = start();
    assert_eq!(visible(), Vec::<String>::new());
    running.kill();
    assert_eq!(visible(), Vec::<String>::new());
    assert_eq!(dumped.files().len(), 1);
    dumped.once("push", &dumped.push()).expect(0);
    assert_eq!(visible(), dumped.files(), "what was left is gone");
    gate.close();
    fs::remove_file(dumped.only_dump()).unwrap();
    let running = start();
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.end().expect(143);
    wait_until("it is gone", || dumped.files().len() == 1);
}

#[test]
fn what_a_dump_cannot_do_is_refused_before_it_is_begun() {
    let dumped = Dumped::new();
    for (line, said) in [
        ("verify = \"checksum\"", "a dump is not read back"),
        ("throttle = \"1MB/s\"", "keeps to no pace"),
        ("max_replication_lag = \"5s\"", "does not pause"),
        ("keep = [\"x\"]", "no rows of its own"),
    ] {
        dumped
            .once("push", &dumped.push().task(line))
            .expect(2)
            .says(&[said]);
    }
    assert_eq!(dumped.files(), Vec::<String>::new());
}

#[test]
fn what_is_being_written_elsewhere_stays_and_what_a_dead_push_left_goes() {
    let dumped = Dumped::new();
    let partial = |time: &str| dumped.file(&format!(".{time}-{DATABASE}.gz.0199.partial"));
    let (living, dead) = (
        partial("2026-01-02T03:04:05"),
        partial("2026-01-02T03:04:06"),
    );
    for file in [&living, &dead] {
        fs::write(file, "half").unwrap();
    }
    // As a push in another container holds it.
    let held = fs::File::options().write(true).open(&living).unwrap();
    fs2::FileExt::lock_exclusive(&held).unwrap();
    dumped.once("push", &dumped.push()).expect(0);
    assert!(living.exists() && !dead.exists());
    drop(held);
    dumped.once("push", &dumped.push()).expect(0);
    assert!(!living.exists());
}
