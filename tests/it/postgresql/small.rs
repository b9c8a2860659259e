//! Many small tables: they go many at a time, and nobody can tell.

use super::Scene;
use crate::support::dump::assert_equal;
use crate::support::job::Outcome;
use crate::support::postgres::{Cluster, shared};

/// What a run says when a batch was refused and its pieces were made by themselves.
const ALONE: [&str; 2] = ["in one go", "one by one"];

/// A source of small tables `t_1`, `t_2`, ...: each with rows, a sequence, three indexes.
fn small_tables(count: u32) -> String {
    format!(
        "DO $$BEGIN FOR n IN 1..{count} LOOP
           EXECUTE format('CREATE TABLE t_%s (id serial PRIMARY KEY, name text NOT NULL UNIQUE, at date DEFAULT ''2020-01-01'')', n);
           EXECUTE format('INSERT INTO t_%s (name) SELECT %L || g FROM generate_series(1, %s) AS g', n, 'row ', n % 12);
           EXECUTE format('CREATE INDEX t_%s_at ON t_%s (at)', n, n);
           IF n % 40 = 0 THEN COMMIT; END IF;
         END LOOP; END$$;"
    )
}

fn scene() -> Scene<'static> {
    let pair = shared();
    let scene = Scene::without_databases(&pair.source, &pair.target);
    pair.source.create_db(&scene.from);
    scene.source(&small_tables(120));
    scene
}

/// A function that says different things on the two sides.
fn at_home(scene: &Scene) {
    scene.source(&format!(
        "CREATE FUNCTION at_home() RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS
         $$BEGIN RETURN current_database() = '{}'; END$$",
        scene.from
    ));
}

fn verbose(scene: &Scene) -> Outcome {
    let job = scene.write(&scene.job());
    let job = job.to_str().expect("a path of text");
    scene.bed.run(&["-vv", "--once", "-f", job])
}

#[track_caller]
fn fails_and_leaves_nothing(scene: &Scene, says: &[&str]) {
    scene
        .bed
        .once(&scene.write(&scene.job()))
        .expect(1)
        .says(says);
    assert!(!scene.target.databases().contains(&scene.to));
    scene.nothing_is_left();
}

#[test]
fn hundreds_of_small_tables_arrive_with_comments_grants_views_and_keys() {
    let scene = scene();
    scene.source(
        "DO $$BEGIN FOR n IN 1..120 LOOP
           EXECUTE format('COMMENT ON TABLE t_%s IS %L', n, 'about ' || n);
           EXECUTE format('COMMENT ON COLUMN t_%s.name IS %L', n, 'it''s; $1 \\\\');
           EXECUTE format('COMMENT ON INDEX t_%s_at IS %L', n, 'index');
           EXECUTE format('GRANT SELECT ON t_%s TO pg_monitor', n);
           EXECUTE format('GRANT UPDATE (name) ON t_%s TO PUBLIC', n);
           EXECUTE format('ALTER TABLE t_%s ADD up int REFERENCES t_%s', n, 1 + n % 7);
           IF n % 3 = 0 THEN EXECUTE format('CREATE VIEW t_%s_view AS SELECT t.* FROM t_%s t JOIN t_%s u USING (id)', n, n, 121 - n); END IF;
           IF n % 5 = 0 THEN EXECUTE format('CREATE TABLE t_%s_child (more int) INHERITS (t_%s)', n, n - 1); END IF;
           IF n % 40 = 0 THEN COMMIT; END IF;
         END LOOP; END$$;
         CREATE TABLE p (id int, at date) PARTITION BY RANGE (id);
         DO $$BEGIN FOR n IN 1..60 LOOP
           EXECUTE format('CREATE TABLE p_%s PARTITION OF p FOR VALUES FROM (%s) TO (%s)', n, n, n + 1);
         END LOOP; END$$;
         CREATE UNIQUE INDEX ON p (id); INSERT INTO p SELECT g FROM generate_series(1, 60) g;
         CREATE SEQUENCE unused START 7; SELECT setval('t_3_id_seq', 99, false);",
    );
    let outcome = verbose(&scene).expect(0);
    for words in ALONE {
        assert!(!outcome.stderr.contains(words), "{}", outcome.stderr);
    }
    assert_equal(
        &scene.source.pg_dump(&scene.from),
        &scene.target.pg_dump(&scene.to),
    );
    // Statistics of all, and hints for the first that read them.
    assert_eq!(
        scene.live("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^[tp]_' AND reltuples < 0"),
        "0"
    );
}

#[test]
fn of_many_small_tables_the_one_whose_rows_are_refused_is_named() {
    let scene = scene();
    at_home(&scene);
    scene.source("ALTER TABLE t_77 ADD CHECK (at_home())");
    fails_and_leaves_nothing(&scene, &["public.t_77", "t_77_check"]);
}

#[test]
fn of_many_small_tables_the_one_whose_index_cannot_be_built_is_named() {
    let scene = scene();
    at_home(&scene);
    scene.source("CREATE UNIQUE INDEX t_71_odd ON t_71 ((CASE WHEN at_home() THEN id ELSE 0 END))");
    fails_and_leaves_nothing(&scene, &["index public.t_71_odd", "CREATE UNIQUE INDEX"]);
}

#[test]
fn of_many_definitions_the_one_that_cannot_be_made_is_named() {
    let scene = scene();
    // What is in the server's own schema is in no dump.
    scene.source(
        "CREATE FUNCTION pg_catalog.stranger() RETURNS int LANGUAGE sql AS 'SELECT 1';
         ALTER TABLE t_70 ADD who int DEFAULT pg_catalog.stranger()",
    );
    fails_and_leaves_nothing(&scene, &["public.t_70", "stranger"]);
}

#[test]
fn of_many_foreign_keys_the_one_that_does_not_hold_is_named() {
    let scene = scene();
    scene.source(
        "DO $$BEGIN FOR n IN 1..120 LOOP EXECUTE format('ALTER TABLE t_%s ADD up int REFERENCES t_%s', n, 1 + n % 7); END LOOP; END$$;
         SET session_replication_role = replica; UPDATE t_90 SET up = 12345 WHERE id = 1;",
    );
    fails_and_leaves_nothing(&scene, &["t_90_up_fkey"]);
}

#[test]
fn batches_fit_into_the_lock_table_of_a_small_server() {
    let target = Cluster::builder()
        .set("max_locks_per_transaction", "10")
        .set("max_connections", "20")
        .start();
    let scene = Scene::without_databases(&shared().source, &target);
    scene.source.create_db(&scene.from);
    scene.source(&small_tables(300));
    let outcome = verbose(&scene).expect(0);
    for words in ALONE {
        assert!(!outcome.stderr.contains(words), "{}", outcome.stderr);
    }
    // To count their rows would take more locks than the server has; statistics of so small tables are exact.
    assert_eq!(
        scene.live(
            "SELECT count(*), sum(reltuples), (SELECT count(*) FROM pg_indexes WHERE schemaname = 'public')
             FROM pg_class WHERE relkind = 'r' AND relname ~ '^t_'"
        ),
        "300|1650|900"
    );
}
