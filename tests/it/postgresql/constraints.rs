//! Constraints that are put on top of indexes which were built before.

use super::Scene;
use crate::support::dump::assert_equal;
use crate::support::job::Job;
use crate::support::postgres::{Cluster, shared};
use crate::support::proxy::{Fault, Proxy};

const FIXTURE: &str = include_str!("../fixtures/constraints.sql");

/// Two unique columns on a table that is large enough.
const TWO: &str =
    "CREATE TABLE two (a int CONSTRAINT two_a UNIQUE, b int CONSTRAINT two_b UNIQUE, filler text);
    INSERT INTO two SELECT g, g, repeat('x', 200) FROM generate_series(1, 9000) AS g;";

#[test]
fn constraints_of_large_tables_are_put_on_their_indexes_and_arrive_as_they_were() {
    let (source, target) = (
        &shared().source,
        Cluster::builder().set("log_statement", "ddl").start(),
    );
    let scene = Scene::without_databases(source, &target);
    source.create_db(&scene.from);
    scene.source(FIXTURE);
    scene.source(
        "SET search_path = \"On top\"; ALTER TABLE many ADD CONSTRAINT nulls UNIQUE NULLS NOT DISTINCT (note, pair)",
    );
    scene
        .bed
        .once(&scene.write(&scene.job().task("verify = \"checksum\"")))
        .expect(0);
    assert_equal(&source.pg_dump(&scene.from), &target.pg_dump(&scene.to));
    let said = target.log();
    for name in [
        "\"many's key\"",
        "many_code",
        "\"many \"\"pair\"\";\"",
        "many_q",
        "nulls",
        "taken_key",
        "parted_low_pkey",
        "its_own",
        "not_logged_pkey",
        "d",
    ] {
        let on_top = format!("USING INDEX {name}");
        assert!(
            said.lines()
                .any(|line| line.trim_end_matches(';').ends_with(&on_top)
                    || line.contains(&format!("{on_top} DEFERR"))),
            "no {on_top} in the log"
        );
    }
    // What no dump tells: indexes that count, and the constraints that say so.
    let indexes = "SELECT string_agg(format('%s %s %s %s %s %s', c.relname, indisunique, indisprimary, indimmediate, indisvalid, indisclustered), ',' ORDER BY c.relname)
        FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'On top'";
    assert_eq!(scene.live(indexes), scene.source(indexes));
}

#[test]
fn constraints_of_large_tables_arrive_in_a_newer_version_as_they_were() {
    let shape = "SELECT string_agg(format('%s %s', conname, pg_get_constraintdef(k.oid)), ';' ORDER BY conname)
        FROM pg_constraint k JOIN pg_namespace n ON n.oid = connamespace WHERE nspname = 'On top' AND contype <> 'n'";
    let indexes = "SELECT string_agg(pg_get_indexdef(indexrelid), ';' ORDER BY indexrelid::regclass::text)
        FROM pg_index JOIN pg_class c ON c.oid = indexrelid JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'On top'";
    let (source, target) = (&shared().source, Cluster::builder().newer().start());
    let scene = Scene::without_databases(source, &target);
    source.create_db(&scene.from);
    scene.source(FIXTURE);
    let job = scene.job().task("verify = \"checksum\"");
    scene.bed.once(&scene.write(&job)).expect(0);
    assert_eq!(scene.live(shape), scene.source(shape));
    assert_eq!(scene.live(indexes), scene.source(indexes));
}

#[test]
fn a_key_without_overlaps_is_made_as_it_was() {
    let (source, target) = (
        Cluster::builder().newer().start(),
        Cluster::builder().newer().start(),
    );
    let scene = Scene::without_databases(&source, &target);
    source.create_db(&scene.from);
    scene.source(FIXTURE);
    scene.source(
        "CREATE TABLE spans (id int4range, at daterange, n int NOT NULL UNIQUE, filler text, PRIMARY KEY (id, at WITHOUT OVERLAPS));
         INSERT INTO spans SELECT int4range(g, g + 1), daterange('2020-01-01', '2021-01-01'), g, repeat('s', 200) FROM generate_series(1, 9000) AS g",
    );
    let mut command = scene.bed.command();
    let path = std::env::var("PATH").unwrap_or_default();
    let tools = source.program("pg_dump");
    command
        .env(
            "PATH",
            format!("{}:{path}", tools.parent().expect("bin").display()),
        )
        .args(["--once", "-f"])
        .arg(scene.write(&scene.job()));
    scene.bed.spawn(&mut command).end().expect(0);
    assert_equal(&source.pg_dump(&scene.from), &target.pg_dump(&scene.to));
}

#[test]
fn values_that_are_there_twice_fail_the_run_and_the_constraint_and_its_statement_are_named() {
    let scene = Scene::new();
    scene.source(TWO);
    // As after damage, or an upgrade of the C library.
    let ready = |is: bool| {
        format!("UPDATE pg_index SET indisready = {is} WHERE indexrelid = 'two_b'::regclass")
    };
    scene.source(&ready(false));
    scene.source("INSERT INTO two VALUES (0, 77)");
    scene.source(&ready(true));
    scene
        .bed
        .once(&scene.write(&scene.job()))
        .expect(1)
        .says(&["constraint public.two two_b", "CREATE UNIQUE INDEX two_b"]);
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn a_connection_that_is_cut_while_a_constraint_is_put_on_its_index_fails_the_run() {
    let scene = Scene::new();
    scene.source(TWO);
    let proxy = Proxy::before(scene.target);
    proxy.trap("USING INDEX two_", Fault::Drop);
    let source = scene.source.url("postgres", &scene.from);
    let job = Job::between("postgresql", &source, &proxy.url("postgres", &scene.to));
    scene
        .bed
        .once(&scene.write(&job))
        .expect(1)
        .says(&["connection closed"]);
    assert!(proxy.is_sprung());
    scene.live_is_old();
}
