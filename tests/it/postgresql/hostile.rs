//! A source whose owner wants more than to be copied.

use std::path::Path;

use super::Scene;
use crate::support::hostile::postgresql_rows::{Liar, Lie};
use crate::support::job::Job;
use crate::support::postgres::unique;

/// A role that owns things on the source alone, and what it has there: a function that tries all that a superuser could,
/// and one that looks harmless and calls it.
struct Hostile<'a> {
    scene: &'a Scene<'static>,
    app: String,
    /// The superuser that it would like to make, and the file.
    wanted: String,
    mark: String,
}

impl<'a> Hostile<'a> {
    fn new(scene: &'a Scene<'static>) -> Self {
        let (app, wanted) = (unique("hostile"), unique("wanted"));
        let mark = std::env::temp_dir().join(&wanted).display().to_string();
        let hostile = Self {
            scene,
            app,
            wanted,
            mark,
        };
        let (app, wanted, mark) = (&hostile.app, &hostile.wanted, &hostile.mark);
        scene.source(&format!(
            "CREATE ROLE {app} LOGIN; GRANT CREATE ON SCHEMA public TO {app}"
        ));
        hostile.does(&format!(
            "CREATE TABLE loot (a text);
             CREATE FUNCTION evil() RETURNS boolean LANGUAGE plpgsql AS $f$
             DECLARE way text;
             BEGIN
                 FOREACH way IN ARRAY ARRAY['RESET ROLE', 'RESET SESSION AUTHORIZATION', 'SET SESSION AUTHORIZATION postgres',
                     'CREATE ROLE {wanted} SUPERUSER', 'COPY (SELECT 1) TO PROGRAM ''touch {mark}''',
                     'COPY (SELECT 1) TO ''{mark}''', 'INSERT INTO public.loot SELECT pg_read_file(''PG_VERSION'')',
                     'INSERT INTO public.loot SELECT rolpassword FROM pg_authid LIMIT 1'] LOOP
                     BEGIN EXECUTE way; EXCEPTION WHEN OTHERS THEN NULL; END;
                 END LOOP;
                 RETURN true;
             END $f$;
             CREATE FUNCTION sly(int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $f$BEGIN RETURN public.evil(); END$f$;
             CREATE FUNCTION fires() RETURNS trigger LANGUAGE plpgsql AS $f$BEGIN PERFORM public.evil(); RETURN NEW; END$f$;"
        ));
        hostile
    }

    /// What it does on the source, logged in as itself.
    fn does(&self, sql: &str) {
        let done = self.scene.source.try_psql(&self.app, &self.scene.from, sql);
        done.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// None of what it tried has come of it.
    #[track_caller]
    fn got_nothing(&self) {
        let role = format!(
            "SELECT count(*) FROM pg_roles WHERE rolname = '{}'",
            self.wanted
        );
        assert_eq!(self.scene.target.psql("postgres", &role), "0");
        assert!(!Path::new(&self.mark).exists(), "{}", self.mark);
    }
}

#[test]
fn code_of_a_plain_role_never_runs_as_a_superuser() {
    let scene = Scene::new();
    let hostile = Hostile::new(&scene);
    let file = scene.write(&scene.job().wary());
    let refused = |file: &Path, what: &str| {
        scene.bed.with_file("plan", file).expect(1).says(&[
            "the target's user postgres is a superuser, and code of the source would run with its rights",
            what,
            "trust_source = true",
        ]);
    };
    for (make, what) in [
        (
            "CREATE TABLE p (a int CHECK (evil()))",
            "constraint p_check on table public.p",
        ),
        (
            "CREATE DOMAIN p AS int CHECK (evil())",
            "constraint p_check",
        ),
        (
            "CREATE TABLE p (a int, b bool GENERATED ALWAYS AS (sly(a)) STORED)",
            "default value for column b of table public.p",
        ),
        (
            "CREATE TABLE p (a int); CREATE INDEX pi ON p (sly(a))",
            "index public.pi",
        ),
        (
            "CREATE TABLE p (a int); CREATE INDEX pi ON p (a) WHERE sly(1)",
            "index public.pi",
        ),
        (
            "CREATE TABLE p (a int) PARTITION BY LIST (sly(a))",
            "table public.p",
        ),
        (
            "CREATE MATERIALIZED VIEW p AS SELECT evil()",
            "materialized view public.p",
        ),
        (
            "CREATE VIEW p AS SELECT evil(); CREATE MATERIALIZED VIEW over_p AS SELECT * FROM p",
            "materialized view public.over_p",
        ),
        (
            "CREATE TABLE p (a int); CREATE STATISTICS ps ON (sly(a)), a FROM p",
            "statistics object public.ps",
        ),
        (
            "CREATE OPERATOR @#@ (FUNCTION = sly, RIGHTARG = int); CREATE TABLE p (a int CHECK (@#@ a))",
            "constraint p_a_check on table public.p",
        ),
        (
            "CREATE TABLE p (a text CHECK (query_to_xml('SELECT 1', true, true, '') IS NOT NULL))",
            "constraint p_check on table public.p",
        ),
    ] {
        hostile.does(make);
        refused(&file, what);
        scene.source("DO $$BEGIN
            EXECUTE coalesce((SELECT 'DROP ' || CASE relkind WHEN 'v' THEN 'VIEW ' WHEN 'm' THEN 'MATERIALIZED VIEW ' ELSE 'TABLE ' END || 'public.p CASCADE'
                FROM pg_class WHERE oid = to_regclass('public.p')), 'DROP DOMAIN public.p CASCADE'); END$$;
            DROP OPERATOR IF EXISTS public.@#@ (NONE, int)");
    }
    // What nothing calls while the copy is built arrives, and is the job's own affair where its scripts make it fire.
    hostile.does("CREATE TABLE p (a int, b bool DEFAULT evil()); CREATE TRIGGER t BEFORE UPDATE ON p FOR EACH ROW EXECUTE FUNCTION fires()");
    scene.bed.once(&file).expect(0);
    scene.live_is_new();
    scene.bed.file("touch.sql", "UPDATE p SET a = a");
    let file = scene.write(&scene.job().wary().task("scripts = [\"touch.sql\"]"));
    refused(&file, "trigger t on table public.p");
    refused(&file, "default value for column b of table public.p");
    scene.source(
        "CREATE FUNCTION ef() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN END$$;
        CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION ef()",
    );
    let file = scene.write(&scene.job().wary());
    scene.bed.with_file("plan", &file).expect(0);
    scene.source(&format!("ALTER FUNCTION ef() OWNER TO {}", hostile.app));
    refused(&file, "event trigger et");
    scene.bed.once(&file).expect(1).says(&["event trigger et"]);
    assert_eq!(scene.live("SELECT count(*) FROM loot"), "0");
    hostile.got_nothing();
}

#[test]
fn code_under_a_plain_user_reaches_nothing_beyond_its_databases() {
    let scene = Scene::new();
    let hostile = Hostile::new(&scene);
    hostile.does(
        "CREATE TABLE p (a int CHECK (evil()), b bool GENERATED ALWAYS AS (sly(a)) STORED); INSERT INTO p VALUES (1), (2);
         CREATE INDEX ON p (sly(a)); CREATE STATISTICS ps ON (sly(a)), a FROM p;
         CREATE TRIGGER t BEFORE UPDATE ON p FOR EACH ROW EXECUTE FUNCTION fires();
         CREATE TABLE q (a int) PARTITION BY LIST (sly(a)); CREATE TABLE q1 PARTITION OF q FOR VALUES IN (true); INSERT INTO q VALUES (1);
         CREATE DOMAIN d AS int CHECK (evil()); CREATE TABLE r (a d); INSERT INTO r VALUES (1);
         CREATE MATERIALIZED VIEW m AS SELECT evil()",
    );
    let owner = scene.owner_of_live();
    scene.bed.file("touch.sql", "UPDATE p SET a = a + 1");
    let job = Job::between(
        "postgresql",
        &scene.source.url("postgres", &scene.from),
        &scene.target.url(&owner, &scene.to),
    )
    .wary()
    .task("scripts = [\"touch.sql\"]");
    scene.bed.once(&scene.write(&job)).expect(0);
    scene.live_is_new();
    assert_eq!(scene.live("SELECT count(*) FROM p"), "2");
    assert_eq!(scene.live("SELECT count(*) FROM loot"), "0");
    hostile.got_nothing();
}

#[test]
fn code_in_an_archive_never_runs_as_a_superuser() {
    let scene = Scene::new();
    let archive = format!("file://{}", scene.bed.path("archive").display());
    let push = Job::between(
        "postgresql",
        &scene.source.url("postgres", &scene.from),
        &archive,
    );
    let target = scene.target.url("postgres", &scene.to);
    let pull = Job::between("postgresql", &archive, &target).wary();
    let pull = scene.bed.job("pull", &pull);
    let pushed = || scene.bed.once(&scene.bed.job("push", &push)).expect(0);
    pushed();
    scene.bed.once(&pull).expect(0);
    scene.live_is_new();
    // Whoever it says that it belongs to.
    for (make, what) in [
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "function public.f() (function)",
        ),
        (
            "DROP FUNCTION f(); CREATE TABLE p (a text CHECK (pg_read_file('PG_VERSION') IS NULL))",
            "table public.p (call of pg_read_file)",
        ),
    ] {
        scene.source(make);
        pushed();
        for verb in ["plan", "run"] {
            scene.bed.with_file(verb, &pull).expect(1).says(&[
                "is a superuser, and code of the source would run with its rights",
                what,
            ]);
        }
    }
    assert_eq!(scene.live("SELECT to_regclass('p')"), "");
    scene.live_is_new();
}

#[test]
fn a_definer_that_would_become_a_superuser_is_warned_of() {
    let scene = Scene::new();
    let hostile = Hostile::new(&scene);
    hostile.does("CREATE FUNCTION rises() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'");
    let file = scene.write(&scene.job().wary());
    let warning = [
        "they will run with the rights of a superuser",
        "function public.rises()",
    ];
    scene.bed.with_file("plan", &file).expect(0).says(&warning);
    scene
        .target
        .psql("postgres", &format!("CREATE ROLE {}", hostile.app));
    let outcome = scene.bed.with_file("plan", &file).expect(0);
    assert!(!outcome.stderr.contains(warning[0]), "{}", outcome.stderr);
}

/// Every query's answer in turn, or every so many: there are hundreds in a run.
fn each_lie(steps: usize, mut run: impl FnMut(usize, Lie) -> bool) -> usize {
    let mut told = 0;
    for lie in [Lie::Null, Lie::Type] {
        let mut query = 0;
        while run(query, lie) {
            query += steps;
            told += 1;
        }
    }
    told
}

#[test]
fn whatever_a_server_answers_is_an_error_and_no_bug() {
    let scene = Scene::new();
    let mut unexpected = 0;
    for (verb, steps) in [("plan", 7), ("run", 29)] {
        let told = each_lie(steps, |query, lie| {
            let source = Liar::before(scene.source, query, lie);
            let target = Liar::before(scene.target, query, lie);
            let from = scene.source.url("postgres", &scene.from);
            let to = scene.target.url("postgres", &scene.to);
            for (from, to) in [
                (source.url("postgres", &scene.from), to),
                (from, target.url("postgres", &scene.to)),
            ] {
                let file = scene.write(&Job::between("postgresql", &from, &to));
                let outcome = scene.bed.with_file(verb, &file);
                let said = &outcome.stderr;
                assert!(
                    matches!(outcome.code, Some(0 | 1)),
                    "{query} {lie:?}: {said}"
                );
                assert!(!said.contains("bug"), "{query} {lie:?}: {said}");
                if said.contains("an unexpected column") {
                    assert!(said.contains("127.0.0.1"), "{said}");
                    unexpected += 1;
                }
            }
            source.has_lied(query) || target.has_lied(query)
        });
        assert!(told > 3, "{verb}: {told}");
    }
    assert!(unexpected > 5, "{unexpected}");
}
