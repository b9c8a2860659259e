//! What `keep` keeps is what live has, to the bit; what cannot be kept so is refused, and nothing of it arrives otherwise.

use super::Scene;

/// Everything in a table of live, one line a row.
fn rows(scene: &Scene<'_>, table: &str) -> String {
    scene.live(&format!(
        "SET extra_float_digits = 3; SET timezone = 'UTC'; SELECT t::text FROM {table} t ORDER BY 1"
    ))
}

/// Runs a job that keeps these tables; live's rows are what they were.
#[track_caller]
fn keeps(scene: &Scene<'_>, tables: &[&str]) -> crate::support::job::Outcome {
    let before: Vec<String> = tables.iter().map(|table| rows(scene, table)).collect();
    let names: Vec<String> = tables.iter().map(|table| format!("\"{table}\"")).collect();
    let job = scene.job().task(&format!("keep = [{}]", names.join(", ")));
    let outcome = scene.bed.once(&scene.write(&job)).expect(0);
    scene.live_is_new();
    for (table, before) in tables.iter().zip(before) {
        assert_eq!(rows(scene, table), before, "{table}\n{}", outcome.stderr);
    }
    outcome
}

#[test]
fn rows_that_the_source_s_types_would_change_keep_the_target_s_own_table() {
    let scene = Scene::new();
    for (place, (theirs, ours, value)) in [
        ("timestamp", "timestamptz", "'2026-07-01 12:00:00+02'"),
        ("numeric(6,1)", "numeric(6,3)", "12.345"),
        (
            "timestamp(0)",
            "timestamp(6)",
            "'2026-07-01 12:00:00.123456'",
        ),
        ("varchar(3)", "varchar(5)", "'ab   '"),
        ("char(3)", "char(8)", "'ab'"),
        ("char(9)", "char(8)", "'ab'"),
        ("real", "double precision", "0.1234567890123"),
        ("int", "double precision", "1.5"),
        ("jsonb", "json", "'{\"b\":1,  \"a\":2, \"a\":3}'"),
        ("numeric(6,1)[]", "numeric(6,3)[]", "'{1.234,5}'"),
        ("int", "text", "'007'"),
        ("bool", "text", "'yes'"),
        ("interval(0)", "interval", "'1.5 seconds'"),
        ("bit varying(2)", "bit varying(5)", "'10101'"),
    ]
    .iter()
    .enumerate()
    {
        let table = format!("k{place}");
        scene.source(&format!(
            "CREATE TABLE {table} (id int PRIMARY KEY, v {theirs})"
        ));
        scene.live(&format!(
            "CREATE TABLE {table} (id int PRIMARY KEY, v {ours}); INSERT INTO {table} VALUES (1, {value}), (2, NULL)"
        ));
    }
    let tables: Vec<String> = (0..14).map(|place| format!("k{place}")).collect();
    let tables: Vec<&str> = tables.iter().map(String::as_str).collect();
    let outcome = keeps(&scene, &tables);
    for table in &tables {
        assert!(
            outcome.stderr.contains(&format!("public.{table}")),
            "{table}: {}",
            outcome.stderr
        );
    }
    outcome.says(&["is made as it is on the target"]);
    assert_eq!(
        scene.live("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'k0'::regclass AND attname = 'v'"),
        "timestamp with time zone"
    );
}

#[test]
fn a_source_s_table_that_holds_the_rows_as_they_are_is_taken() {
    let scene = Scene::new();
    scene.source(
        "CREATE TABLE k (id bigint PRIMARY KEY, v varchar(90), added text DEFAULT 'new', CONSTRAINT long CHECK (length(v) < 50));
         CREATE TYPE mood AS ENUM ('sad', 'glad', 'mad'); CREATE TABLE m (v mood, f float8, n numeric);",
    );
    scene.live(
        "CREATE TABLE k (id int PRIMARY KEY, v varchar(9)); INSERT INTO k VALUES (1, 'x');
         CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TABLE m (v mood, f float8, n numeric);
         INSERT INTO m VALUES ('glad', 'NaN', 'NaN'), ('sad', 0.1::float8 + 0.2::float8, 1e-20), (NULL, '-0', 1.10)",
    );
    let before = rows(&scene, "m");
    let job = scene.job().task("keep = [\"k\", \"m\"]\nverify = \"none\"");
    scene.bed.once(&scene.write(&job)).expect(0);
    assert_eq!(scene.live("SELECT id, v, added FROM k"), "1|x|new");
    assert_eq!(rows(&scene, "m"), before);
    assert_eq!(
        scene.live("SELECT count(*) FROM pg_constraint WHERE conname = 'long'"),
        "1"
    );
}

#[test]
fn rows_that_the_source_s_rules_refuse_keep_the_target_s_own_table() {
    let scene = Scene::new();
    scene.source(
        "CREATE TABLE c (id int PRIMARY KEY, v int CHECK (v > 0)); CREATE TABLE n (id int PRIMARY KEY, v int NOT NULL);
         CREATE TABLE u (id int PRIMARY KEY, v int UNIQUE); CREATE TABLE x (id int, v int); CREATE UNIQUE INDEX ON x (abs(v));
         CREATE DOMAIN small AS int CHECK (VALUE < 10); CREATE TABLE d (id int, v small);
         CREATE TABLE lost (id int PRIMARY KEY);
         CREATE TABLE g (id int PRIMARY KEY, v int); CREATE TABLE h (id int PRIMARY KEY, v int GENERATED ALWAYS AS (id * 3) STORED);",
    );
    scene.live(
        "CREATE TABLE c (id int PRIMARY KEY, v int); INSERT INTO c VALUES (1, -1);
         CREATE TABLE n (id int PRIMARY KEY, v int); INSERT INTO n VALUES (1, NULL);
         CREATE TABLE u (id int PRIMARY KEY, v int); INSERT INTO u VALUES (1, 5), (2, 5);
         CREATE TABLE x (id int, v int); INSERT INTO x VALUES (1, 5), (1, -5);
         CREATE TABLE d (id int, v int); INSERT INTO d VALUES (1, 11);
         CREATE TABLE lost (id int PRIMARY KEY, more text); INSERT INTO lost VALUES (1, 'more');
         CREATE TABLE g (id int PRIMARY KEY, v int GENERATED ALWAYS AS (id * 2) STORED); INSERT INTO g VALUES (4);
         CREATE TABLE h (id int PRIMARY KEY, v int GENERATED ALWAYS AS (id * 2) STORED); INSERT INTO h VALUES (4);",
    );
    let outcome = keeps(&scene, &["c", "n", "u", "x", "d", "lost", "g", "h"]);
    for table in ["c", "n", "u", "x", "d", "lost", "g", "h"] {
        let line = format!("public.{table}");
        assert!(
            outcome.stderr.contains(&line),
            "{table}: {}",
            outcome.stderr
        );
    }
    // And again: what was published is what is kept next time.
    keeps(&scene, &["c", "n", "u", "x", "d", "lost", "g", "h"]);
    scene.live("INSERT INTO g VALUES (5)");
}

#[test]
fn what_needs_the_source_s_table_where_the_target_s_own_is_kept_fails_the_run_by_name() {
    let scene = Scene::new();
    scene.source("CREATE TABLE k (id int PRIMARY KEY, v timestamp, w int); CREATE VIEW seen AS SELECT w FROM k");
    scene.live("CREATE TABLE k (id int PRIMARY KEY, v timestamptz); INSERT INTO k VALUES (1, '2026-07-01 12:00:00+02')");
    let job = scene.job().task("keep = [\"k\"]");
    scene
        .bed
        .once(&scene.write(&job))
        .expect(1)
        .says(&["view public.seen cannot be made", "public.k"]);
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn a_name_that_is_a_table_on_one_side_only_is_not_kept_in_its_place() {
    let other = [
        (
            "CREATE TABLE k (a int)",
            "CREATE VIEW k AS SELECT 1 AS a",
            "a view on the target",
        ),
        (
            "CREATE VIEW k AS SELECT 1 AS a",
            "CREATE TABLE k (a int)",
            "a view on the source",
        ),
        (
            "CREATE MATERIALIZED VIEW k AS SELECT 1 AS a",
            "CREATE TABLE k (a int)",
            "a materialized view on the source",
        ),
        (
            "CREATE TABLE k (a int)",
            "CREATE MATERIALIZED VIEW k AS SELECT 1 AS a",
            "a materialized view on the target",
        ),
        (
            "CREATE TABLE k (a int) PARTITION BY LIST (a)",
            "CREATE TABLE k (a int)",
            "a partitioned table on the source",
        ),
        (
            "CREATE TABLE k (a int)",
            "CREATE TABLE k (a int) PARTITION BY LIST (a)",
            "a partitioned table on the target",
        ),
        (
            "CREATE EXTENSION file_fdw; CREATE SERVER s FOREIGN DATA WRAPPER file_fdw; CREATE FOREIGN TABLE k (a int) SERVER s OPTIONS (filename '/dev/null')",
            "CREATE TABLE k (a int)",
            "a foreign table on the source",
        ),
    ];
    for (source, live, said) in other {
        let scene = Scene::new();
        scene.source(source);
        scene.live(live);
        let file = scene.write(&scene.job().task("keep = [\"k\"]"));
        scene
            .bed
            .with_file("plan", &file)
            .expect(1)
            .says(&["public.k", said]);
        scene.bed.once(&file).expect(1).says(&["public.k", said]);
        scene.live_is_old();
    }
}

#[test]
fn large_objects_that_kept_rows_refer_to_stay_and_those_of_rows_that_are_not_copied_do_not_come() {
    let scene = Scene::new();
    let table = "CREATE TABLE k (id int PRIMARY KEY, l oid, many oid[])";
    scene.source(&format!(
        "{table}; CREATE TABLE copied (l oid); CREATE TABLE hidden (l oid); CREATE TABLE empty (l oid);
         INSERT INTO k VALUES (1, lo_from_bytea(70001, 'production'), NULL);
         INSERT INTO copied VALUES (lo_from_bytea(70002, 'copied'));
         INSERT INTO hidden VALUES (lo_from_bytea(70003, 'hidden')), (70002);
         INSERT INTO empty VALUES (lo_from_bytea(70004, 'empty'));
         SELECT lo_from_bytea(70005, 'nobody''s')"
    ));
    scene.live(&format!(
        "{table}; INSERT INTO k VALUES (1, lo_from_bytea(70001, 'staging'), ARRAY[lo_from_bytea(70006, 'one'), lo_create(70007)]);
         SELECT lo_from_bytea(70008, 'gone')"
    ));
    let file = scene.write(
        &scene
            .job()
            .task("keep = [\"k\"]\nexclude = [\"hidden\"]\nschema_only = [\"empty\"]"),
    );
    let objects = "SELECT string_agg(oid || ' ' || convert_from(lo_get(oid), 'utf8'), ', ' ORDER BY oid) FROM pg_largeobject_metadata";
    for _ in 0..2 {
        scene.bed.once(&file).expect(0).says(&[
            "large objects are left out",
            "that no column of type oid refers to",
        ]);
        assert_eq!(
            scene.live(objects),
            "70001 staging, 70002 copied, 70005 nobody's, 70006 one, 70007 "
        );
        assert_eq!(scene.live("SELECT l, many FROM k"), "70001|{70006,70007}");
    }
    // One number for two things: neither may be lost.
    scene.live("UPDATE k SET l = 70002; SELECT lo_put(70002, 0, 'STAGING')");
    scene
        .bed
        .once(&file)
        .expect(1)
        .says(&["large object 70002"]);
    assert_eq!(
        scene.live("SELECT convert_from(lo_get(l), 'utf8') FROM k"),
        "STAGING"
    );
}

#[test]
fn the_next_number_is_past_the_kept_rows_wherever_it_comes_from() {
    let scene = Scene::new();
    scene.source(
        "CREATE SEQUENCE shared; CREATE TABLE k (id int PRIMARY KEY DEFAULT nextval('shared'), x int); INSERT INTO k (x) VALUES (1);
         CREATE TABLE copied (id int PRIMARY KEY DEFAULT nextval('shared'));
         CREATE TABLE only_source (id serial PRIMARY KEY, x int);
         CREATE TABLE ident (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, x int);
         CREATE SEQUENCE down INCREMENT -1; CREATE TABLE below (id int PRIMARY KEY DEFAULT nextval('down'), x int);
         CREATE TABLE parted (id int GENERATED BY DEFAULT AS IDENTITY, x int) PARTITION BY LIST (x); CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1)",
    );
    scene.live(
        "CREATE SEQUENCE shared; CREATE TABLE k (id int PRIMARY KEY DEFAULT nextval('shared'), x int); INSERT INTO k (x) SELECT 1 FROM generate_series(1, 50);
         CREATE TABLE only_source (id int PRIMARY KEY, x int); INSERT INTO only_source SELECT g, 1 FROM generate_series(1, 50) g;
         CREATE SEQUENCE mine OWNED BY only_source.id;
         CREATE TABLE ident (id int GENERATED ALWAYS AS IDENTITY (SEQUENCE NAME odd_name) PRIMARY KEY, x int); INSERT INTO ident (x) SELECT 1 FROM generate_series(1, 50);
         CREATE SEQUENCE down INCREMENT -1; CREATE TABLE below (id int PRIMARY KEY DEFAULT nextval('down'), x int); INSERT INTO below (x) SELECT 1 FROM generate_series(1, 50);
         CREATE TABLE parted (id int GENERATED BY DEFAULT AS IDENTITY, x int) PARTITION BY LIST (x); CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
         INSERT INTO parted (x) SELECT 1 FROM generate_series(1, 50)",
    );
    keeps(&scene, &["k", "only_source", "ident", "below", "parted"]);
    for (table, next) in [
        ("k", "51"),
        ("only_source", "51"),
        ("ident", "51"),
        ("below", "-51"),
        ("parted", "51"),
    ] {
        assert_eq!(
            scene.live(&format!("INSERT INTO {table} (x) VALUES (1) RETURNING id")),
            next,
            "{table}"
        );
    }
}

#[test]
fn rows_that_change_during_the_run_are_taken_again_and_nothing_that_hangs_on_them_acts() {
    let scene = Scene::new();
    let tables = "CREATE TABLE k (id serial PRIMARY KEY, x text); CREATE TABLE child (id int PRIMARY KEY, k int REFERENCES k);";
    scene.source(&format!(
        "{tables} CREATE TABLE refers (k int REFERENCES k ON DELETE CASCADE); COMMENT ON CONSTRAINT refers_k_fkey ON refers IS 'ours';
         CREATE TABLE log (said text);
         INSERT INTO k VALUES (1, 'production'); INSERT INTO refers VALUES (1);
         CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.log VALUES (tg_op); RETURN NULL; END$$;
         CREATE TRIGGER told AFTER INSERT OR DELETE OR TRUNCATE ON k EXECUTE FUNCTION tell();
         CREATE TRIGGER always AFTER INSERT ON k FOR EACH ROW EXECUTE FUNCTION tell(); ALTER TABLE k ENABLE ALWAYS TRIGGER always;
         CREATE RULE no_delete AS ON DELETE TO k DO INSTEAD NOTHING;
         ALTER TABLE k ENABLE ROW LEVEL SECURITY; ALTER TABLE k FORCE ROW LEVEL SECURITY;"
    ));
    scene.live(&format!(
        "{tables} INSERT INTO k VALUES (1, 'staging'), (2, 'more'); INSERT INTO child VALUES (1, 2)"
    ));
    let gate = scene.bed.gate("maintenance");
    let job = scene
        .job()
        .task("keep = [\"k\", \"child\"]")
        .hooks(&gate.maintenance());
    let mut running = scene.bed.start(&scene.write(&job));
    gate.wait(&mut running);
    scene.live("INSERT INTO k SELECT g, 'late' FROM generate_series(3, 9) g; SELECT setval('k_id_seq', 9); UPDATE child SET k = 9; UPDATE k SET x = 'changed' WHERE id = 1");
    gate.open();
    running.end().expect(0);
    scene.live_is_new();
    assert_eq!(
        scene.live("SELECT count(*), min(x), (SELECT k FROM child), (SELECT count(*) FROM refers), (SELECT count(*) FROM log) FROM k"),
        "9|changed|9|1|0"
    );
    assert_eq!(
        scene.live("SELECT string_agg(concat(tgname, tgenabled), ',' ORDER BY tgname) FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = 'k'::regclass"),
        "alwaysA,toldO"
    );
    assert_eq!(
        scene.live("SELECT relforcerowsecurity, (SELECT string_agg(concat(conname, ' ', confdeltype, ' ', convalidated, ' ', obj_description(oid, 'pg_constraint')), ',' ORDER BY conname) FROM pg_constraint WHERE contype = 'f' AND confrelid = 'k'::regclass) FROM pg_class WHERE oid = 'k'::regclass"),
        "t|child_k_fkey a t ,refers_k_fkey c t ours"
    );
    scene.live("ALTER TABLE k DISABLE TRIGGER ALL; INSERT INTO k (x) VALUES ('next')");
    assert_eq!(scene.live("SELECT max(id) FROM k"), "10");
}

#[test]
fn keys_that_dangle_fail_the_run_before_publish_also_when_they_come_late() {
    let scene = Scene::new();
    let tables = "CREATE TABLE k (id int PRIMARY KEY, buyer int REFERENCES users);";
    scene.source(&format!("{tables} CREATE TABLE refers (k int REFERENCES k); INSERT INTO k VALUES (1, 1); INSERT INTO refers VALUES (1)"));
    scene.live(tables);
    let file = scene.write(&scene.job().task("keep = [\"k\"]"));
    scene.bed.once(&file).expect(1).says(&["refers_k_fkey"]);
    scene.live("INSERT INTO users VALUES (9999, 'old'); INSERT INTO k VALUES (1, 9999)");
    scene.bed.once(&file).expect(1).says(&["k_buyer_fkey"]);
    scene.live("UPDATE k SET buyer = 1; DELETE FROM users WHERE id = 9999");
    let gate = scene.bed.gate("maintenance");
    let job = scene
        .job()
        .task("keep = [\"k\"]")
        .hooks(&gate.maintenance());
    let mut running = scene.bed.start(&scene.write(&job));
    gate.wait(&mut running);
    scene.live("DELETE FROM k");
    gate.open();
    running.end().expect(1).says(&["refers_k_fkey"]);
    scene.live_is_old();
}

#[test]
fn a_script_that_changes_kept_rows_fails_the_run_and_live_s_own_changes_do_not() {
    let scene = Scene::new();
    let table = "CREATE TABLE k (id int PRIMARY KEY, x text, l oid)";
    scene.source(&format!("{table}; INSERT INTO k VALUES (1, 'production')"));
    scene.live(&format!(
        "{table}; INSERT INTO k VALUES (1, 'staging', lo_from_bytea(70001, 'staging')), (2, 'more', NULL)"
    ));
    let before = rows(&scene, "k");
    let at = scene.bed.path("maintenance");
    let hook = format!(
        "maintenance_on = [\"touch\", \"{}\"]\nmaintenance_off = [\"true\"]",
        at.display()
    );
    let of_rows = "the rows of public.k, which the target keeps, were changed in the copy";
    for (mode, script, said) in [
        (
            "keep = [\"k\"]",
            "UPDATE k SET x = 'script' WHERE id = 2",
            of_rows,
        ),
        (
            "keep = [\"k\"]",
            "INSERT INTO k VALUES (3, 'script')",
            of_rows,
        ),
        ("keep = [\"k\"]", "ALTER TABLE k DROP COLUMN x", of_rows),
        ("keep = [\"k\"]", "DROP TABLE k", of_rows),
        (
            "keep = [\"k\"]",
            "SELECT lo_put(70001, 0, 'SCRIPT!')",
            "the large object 70001, which the target keeps, was changed in the copy",
        ),
        (
            "mode = \"overlay\"",
            "DELETE FROM only_live",
            "the rows of public.only_live, which the target keeps, were changed in the copy",
        ),
    ] {
        scene.bed.file("change.sql", script);
        let job = scene.job().task(mode).task("scripts = [\"change.sql\"]");
        let outcome = scene.bed.once(&scene.write(&job.hooks(&hook))).expect(1);
        let last = outcome.stderr.lines().last().unwrap_or_default();
        assert!(
            last.contains(said) && last.contains("let no script write to"),
            "{script}: {last}"
        );
        scene.live_is_old();
        scene.nothing_is_left();
        assert!(!at.exists(), "{script}: it fails before maintenance");
        assert_eq!(rows(&scene, "k"), before, "{script}");
    }
    // What live changed meanwhile is no script's change, and what a script does elsewhere is published.
    let gate = scene.bed.gate("maintenance_of_this");
    scene
        .bed
        .file("change.sql", "UPDATE orders SET note = 'script'");
    let job = scene
        .job()
        .task("keep = [\"k\"]\nscripts = [\"change.sql\"]");
    let file = scene.write(&job.hooks(&gate.maintenance()));
    let mut running = scene.bed.start(&file);
    gate.wait(&mut running);
    scene.live("UPDATE k SET x = 'live' WHERE id = 2; SELECT lo_put(70001, 0, 'STAGING')");
    let before = rows(&scene, "k");
    gate.open();
    running.end().expect(0);
    scene.live_is_new();
    assert_eq!(rows(&scene, "k"), before);
    assert_eq!(scene.live("SELECT DISTINCT note FROM orders"), "script");
    assert_eq!(
        scene.live("SELECT convert_from(lo_get(70001), 'utf8')"),
        "STAGING"
    );
}
