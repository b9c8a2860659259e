//! What rests between source and target arrives as what is copied at once, and `psql` alone can make it live.

mod rest;

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use self::rest::{Resting, push, run, survey, task};
use super::Scene;
use super::equality::{REGRESSION_ROLES, ROLES, regression_database};
use crate::support::dump::assert_equal;
use crate::support::postgres::{Cluster, Must, quote, shared, tools, unique};
use envsyncd::config::job::{Roles, Task};
use envsyncd::store::Script;

const FIXTURE_ROLES: &str = "DO $$BEGIN CREATE ROLE fixture_reader;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END$$;
    DO $$BEGIN CREATE ROLE fixture_writer;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END$$;";

/// A database of these fixtures on the shared source.
fn with(fixtures: &[&str]) -> Scene<'static> {
    let pair = shared();
    let scene = Scene::without_databases(&pair.source, &pair.target);
    scene.source.create_db(&scene.from);
    scene.target.psql("postgres", FIXTURE_ROLES);
    for fixture in fixtures {
        scene.source(fixture);
    }
    scene
}

fn task_of(scene: &Scene<'_>) -> Task {
    task(
        &scene.source.url("postgres", &scene.from),
        &scene.target.url("postgres", &scene.to),
    )
}

/// Pushed, pulled, and the same on both sides.
#[track_caller]
fn rests_and_arrives(scene: &Scene<'_>) -> Resting {
    let task = task_of(scene);
    let resting = run(push(&task)).expect("pushed");
    run(resting.pull(&task)).expect("pulled");
    assert_equal(
        &scene.source.pg_dump(&scene.from),
        &scene.target.pg_dump(&scene.to),
    );
    resting
}

/// Restores what rests into a new database with `psql` alone.
fn by_hand(scene: &Scene<'_>, resting: &Resting) -> String {
    let name = unique("by_hand");
    let traits = scene.source(&format!(
        "SELECT format('ENCODING %L LC_COLLATE %L LC_CTYPE %L', pg_encoding_to_char(encoding), datcollate, datctype) \
         FROM pg_database WHERE datname = '{}'",
        scene.from
    ));
    let create = format!(
        "CREATE DATABASE {} TEMPLATE template0 {traits}",
        quote(&name)
    );
    scene.target.psql("postgres", &create);
    let psql = |file: &std::path::Path, statement: &str| {
        let mut psql = scene.target.psql_command("postgres", &name);
        psql.env("PGCLIENTENCODING", "UTF8");
        if !statement.is_empty() {
            psql.args(["-c", statement]);
        }
        psql.stdin(Stdio::from(fs::File::open(file).expect("the file")))
            .must(&format!("psql < {} {statement}", file.display()));
    };
    let mut scripts = resting.scripts.clone();
    scripts.sort_by(|one, other| one.name.cmp(&other.name));
    for script in scripts {
        if script.name.as_str() > "2" && script.name.as_str() < "4" {
            for part in &resting.parts {
                let statement = &resting.load[&part.id];
                let ending =
                    envsyncd::store::registry::codec(envsyncd::store::postgresql::KIND, part)
                        .expect("a codec")
                        .file_ending();
                let file = scene.bed.path(&format!("{}.{ending}", part.id));
                fs::write(&file, &resting.files[&part.id].1).expect("a file");
                psql(&file, statement);
            }
        }
        let file = scene.bed.path(&format!("{}.sql", script.name));
        fs::write(&file, &script.text).expect("a file");
        psql(&file, "");
    }
    name
}

#[track_caller]
fn arrives_by_hand(scene: &Scene<'_>, resting: &Resting) {
    let name = by_hand(scene, resting);
    assert_equal(
        &scene.source.pg_dump(&scene.from),
        &scene.target.pg_dump(&name),
    );
}

#[test]
fn an_ordinary_application_s_database_arrives_and_can_be_restored_by_hand() {
    let scene = with(&[include_str!("../fixtures/ordinary.sql")]);
    let resting = rests_and_arrives(&scene);
    arrives_by_hand(&scene, &resting);
}

#[test]
fn large_objects_and_hard_values_arrive_and_can_be_restored_by_hand() {
    let scene = with(&[
        include_str!("../fixtures/large_objects.sql"),
        include_str!("../fixtures/constraints.sql"),
    ]);
    let resting = rests_and_arrives(&scene);
    arrives_by_hand(&scene, &resting);
}

#[test]
fn functions_that_rely_on_a_search_path_arrive_and_can_be_restored_by_hand() {
    let scene = with(&[include_str!("../fixtures/search_path.sql")]);
    let resting = rests_and_arrives(&scene);
    by_hand(&scene, &resting);
}

#[test]
fn rows_hashed_by_an_enum_find_their_partitions_in_a_pull_and_by_hand() {
    let scene = with(&[include_str!("../fixtures/hashed_enum.sql")]);
    let task = task_of(&scene);
    let resting = run(push(&task)).expect("pushed");
    run(resting.pull(&task)).expect("pulled");
    let restored = by_hand(&scene, &resting);
    for value in ["sad", "ok", "happy", "between"] {
        let count = format!("SELECT count(*) FROM hashed_enum WHERE m = '{value}'");
        let expected = scene.source(&count);
        assert_eq!(scene.live(&count), expected, "of {value}");
        assert_eq!(scene.target.psql(&restored, &count), expected, "of {value}");
    }
}

#[test]
fn databases_in_other_encodings_arrive_byte_by_byte_and_can_be_restored_by_hand() {
    let pair = shared();
    for (encoding, value) in [
        ("LATIN1", "E'\\xe9\\xfc'"),
        ("WIN1252", "E'\\x81\\x8d'"),
        ("SQL_ASCII", "E'\\x80\\xff\\xfe'"),
        ("EUC_JP", "convert_from('\\xc6fcb8ec', 'EUC_JP')"),
    ] {
        let scene = Scene::without_databases(&pair.source, &pair.target);
        pair.source.psql(
            "postgres",
            &format!(
                "CREATE DATABASE {} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'",
                scene.from
            ),
        );
        scene.source(&format!(
            "SET client_encoding = '{encoding}'; CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, {value}), (2, E'\\t\\n\\\\.')"
        ));
        if encoding != "SQL_ASCII" && encoding != "EUC_JP" {
            scene.source("SET client_encoding = 'UTF8'; CREATE TABLE \"größe\" (\"ü\" text DEFAULT 'é'); INSERT INTO \"größe\" DEFAULT VALUES");
        }
        let task = task_of(&scene);
        let resting = run(push(&task)).expect("pushed");
        run(resting.pull(&task)).expect("pulled");
        let restored = by_hand(&scene, &resting);
        let bytes = format!("SELECT id, convert_to(v, '{encoding}') FROM t ORDER BY id");
        let expected = scene.source(&bytes);
        assert_eq!(scene.live(&bytes), expected, "in {encoding}");
        assert_eq!(
            scene.target.psql(&restored, &bytes),
            expected,
            "in {encoding}"
        );
    }
}

#[test]
fn a_table_in_slices_and_tables_without_columns_or_rows_arrive() {
    let scene = with(&["CREATE TABLE large (id int NOT NULL, filler text);
         ALTER TABLE large ALTER COLUMN filler SET STORAGE PLAIN;
         INSERT INTO large SELECT g, repeat('x', 5000) FROM generate_series(1, 17500) AS g;
         ALTER TABLE large ADD PRIMARY KEY (id); CREATE INDEX ON large (id);
         CREATE TABLE bare (); INSERT INTO bare SELECT FROM generate_series(1, 3);
         CREATE TABLE no_rows (a int)"]);
    let resting = rests_and_arrives(&scene);
    let slices = resting.parts.iter().filter(|part| part.name == "large");
    assert_eq!(slices.count(), 2);
    assert_eq!(scene.live("SELECT count(*) FROM bare"), "3");
    arrives_by_hand(&scene, &resting);
}

#[test]
fn everything_that_create_can_make_arrives_and_can_be_restored_by_hand() {
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
        "SECURITY LABEL ON TABLE kept.nulls IS 'classified'; SECURITY LABEL ON LARGE OBJECT 80001 IS 'secret';
         SECURITY LABEL ON EVENT TRIGGER watching IS 'classified'",
    );
    target.psql("postgres", ROLES);
    let mut task = task_of(&scene);
    task.roles = Roles::Fail;
    let resting = run(push(&task)).expect("pushed");
    run(resting.pull(&task)).expect("pulled");
    assert_equal(&source.pg_dump(&scene.from), &target.pg_dump(&scene.to));
    arrives_by_hand(&scene, &resting);
}

#[test]
fn postgresql_s_own_regression_database_arrives_as_a_sync_would_bring_it() {
    let settings = || {
        Cluster::builder()
            .set("max_prepared_transactions", "2")
            .set("autovacuum", "off")
    };
    let (source, target) = (settings().start(), settings().start());
    regression_database(&source);
    let mut scene = Scene::without_databases(&source, &target);
    scene.from = "regression".to_owned();
    let roles = scene.source(REGRESSION_ROLES);
    target.psql("postgres", &roles);
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    let synced = target.pg_dump(&scene.to);
    scene.to = unique("pulled");
    let task = task_of(&scene);
    let resting = run(push(&task)).expect("pushed");
    run(resting.pull(&task)).expect("pulled");
    assert_equal(&synced, &target.pg_dump(&scene.to));
    let restored = by_hand(&scene, &resting);
    assert_equal(&synced, &target.pg_dump(&restored));
    // Many tables at a time: what is left is what a sync without them would leave.
    for glob in ["[a-c]*", "[d-i]*", "[j-p]*", "[q-z]*"] {
        leaves_out_what_a_sync_would(&scene, &resting, &[glob]);
    }
}

/// Definitions in an order that does not depend on the dump that they are from.
fn paragraphs(scripts: &[Script]) -> BTreeSet<String> {
    scripts
        .iter()
        .flat_map(|script| {
            script
                .text
                .split("\n\n")
                .flat_map(|text| text.split("\n-- "))
        })
        .map(str::to_owned)
        .collect()
}

/// What a pull with `exclude` takes out is what a survey with it finds.
#[track_caller]
fn leaves_out_what_a_sync_would(scene: &Scene<'_>, resting: &Resting, globs: &[&str]) {
    let mut task = task_of(scene);
    task.exclude = globs.iter().map(|glob| (*glob).to_owned()).collect();
    task.leave_out = vec!["*".to_owned()];
    let (scripts, mut left_out, mut parts, catalogue) = run(async {
        let (source, survey) = survey(&task).await?;
        let scripts = survey.definitions.scripts()?;
        let catalogue = source.catalogue().await?;
        let labels: Vec<String> = survey
            .parts
            .iter()
            .map(envsyncd::store::Part::label)
            .collect();
        source.close().await;
        Ok((scripts, survey.left_out, labels, catalogue))
    })
    .expect("surveyed");
    let taken = run(resting.take_out(&task)).expect("taken out");
    let there = taken.definitions.scripts().expect("scripts");
    let (here, there) = (paragraphs(&scripts), paragraphs(&there));
    let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| {
        one.difference(other)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert!(
        here == there,
        "without {globs:?}\n=== only in the sync:\n{}\n=== only in the pull:\n{}",
        only(&here, &there),
        only(&there, &here)
    );
    let differences = catalogue.differences(&resting.catalogue(&taken, &task).expect("catalogue"));
    assert_eq!(differences, [], "without {globs:?}");
    let mut pulled: Vec<String> = taken
        .parts
        .iter()
        .map(envsyncd::store::Part::label)
        .collect();
    parts.sort();
    pulled.sort();
    assert_eq!(parts, pulled, "without {globs:?}");
    let mut told = taken.left_out;
    told.sort_by(|one, other| one.0.cmp(&other.0));
    left_out.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(left_out, told, "without {globs:?}");
}

/// Every table by itself.
fn leaves_out_each_table_as_a_sync_would(scene: &Scene<'_>, resting: &Resting) {
    let tables = scene.source(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1",
    );
    for table in tables.lines() {
        let glob: String = table
            .chars()
            .map(|c| match c {
                '[' | ']' | '*' | '?' => format!("[{c}]"),
                other => other.to_string(),
            })
            .collect();
        leaves_out_what_a_sync_would(scene, resting, &[&glob]);
    }
}

#[test]
fn a_pull_without_a_table_of_an_application_has_what_a_sync_without_it_has() {
    let scene = with(&[include_str!("../fixtures/ordinary.sql")]);
    let resting = run(push(&task_of(&scene))).expect("pushed");
    leaves_out_each_table_as_a_sync_would(&scene, &resting);
}

#[test]
fn a_pull_without_a_table_of_everything_has_what_a_sync_without_it_has() {
    let source = Cluster::builder().start();
    let scene = Scene::without_databases(&source, &shared().target);
    source.create_db(&scene.from);
    scene.source(include_str!("../fixtures/everything.sql"));
    let resting = run(push(&task_of(&scene))).expect("pushed");
    leaves_out_each_table_as_a_sync_would(&scene, &resting);
}

#[test]
fn a_pull_without_tables_is_published_without_what_needs_them() {
    let scene = with(&[
        "CREATE TABLE users (id serial PRIMARY KEY, email text); INSERT INTO users (email) VALUES ('a');
         CREATE TABLE orders (id int PRIMARY KEY, buyer int REFERENCES users); INSERT INTO orders VALUES (1, 1);
         CREATE VIEW buyers AS SELECT * FROM orders JOIN users USING (id); COMMENT ON VIEW buyers IS 'who buys';
         CREATE TABLE secrets (id int, up int) PARTITION BY RANGE (id);
         CREATE TABLE secrets_1 PARTITION OF secrets FOR VALUES FROM (0) TO (10); INSERT INTO secrets VALUES (1, 1);
         CREATE INDEX ON secrets (up); ALTER TABLE secrets ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON secrets USING (true);
         CREATE TABLE \"dot.ted\" (a int); CREATE TABLE log (a int); INSERT INTO log VALUES (1)",
    ]);
    let mut task = task_of(&scene);
    let resting = run(push(&task)).expect("pushed");
    task.exclude = vec![
        "users".to_owned(),
        "secrets".to_owned(),
        "public.dot.ted".to_owned(),
    ];
    task.schema_only = vec!["log".to_owned()];
    run(resting.pull(&task)).expect("pulled");
    assert_eq!(
        scene.live("SELECT string_agg(relname || (SELECT count(*) FROM pg_constraint WHERE conrelid = c.oid), ' ' ORDER BY relname) FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'p', 'S')"),
        "log0 orders1"
    );
    assert_eq!(
        scene.live("SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM log)"),
        "1|0"
    );
}

#[test]
fn a_pull_keeps_the_target_s_own_rows_and_what_a_push_left_out_stays_out() {
    let scene = with(&[
        "CREATE TABLE webhooks (id serial PRIMARY KEY, url text); INSERT INTO webhooks (url) VALUES ('production');
         CREATE TABLE log (a int); INSERT INTO log VALUES (1); CREATE TABLE secrets (a int); CREATE TABLE t (a int); INSERT INTO t VALUES (1)",
    ]);
    scene.target.create_db(&scene.to);
    scene.live("CREATE TABLE webhooks (id serial PRIMARY KEY, url text); INSERT INTO webhooks (id, url) VALUES (41, 'own'); SELECT setval('webhooks_id_seq', 41)");
    let mut pushing = task_of(&scene);
    pushing.exclude = vec!["secrets".to_owned()];
    pushing.schema_only = vec!["log".to_owned()];
    let resting = run(push(&pushing)).expect("pushed");
    let mut pulling = task_of(&scene);
    pulling.keep = vec!["webhooks".to_owned()];
    let taken = run(resting.take_out(&pulling)).expect("taken out");
    let told: Vec<String> = taken
        .left_out
        .iter()
        .map(|(name, fate)| format!("{name} {fate:?}"))
        .collect();
    assert_eq!(
        told,
        [
            "public.secrets Exclude",
            "public.webhooks Keep",
            "public.log SchemaOnly"
        ]
    );
    run(resting.pull(&pulling)).expect("pulled");
    assert_eq!(scene.live("SELECT (SELECT string_agg(url, ',') FROM webhooks), (SELECT count(*) FROM log), (SELECT count(*) FROM t), to_regclass('secrets'), nextval('webhooks_id_seq')"), "own|0|1||42");
}

#[test]
fn definitions_of_a_newer_format_or_another_store_or_damaged_ones_are_refused() {
    let scene = with(&["CREATE TABLE t (a int)"]);
    let task = task_of(&scene);
    let mut resting = run(push(&task)).expect("pushed");
    let text = String::from_utf8(resting.definitions.clone()).expect("JSON");
    for (from, to, expected) in [
        ("\"version\":2", "\"version\":3", "upgrade envsyncd"),
        (
            "\"kind\":\"postgresql\"",
            "\"kind\":\"mysql\"",
            "are of mysql",
        ),
        ("\"toc\":[", "\"toc\":{", "damaged"),
        (
            "\"definitions\":{",
            "\"definitions\":{\"later\":1,",
            "damaged",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        resting.definitions = text.replacen(from, to, 1).into_bytes();
        let error = run(resting.take_out(&task))
            .expect_err("refused")
            .to_string();
        assert!(error.contains(expected), "{error}");
    }
}
