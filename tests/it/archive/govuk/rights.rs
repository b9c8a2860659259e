//! Owners and grants of a dump, on a target that has the roles, or not; users without all rights; other versions.

use super::{DATABASE, Dumped};
use crate::support::job::{Job, toml};
use crate::support::postgres::{Cluster, Must, bare, newest_programs, unique};

fn name() -> String {
    format!("2026-01-02T030405Z-{DATABASE}.gz")
}

#[test]
fn roles_that_the_target_lacks_are_mapped_and_the_others_kept() {
    let dumped = Dumped::new();
    let (both, lost) = (unique("both"), unique("lost"));
    let scene = &dumped.scene;
    for role in [&both, &lost] {
        scene
            .pair
            .source
            .psql("postgres", &format!("CREATE ROLE {role}"));
    }
    scene
        .pair
        .target
        .psql("postgres", &format!("CREATE ROLE {both}"));
    scene.source(&format!(
        "CREATE TABLE a (x integer); ALTER TABLE a OWNER TO {both}; \
         CREATE TABLE b (x integer); ALTER TABLE b OWNER TO {lost}; \
         CREATE FUNCTION f(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION f(integer) OWNER TO {both}; \
         GRANT SELECT ON users TO {both}; GRANT UPDATE ON users TO {lost}; \
         ALTER DEFAULT PRIVILEGES FOR ROLE {lost} GRANT SELECT ON TABLES TO {both}; \
         ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON users TO {both}, {lost} USING (true); CREATE POLICY q ON users TO {lost} USING (true)"
    ));
    dumped.dump(&name());
    let outcome = dumped.once("pull", &dumped.pull()).expect(0);
    assert!(outcome.stderr.contains(&lost), "{}", outcome.stderr);
    scene.live_is_new();
    let live = |sql: &str| scene.live(sql);
    assert_eq!(
        live("SELECT tableowner FROM pg_tables WHERE tablename = 'a'"),
        both
    );
    assert_eq!(
        live("SELECT tableowner FROM pg_tables WHERE tablename = 'b'"),
        "postgres"
    );
    assert_eq!(
        live("SELECT proowner::regrole FROM pg_proc WHERE proname = 'f'"),
        both
    );
    assert_eq!(
        live(&format!(
            "SELECT has_table_privilege('{both}', 'users', 'SELECT')"
        )),
        "t"
    );
    assert_eq!(live("SELECT polname FROM pg_policy"), "p");
    let fail = dumped.pull().task("roles = \"fail\"");
    dumped.once("pull", &fail).expect(1).says(&[&lost, "roles"]);
    let skip = dumped.pull().task("roles = \"skip\"");
    dumped.once("pull", &skip).expect(0);
    assert_eq!(
        live("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"),
        "postgres"
    );
    assert_eq!(
        live(&format!(
            "SELECT has_table_privilege('{both}', 'users', 'SELECT')"
        )),
        "f"
    );
    scene.nothing_is_beside();
}

#[test]
fn a_target_s_user_needs_no_more_than_createdb() {
    let dumped = Dumped::new();
    let (scene, user) = (&dumped.scene, unique("owner"));
    scene.pair.target.psql(
        "postgres",
        &format!("CREATE ROLE {user} LOGIN CREATEDB; GRANT pg_signal_backend TO {user}"),
    );
    scene.pair.target.psql(
        "postgres",
        &format!("ALTER DATABASE {} OWNER TO {user}", scene.to),
    );
    scene.source(
        "CREATE EXTENSION pg_trgm; CREATE INDEX ON users USING gin (name gin_trgm_ops); COMMENT ON SCHEMA public IS 'ours'; \
         GRANT ALL ON SCHEMA public TO PUBLIC; SELECT lo_from_bytea(4712, 'x')",
    );
    dumped.dump(&name());
    let target = toml(&scene.pair.target.url(&user, &scene.to));
    let pull = Job::new("postgresql", &dumped.archive(""), &target).task("previous = \"drop\"");
    dumped.once("pull", &pull).expect(0);
    scene.live_is_new();
    scene.nothing_is_beside();
}

#[test]
fn a_dump_that_a_member_of_live_s_owner_pulls_is_the_owner_s() {
    let dumped = Dumped::new();
    let (scene, app, user, clerk) = (
        &dumped.scene,
        unique("app"),
        unique("deploy"),
        unique("clerk"),
    );
    let target = &scene.pair.target;
    target.psql(
        "postgres",
        &format!(
            "CREATE ROLE {app} LOGIN; CREATE ROLE {clerk}; CREATE ROLE {user} LOGIN CREATEDB; GRANT {app}, {clerk} TO {user};
             ALTER DATABASE {} OWNER TO {app}",
            scene.to
        ),
    );
    scene.source(&format!(
        "CREATE EXTENSION citext; CREATE SCHEMA more; CREATE TABLE more.t (id serial); CREATE ROLE {clerk};
         CREATE TABLE files (a int); ALTER TABLE files OWNER TO {clerk}; CREATE TABLE more.files (a int); ALTER TABLE more.files OWNER TO {clerk};
         ALTER SCHEMA public OWNER TO postgres; GRANT CREATE ON SCHEMA public TO PUBLIC"
    ));
    dumped.dump(&name());
    let url = toml(&target.url(&user, &scene.to));
    for roles in ["map", "skip"] {
        let pull = Job::new("postgresql", &dumped.archive(""), &url)
            .task("previous = \"drop\"")
            .task(&format!("roles = \"{roles}\""));
        dumped.once("pull", &pull).expect(0);
        scene.live_is_new();
        let files = if roles == "map" { &clerk } else { &app };
        let others = format!(
            "SELECT (SELECT string_agg(oid::regclass || ' ' || relowner::regrole, ',') FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'S')
                     AND relnamespace::regnamespace::text !~ '^pg_' AND relowner <> '{app}'::regrole AND relname <> 'files'),
                    (SELECT string_agg(DISTINCT relowner::regrole::text, ',') FROM pg_class WHERE relname = 'files'),
                    (SELECT extowner::regrole FROM pg_extension WHERE extname = 'citext'),
                    (SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'more'),
                    has_schema_privilege('{clerk}', 'more', 'CREATE')"
        );
        assert_eq!(
            scene.live(&others),
            format!("|{files}|{app}|{app}|f"),
            "{roles}"
        );
        let work = "INSERT INTO users VALUES (7, 'mine'); INSERT INTO more.t DEFAULT VALUES; SELECT count(*) FROM users";
        let worked = target.try_psql(&app, &scene.to, work);
        assert_eq!(worked.as_deref(), Ok("4"), "{roles}");
    }
    scene.nothing_is_beside();
}

#[test]
fn a_newer_pg_dump_s_dump_is_restored_on_an_older_server() {
    let dumped = Dumped::new();
    let newer = newest_programs().join("pg_dump");
    dumped.scene.source("SELECT lo_from_bytea(4713, 'x')");
    dumped.dump_by(&newer, &name(), &["--format=custom", "--compress=1"]);
    // Its format is read by no older pg_restore; and that one sets what the older server does not know.
    let job = dumped.scene.bed.job("pull", &dumped.pull());
    let path = format!(
        "{}:{}",
        newest_programs().display(),
        std::env::var("PATH").unwrap()
    );
    let mut command = dumped.scene.bed.command();
    command.env("PATH", path).args(["--once", "-f"]).arg(&job);
    dumped.scene.bed.spawn(&mut command).end().expect(0);
    dumped.scene.live_is_new();
    dumped.scene.nothing_is_beside();
    let without = dumped.once("pull", &dumped.pull()).expect(2);
    assert!(without.stderr.contains("pg_restore"), "{}", without.stderr);
}

#[test]
fn a_dump_of_a_newer_server_is_refused() {
    let dumped = Dumped::new();
    let newer = Cluster::builder().newer().start();
    newer.create_db("app");
    bare(newer.program("pg_dump"))
        .args(["--format=custom", "--file"])
        .arg(dumped.file(&name()))
        .arg("--dbname")
        .arg(newer.url("postgres", "app"))
        .must("pg_dump");
    dumped
        .once("pull", &dumped.pull())
        .expect(1)
        .says(&["older than the source's"]);
    dumped.scene.live_is_old();
}

#[test]
fn encoding_and_locale_come_with_the_dump() {
    let dumped = Dumped::new();
    let (scene, latin) = (&dumped.scene, unique("latin"));
    scene.pair.source.psql(
        "postgres",
        &format!("CREATE DATABASE {latin} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"),
    );
    scene.pair.source.psql(
        &latin,
        "SET client_encoding = 'UTF8'; CREATE TABLE \"bücher\" (name text); INSERT INTO \"bücher\" VALUES ('größe')",
    );
    bare(scene.pair.source.program("pg_dump"))
        .args(["--format=custom", "--file"])
        .arg(dumped.file(&name()))
        .arg("--dbname")
        .arg(scene.pair.source.url("postgres", &latin))
        .must("pg_dump");
    dumped.once("pull", &dumped.pull()).expect(0);
    assert_eq!(
        scene.live(
            "SET client_encoding = 'UTF8'; SELECT name, getdatabaseencoding() FROM \"bücher\""
        ),
        "größe|LATIN1"
    );
    scene.nothing_is_beside();
}

#[test]
fn code_in_a_dump_never_runs_as_a_superuser() {
    let dumped = Dumped::new();
    let scene = &dumped.scene;
    dumped.dump(&name());
    dumped.once("pull", &dumped.pull().wary()).expect(0);
    scene.live_is_new();
    for (make, what) in [
        (
            "CREATE FUNCTION f() RETURNS boolean LANGUAGE sql AS 'SELECT true'; CREATE TABLE p (a int CHECK (f()))",
            "function public.f() (function)",
        ),
        (
            "DROP FUNCTION f() CASCADE; ALTER TABLE p ADD CHECK (pg_read_file('PG_VERSION') IS NOT NULL)",
            "table public.p (call of pg_read_file)",
        ),
    ] {
        scene.source(make);
        dumped.dump(&name());
        dumped.once("pull", &dumped.pull().wary()).expect(1).says(&[
            "is a superuser, and code of the source would run with its rights",
            what,
        ]);
        scene.nothing_is_beside();
    }
    dumped.once("pull", &dumped.pull()).expect(0);
    assert_eq!(scene.live("SELECT count(*) FROM p"), "0");
}
