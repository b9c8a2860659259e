//! Between servers of different versions, and of different ideas of how to sort.

use super::Scene;
use crate::support::dump::assert_equal;
use crate::support::postgres::{Cluster, shared};

#[test]
fn an_older_version_s_database_arrives_in_a_newer_one_equal_to_the_row() {
    let (source, target) = (&shared().source, Cluster::builder().newer().start());
    target.psql(
        "postgres",
        "CREATE ROLE fixture_reader; CREATE ROLE fixture_writer",
    );
    let scene = Scene::without_databases(source, &target);
    source.create_db(&scene.from);
    scene.source(include_str!("../fixtures/ordinary.sql"));
    // The newer server was built without libxml, OpenSSL and ICU, and plan knows of the last two.
    scene.source("ALTER TABLE hard_values DROP COLUMN x");
    let job = scene.job().task("verify = \"checksum\"");
    let file = scene.write(&job);
    let plan = || scene.bed.with_file("plan", &file).expect(1);
    plan().says(&["lacks the collations public.numeric_order"]);
    scene.source("DROP COLLATION numeric_order CASCADE");
    plan().says(&["lacks the extensions pgcrypto"]);
    scene.source("DROP EXTENSION pgcrypto");
    scene
        .bed
        .with_file("plan", &scene.write(&job))
        .expect(0)
        .says(&["18.", "15."]);
    scene.bed.once(&scene.write(&job)).expect(0);
    // Both as the newer pg_dump sees them; it names NOT NULL constraints and the like for the newer server only.
    let program = target.program("pg_dump");
    let rows = |entries: Vec<String>| -> Vec<String> {
        entries
            .into_iter()
            .filter(|entry| {
                entry.starts_with("-- Data for")
                    || entry.starts_with("-- Name: ") && entry.contains("SEQUENCE SET")
            })
            .collect()
    };
    let names = |entries: &[String]| -> Vec<String> {
        let heads = entries.iter().filter_map(|entry| entry.lines().next());
        heads.map(str::to_owned).collect()
    };
    let (here, there) = (
        source.pg_dump_by(&program, &scene.from),
        target.pg_dump_by(&program, &scene.to),
    );
    assert_equal(&names(&here), &names(&there));
    assert_equal(&rows(here), &rows(there));
}

#[test]
fn a_newer_version_s_database_is_refused_by_plan_and_by_a_run() {
    let source = Cluster::builder().newer().start();
    let scene = Scene::on(&source, &shared().target);
    let file = scene.write(&scene.job());
    for outcome in [scene.bed.with_file("plan", &file), scene.bed.once(&file)] {
        outcome
            .expect(1)
            .says(&["older than the source's 18.", "upgrade the target"]);
    }
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn between_two_newer_servers_everything_but_icu_s_arrives_by_the_newer_pg_dump() {
    let (source, target) = (
        Cluster::builder().newer().start(),
        Cluster::builder().newer().start(),
    );
    target.psql("postgres", "CREATE ROLE fixture_reader; CREATE ROLE fixture_writer; CREATE ROLE \"Fixture \"\"owner\"\"\"");
    let scene = Scene::without_databases(&source, &target);
    source.create_db(&scene.from);
    let everything: String = include_str!("../fixtures/everything.sql")
        .lines()
        .filter(|line| {
            !line.contains("kept.german")
                && (!line.contains("kept.ignore_case") || line.starts_with("    "))
        })
        .map(|line| line.replace(" COLLATE kept.ignore_case", "") + "\n")
        .collect();
    scene.source(&everything);
    // What is new in the newer version.
    scene.source(
        "CREATE TABLE newer (a int NOT NULL, v int GENERATED ALWAYS AS (a * 2) VIRTUAL, CONSTRAINT named NOT NULL v);
         INSERT INTO newer VALUES (1); GRANT MAINTAIN ON newer TO fixture_reader;
         CREATE TABLE spans (id int4range, at daterange, PRIMARY KEY (id, at WITHOUT OVERLAPS))",
    );
    let file = scene.write(&scene.job());
    let mut command = scene.bed.command();
    let tools = source.program("pg_dump");
    let path = std::env::var("PATH").unwrap_or_default();
    command
        .env(
            "PATH",
            format!("{}:{path}", tools.parent().expect("bin").display()),
        )
        .args(["--once", "-f"])
        .arg(&file);
    scene.bed.spawn(&mut command).end().expect(0);
    assert_equal(&source.pg_dump(&scene.from), &target.pg_dump(&scene.to));
}

#[test]
fn an_icu_database_arrives_with_the_source_s_provider_and_locale() {
    let pair = shared();
    let scene = Scene::new();
    pair.source.psql(
        "postgres",
        &format!(
            "DROP DATABASE {0}; CREATE DATABASE {0} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-u-kn'",
            scene.from
        ),
    );
    scene.source(
        "CREATE TABLE users (id int, email text); INSERT INTO users SELECT g, 'new' FROM generate_series(1, 200) AS g;
         CREATE TABLE sorted (a text); INSERT INTO sorted VALUES ('a10'), ('ä2'), ('a2'), ('Z'); CREATE INDEX ON sorted (a)",
    );
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    let traits = |database: &str| {
        format!(
            "SELECT datlocprovider, daticulocale, datcollate FROM pg_database WHERE datname = '{database}'"
        )
    };
    assert_eq!(
        scene.live(&traits(&scene.to)),
        scene.source(&traits(&scene.from))
    );
    let order = "SELECT string_agg(a, ' ' ORDER BY a) FROM sorted";
    assert_eq!(scene.live(order), "a2 ä2 a10 Z");
    assert_eq!(scene.live(order), scene.source(order));
}

#[test]
fn a_collation_that_the_target_lacks_is_refused_by_plan_and_named() {
    let target = Cluster::builder().start();
    // As on a server whose operating system has fewer locales.
    for database in ["template1", "postgres"] {
        target.psql(
            database,
            "DELETE FROM pg_collation WHERE collname IN ('sv-x-icu', 'de-x-icu')",
        );
    }
    let scene = Scene::on(&shared().source, &target);
    scene.source("CREATE TABLE swedes (name text COLLATE \"sv-x-icu\"); CREATE INDEX ON users (email COLLATE \"de-x-icu\")");
    let file = scene.write(&scene.job());
    for outcome in [scene.bed.with_file("plan", &file), scene.bed.once(&file)] {
        outcome
            .expect(1)
            .says(&["lacks the collations de-x-icu, sv-x-icu"]);
    }
    scene.live_is_old();
    scene.nothing_is_left();
    // What is not copied needs none.
    scene.source("DROP INDEX users_email_idx");
    let without = scene.job().task("exclude = [\"swedes\"]");
    scene.bed.once(&scene.write(&without)).expect(0);
    scene.live_is_new();
}

#[test]
fn collations_of_another_version_are_told_by_plan_and_by_a_run_that_succeeds() {
    let source = Cluster::builder().start();
    let scene = Scene::on(&source, &shared().target);
    scene.source(
        "CREATE COLLATION mine (PROVIDER = icu, LOCALE = 'fr'); CREATE TABLE swedes (name text COLLATE \"sv-x-icu\", other text COLLATE mine);
         UPDATE pg_collation SET collversion = '1.2.3' WHERE collname IN ('sv-x-icu', 'mine', 'de-x-icu')",
    );
    let file = scene.write(&scene.job());
    for outcome in [scene.bed.with_file("plan", &file), scene.bed.once(&file)] {
        let outcome = outcome
            .expect(0)
            .says(&["sv-x-icu", "public.mine", "1.2.3"]);
        assert!(
            !outcome.stderr.contains("de-x-icu"),
            "nothing uses it: {}",
            outcome.stderr
        );
    }
    scene.live_is_new();
}

#[test]
fn a_database_s_own_collation_of_another_version_is_told_too() {
    let source = Cluster::builder().start();
    let scene = Scene::on(&source, &shared().target);
    source.psql(
        "postgres",
        &format!("DROP DATABASE {0}; CREATE DATABASE {0} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de'; UPDATE pg_database SET datcollversion = '3.2.1' WHERE datname = '{0}'", scene.from),
    );
    scene.source("CREATE TABLE users (id int, email text)");
    scene
        .bed
        .once(&scene.write(&scene.job()))
        .expect(0)
        .says(&["default", "3.2.1"]);
}
