//! Values arrive bit by bit, as binary rows and as text, within one version and from one to another.

use super::Scene;
use crate::support::dump::assert_equal;
use crate::support::job::Job;
use crate::support::postgres::{Cluster, shared};

const VALUES: &str = include_str!("../fixtures/values.sql");

/// No field, however long, makes us need more.
const MEMORY: u64 = 48 << 20;

/// Tables of types whose binary form is the same on every server.
fn comparable(scene: &Scene<'_>) -> Vec<String> {
    let tables = scene.source(
        "SELECT relname FROM pg_class WHERE relnamespace = 'v'::regnamespace AND relkind = 'r' AND relname <> 'own'
         ORDER BY 1",
    );
    tables.lines().map(str::to_owned).collect()
}

/// Compares each table of types that are everywhere the same, as bytes.
#[track_caller]
fn same_bits(scene: &Scene<'_>) {
    let tables = comparable(scene);
    assert!(tables.len() > 20, "{tables:?}");
    for table in tables {
        // Twins end with an oid that is every server's own business.
        let query = format!("SELECT * FROM v.{table} AS t ORDER BY id");
        let (here, there) = (
            scene.source.binary(&scene.from, &query),
            scene.target.binary(&scene.to, &query),
        );
        assert!(here.len() > 100, "{table} has rows");
        assert!(here == there, "{table} differs");
    }
}

#[test]
fn values_at_the_edges_of_their_types_arrive_bit_by_bit_in_binary_and_as_text() {
    let pair = shared();
    let scene = Scene::without_databases(&pair.source, &pair.target);
    pair.source.create_db(&scene.from);
    scene.source(VALUES);
    // What a database sets for its applications: no copy may come to depend on it.
    scene.source(&format!(
        "ALTER DATABASE {0} SET extra_float_digits = -15; ALTER DATABASE {0} SET DateStyle = 'SQL, DMY';
         ALTER DATABASE {0} SET IntervalStyle = 'sql_standard'; ALTER DATABASE {0} SET bytea_output = 'escape';
         ALTER DATABASE {0} SET TimeZone = 'Asia/Kathmandu'; ALTER DATABASE {0} SET xmloption = 'document';
         ALTER DATABASE {0} SET client_encoding = 'LATIN1'; ALTER DATABASE {0} SET quote_all_identifiers = on;
         ALTER DATABASE {0} SET standard_conforming_strings = off; ALTER DATABASE {0} SET array_nulls = off;
         ALTER DATABASE {0} SET transform_null_equals = on; ALTER DATABASE {0} SET default_transaction_deferrable = on",
        scene.from
    ));
    let job = scene.job().task("verify = \"checksum\"");
    scene.bed.once(&scene.write(&job)).expect(0);
    scene.source.psql(
        "postgres",
        &format!("ALTER DATABASE {} RESET ALL", scene.from),
    );
    assert_equal(
        &pair.source.pg_dump(&scene.from),
        &pair.target.pg_dump(&scene.to),
    );
    same_bits(&scene);
}

#[test]
fn values_at_the_edges_of_their_types_arrive_bit_by_bit_in_another_version() {
    let (source, target) = (&shared().source, Cluster::builder().newer().start());
    let scene = Scene::without_databases(source, &target);
    source.create_db(&scene.from);
    scene.source(VALUES);
    // The newer server was built without libxml.
    scene.source("ALTER TABLE v.own DROP COLUMN x");
    let job = scene.job().task("verify = \"checksum\"");
    scene.bed.once(&scene.write(&job)).expect(0);
    same_bits(&scene);
    let own = "SELECT o::text FROM v.own AS o ORDER BY id";
    assert_eq!(scene.live(own), scene.source(own));
}

/// Runs a job to its end; the most memory that our own process had.
fn peak_of(scene: &Scene<'_>, job: &Job) -> u64 {
    let (outcome, peak) = scene.bed.start(&scene.write(job)).end_with_peak();
    outcome.expect(0);
    assert!(peak > 1 << 20, "{peak} bytes are none");
    peak
}

#[test]
fn fields_of_a_hundred_megabytes_arrive_bit_by_bit_and_pass_through_little_memory() {
    let pair = shared();
    let scene = Scene::without_databases(&pair.source, &pair.target);
    pair.source.create_db(&scene.from);
    scene.source(
        "CREATE TABLE big (id int PRIMARY KEY, t text, b bytea);
         ALTER TABLE big ALTER COLUMN t SET STORAGE EXTERNAL, ALTER COLUMN b SET STORAGE EXTERNAL;
         INSERT INTO big VALUES (1, repeat(md5('t'), 3276800), NULL), (2, NULL, decode(repeat(md5('b'), 6553600), 'hex')), (3, '', '');
         CREATE TABLE big_as_text (LIKE big INCLUDING ALL, makes_it_text regclass);
         INSERT INTO big_as_text SELECT *, 'big' FROM big;",
    );
    let sums = ["big", "big_as_text"].map(|table| {
        format!("SELECT id, length(t), length(b), md5(t), md5(b) FROM {table} ORDER BY id")
    });
    let peak = peak_of(&scene, &scene.job());
    for sums in sums {
        let expected = scene.source(&sums);
        assert!(expected.contains("104857600"), "{expected}");
        assert_eq!(scene.live(&sums), expected);
    }
    assert!(peak < MEMORY, "{peak} bytes of memory");
}
