//! Between servers of different ideas of how to sort.

use super::Scene;
use crate::support::postgres::{Cluster, shared};

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
