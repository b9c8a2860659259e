//! What a job can ask for.

use super::Scene;
use crate::support::dump::assert_equal;
use crate::support::job::Job;
use crate::support::postgres::{Cluster, shared};

#[test]
fn excluded_tables_do_not_arrive_and_the_others_do() {
    let scene = Scene::new();
    scene.source("CREATE TABLE cache_a (a int); CREATE TABLE not_a_cache_b (a int); CREATE SCHEMA s; CREATE TABLE s.cache_c (a int)");
    let job = scene.job().task("exclude = [\"cache_*\"]");
    scene.bed.once(&scene.write(&job)).expect(0);
    assert_eq!(
        scene.live("SELECT string_agg(oid::regclass::text, ',' ORDER BY relname) FROM pg_class WHERE relname LIKE '%cache%' AND relkind = 'r'"),
        "not_a_cache_b"
    );
    scene.live_is_new();
}

#[test]
fn schema_only_tables_arrive_without_rows_and_their_names_are_compared_whole() {
    let scene = Scene::new();
    scene.source(
        "CREATE SCHEMA app; CREATE SCHEMA \"my-app\";
         CREATE TABLE app.events (a int UNIQUE); INSERT INTO app.events VALUES (1);
         CREATE TABLE \"my-app\".events (a int); INSERT INTO \"my-app\".events VALUES (2);
         CREATE TABLE app.events_2 (a int); INSERT INTO app.events_2 VALUES (3)",
    );
    let job = scene.job().task("schema_only = [\"app.events\"]");
    scene.bed.once(&scene.write(&job)).expect(0);
    assert_eq!(
        scene.live("SELECT (SELECT count(*) FROM app.events), (SELECT count(*) FROM \"my-app\".events), (SELECT count(*) FROM app.events_2)"),
        "0|1|1"
    );
    assert_eq!(
        scene.live("SELECT count(*) FROM pg_index WHERE indrelid = 'app.events'::regclass"),
        "1"
    );
}

#[test]
fn the_target_s_own_rows_survive_in_kept_tables() {
    let scene = Scene::new();
    let table = "CREATE TABLE webhooks (id serial PRIMARY KEY, url text, secret text GENERATED ALWAYS AS (md5(url)) STORED);";
    scene.source(&format!(
        "{table} INSERT INTO webhooks (url) VALUES ('production')"
    ));
    scene.live(&format!(
        "{table} INSERT INTO webhooks (id, url) VALUES (41, 'staging''s own'), (42, E'tab\\there')"
    ));
    scene.live("SELECT setval('webhooks_id_seq', 42)");
    let before = scene.live("SELECT * FROM webhooks ORDER BY id");
    let job = scene.job().task("keep = [\"webhooks\"]");
    let file = scene.write(&job);
    for _ in 0..2 {
        scene.bed.once(&file).expect(0);
        assert_eq!(scene.live("SELECT * FROM webhooks ORDER BY id"), before);
        scene.live_is_new();
    }
    // The application can go on numbering.
    scene.live("INSERT INTO webhooks (url) VALUES ('next')");
    assert_eq!(scene.live("SELECT max(id) FROM webhooks"), "43");
}

#[test]
fn a_kept_table_that_only_the_target_has_survives() {
    let scene = Scene::new();
    let job = scene.job().task("keep = [\"only_live\"]");
    scene.bed.once(&scene.write(&job)).expect(0);
    scene.live_is_new();
    assert_eq!(scene.live("SELECT a FROM only_live"), "mine");
}

#[test]
fn tables_that_only_the_target_has_stay_in_overlay_and_go_in_replace() {
    let scene = Scene::new();
    let overlay = scene.job().task("mode = \"overlay\"");
    scene.live("CREATE INDEX only_live_a ON only_live (a); COMMENT ON TABLE only_live IS 'ours'");
    for _ in 0..2 {
        scene.bed.once(&scene.write(&overlay)).expect(0);
        scene.live_is_new();
        assert_eq!(
            scene.live("SELECT a, obj_description('only_live'::regclass), (SELECT count(*) FROM pg_index WHERE indrelid = 'only_live'::regclass) FROM only_live"),
            "mine|ours|1"
        );
    }
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    assert_equal(
        &scene.source.pg_dump(&scene.from),
        &scene.target.pg_dump(&scene.to),
    );
}

#[test]
fn scripts_run_in_order_before_anyone_sees_the_rows() {
    let scene = Scene::new();
    scene.bed.file(
        "anonymise.sql",
        "-- e-mail addresses\nUPDATE users SET email = 'x' || id || '@example.org';\n\nCREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN 'a;b'; END$$;\n",
    );
    scene.bed.file(
        "second.sql",
        "CREATE TABLE seen AS SELECT email, f() FROM users WHERE id = 1;",
    );
    let gate = scene.bed.gate("maintenance");
    let job = scene
        .job()
        .task("scripts = [\"anonymise.sql\", \"second.sql\"]")
        .hooks(&gate.maintenance());
    let mut running = scene.bed.start(&scene.write(&job));
    gate.wait(&mut running);
    scene.live_is_old();
    gate.open();
    running.end().expect(0);
    assert_eq!(scene.live("SELECT * FROM seen"), "x1@example.org|a;b");
    assert_eq!(
        scene.live("SELECT count(*) FROM users WHERE email = 'new'"),
        "0"
    );
}

#[test]
fn a_script_that_fails_leaves_live_as_it_was_and_is_named_with_its_line() {
    let scene = Scene::new();
    scene.bed.file("fine.sql", "SELECT 1;");
    scene.bed.file(
        "broken.sql",
        "UPDATE users SET email = 'secret-content';\n\n/* a\ncomment */\nUPDATE userz\nSET email = 'x';\nSELECT 2;",
    );
    let job = scene.job().task("scripts = [\"fine.sql\", \"broken.sql\"]");
    let outcome = scene
        .bed
        .once(&scene.write(&job))
        .expect(1)
        .says(&["broken.sql", "5", "userz"]);
    assert!(
        !outcome.stderr.contains("secret-content"),
        "{}",
        outcome.stderr
    );
    scene.live_is_old();
    scene.nothing_is_left();
    assert_eq!(scene.bed.status_text("app", "state"), "failed");
    assert!(
        scene
            .bed
            .status_text("app", "message")
            .contains("broken.sql")
    );
}

#[test]
fn a_script_with_commands_of_psql_is_refused_before_anything_is_changed() {
    let scene = Scene::new();
    scene.bed.file("include.sql", "SELECT 1;\n\\i other.sql\n");
    let job = scene.job().task("scripts = [\"include.sql\"]");
    let outcome = scene
        .bed
        .once(&scene.write(&job))
        .says(&["include.sql", "\\i"]);
    assert_ne!(outcome.code, Some(0));
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn verify_by_checksum_finds_nothing_in_an_honest_copy() {
    let scene = Scene::new();
    let job = scene.job().task("verify = \"checksum\"");
    scene.bed.once(&scene.write(&job)).expect(0);
    scene.live_is_new();
}

#[test]
fn who_builds_indexes_takes_a_share_of_the_server_s_memory_unless_the_url_says_how_much() {
    let target = Cluster::builder().set("shared_buffers", "1GB").start();
    let scene = Scene::on(&shared().source, &target);
    let said = format!(
        "{}&options=-c%20maintenance_work_mem%3D32MB",
        target.url("postgres", &scene.to)
    );
    let plain = target.url("postgres", &scene.to);
    for (to, memory, code) in [
        (&plain, "128MB", 0),
        (&said, "32MB", 0),
        (&plain, "32MB", 1),
    ] {
        // Whoever builds it on the target has so much, or the index cannot be built.
        scene.source(&format!(
            "CREATE OR REPLACE FUNCTION built_with(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
             $$BEGIN IF current_database() <> '{}' AND current_setting('maintenance_work_mem') <> '{memory}'
             THEN RAISE EXCEPTION 'otherwise'; END IF; RETURN i; END$$;
             CREATE INDEX IF NOT EXISTS built ON orders (built_with(buyer));",
            scene.from
        ));
        let from = scene.source.url("postgres", &scene.from);
        let job = Job::between("postgresql", &from, to).task("jobs = 1");
        scene.bed.once(&scene.write(&job)).expect(code);
    }
}

#[test]
fn plan_says_what_a_run_would_do_and_changes_nothing() {
    let scene = Scene::new();
    let job = scene.job().task("exclude = [\"orders\"]");
    scene
        .bed
        .with_file("plan", &scene.write(&job))
        .expect(0)
        .says(&["users", "orders"]);
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn a_source_without_tables_is_a_warning_where_live_has_some() {
    let scene = Scene::new();
    scene.source("DROP TABLE orders, users");
    let warning = "the source has no tables, and the target has some: they go";
    let overlay = scene.write(&scene.job().task("mode = \"overlay\""));
    let outcome = scene.bed.with_file("plan", &overlay).expect(0);
    assert!(!outcome.stderr.contains(warning), "{}", outcome.stderr);
    let file = scene.write(&scene.job());
    scene
        .bed
        .with_file("plan", &file)
        .expect(0)
        .says(&[warning]);
    scene.bed.once(&file).expect(0).says(&[warning, "tables=2"]);
    assert_eq!(
        scene.live("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"),
        "0"
    );
    let outcome = scene.bed.once(&file).expect(0);
    assert!(!outcome.stderr.contains(warning), "{}", outcome.stderr);
}
