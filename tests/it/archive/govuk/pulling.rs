//! Pulls: which dump, and that what it becomes is a source like any.

use std::fs;

use super::{DATABASE, Dumped};
use crate::support::job::{Job, toml};
use crate::support::postgres::{Must, bare};
use crate::support::wait_until;

#[test]
fn a_dump_of_pg_dump_is_pulled_and_nothing_is_left_beside_live() {
    let dumped = Dumped::new();
    dumped.scene.source(
        "CREATE TABLE orders (id bigserial PRIMARY KEY, \"user\" integer REFERENCES users, note text); \
         INSERT INTO orders (\"user\", note) SELECT 1 + i % 3, repeat('x', i % 50) FROM generate_series(1, 2000) i; \
         CREATE VIEW big AS SELECT * FROM orders WHERE id > 1000; \
         CREATE MATERIALIZED VIEW sums AS SELECT \"user\", count(*) FROM orders GROUP BY 1; \
         CREATE INDEX ON orders (note); COMMENT ON TABLE orders IS 'what they want'; \
         SELECT lo_from_bytea(4711, 'a large object')",
    );
    dumped.dump(&format!("2026-01-02T030405Z-{DATABASE}.gz"));
    let outcome = dumped.once("pull", &dumped.pull()).expect(0);
    let said = "`from` is believed";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    dumped.scene.live_is_new();
    dumped.scene.nothing_is_beside();
    let scene = &dumped.scene;
    assert_eq!(
        scene.pair.target.pg_dump(&scene.to),
        scene.pair.source.pg_dump(&scene.from)
    );
}

#[test]
fn with_checksums_every_row_is_held_against_what_was_sent() {
    let dumped = Dumped::new();
    dumped.dump(&format!("2026-01-02T030405Z-{DATABASE}.gz"));
    let pull = dumped.pull().task("verify = \"checksum\"");
    dumped.once("pull", &pull).expect(0);
    dumped.scene.live_is_new();
}

#[test]
fn the_newest_an_older_a_named_and_the_pointed_dump_are_told_apart() {
    let dumped = Dumped::new();
    let names = ["ann", "bob", "eve", "zoe"];
    // The older script's form of time, and the chart's; and a database whose name ends with ours.
    let files = [
        format!("2026-01-02T03:04:05-{DATABASE}.gz"),
        format!("2026-01-03T030405Z-{DATABASE}.gz"),
        format!("2026-01-04T030405Z-{DATABASE}.gz"),
        format!("2026-01-05T030405Z-my-{DATABASE}.gz"),
    ];
    for (name, file) in names.iter().zip(&files) {
        dumped
            .scene
            .source(&format!("UPDATE users SET name = '{name}'"));
        dumped.dump(file);
    }
    let pulled = |keys: &str| {
        dumped.once("pull", &dumped.pull_with(keys)).expect(0);
        dumped.scene.live("SELECT DISTINCT name FROM users")
    };
    assert_eq!(pulled(""), "eve");
    assert_eq!(pulled(", at = 2026-01-03T12:00:00Z"), "bob");
    assert_eq!(pulled(", at = 2026-01-02T03:04:05Z"), "ann");
    assert_eq!(pulled(&format!(", snapshot = \"{}\"", files[0])), "ann");
    let pointer = dumped.file(&format!("latest-{DATABASE}.txt"));
    // As the chart writes it: with the folder's name in front, which is the host's.
    fs::write(&pointer, format!("archive/{}\n", files[1])).unwrap();
    let outcome = dumped.once("pull", &dumped.pull()).expect(0);
    assert!(
        outcome
            .stderr
            .contains("newer dump than the one that is pointed at"),
        "{}",
        outcome.stderr
    );
    assert_eq!(dumped.scene.live("SELECT DISTINCT name FROM users"), "bob");
    dumped.scene.live("UPDATE users SET name = 'live'");
    let pointed = |file: &str| format!("/{file}");
    let gone = format!("2026-01-06T030405Z-{DATABASE}.gz");
    fs::create_dir(dumped.file("other-host")).unwrap();
    fs::copy(
        dumped.file(&files[1]),
        dumped.file(&format!("other-host/{}", files[1])),
    )
    .unwrap();
    for (content, said) in [
        (files[3].clone(), "which is a dump of my-app_production"),
        (
            format!("archive/{}", files[3]),
            "which is a dump of my-app_production",
        ),
        ("gone.gz\n".to_owned(), "names gone.gz"),
        (gone, "which is not there"),
        (
            format!("other-host/{}", files[1]),
            "in other-host, which is elsewhere",
        ),
        (format!("../archive/{}", files[1]), "which is elsewhere"),
        (pointed(&files[1]), "names a file in"),
        (
            format!("s3://bucket/archive/{}", files[1]),
            "which is elsewhere",
        ),
        (
            format!("latest-{DATABASE}.txt"),
            "which is not a dump of app_production",
        ),
        (String::new(), "names no file"),
    ] {
        fs::write(&pointer, &content).unwrap();
        dumped.once("pull", &dumped.pull()).expect(1).says(&[said]);
        assert_eq!(
            dumped.scene.live("SELECT DISTINCT name FROM users"),
            "live",
            "{content}"
        );
    }
    let early = dumped.pull_with(", at = 2001-01-01T00:00:00Z");
    dumped.once("pull", &early).expect(1).says(&["2001-01-01"]);
    let unknown = dumped.pull_with(", snapshot = \"2026-01-09T030405Z-x.gz\"");
    dumped
        .once("pull", &unknown)
        .expect(1)
        .says(&["2026-01-09T030405Z-x.gz"]);
}

#[test]
fn where_there_is_no_dump_it_is_said_what_there_is() {
    let dumped = Dumped::new();
    dumped
        .once("pull", &dumped.pull())
        .expect(1)
        .says(&["no dump of app_production", "TIME-app_production.gz"]);
    dumped.dump("2026-01-05T030405Z-other.gz");
    dumped
        .once("pull", &dumped.pull())
        .expect(1)
        .says(&["no dump of app_production", "dumps of other"]);
    dumped.scene.live_is_old();
}

#[test]
fn without_a_name_the_database_is_the_target_s() {
    let dumped = Dumped::new();
    dumped.dump(&format!("2026-01-02T030405Z-{}.gz", dumped.scene.to));
    let archive = format!(
        "{{ url = {}, format = \"govuk\" }}",
        toml(&dumped.scene.archive_url())
    );
    let pull = Job::new("postgresql", &archive, &toml(&dumped.scene.target_url()));
    dumped.once("pull", &pull).expect(0);
    dumped.scene.live_is_new();
}

#[test]
fn a_dump_with_gzip_around_it_is_pulled_too() {
    let dumped = Dumped::new();
    let file = dumped.dump_with("plain", &["--format=custom", "--compress=0"]);
    bare("gzip").arg(&file).must("gzip");
    let zipped = dumped.file(&format!("2026-01-02T030405Z-{DATABASE}.gz"));
    fs::rename(dumped.file("plain.gz"), zipped).unwrap();
    dumped.once("pull", &dumped.pull()).expect(0);
    dumped.scene.live_is_new();
}

#[test]
fn exclude_schema_only_keep_and_scripts_do_what_they_do_in_a_sync() {
    let dumped = Dumped::new();
    dumped.scene.source(
        "CREATE TABLE cache_x (a integer); CREATE TABLE audit (a integer); INSERT INTO audit VALUES (1); \
         CREATE TABLE hooks (a text); INSERT INTO hooks VALUES ('theirs')",
    );
    dumped
        .scene
        .live("CREATE TABLE hooks (a text); INSERT INTO hooks VALUES ('ours')");
    dumped.dump(&format!("2026-01-02T030405Z-{DATABASE}.gz"));
    dumped
        .scene
        .bed
        .file("after.sql", "UPDATE users SET name = 'x' WHERE id = 3;");
    let pull = dumped
        .pull()
        .task("exclude = [\"cache_*\"]")
        .task("schema_only = [\"audit\"]")
        .task("keep = [\"hooks\"]")
        .task("scripts = [\"after.sql\"]");
    dumped.once("pull", &pull).expect(0);
    let live = |sql: &str| dumped.scene.live(sql);
    assert_eq!(live("SELECT to_regclass('cache_x') IS NULL"), "t");
    assert_eq!(live("SELECT count(*) FROM audit"), "0");
    assert_eq!(live("SELECT a FROM hooks"), "ours");
    assert_eq!(
        live("SELECT id, name FROM users ORDER BY id"),
        "1|ann\n2|bob\n3|x"
    );
    dumped.scene.nothing_is_beside();
}

#[test]
fn in_overlay_tables_that_only_the_target_has_stay() {
    let dumped = Dumped::new();
    dumped
        .scene
        .live("CREATE TABLE own (a integer); INSERT INTO own VALUES (7)");
    dumped.dump(&format!("2026-01-02T030405Z-{DATABASE}.gz"));
    let pull = dumped.pull().task("mode = \"overlay\"");
    dumped.once("pull", &pull).expect(0);
    dumped.scene.live_is_new();
    assert_eq!(dumped.scene.live("SELECT a FROM own"), "7");
    dumped.scene.nothing_is_beside();
}

#[test]
fn published_in_place_it_is_the_same() {
    let dumped = Dumped::new();
    dumped.dump(&format!("2026-01-02T030405Z-{DATABASE}.gz"));
    let pull = dumped.pull().task("publish = \"in_place\"");
    dumped.once("pull", &pull).expect(0);
    dumped.scene.live_is_new();
    dumped.scene.nothing_is_beside();
}

#[test]
fn data_never_flows_upward() {
    let dumped = Dumped::new();
    dumped.dump(&format!("2026-01-02T030405Z-{DATABASE}.gz"));
    let pull = dumped.pull().flow("staging", "production");
    dumped.once("pull", &pull).expect(3);
    dumped.scene.live_is_old();
}

/// A function that waits for a minute, but only where a dump's definitions are made.
const SLOW: &str = "CREATE FUNCTION slow() RETURNS boolean LANGUAGE sql AS \
    $$ SELECT CASE WHEN current_database() LIKE '%\\_staging\\_%' THEN pg_sleep(60) IS NOT NULL ELSE true END $$; \
    CREATE MATERIALIZED VIEW slow AS SELECT slow()";

fn is_restoring(dumped: &Dumped) -> bool {
    let name = format!("{}\\_staging\\_%", dumped.scene.to);
    let sleeping = format!(
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname LIKE '{name}' AND wait_event = 'PgSleep'"
    );
    dumped.scene.pair.target.psql("postgres", &sleeping) == "t"
}

#[test]
fn what_a_killed_restore_leaves_is_removed_by_the_next_run() {
    let dumped = Dumped::new();
    dumped.scene.source(SLOW);
    dumped.dump(&format!("2026-01-02T030405Z-{DATABASE}.gz"));
    let running = dumped
        .scene
        .bed
        .start(&dumped.scene.bed.job("pull", &dumped.pull()));
    wait_until("it restores", || is_restoring(&dumped));
    running.kill();
    assert_eq!(dumped.scene.live("SELECT id, name FROM users"), "9|old");
    dumped.scene.source("DROP MATERIALIZED VIEW slow");
    dumped.dump(&format!("2026-01-03T030405Z-{DATABASE}.gz"));
    dumped.once("pull", &dumped.pull()).expect(0);
    dumped.scene.live_is_new();
    dumped.scene.nothing_is_beside();
}

#[test]
fn a_restore_that_is_terminated_leaves_nothing() {
    let dumped = Dumped::new();
    dumped.scene.source(SLOW);
    dumped.dump(&format!("2026-01-02T030405Z-{DATABASE}.gz"));
    let running = dumped
        .scene
        .bed
        .start(&dumped.scene.bed.job("pull", &dumped.pull()));
    wait_until("it restores", || is_restoring(&dumped));
    running.signal(nix::sys::signal::Signal::SIGTERM);
    running.end().expect(143);
    dumped.scene.live_is_old();
}

#[test]
fn a_script_that_fails_leaves_live_as_it_was() {
    let dumped = Dumped::new();
    dumped.dump(&format!("2026-01-02T030405Z-{DATABASE}.gz"));
    dumped
        .scene
        .bed
        .file("after.sql", "SELECT 1;\nSELECT nonsense;");
    let pull = dumped.pull().task("scripts = [\"after.sql\"]");
    dumped
        .once("pull", &pull)
        .expect(1)
        .says(&["after.sql:2", "nonsense"]);
    dumped.scene.live_is_old();
}

#[test]
fn a_plan_names_the_dump_and_restores_nothing() {
    let dumped = Dumped::new();
    let name = format!("2026-01-02T030405Z-{DATABASE}.gz");
    dumped.dump(&name);
    let job = dumped.scene.bed.job("pull", &dumped.pull());
    dumped
        .scene
        .bed
        .with_file("plan", &job)
        .expect(0)
        .says(&[&name]);
    dumped.scene.live_is_old();
}
