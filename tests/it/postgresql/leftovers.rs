//! What real databases have in them beside tables and rows: indexes that nobody finished, partitions elsewhere, extensions
//! with rows or demands of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::Scene;
use crate::support::dump::assert_equal;
use crate::support::job::Outcome;
use crate::support::postgres::{Cluster, quote, shared};

#[test]
fn indexes_that_were_never_finished_are_left_out_with_a_line_each_as_pg_dump_does() {
    let invalid = "SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid AND indrelid >= 16384 ORDER BY 1";
    let make = |scene: &Scene<'_>| {
        scene.source(
            "CREATE TABLE doubles (a int, b int); INSERT INTO doubles VALUES (1, 1), (1, 2);
             CREATE TABLE parted (a int) PARTITION BY LIST (a); CREATE TABLE part_1 PARTITION OF parted FOR VALUES IN (1);
             CREATE TABLE part_2 PARTITION OF parted FOR VALUES IN (2); CREATE INDEX on_parent ON ONLY parted (a);
             CREATE INDEX on_part ON part_1 (a); ALTER INDEX on_parent ATTACH PARTITION on_part;",
        );
        // As an operator's attempts leave them.
        for failing in [
            "CREATE UNIQUE INDEX CONCURRENTLY never_unique ON doubles (a)",
            "CREATE INDEX CONCURRENTLY never_there ON doubles ((a / (b - b)))",
        ] {
            let made = scene.source.try_psql("postgres", &scene.from, failing);
            assert!(made.is_err(), "{failing}");
        }
        scene
            .source("COMMENT ON INDEX never_unique IS 'one day'; CREATE INDEX fine ON doubles (b)");
        scene.source(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_buyer'::regclass;
             ALTER INDEX orders_buyer RENAME TO orders_buyer_ccold",
        );
        assert_eq!(
            scene.source(invalid),
            "orders_buyer_ccold\non_parent\nnever_unique\nnever_there"
        );
    };
    let on_one = Scene::on(&shared().source, &shared().source);
    for scene in [Scene::new(), on_one] {
        make(&scene);
        for verify in ["rows", "checksum"] {
            let job = scene.job().task(&format!("verify = \"{verify}\""));
            let said = [
                "public.never_unique",
                "public.never_there",
                "public.orders_buyer_ccold",
            ];
            scene.bed.once(&scene.write(&job)).expect(0).says(&said);
            scene.live_is_new();
            assert_equal(
                &scene.source.pg_dump(&scene.from),
                &scene.target.pg_dump(&scene.to),
            );
            assert_eq!(scene.live(invalid), "on_parent");
        }
    }
}

#[test]
fn an_index_that_is_being_built_is_left_out() {
    let scene = Scene::new();
    // Whoever is in the table keeps the index from being finished.
    let mut holder = scene.source.guest(&scene.from);
    let hold = "BEGIN; LOCK TABLE users IN ROW EXCLUSIVE MODE; SELECT 'held'";
    assert_eq!(holder.ask(hold), "held");
    let mut builder = scene
        .source
        .psql_command("postgres", &scene.from)
        .args(["-c", "CREATE INDEX CONCURRENTLY slow ON users (email)"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("psql");
    let begun =
        "SELECT count(*) FROM pg_index WHERE NOT indisvalid AND indrelid = 'users'::regclass";
    crate::support::wait_until("the index is begun", || scene.source(begun) == "1");
    let outcome = scene.bed.once(&scene.write(&scene.job()));
    outcome.expect(0).says(&["public.slow"]);
    scene.live_is_new();
    assert_eq!(scene.live("SELECT to_regclass('slow') IS NULL"), "t");
    drop(holder);
    let _ = builder.wait();
}

#[test]
fn tables_with_foreign_partitions_or_children_are_copied_without_a_word_to_the_other_server() {
    let scene = Scene::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.set_nonblocking(true).expect("a socket");
    let port = listener.local_addr().expect("bound").port();
    scene.source(&format!(
        "CREATE EXTENSION postgres_fdw;
         CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{port}', dbname 'x', connect_timeout '2');
         CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (user 'u', password 'secret');
         CREATE TABLE m (id int, y int) PARTITION BY LIST (y);
         CREATE TABLE m_now PARTITION OF m FOR VALUES IN (2026); INSERT INTO m VALUES (1, 2026);
         CREATE FOREIGN TABLE m_old PARTITION OF m FOR VALUES IN (2020) SERVER far;
         CREATE TABLE top (a int) PARTITION BY LIST (a); CREATE TABLE middle PARTITION OF top FOR VALUES IN (1) PARTITION BY LIST (a);
         CREATE FOREIGN TABLE low PARTITION OF middle FOR VALUES IN (1) SERVER far;
         CREATE TABLE parent (a int, t text) WITH (autovacuum_enabled = off); INSERT INTO parent SELECT g, repeat('x', 100) FROM generate_series(1, 5000) AS g;
         CREATE TABLE near () INHERITS (parent); INSERT INTO near VALUES (7);
         CREATE FOREIGN TABLE child () INHERITS (parent) SERVER far;
         CREATE STATISTICS parent_stats (dependencies) ON a, t FROM parent",
    ));
    for verify in ["rows", "checksum"] {
        let job = scene.job().task(&format!("verify = \"{verify}\""));
        let outcome = scene.bed.once(&scene.write(&job));
        outcome.expect(0).says(&["public.m", "public.parent"]);
    }
    let met = listener.accept().map(|_| ());
    assert!(met.is_err(), "the other server was connected to");
    let rows = "SELECT (SELECT count(*) FROM m_now), (SELECT count(*) FROM ONLY parent), (SELECT count(*) FROM near)";
    assert_eq!(scene.live(rows), "1|5000|1");
    let analyzed = "SELECT string_agg(DISTINCT tablename, ',' ORDER BY tablename) FROM pg_stats WHERE schemaname = 'public'";
    assert_eq!(scene.live(analyzed), "m_now,near,orders,users");
}

/// Two servers of the newest version that know the extensions of a directory, each a name and its script.
fn with_extensions(extensions: &[(&str, &str)]) -> (tempfile::TempDir, [Cluster; 2]) {
    let directory = tempfile::Builder::new()
        .prefix("envsyncd-extensions-")
        .tempdir_in("/tmp")
        .expect("a directory");
    let place = directory.path().join("extension");
    fs::create_dir(&place).expect("a directory");
    for (name, script) in extensions {
        let control = "comment = 'of a test'\ndefault_version = '1.0'\nrelocatable = false\n";
        fs::write(place.join(format!("{name}.control")), control).expect("a file");
        fs::write(place.join(format!("{name}--1.0.sql")), script).expect("a file");
    }
    for path in [directory.path(), &place] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
    }
    let path = format!("{}:$system", directory.path().display());
    let start = || {
        Cluster::builder()
            .newer()
            .set("extension_control_path", &path)
            .start()
    };
    let clusters = [start(), start()];
    (directory, clusters)
}

/// Runs a verb with the `pg_dump` that the newest servers need.
fn newest(scene: &Scene<'_>, verb: &str, task: &str) -> Outcome {
    let file = scene.write(&scene.job().task(task));
    scene.with_newest_pg_dump(&[verb], &file)
}

#[test]
fn of_an_extension_s_tables_only_what_is_not_from_its_script_is_compared() {
    // As PostGIS has `spatial_ref_sys`.
    let (_directory, [source, target]) = with_extensions(&[(
        "with_rows",
        "CREATE TABLE refs (id int PRIMARY KEY, said text); INSERT INTO refs SELECT g, 'script' FROM generate_series(1, 8500) AS g;
         SELECT pg_catalog.pg_extension_config_dump('refs', 'WHERE id > 10000');
         CREATE TABLE notes (a int); SELECT pg_catalog.pg_extension_config_dump('notes', '');
         CREATE TABLE inner_rows (a int); INSERT INTO inner_rows VALUES (1);",
    )]);
    let scene = Scene::on(&source, &target);
    scene.source(
        "CREATE EXTENSION with_rows; INSERT INTO refs VALUES (10001, 'mine'); INSERT INTO notes VALUES (5), (6)",
    );
    for verify in ["rows", "checksum"] {
        newest(&scene, "run", &format!("verify = \"{verify}\"")).expect(0);
        scene.live_is_new();
        let found = "SELECT (SELECT string_agg(said, ',') FROM refs WHERE id > 10000), (SELECT count(*) FROM refs),
            (SELECT sum(a) FROM notes), (SELECT count(*) FROM inner_rows)";
        assert_eq!(scene.live(found), "mine|8501|11|1");
    }
}

#[test]
fn an_extension_that_only_one_database_of_a_server_can_have_is_refused_by_plan() {
    let (_directory, [source, target]) = with_extensions(&[(
        "pg_cron",
        "CREATE SCHEMA cron; CREATE TABLE cron.job (a int);",
    )]);
    let scene = Scene::on(&source, &target);
    scene.source("CREATE EXTENSION pg_cron");
    for verb in ["plan", "run"] {
        newest(&scene, verb, "").expect(1).says(&[
            "pg_cron",
            "one database of a server",
            "cron.schedule_in_database",
        ]);
    }
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn a_database_of_bytes_is_copied_unless_a_definition_is_not_utf_8_which_is_named_by_plan() {
    let scene = Scene::without_databases(&shared().source, &shared().target);
    scene.source.psql(
        "postgres",
        &format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
            quote(&scene.from)
        ),
    );
    scene.target.create_db(&scene.to);
    scene.source(
        "CREATE TABLE t (id int, v text); COMMENT ON TABLE t IS 'Größe'; INSERT INTO t VALUES (1, E'caf\\xe9')",
    );
    let file = scene.write(&scene.job());
    scene.bed.once(&file).expect(0);
    assert_eq!(scene.live("SELECT obj_description('t'::regclass)"), "Größe");
    for (makes, undoes, what) in [
        (
            "COMMENT ON TABLE t IS E'caf\\xe9'",
            "COMMENT ON TABLE t IS NULL",
            "the comment on table public.t",
        ),
        (
            "ALTER TABLE t ALTER v SET DEFAULT E'caf\\xe9'",
            "ALTER TABLE t ALTER v DROP DEFAULT",
            "column of public.t",
        ),
        (
            "CREATE VIEW v AS SELECT E'caf\\xe9'::text AS x",
            "DROP VIEW v",
            "view public.v",
        ),
    ] {
        scene.source(makes);
        for verb in ["plan", "run"] {
            let outcome = scene.bed.with_file(verb, &file);
            outcome.expect(1).says(&[what, "not in UTF-8"]);
        }
        scene.source(undoes);
    }
    scene.bed.with_file("plan", &file).expect(0);
}

#[test]
fn an_extension_s_table_can_be_excluded_and_a_table_that_nobody_counted_is_not_empty() {
    let (_directory, [source, target]) = with_extensions(&[(
        "places",
        "CREATE TABLE refs (id int PRIMARY KEY); INSERT INTO refs VALUES (1);
         CREATE TABLE notes (a int); SELECT pg_catalog.pg_extension_config_dump('notes', '');",
    )]);
    let scene = Scene::on(&source, &target);
    scene.source(
        "CREATE EXTENSION places; INSERT INTO notes VALUES (1);
         CREATE TABLE uncounted WITH (autovacuum_enabled = off) AS SELECT g FROM generate_series(1, 40000) g",
    );
    let excluded = "exclude = [\"refs\", \"notes\"]";
    let outcome = newest(&scene, "plan", excluded).expect(0);
    assert!(
        !outcome.stderr.contains("matches no table"),
        "{}",
        outcome.stderr
    );
    let outcome = outcome.says(&[
        "schema only: public.notes",
        "schema only: public.refs",
        "free in ",
    ]);
    let line = outcome
        .stdout
        .lines()
        .find(|line| line.contains("uncounted"));
    let rows: String = line
        .expect("its line")
        .split_whitespace()
        .nth(1)
        .expect("rows")
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let rows: u64 = rows.parse().expect("a number");
    assert!((20_000..80_000).contains(&rows), "{rows}");
    newest(&scene, "run", excluded).expect(0);
    assert_eq!(scene.live("SELECT count(*) FROM notes"), "0");
    assert_eq!(scene.live("SELECT count(*) FROM uncounted"), "40000");
}
