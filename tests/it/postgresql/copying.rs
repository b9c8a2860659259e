//! What arrives is what was there.

use super::Scene;
use crate::support::dump::assert_equal;
use crate::support::job::Job;
use crate::support::postgres::{Cluster, quote, shared};
use crate::support::wait_until;

const ROLES: &str = "DO $$BEGIN CREATE ROLE fixture_reader;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END$$;
    DO $$BEGIN CREATE ROLE fixture_writer;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END$$;";

/// Copies a database of these fixtures into a new one.
fn copy_of(fixtures: &[&str], lines: &[&str]) -> Scene<'static> {
    let pair = shared();
    let scene = Scene::without_databases(&pair.source, &pair.target);
    scene.source.create_db(&scene.from);
    scene.target.psql("postgres", ROLES);
    for fixture in fixtures {
        scene.source(fixture);
    }
    let job = lines.iter().fold(scene.job(), |job, line| job.task(line));
    scene.bed.once(&scene.write(&job)).expect(0);
    scene
}

#[track_caller]
fn assert_copied(scene: &Scene<'_>) {
    assert_equal(
        &scene.source.pg_dump(&scene.from),
        &scene.target.pg_dump(&scene.to),
    );
}

#[test]
fn an_ordinary_application_s_database_arrives_as_it_was() {
    let scene = copy_of(&[include_str!("../fixtures/ordinary.sql")], &[]);
    assert_copied(&scene);
    // What no dump tells.
    let unlogged = "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relpersistence = 'u' AND relkind = 'r'";
    assert_eq!(scene.live(unlogged), "unlogged,unlogged_serial");
    assert_eq!(
        scene.live("SELECT nextval('counters.set_not_called')"),
        "99"
    );
    assert_eq!(scene.live("SELECT nextval('counters.set_called')"), "100");
    assert_eq!(scene.live("SELECT count(*) FROM pg_publication"), "0");
    assert_eq!(
        scene.live("SELECT count(*) FROM pg_index WHERE NOT indisvalid AND indexrelid::regclass::text <> 'measurements_region_parent'"),
        "0"
    );
    assert_eq!(
        scene.live("SELECT ispopulated FROM pg_matviews WHERE matviewname = 'not_filled'"),
        "f"
    );
}

#[test]
fn it_arrives_so_with_one_worker_and_checksums_too() {
    let lines = ["jobs = 1", "verify = \"checksum\""];
    assert_copied(&copy_of(
        &[include_str!("../fixtures/ordinary.sql")],
        &lines,
    ));
}

#[test]
fn large_objects_keep_their_oids_bytes_and_grants() {
    assert_copied(&copy_of(
        &[include_str!("../fixtures/large_objects.sql")],
        &[],
    ));
}

#[test]
fn functions_that_rely_on_a_search_path_work_while_they_are_loaded() {
    assert_copied(&copy_of(
        &[include_str!("../fixtures/search_path.sql")],
        &[],
    ));
}

#[test]
fn rows_hashed_by_an_enum_are_found_in_the_target_s_partitions() {
    let scene = copy_of(&[include_str!("../fixtures/hashed_enum.sql")], &[]);
    for value in ["sad", "ok", "happy", "between"] {
        let count = format!("SELECT count(*) FROM hashed_enum WHERE m = '{value}'");
        assert_eq!(scene.live(&count), scene.source(&count), "of {value}");
    }
}

#[test]
fn an_empty_database_is_copied_and_empties_the_target() {
    let scene = Scene::new();
    scene.source("DROP TABLE users CASCADE; DROP TABLE orders");
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    assert_copied(&scene);
}

#[test]
fn databases_with_odd_names_are_copied() {
    let pair = shared();
    for stem in ["Dots.and \"quotes\" %s", "größe 🌍 it's", "a/b?c=d&e#f\\g"] {
        let mut scene = Scene::without_databases(&pair.source, &pair.target);
        scene.from = format!("{stem} {}", scene.from);
        scene.to = format!("{stem} {}", scene.to);
        scene.source.create_db(&scene.from);
        scene.source("CREATE TABLE t (a int); INSERT INTO t VALUES (7)");
        scene.bed.once(&scene.write(&scene.job())).expect(0);
        // Once more: now there is something to replace.
        scene.bed.once(&scene.write(&scene.job())).expect(0);
        assert_eq!(scene.live("SELECT a FROM t"), "7", "in {stem}");
    }
}

#[test]
fn a_name_of_63_bytes_leaves_room_for_incoming_and_previous() {
    let mut scene = Scene::new();
    let long = format!("{}{}", "x".repeat(63 - scene.to.len()), scene.to);
    scene.target.psql(
        "postgres",
        &format!(
            "ALTER DATABASE {} RENAME TO {}",
            quote(&scene.to),
            quote(&long)
        ),
    );
    scene.to = long;
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    scene.live_is_new();
    scene
        .bed
        .with_file("rollback", &scene.bed.path("jobs/app.toml"))
        .expect(0);
    scene.live_is_old();
}

#[test]
fn a_standby_can_be_the_source() {
    // Of its own: a server with tablespaces cannot be copied on one machine, and others make some.
    let primary = Cluster::builder().start();
    let standby = primary.standby();
    let scene = Scene::on(&primary, &shared().target);
    standby.catch_up(&primary);
    let job = Job::between(
        "postgresql",
        &standby.url("postgres", &scene.from),
        &scene.target.url("postgres", &scene.to),
    );
    scene.bed.once(&scene.write(&job)).expect(0);
    // As the standby has it: a sequence there is ahead of its primary's by the values that were logged at once.
    assert_equal(
        &standby.pg_dump(&scene.from),
        &scene.target.pg_dump(&scene.to),
    );
}

#[test]
fn rows_written_while_a_copy_runs_are_in_it_whole_or_not_at_all() {
    let scene = Scene::new();
    let (job, proxy) = scene.job_that_stalls();
    let running = scene.bed.start(&scene.write(&job));
    proxy.wait_for_stall();
    // One transaction over two tables: both of its rows or none.
    scene.source("BEGIN; INSERT INTO users VALUES (9999, 'late'); INSERT INTO orders (buyer) VALUES (9999); COMMIT");
    proxy.go_on();
    running.end().expect(0);
    assert_eq!(
        scene.live("SELECT (SELECT count(*) FROM users WHERE id = 9999), (SELECT count(*) FROM orders WHERE buyer = 9999), (SELECT count(*) FROM big)"),
        "0|0|40000"
    );
}

#[test]
fn rows_longer_than_any_buffer_arrive_whole_in_text_and_in_binary_and_so_do_none() {
    let scene = copy_of(
        &["CREATE TABLE binary_rows (id int PRIMARY KEY, body bytea);
           INSERT INTO binary_rows SELECT g, decode(repeat(md5(g::text), 40000 * g), 'hex') FROM generate_series(1, 9) AS g;
           CREATE TYPE mood AS ENUM ('well', 'ill');
           CREATE TABLE text_rows (id int PRIMARY KEY, moods mood[], body text);
           INSERT INTO text_rows SELECT g, '{ill}', repeat(md5(g::text) || E'\\n\\t', 40000 * g) FROM generate_series(1, 9) AS g;
           CREATE TABLE short_rows (id int PRIMARY KEY);
           INSERT INTO short_rows SELECT generate_series(1, 200000);
           CREATE TABLE no_rows (id int PRIMARY KEY);
           CREATE TABLE no_rows_in_text (moods mood[]);"],
        &["verify = \"checksum\""],
    );
    assert_copied(&scene);
    let rows = scene.bed.status("app")["tasks"][0]["rows"].as_u64();
    assert_eq!(rows, Some(200_018));
}

#[test]
fn rows_that_cannot_be_frozen_yet_hold_up_no_run_and_the_next_one_s_are_frozen() {
    let target = Cluster::builder()
        .set("wal_receiver_status_interval", "1s")
        .start();
    let standby = target.standby();
    let feedback = |value: &str, told: &str| {
        let set = format!("ALTER SYSTEM SET hot_standby_feedback = {value}");
        standby.psql("postgres", &set);
        standby.psql("postgres", "SELECT pg_reload_conf()");
        let asked = format!("SELECT count(*) FROM pg_stat_replication WHERE backend_xmin {told}");
        wait_until("the primary knows", || {
            target.psql("postgres", &asked) == "1"
        });
    };
    // Whoever looks at the standby might look for rows as they were before.
    let mut reader = standby.guest("postgres");
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 'begun'";
    assert_eq!(reader.ask(begin), "begun");
    feedback("on", "IS NOT NULL");
    let scene = Scene::on(&shared().source, &target);
    let file = scene.write(&scene.job());
    let late = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace
                AND relkind = 'r' AND relallvisible < relpages";
    scene.bed.once(&file).expect(0);
    scene.live_is_new();
    assert_ne!(scene.live(late), "0");
    drop(reader);
    feedback("off", "IS NULL");
    scene.bed.once(&file).expect(0);
    assert_eq!(scene.live(late), "0");
}

#[test]
fn the_first_queries_on_the_published_database_find_statistics_and_rows_visible_to_all() {
    let scene = Scene::new();
    scene.source(
        "CREATE TABLE towns (id int PRIMARY KEY, country text, language text, filler text);
         INSERT INTO towns SELECT g, 'c' || g % 5, 'l' || g % 5, repeat(md5(g::text), 8) FROM generate_series(1, 4000) AS g;
         CREATE STATISTICS towns_dependent (dependencies) ON country, language FROM towns;
         CREATE TABLE tiny (id int PRIMARY KEY REFERENCES towns, note text);
         INSERT INTO tiny SELECT g, 'note' FROM generate_series(1, 30) AS g;
         CREATE STATISTICS tiny_distinct (ndistinct) ON id, note FROM tiny;
         CREATE TYPE mood AS ENUM ('glad', 'sad');
         CREATE TABLE moods (m mood, n int) PARTITION BY HASH (m);
         CREATE TABLE moods_0 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE moods_1 PARTITION OF moods FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         INSERT INTO moods SELECT (ARRAY['glad', 'sad']::mood[])[1 + g % 2], g FROM generate_series(1, 3000) AS g;
         CREATE MATERIALIZED VIEW by_country AS SELECT country, count(*) AS n FROM towns GROUP BY country;",
    );
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    let late = "SELECT coalesce(string_agg(relname, ',' ORDER BY relname), '') FROM pg_class
                WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'm') AND pg_relation_size(oid) > 0";
    assert_eq!(
        scene.live(&format!("{late} AND relallvisible < relpages")),
        ""
    );
    assert_eq!(scene.live(&format!("{late} AND reltuples < 1")), "");
    let all = "by_country,moods,orders,tiny,towns,users";
    assert_eq!(
        scene.live(
            "SELECT string_agg(DISTINCT tablename, ',' ORDER BY tablename) FROM pg_stats
             WHERE schemaname = 'public' AND tablename !~ '_[01]$'"
        ),
        all
    );
    assert_eq!(
        scene.live("SELECT string_agg(statistics_name, ',' ORDER BY statistics_name) FROM pg_stats_ext WHERE dependencies IS NOT NULL OR n_distinct IS NOT NULL"),
        "tiny_distinct,towns_dependent"
    );
}
