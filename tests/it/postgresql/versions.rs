//! Between servers of different versions.

use super::Scene;
use crate::support::dump::assert_equal;
use crate::support::postgres::{Cluster, newest_programs, shared, unique};

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
    scene.source("ALTER TABLE hard_values ADD COLUMN z text COMPRESSION lz4");
    // The newer server was built without ICU, OpenSSL, libxml and lz4.
    let job = scene.job().task("verify = \"checksum\"");
    let file = scene.write(&job);
    let plan = || scene.bed.with_file("plan", &file).expect(1);
    plan().says(&["lacks the collations public.numeric_order"]);
    scene.source("DROP COLLATION numeric_order CASCADE");
    scene.source(LOG_OFF);
    plan().says(&["lacks the extensions pgcrypto"]);
    scene.source("DROP EXTENSION pgcrypto");
    plan().says(&["without libxml", "public.hard_values.x"]);
    scene.source("ALTER TABLE hard_values DROP COLUMN x");
    plan().says(&["without lz4", "public.hard_values.z"]);
    scene.source("ALTER TABLE hard_values ALTER COLUMN z SET COMPRESSION pglz");
    // As if the source were ahead of the target.
    scene.source(
        "UPDATE pg_extension SET extversion = '97.6' WHERE extname IN ('citext', 'hstore')",
    );
    plan().says(&["citext 1.", "the source has 97.6", "hstore 1."]);
    scene
        .source("UPDATE pg_extension SET extversion = '1.4' WHERE extname IN ('citext', 'hstore')");
    scene
        .bed
        .with_file("plan", &scene.write(&job))
        .expect(0)
        .says(&["18.", "15."]);
    // An older pg_dump has words that mean more to a newer server: REVOKE ALL takes MAINTAIN away, too.
    scene.with_newest_pg_dump(&["--once"], &file).expect(0);
    // As the newer pg_dump brings it there.
    let brought = unique("brought");
    source.bring_by(&target.program("pg_dump"), &scene.from, &target, &brought);
    assert_equal(&target.pg_dump(&brought), &target.pg_dump(&scene.to));
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
    let everything = everything_but_icu_s();
    scene.source(&everything);
    // What is new in the newer version.
    scene.source(
        "CREATE TABLE newer (a int NOT NULL, v int GENERATED ALWAYS AS (a * 2) VIRTUAL, CONSTRAINT named NOT NULL v);
         INSERT INTO newer VALUES (1); GRANT MAINTAIN ON newer TO fixture_reader;
         CREATE TABLE spans (id int4range, at daterange, PRIMARY KEY (id, at WITHOUT OVERLAPS))",
    );
    let file = scene.write(&scene.job());
    scene.with_newest_pg_dump(&["--once"], &file).expect(0);
    assert_equal(&source.pg_dump(&scene.from), &target.pg_dump(&scene.to));
}

/// What `CREATE` can make on a server without ICU.
fn everything_but_icu_s() -> String {
    include_str!("../fixtures/everything.sql")
        .lines()
        .filter(|line| {
            !line.contains("kept.german")
                && (!line.contains("kept.ignore_case") || line.starts_with("    "))
        })
        .map(|line| line.replace(" COLLATE kept.ignore_case", "") + "\n")
        .collect()
}

/// psql, unlike us, fires event triggers that log what it does.
const LOG_OFF: &str = "ALTER EVENT TRIGGER fixture_log DISABLE";

/// What a fixture needs of roles on the target.
const ROLES: &str =
    "CREATE ROLE fixture_reader; CREATE ROLE fixture_writer; CREATE ROLE \"Fixture \"\"owner\"\"\"";

/// Copies fixtures from a server of one version to one of another: they are what the newest `pg_dump` makes of them
/// there. (Servers of two versions print one view in two ways.)
fn arrives_equal(from: u32, to: u32) {
    let (source, target) = (
        Cluster::builder().of(from).start(),
        Cluster::builder().of(to).start(),
    );
    target.psql("postgres", ROLES);
    let program = newest_programs().join("pg_dump");
    for fixture in [
        include_str!("../fixtures/ordinary.sql"),
        include_str!("../fixtures/everything.sql"),
        include_str!("../fixtures/large_objects.sql"),
    ] {
        let scene = Scene::without_databases(&source, &target);
        source.create_db(&scene.from);
        scene.source(fixture);
        if fixture.contains("CREATE EVENT TRIGGER fixture_log") {
            scene.source(LOG_OFF);
        }
        let job = scene.job().task("verify = \"checksum\"");
        let file = scene.write(&job);
        scene.with_newest_pg_dump(&["plan"], &file).expect(0);
        scene.with_newest_pg_dump(&["--once"], &file).expect(0);
        let brought = unique("brought");
        source.bring_by(&program, &scene.from, &target, &brought);
        assert_equal(&target.pg_dump(&brought), &target.pg_dump(&scene.to));
    }
}

#[test]
fn a_database_of_15_arrives_in_16_equal_in_every_respect() {
    arrives_equal(15, 16);
}

#[test]
fn a_database_of_15_arrives_in_17_equal_in_every_respect() {
    arrives_equal(15, 17);
}

#[test]
fn a_database_of_16_arrives_in_17_equal_in_every_respect() {
    arrives_equal(16, 17);
}

#[test]
fn a_database_of_17_arrives_in_18_equal_in_every_respect_but_icu_s() {
    let (source, target) = (
        Cluster::builder().of(17).start(),
        Cluster::builder().of(18).start(),
    );
    target.psql("postgres", ROLES);
    let scene = Scene::without_databases(&source, &target);
    source.create_db(&scene.from);
    scene.source(&everything_but_icu_s());
    let file = scene.write(&scene.job().task("verify = \"checksum\""));
    scene.with_newest_pg_dump(&["--once"], &file).expect(0);
    let brought = unique("brought");
    let program = newest_programs().join("pg_dump");
    source.bring_by(&program, &scene.from, &target, &brought);
    assert_equal(&target.pg_dump(&brought), &target.pg_dump(&scene.to));
}

#[test]
fn a_database_of_17_is_refused_by_a_target_of_15() {
    let source = Cluster::builder().of(17).start();
    let scene = Scene::on(&source, &shared().target);
    let file = scene.write(&scene.job());
    for verb in ["plan", "--once"] {
        scene
            .with_newest_pg_dump(&[verb], &file)
            .expect(1)
            .says(&["older than the source's 17.", "upgrade the target"]);
    }
    scene.live_is_old();
    scene.nothing_is_left();
}
