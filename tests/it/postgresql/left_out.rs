//! What goes with an excluded table: named, each of it; and what restricts something goes only where the job says so.

use super::Scene;

/// Plans and runs a job that excludes `secret`: neither gets further than saying what would be lost, and how to let it go.
#[track_caller]
fn refused(scene: &Scene<'_>, said: &[&str]) {
    let file = scene.write(&scene.job().task("exclude = [\"secret\"]"));
    scene.bed.with_file("plan", &file).expect(1).says(said);
    scene.bed.once(&file).expect(1).says(said);
    scene.live_is_old();
    scene.nothing_is_left();
}

/// The same with a word that lets it go.
#[track_caller]
fn let_go(scene: &Scene<'_>, key: &str, said: &[&str]) {
    let file = scene.write(
        &scene
            .job()
            .task(&format!("exclude = [\"secret\"]\nleave_out = [\"{key}\"]")),
    );
    scene.bed.once(&file).expect(0).says(said);
    scene.live_is_new();
    assert_eq!(scene.live("SELECT to_regclass('secret')"), "");
}

const SECRET: &str =
    "CREATE TABLE secret (id serial PRIMARY KEY, who text); INSERT INTO secret (who) VALUES ('x');";

/// A function that the server knows to need the table.
const KNOWN: &str = "CREATE FUNCTION known(text) RETURNS bool LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT $1 NOT IN (SELECT who FROM secret); END;";

#[test]
fn a_policy_that_would_be_lost_fails_the_run_and_plan_unless_the_job_lets_it_go() {
    let scene = Scene::new();
    scene.source(&format!(
        "{SECRET} ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY everybody ON users USING (true);
         CREATE POLICY \"not those\" ON users AS RESTRICTIVE USING (email NOT IN (SELECT who FROM secret))"
    ));
    refused(
        &scene,
        &[
            "policy not those on table",
            "leave_out = [\"public.users.not those\"]",
        ],
    );
    let_go(&scene, "users.not*", &["policy not those on table"]);
    assert_eq!(
        scene.live("SELECT string_agg(polname, ',') FROM pg_policy"),
        "everybody"
    );
}

#[test]
fn a_table_whose_only_policy_goes_is_closed_and_that_is_said() {
    let scene = Scene::new();
    scene.source(&format!(
        "{SECRET} ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY known ON users USING (email NOT IN (SELECT who FROM secret))"
    ));
    refused(&scene, &["policy known on table", "public.users.known"]);
    let_go(
        &scene,
        "public.users.known",
        &["policy known on table", "closed to all but its owner"],
    );
    assert_eq!(
        scene.live("SELECT relrowsecurity FROM pg_class WHERE oid = 'users'::regclass"),
        "t"
    );
}

#[test]
fn a_check_of_a_table_or_a_domain_that_would_be_lost_fails_the_run_unless_the_job_lets_it_go() {
    let scene = Scene::new();
    scene.source(&format!(
        "{SECRET} {KNOWN} CREATE TABLE guarded (a text, CONSTRAINT plain CHECK (a <> ''), CONSTRAINT asks CHECK (known(a)), CONSTRAINT last CHECK (a <> 'z'));
         CREATE DOMAIN word AS text CONSTRAINT asked CHECK (known(VALUE)); CREATE TABLE words (w word);
         CREATE TABLE uniq (a text); CREATE UNIQUE INDEX one_known ON uniq (known(a));"
    ));
    refused(
        &scene,
        &[
            "constraint asks on table",
            "constraint asked of domain public.word",
            "index",
            "\"public.guarded.asks\"",
            "\"public.word.asked\"",
            "\"public.uniq.one_known\"",
        ],
    );
    let_go(&scene, "*.*", &["constraint asks on table", "known(text)"]);
    assert_eq!(
        scene.live("SELECT string_agg(conname, ',' ORDER BY conname) FROM pg_constraint WHERE contype = 'c' AND conrelid = 'guarded'::regclass"),
        "last,plain"
    );
}

#[test]
fn a_rule_that_guards_and_a_constraint_trigger_fail_the_run_and_a_rule_that_only_tells_is_named() {
    let scene = Scene::new();
    scene.source(&format!(
        "{SECRET} CREATE TABLE kept_safe (a text);
         CREATE RULE guards AS ON DELETE TO kept_safe WHERE OLD.a IN (SELECT who FROM secret) DO INSTEAD NOTHING;
         CREATE RULE tells AS ON INSERT TO kept_safe DO ALSO INSERT INTO secret (who) VALUES (NEW.a);
         CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no'; END$$;
         CREATE CONSTRAINT TRIGGER stops AFTER INSERT ON kept_safe FROM secret DEFERRABLE FOR EACH ROW EXECUTE FUNCTION no();"
    ));
    refused(
        &scene,
        &[
            "rule guards on table",
            "trigger stops on table",
            "\"public.kept_safe.guards\"",
            "\"public.kept_safe.stops\"",
        ],
    );
    let_go(
        &scene,
        "kept_safe.*",
        &["rule guards", "rule tells", "trigger stops"],
    );
    scene.live("INSERT INTO kept_safe VALUES ('x'); DELETE FROM kept_safe");
    assert_eq!(scene.live("SELECT count(*) FROM kept_safe"), "0");
}

#[test]
fn all_that_needs_an_excluded_table_is_named() {
    let scene = Scene::new();
    scene.source(&format!(
        "{SECRET} CREATE VIEW v AS SELECT * FROM secret; CREATE MATERIALIZED VIEW m AS SELECT * FROM v; CREATE INDEX ON m (id);
         CREATE TABLE refers (a int REFERENCES secret); CREATE TABLE numbered (a int DEFAULT nextval('secret_id_seq') NOT NULL, b int DEFAULT 7);
         CREATE TABLE holds (s secret); CREATE TABLE below (more int) INHERITS (secret);
         CREATE FUNCTION takes(secret) RETURNS int LANGUAGE sql AS 'SELECT 1';
         CREATE FUNCTION counts() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM secret; END;
         CREATE FUNCTION speaks() RETURNS bigint LANGUAGE plpgsql AS $$BEGIN RETURN (SELECT count(*) FROM secret); END$$;
         CREATE FUNCTION does_not() RETURNS text LANGUAGE plpgsql AS $$BEGIN RETURN 'secretary'; END$$;
         {KNOWN} CREATE INDEX by_known ON users (known(email)); CREATE STATISTICS st ON (known(email)), id FROM users;
         CREATE AGGREGATE adds (bool) (sfunc = boolor_statefunc, stype = bool);
         COMMENT ON VIEW v IS 'gone with it'; GRANT SELECT ON v TO PUBLIC;"
    ));
    let file = scene.write(&scene.job().task("exclude = [\"secret\"]"));
    let outcome = scene.bed.once(&file).expect(0).says(&[
        "view public.v",
        "materialized view public.m",
        "constraint refers_a_fkey on table public.refers",
        "default value for column a of table public.numbered",
        "table public.holds",
        "table public.below",
        "function public.takes(",
        "function public.counts()",
        "function public.known(text)",
        "index public.by_known",
        "statistics object public.st",
        "speaks()",
        "may fail on the target",
    ]);
    for quiet in ["does_not", "adds", "secret_pkey", "m_id_idx", "_RETURN"] {
        assert!(
            !outcome.stderr.contains(quiet),
            "{quiet}: {}",
            outcome.stderr
        );
    }
    scene.live_is_new();
    scene.live("INSERT INTO numbered (a) VALUES (1)");
    assert_eq!(scene.live("SELECT * FROM numbered"), "1|7");
    assert_eq!(
        scene.live("SELECT count(*) FROM pg_class WHERE relname IN ('v', 'm', 'holds', 'below', 'by_known')"),
        "0"
    );
}

#[test]
fn a_generated_column_that_needs_an_excluded_table_is_refused() {
    let scene = Scene::new();
    scene.source(&format!(
        "{SECRET} {KNOWN} CREATE TABLE made (a text, b bool GENERATED ALWAYS AS (known(a)) STORED)"
    ));
    refused(&scene, &["public.made.b is generated"]);
}

#[test]
fn rows_that_are_not_copied_are_in_no_view_statistics_or_index_of_the_target() {
    let scene = Scene::new();
    scene.source(
        "CREATE TABLE words (w text, n int); INSERT INTO words SELECT 'needle', 1 FROM generate_series(1, 500); INSERT INTO words SELECT 'other', 2 FROM generate_series(1, 500);
         CREATE INDEX by_upper ON words (upper(w)); CREATE STATISTICS st (mcv) ON w, n FROM words; ANALYZE words;
         CREATE MATERIALIZED VIEW m AS SELECT w, count(*) FROM words GROUP BY w; CREATE MATERIALIZED VIEW over_m AS SELECT * FROM m;
         CREATE TABLE k (w text); INSERT INTO k VALUES ('needle in k'); CREATE MATERIALIZED VIEW of_k AS SELECT * FROM k",
    );
    scene.live("CREATE TABLE k (w text); INSERT INTO k VALUES ('mine')");
    let file = scene.write(
        &scene
            .job()
            .task("schema_only = [\"words\"]\nkeep = [\"k\"]"),
    );
    scene.bed.once(&file).expect(0);
    assert_eq!(
        scene.live("SELECT (SELECT count(*) FROM m), (SELECT count(*) FROM over_m), (SELECT string_agg(w, ',') FROM of_k)"),
        "0|0|mine"
    );
    assert_eq!(
        scene.live("SELECT count(*) FROM pg_stats WHERE most_common_vals::text ILIKE '%needle%' OR histogram_bounds::text ILIKE '%needle%'"),
        "0"
    );
    assert_eq!(
        scene.live("SELECT count(*) FROM pg_statistic_ext_data WHERE stxdmcv IS NOT NULL"),
        "0"
    );
}
