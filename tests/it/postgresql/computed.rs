//! What is computed on the copy is compared: generated columns, materialized views, and where files are.

use super::Scene;
use crate::support::job::Job;
use crate::support::postgres::pooler::Pooler;
use crate::support::postgres::{Cluster, quote, unique};

/// A function that says it is immutable and is not.
const FACTOR: &str = "CREATE FUNCTION times(x int) RETURNS int LANGUAGE sql IMMUTABLE
    AS 'SELECT x * coalesce(current_setting(''app.factor'', true), ''1'')::int';";

const TABLE: &str =
    "CREATE TABLE priced (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (times(id)) STORED);
    INSERT INTO priced SELECT generate_series(1, 30);";

const VIEW: &str = "CREATE MATERIALIZED VIEW prices AS SELECT times(id) AS price FROM users;";

fn checked(scene: &Scene) -> Job {
    scene.job().task("verify = \"checksum\"")
}

fn count_in_threes(scene: &Scene) {
    scene.live(&format!(
        "ALTER DATABASE {} SET app.factor = '3'",
        quote(&scene.to)
    ));
}

#[test]
fn a_generated_column_that_the_target_computes_otherwise_is_found_by_checksum() {
    let scene = Scene::new();
    scene.source(&format!("{FACTOR}{TABLE}"));
    count_in_threes(&scene);
    scene
        .bed
        .once(&scene.write(&checked(&scene)))
        .expect(1)
        .says(&["the generated column public.priced.twice is not what it is on the source"]);
    scene.live_is_old();
}

#[test]
fn a_generated_column_that_is_stale_on_the_source_is_a_warning_by_name() {
    let scene = Scene::new();
    scene.source(&format!("{FACTOR}{TABLE}"));
    scene.source("CREATE OR REPLACE FUNCTION times(x int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT x * 7'");
    scene
        .bed
        .once(&scene.write(&checked(&scene)))
        .expect(0)
        .says(&[
            "public.priced.twice",
            "is not what the column's expression gives there now",
        ]);
    assert_eq!(
        scene.live("SELECT twice FROM priced WHERE id = 2"),
        "14",
        "the copy has what it gives now"
    );
}

#[test]
fn a_materialized_view_that_the_target_computes_otherwise_is_found_by_checksum() {
    let scene = Scene::new();
    scene.source(&format!("{FACTOR}{VIEW}"));
    count_in_threes(&scene);
    scene
        .bed
        .once(&scene.write(&checked(&scene)))
        .expect(1)
        .says(&["the materialized view public.prices is not what its query gives on the source"]);
    scene.live_is_old();
}

#[test]
fn a_materialized_view_that_is_stale_on_the_source_is_no_difference() {
    let scene = Scene::new();
    scene.source(&format!(
        "ALTER DATABASE {} SET DateStyle = 'SQL, DMY'",
        quote(&scene.from)
    ));
    scene.source(
        "CREATE MATERIALIZED VIEW days AS SELECT id, date '2026-02-01' + id AS day, timestamptz '2026-02-01 12:00Z' AS at FROM users;
         DELETE FROM orders WHERE buyer = 7; DELETE FROM users WHERE id = 7;",
    );
    scene.bed.once(&scene.write(&checked(&scene))).expect(0);
    assert_eq!(scene.live("SELECT count(*) FROM days"), "199");
}

#[test]
fn a_materialized_view_that_asks_for_the_time_is_a_warning_by_name() {
    for query in [
        "SELECT id, clock_timestamp() AS at FROM users",
        "SELECT id, CURRENT_TIMESTAMP AS at FROM users",
        "SELECT id, now() AS at FROM users",
        "SELECT current_database() AS name",
    ] {
        let scene = Scene::new();
        scene.source(&format!("CREATE MATERIALIZED VIEW whims AS {query}"));
        scene
            .bed
            .once(&scene.write(&checked(&scene)))
            .expect(0)
            .says(&["public.whims", "cannot be compared"]);
    }
}

#[test]
fn files_go_where_the_source_has_them_whatever_the_users_default_is() {
    let scene = Scene::new();
    let (named, other) = (unique("named"), unique("other"));
    scene.source.tablespace(&named);
    scene.target.tablespace(&named);
    scene.target.tablespace(&other);
    scene.source(&format!(
        "CREATE TABLE here (id int, CONSTRAINT \"here we are\" PRIMARY KEY (id) USING INDEX TABLESPACE {named}) TABLESPACE {named};
         CREATE MATERIALIZED VIEW seen TABLESPACE {named} AS SELECT id FROM here"
    ));
    let owner = scene.owner_of_live();
    scene.target.psql(
        "postgres",
        &format!("GRANT CREATE ON TABLESPACE {named}, {other} TO PUBLIC; ALTER ROLE {owner} SET default_tablespace = {other}"),
    );
    let job = Job::between(
        "postgresql",
        &scene.source.url("postgres", &scene.from),
        &scene.target.url(&owner, &scene.to),
    );
    scene.bed.once(&scene.write(&job)).expect(0);
    assert_eq!(
        scene.live(
            "SELECT string_agg(c.relname || '@' || t.spcname, ',' ORDER BY c.relname COLLATE \"C\") FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public'"
        ).replace(&named, "named"),
        "here@named,here we are@named,seen@named"
    );
}

#[test]
fn what_is_in_another_tablespace_than_it_should_be_is_found() {
    let scene = Scene::new();
    let other = unique("other");
    scene.target.tablespace(&other);
    scene.source("CREATE TABLE parts (id int) PARTITION BY RANGE (id)");
    let (job, proxy) = scene.job_that_stalls();
    let running = scene.bed.start(&scene.write(&job));
    proxy.wait_for_stall();
    let beside = scene.beside_live();
    scene.target.psql(
        &beside[0],
        &format!("SET lock_timeout = '5s'; ALTER TABLE public.parts SET TABLESPACE {other}"),
    );
    proxy.go_on();
    running
        .end()
        .expect(1)
        .says(&["public.parts is in the tablespace", "instead of pg_default"]);
    scene.live_is_old();
}

#[test]
fn checks_and_partial_indexes_have_the_settings_of_lives_owner_and_not_a_members_own() {
    let scene = Scene::new();
    let (owner, member) = (scene.owner_of_live(), unique("member"));
    scene.source(&format!(
        "ALTER DATABASE {} SET DateStyle = 'SQL, DMY'",
        quote(&scene.from)
    ));
    scene.source(
        "CREATE FUNCTION day_of(t text) RETURNS date LANGUAGE sql IMMUTABLE AS 'SELECT t::date';
         CREATE TABLE d (id int PRIMARY KEY, raw text CHECK (day_of(raw) < date '2026-03-01'),
                         day date GENERATED ALWAYS AS (day_of(raw)) STORED);
         INSERT INTO d SELECT g, g || '/02/2026' FROM generate_series(1, 28) AS g;
         CREATE INDEX d_late ON d (id) WHERE day_of(raw) > date '2026-02-20'",
    );
    scene.target.psql(
        "postgres",
        &format!(
            "CREATE ROLE {member} LOGIN CREATEDB IN ROLE {owner}; ALTER ROLE {member} SET DateStyle = 'SQL, MDY';
             ALTER ROLE {owner} SET DateStyle = 'SQL, DMY'"
        ),
    );
    let job = Job::between(
        "postgresql",
        &scene.source.url("postgres", &scene.from),
        &scene.target.url(&member, &scene.to),
    );
    let job = job.task("verify = \"checksum\"");
    scene.bed.once(&scene.write(&job)).expect(0);
    assert_eq!(
        scene.live(
            "SET DateStyle = 'ISO, DMY'; SET enable_seqscan = off;
             SELECT count(*), (SELECT day FROM d WHERE id = 13) FROM d WHERE day_of(raw) > date '2026-02-20'"
        ),
        "8|2026-02-13"
    );
}

#[test]
fn a_pool_of_sessions_is_copied_through_and_one_of_transactions_is_refused() {
    let (source, target) = (Cluster::builder().start(), Cluster::builder().start());
    let scene = Scene::on(&source, &target);
    scene.source(&format!(
        "ALTER DATABASE {} SET DateStyle = 'SQL, DMY'",
        quote(&scene.from)
    ));
    scene.source(
        "CREATE TABLE days (day date); INSERT INTO days VALUES ('2026-02-01'), ('2026-01-02')",
    );
    for (mode, code) in [("session", 0), ("transaction", 2)] {
        let pooler = Pooler::of_mode(&source, mode);
        let job = Job::between(
            "postgresql",
            &pooler.url("postgres", &scene.from),
            &scene.target.url("postgres", &scene.to),
        );
        let job = job.task("verify = \"checksum\"");
        let outcome = scene.bed.once(&scene.write(&job));
        if code == 0 {
            outcome.expect(0);
            assert_eq!(
                scene.live("SELECT count(*) FROM days WHERE day = date '2026-02-01'"),
                "1"
            );
        } else {
            outcome
                .says(&["connect directly to the server"])
                .expect(code);
        }
    }
}
