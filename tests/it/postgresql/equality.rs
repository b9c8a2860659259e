//! Equal to the last definition: databases made to be hard to copy, and PostgreSQL's own.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Scene;
use crate::support::dump::assert_equal;
use crate::support::postgres::{Cluster, Must, tools, unique};

/// Roles that the fixture speaks of.
pub(super) const ROLES: &str =
    "CREATE ROLE fixture_reader; CREATE ROLE fixture_writer; CREATE ROLE \"Fixture \"\"owner\"\"\"";

#[test]
fn everything_that_create_can_make_arrives_with_owners_grants_and_comments() {
    // Roles are the clusters' own.
    let with_labels = || {
        let provider = tools("postgresql-regress/dummy_seclabel.so");
        Cluster::builder().library(&provider).start()
    };
    let (source, target) = (with_labels(), with_labels());
    let scene = Scene::without_databases(&source, &target);
    source.create_db(&scene.from);
    scene.source(include_str!("../fixtures/everything.sql"));
    scene.source(
        "SECURITY LABEL ON TABLE kept.nulls IS 'classified'; SECURITY LABEL ON COLUMN kept.nulls.a IS 'secret';
         SECURITY LABEL ON FUNCTION kept.one() IS 'unclassified'; SECURITY LABEL ON SCHEMA kept IS 'unclassified';
         SECURITY LABEL ON TYPE kept.pair IS 'classified'; SECURITY LABEL ON LARGE OBJECT 80001 IS 'secret';
         SECURITY LABEL ON EVENT TRIGGER watching IS 'classified'; SECURITY LABEL ON VIEW kept.cascaded IS 'classified'",
    );
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
        "SELECT pg_catalog.lo_create('4294967295')",
        "GRANT SELECT ON TABLE kept.chained TO PUBLIC",
        "c1600 boolean",
        "SECURITY LABEL FOR dummy ON TABLE kept.nulls IS 'classified'",
        "CREATE USER MAPPING FOR fixture_reader",
    ] {
        assert!(all.contains(word), "no {word} in the dump");
    }
    assert_eq!(scene.live("SELECT count(*) FROM pg_publication"), "0");
}

#[test]
fn a_hundred_schemas_of_a_hundred_tables_arrive_with_all_that_hangs_on_them() {
    // A server has room for so many locks for each connection that there may be.
    let (source, target) = (
        Cluster::builder().set("max_connections", "50").start(),
        Cluster::builder()
            .set("max_locks_per_transaction", "256")
            .start(),
    );
    let scene = Scene::without_databases(&source, &target);
    source.create_db(&scene.from);
    // The same names in every schema; the first table of each hangs on the schema before.
    scene.source(
        "DO $$BEGIN FOR s IN 1..100 LOOP
           EXECUTE format('CREATE SCHEMA s%s', s);
           FOR t IN 1..100 LOOP
             EXECUTE format('CREATE TABLE s%s.t%s (id int PRIMARY KEY, up int, note text)', s, t);
             EXECUTE format('INSERT INTO s%s.t%s SELECT g, 1, md5(g::text) FROM generate_series(1, %s) AS g', s, t, 1 + t % 7);
             IF t % 10 = 0 THEN EXECUTE format('CREATE INDEX note%s ON s%s.t%s (note)', t, s, t); END IF;
             CONTINUE WHEN t > 10;
             EXECUTE format('ALTER TABLE s%s.t%s ADD FOREIGN KEY (up) REFERENCES s%s.t%s',
               s, t, CASE WHEN s > 1 AND t = 1 THEN s - 1 ELSE s END, greatest(t - 1, 1));
           END LOOP;
           EXECUTE format('CREATE VIEW s%s.v AS SELECT a.id, b.note FROM s%s.t1 a JOIN s%s.t2 b USING (id)', s, s, greatest(s - 1, 1));
           EXECUTE format('CREATE SEQUENCE s%s.n START %s', s, s);
           COMMIT;
         END LOOP; END$$",
    );
    // A lock on each is more than a server has room for unless it is told.
    let file = scene.write(&scene.job());
    let refused = scene.bed.once(&file).expect(1);
    refused.says(&["max_locks_per_transaction"]);
    source.psql(
        "postgres",
        "ALTER SYSTEM SET max_locks_per_transaction = 256",
    );
    source.crash();
    source.start_again();
    scene.bed.once(&file).expect(0);
    assert_eq!(
        scene.live("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^t[0-9]'"),
        "10000"
    );
    assert_equal(&source.pg_dump(&scene.from), &target.pg_dump(&scene.to));
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

/// What makes the roles of a cluster with the regression database.
pub(super) const REGRESSION_ROLES: &str = "SELECT string_agg(format('CREATE ROLE %I;', rolname), ' ') FROM pg_roles \
    WHERE rolname !~ '^pg_' AND rolname <> 'postgres'";

/// The database that `make installcheck` leaves, in a cluster of its own.
pub(super) fn regression_database(source: &Cluster) {
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
    let roles = scene.source(REGRESSION_ROLES);
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
