//! With overlay, all that only the target has stays as it is, with owner, grants and comments; what both have is the source's.

use super::Scene;
use crate::support::postgres::unique;

#[test]
fn tables_of_the_target_alone_stay_with_all_that_hangs_on_them() {
    let scene = Scene::new();
    let role = unique("reads");
    scene
        .target
        .psql("postgres", &format!("CREATE ROLE {role}"));
    scene.live(&format!(
        "CREATE TYPE mood AS ENUM ('sad', 'glad');
         CREATE TABLE own (id serial PRIMARY KEY, u text UNIQUE, m mood, r int4range, e int GENERATED ALWAYS AS IDENTITY, g int GENERATED ALWAYS AS (1) STORED,
             buyer int REFERENCES users, CONSTRAINT positive CHECK (id > 0), EXCLUDE USING gist (r WITH &&));
         INSERT INTO own (u, m, r, buyer) VALUES ('a', 'sad', '[1,2)', 1), ('b', 'glad', '[5,9)', NULL);
         CREATE INDEX by_u ON own (lower(u)); COMMENT ON INDEX by_u IS 'an index'; COMMENT ON CONSTRAINT positive ON own IS 'a check'; COMMENT ON COLUMN own.u IS 'a column';
         CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;
         CREATE TRIGGER touched BEFORE UPDATE ON own FOR EACH ROW EXECUTE FUNCTION touch(); ALTER TABLE own DISABLE TRIGGER touched;
         CREATE RULE quiet AS ON DELETE TO own DO INSTEAD NOTHING;
         ALTER TABLE own ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON own TO {role} USING (u = 'a');
         CREATE STATISTICS of_own ON u, m FROM own; GRANT SELECT (u), UPDATE ON own TO {role};
         CREATE TABLE parted (a int) PARTITION BY LIST (a); CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1); CREATE INDEX ON parted (a); INSERT INTO parted VALUES (1)"
    ));
    let before = scene.target.pg_dump(&scene.to);
    let dumped = |text: &[String]| -> Vec<String> {
        text.iter()
            .filter(|line| line.contains("own") || line.contains("parted") || line.contains("mood"))
            .cloned()
            .collect()
    };
    let file = scene.write(&scene.job().task("mode = \"overlay\""));
    for _ in 0..2 {
        scene.bed.once(&file).expect(0);
        scene.live_is_new();
        assert_eq!(dumped(&scene.target.pg_dump(&scene.to)), dumped(&before));
        assert_eq!(
            scene.live(
                "SELECT string_agg(concat_ws(' ', id, u, m, r, e, buyer), ';' ORDER BY id) FROM own"
            ),
            "1 a sad [1,2) 1 1;2 b glad [5,9) 2"
        );
    }
    assert_eq!(
        scene.live("INSERT INTO own (u) VALUES ('c') RETURNING id, e"),
        "3|3"
    );
}

#[test]
fn a_kept_table_of_the_target_alone_stays_with_its_key_in_replace_as_well() {
    let scene = Scene::new();
    scene.live("CREATE TABLE own (id int PRIMARY KEY, u text UNIQUE); INSERT INTO own VALUES (1, 'a'); CREATE VIEW goes AS SELECT 1");
    let file = scene.write(&scene.job().task("keep = [\"own\"]"));
    for _ in 0..2 {
        scene.bed.once(&file).expect(0);
        scene.live_is_new();
        assert_eq!(scene.live("SELECT * FROM own"), "1|a");
        assert_eq!(
            scene.live("SELECT string_agg(conname, ',' ORDER BY conname) FROM pg_constraint WHERE conrelid = 'own'::regclass AND contype IN ('p', 'u')"),
            "own_pkey,own_u_key"
        );
    }
    assert_eq!(scene.live("SELECT to_regclass('goes')"), "");
}

#[test]
fn views_functions_types_sequences_schemas_and_extensions_of_the_target_alone_stay() {
    let scene = Scene::new();
    let role = unique("owns");
    scene
        .target
        .psql("postgres", &format!("CREATE ROLE {role}"));
    scene.source("CREATE FUNCTION of_both() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE VIEW seen AS SELECT 1 AS a");
    scene.live(&format!(
        "CREATE FUNCTION of_both() RETURNS int LANGUAGE sql AS 'SELECT 2'; CREATE VIEW seen AS SELECT 2 AS a;
         CREATE SCHEMA own AUTHORIZATION {role}; COMMENT ON SCHEMA own IS 'ours';
         CREATE EXTENSION citext SCHEMA own;
         CREATE TYPE own.pair AS (a int, b text); CREATE DOMAIN own.small AS int CHECK (VALUE < 10); CREATE TYPE own.span AS RANGE (subtype = float8);
         CREATE SEQUENCE own.numbers START 5; SELECT nextval('own.numbers');
         CREATE FUNCTION own.f(a int) RETURNS int LANGUAGE sql AS 'SELECT a'; CREATE FUNCTION own.f(a text) RETURNS int LANGUAGE sql AS 'SELECT 1';
         ALTER FUNCTION own.f(int) OWNER TO {role}; REVOKE ALL ON FUNCTION own.f(text) FROM PUBLIC; COMMENT ON FUNCTION own.f(int) IS 'ours';
         CREATE PROCEDURE own.p() LANGUAGE sql AS 'SELECT 1'; CREATE AGGREGATE own.total (int) (sfunc = int4pl, stype = int, initcond = '0');
         CREATE OPERATOR own.@+ (leftarg = int, rightarg = int, function = int4pl);
         CREATE VIEW own.people AS SELECT id FROM users; GRANT SELECT ON own.people TO {role};
         CREATE MATERIALIZED VIEW own.many AS SELECT count(*) FROM users; CREATE UNIQUE INDEX ON own.many (count);
         CREATE COLLATION own.plain (locale = 'C'); CREATE TEXT SEARCH CONFIGURATION own.words (COPY = simple);
         CREATE FUNCTION own.watch() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN END$$; CREATE EVENT TRIGGER own_watch ON sql_drop EXECUTE FUNCTION own.watch();
         CREATE FOREIGN DATA WRAPPER dummy; CREATE SERVER elsewhere FOREIGN DATA WRAPPER dummy"
    ));
    let dumped = |text: &[String]| -> Vec<String> {
        text.iter()
            // What is computed from the source's rows is filled anew.
            .filter(|line| !line.contains("-- Rows of materialized view"))
            .filter(|line| {
                line.contains("own.") || line.contains(" own") || line.contains("elsewhere")
            })
            .cloned()
            .collect()
    };
    let before = dumped(&scene.target.pg_dump(&scene.to));
    let file = scene.write(&scene.job().task("mode = \"overlay\""));
    for _ in 0..2 {
        scene.bed.once(&file).expect(0);
        scene.live_is_new();
        assert_eq!(dumped(&scene.target.pg_dump(&scene.to)), before);
        assert_eq!(
            scene.live("SELECT (SELECT count(*) FROM own.people), (SELECT * FROM own.many), of_both(), (SELECT a FROM seen), (SELECT last_value = 5 FROM own.numbers)"),
            "200|200|1|1|t"
        );
    }
}

#[test]
fn what_the_target_alone_has_and_cannot_stay_fails_the_run_by_name() {
    let scene = Scene::new();
    scene.live(
        "ALTER TABLE users ADD COLUMN extra int; CREATE VIEW of_extra AS SELECT extra FROM users",
    );
    let file = scene.write(&scene.job().task("mode = \"overlay\""));
    scene
        .bed
        .once(&file)
        .expect(1)
        .says(&["view public.of_extra", "the target's own", "extra"]);
    scene.live_is_old();
    scene.nothing_is_left();
    scene.live("DROP VIEW of_extra; CREATE VIEW orders AS SELECT 1 AS a");
    // A name that both have is the source's.
    scene.bed.once(&file).expect(0);
    assert_eq!(scene.live("SELECT count(*) FROM orders"), "500");
}

#[test]
fn a_table_that_is_excluded_stays_the_target_s_own_in_overlay_with_what_reads_it() {
    let scene = Scene::new();
    scene.source("CREATE TABLE cache (a int); INSERT INTO cache VALUES (1); CREATE VIEW cached AS SELECT a FROM cache");
    scene.live("CREATE TABLE cache (a int); INSERT INTO cache VALUES (2); CREATE VIEW cached AS SELECT a + 10 AS a FROM cache");
    let file = scene.write(
        &scene
            .job()
            .task("mode = \"overlay\"\nexclude = [\"cache\"]"),
    );
    scene.bed.once(&file).expect(0);
    scene.live_is_new();
    assert_eq!(scene.live("SELECT a FROM cached"), "12");
}

/// All publications: whose, of what, and how.
const PUBLICATIONS: &str = "SELECT string_agg(line, chr(10) ORDER BY line) FROM (
    SELECT concat_ws(' ', pubname, pubowner::regrole, to_jsonb(p) - 'oid', obj_description(oid, 'pg_publication')) AS line FROM pg_publication p
    UNION ALL SELECT concat_ws(' ', pubname, schemaname, tablename, attnames, rowfilter) FROM pg_publication_tables
    UNION ALL SELECT concat_ws(' ', pubname, pnnspid::regnamespace) FROM pg_publication_namespace JOIN pg_publication p ON p.oid = pnpubid) AS l";

#[test]
fn publications_of_the_target_stay_or_are_refused_by_name() {
    let scene = Scene::new();
    let owner = scene.owner_of_live();
    let other = unique("publishes");
    scene.target.psql(
        "postgres",
        &format!("CREATE ROLE {other}; GRANT {other} TO {owner}"),
    );
    scene.live(&format!(
        "ALTER TABLE users ADD COLUMN extra int;
         CREATE PUBLICATION by_table FOR TABLE users (id, email) WHERE (id > 1), only_live WITH (publish = 'insert, delete', publish_via_partition_root = true);
         COMMENT ON PUBLICATION by_table IS 'ours'; ALTER PUBLICATION by_table OWNER TO {other};
         CREATE PUBLICATION empty; ALTER PUBLICATION empty OWNER TO {owner}"
    ));
    let before = scene.live(PUBLICATIONS);
    let plain = scene.target.url(&owner, &scene.to);
    let source = scene.source.url("postgres", &scene.from);
    let plain =
        crate::support::job::Job::between("postgresql", &source, &plain).task("mode = \"overlay\"");
    let plain = scene.bed.job("plain", &plain);
    scene.bed.once(&plain).expect(0);
    scene.live_is_new();
    assert_eq!(scene.live(PUBLICATIONS), before);

    scene.live("CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'truncate'); CREATE PUBLICATION of_schema FOR TABLES IN SCHEMA public");
    for verb in ["plan", "run"] {
        scene.bed.with_file(verb, &plain).expect(1).says(&[
            "publications of the target cannot stay",
            "everything; of_schema",
        ]);
    }
    let before = scene.live(PUBLICATIONS);
    let file = scene.write(&scene.job().task("mode = \"overlay\""));
    scene.bed.once(&file).expect(0);
    assert_eq!(scene.live(PUBLICATIONS), before);

    // What it publishes is not there any more.
    scene.live("ALTER TABLE users ADD COLUMN extra int; ALTER PUBLICATION empty ADD TABLE users (id, extra)");
    scene.bed.once(&file).expect(1).says(&[
        "publication table public.empty users",
        "cannot stay as it is beside what comes from the source",
    ]);
    assert_eq!(scene.live("SELECT count(*) FROM pg_publication"), "4");
}
