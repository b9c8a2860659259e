//! Equal to the last definition: databases made to be hard to copy, and PostgreSQL's own.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Scene;
use crate::support::dump::assert_equal;
use crate::support::postgres::{Cluster, Must, shared, unique};

/// Roles that the fixture speaks of.
const ROLES: &str =
    "CREATE ROLE fixture_reader; CREATE ROLE fixture_writer; CREATE ROLE \"Fixture \"\"owner\"\"\"";

#[test]
fn everything_that_create_can_make_arrives_with_owners_grants_and_comments() {
    // Roles are the clusters' own.
    let (source, target) = (Cluster::builder().start(), Cluster::builder().start());
    let scene = Scene::without_databases(&source, &target);
    source.create_db(&scene.from);
    scene.source(include_str!("../fixtures/everything.sql"));
    target.psql("postgres", ROLES);
    let strict = scene
        .job()
        .task("roles = \"fail\"")
        .task("verify = \"checksum\"");
    scene.bed.once(&scene.write(&strict)).expect(0);
    let (here, there) = (source.pg_dump(&scene.from), target.pg_dump(&scene.to));
    assert_equal(&here, &there);
    // The dump has what this test is about.
    let all = there.join("\n");
    for word in [
        "OWNER TO \"Fixture \"\"owner\"\"\"",
        "GRANT UPDATE(b) ON TABLE kept.mother TO fixture_reader",
        "SET SESSION AUTHORIZATION fixture_writer",
        "ALTER DEFAULT PRIVILEGES FOR ROLE fixture_writer REVOKE ALL ON FUNCTIONS",
        "COMMENT ON EVENT TRIGGER watching",
        "COMMENT ON LARGE OBJECT 80001",
        "CREATE USER MAPPING FOR fixture_reader",
    ] {
        assert!(all.contains(word), "no {word} in the dump");
    }
    assert_eq!(scene.live("SELECT count(*) FROM pg_publication"), "0");
}

#[test]
fn a_thousand_tables_in_thirty_schemas_arrive_with_all_that_hangs_on_them() {
    let pair = shared();
    let scene = Scene::without_databases(&pair.source, &pair.target);
    pair.source.create_db(&scene.from);
    scene.source(
        "DO $$BEGIN FOR s IN 1..30 LOOP
           EXECUTE format('CREATE SCHEMA s%s', s);
           FOR t IN 1..34 LOOP
             EXECUTE format('CREATE TABLE s%s.t%s (id serial PRIMARY KEY, up int REFERENCES s%s.t%s, at date NOT NULL DEFAULT ''2020-01-01'', note text)',
               s, t, CASE WHEN s > 1 AND t = 1 THEN s - 1 ELSE s END, greatest(t - 1, 1));
             EXECUTE format('CREATE INDEX ON s%s.t%s (note)', s, t);
             EXECUTE format('INSERT INTO s%s.t%s (note) SELECT md5(g::text) FROM generate_series(1, %s) AS g', s, t, t);
           END LOOP; COMMIT; END LOOP; END$$",
    );
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    assert_eq!(
        scene.live("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^t[0-9]'"),
        "1020"
    );
    assert_equal(
        &pair.source.pg_dump(&scene.from),
        &pair.target.pg_dump(&scene.to),
    );
}

#[test]
fn fields_of_a_hundred_megabytes_arrive_bit_by_bit() {
    let pair = shared();
    let scene = Scene::without_databases(&pair.source, &pair.target);
    pair.source.create_db(&scene.from);
    scene.source(
        "CREATE TABLE big (id int PRIMARY KEY, t text, b bytea);
         ALTER TABLE big ALTER COLUMN t SET STORAGE EXTERNAL, ALTER COLUMN b SET STORAGE EXTERNAL;
         INSERT INTO big VALUES (1, repeat(md5('t'), 3276800), NULL), (2, NULL, decode(repeat(md5('b'), 6553600), 'hex')), (3, '', '')",
    );
    let sums = "SELECT id, length(t), length(b), md5(t), md5(b) FROM big ORDER BY id";
    let expected = scene.source(sums);
    assert!(expected.contains("104857600"), "{expected}");
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    assert_eq!(scene.live(sums), expected);
}

#[test]
fn objects_go_to_the_tablespace_of_the_same_name_and_to_the_default_where_there_is_none() {
    let place = |cluster: &Cluster, name: &str| {
        let directory = cluster.socket_directory().join(name);
        fs::create_dir(&directory).expect("a directory");
        Command::new("chown")
            .arg("--reference")
            .args([&cluster.socket_directory(), &directory])
            .must("chown");
        cluster.psql(
            "postgres",
            &format!(
                "CREATE TABLESPACE {name} LOCATION '{}'",
                directory.display()
            ),
        );
    };
    let (source, target) = (Cluster::builder().start(), Cluster::builder().start());
    place(&source, "both_have");
    place(&source, "source_has");
    place(&target, "both_have");
    let scene = Scene::on(&source, &target);
    scene.source(
        "CREATE TABLE a (id int PRIMARY KEY USING INDEX TABLESPACE both_have) TABLESPACE both_have;
         CREATE TABLE b (id int) TABLESPACE source_has; CREATE INDEX b_id ON b (id) TABLESPACE both_have;
         INSERT INTO a VALUES (1); INSERT INTO b VALUES (2)",
    );
    scene
        .bed
        .once(&scene.write(&scene.job()))
        .expect(0)
        .says(&["source_has"]);
    assert_eq!(
        scene.live(
            "SELECT string_agg(c.relname || ' ' || coalesce(s.spcname, '-'), ',' ORDER BY c.relname)
             FROM pg_class c LEFT JOIN pg_tablespace s ON s.oid = c.reltablespace WHERE c.relname IN ('a', 'a_pkey', 'b', 'b_id')"
        ),
        "a both_have,a_pkey both_have,b -,b_id both_have"
    );
}

/// The database that `make installcheck` leaves, in a cluster of its own.
fn regression_database(source: &Cluster) {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/postgresql-regress");
    assert!(
        files.join("regress.so").exists(),
        "{} is not there: run script/install-test-deps",
        files.display()
    );
    // Where the server's user may read and write.
    let place = source.socket_directory().join("regress");
    Command::new("cp")
        .arg("-r")
        .args([&files, &place])
        .must("cp");
    Command::new("mkdir")
        .args(["-p".as_ref(), place.join("out/testtablespace").as_os_str()])
        .must("mkdir");
    Command::new("chown")
        .args(["-R", "--reference"])
        .args([&source.socket_directory(), &place])
        .must("chown");
    let program = ["/usr/lib/postgresql"]
        .iter()
        .flat_map(|root| fs::read_dir(root).into_iter().flatten().flatten())
        .map(|entry| entry.path().join("lib/pgxs/src/test/regress/pg_regress"))
        .find(|path| path.exists())
        .expect("it comes with postgresql-client");
    // Some tests compare what a private build prints: what they leave is what counts.
    let _ = source
        .tool(program.to_str().expect("text"))
        .current_dir(place.join("out"))
        .arg(format!(
            "--bindir={}",
            source.program("psql").parent().expect("bin").display()
        ))
        .arg(format!("--inputdir={}", place.display()))
        .arg(format!("--outputdir={}", place.join("out").display()))
        .arg(format!("--dlpath={}", place.display()))
        .arg(format!(
            "--schedule={}",
            place.join("parallel_schedule").display()
        ))
        .arg(format!("--host={}", source.socket_directory().display()))
        .arg(format!("--port={}", source.port()))
        .args(["--user=postgres", "--max-concurrent-tests=20"])
        .output()
        .expect("pg_regress");
}

#[test]
fn postgresql_s_own_regression_database_arrives_as_pg_dump_and_pg_restore_would_bring_it() {
    let settings = || {
        Cluster::builder()
            .set("max_prepared_transactions", "2")
            .set("autovacuum", "off")
    };
    let (source, target) = (settings().start(), settings().start());
    regression_database(&source);
    let mut scene = Scene::without_databases(&source, &target);
    scene.from = "regression".to_owned();
    let tables: usize = scene
        .source("SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'p')")
        .parse()
        .expect("a number");
    assert!(tables > 500, "only {tables} tables: the tests did not run");
    // Tests of one minor version leave more behind on another: an owner that the target lacks is for other tests.
    let roles = scene.source(
        "SELECT string_agg(format('CREATE ROLE %I;', rolname), ' ') FROM pg_roles \
         WHERE rolname !~ '^pg_' AND rolname <> 'postgres'",
    );
    target.psql("postgres", &roles);
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    // Columns of some inheriting tables come in another order from every dump: what counts is that ours is no worse.
    let restored = unique("restored");
    target.create_db(&restored);
    let archive = scene.bed.path("regression.dump");
    let mut dump = crate::support::postgres::client("pg_dump");
    dump.args(["-Fc", "--no-publications", "--no-subscriptions", "-f"])
        .arg(&archive)
        .arg("-d")
        .arg(source.url("postgres", &scene.from))
        .must("pg_dump");
    let mut restore = crate::support::postgres::client("pg_restore");
    restore
        .arg("--exit-on-error")
        .arg("-d")
        .arg(target.url("postgres", &restored))
        .arg(&archive)
        .must("pg_restore");
    assert_equal(&target.pg_dump(&restored), &target.pg_dump(&scene.to));
}
