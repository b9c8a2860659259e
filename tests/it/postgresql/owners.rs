//! Whose things are after a copy, where the target's user is not the one whose application it is.

use super::Scene;
use crate::support::job::{Job, Outcome};
use crate::support::postgres::{Cluster, quote, shared, unique};

/// Things of many kinds; all of production belongs to `postgres`.
const THINGS: &str = "
    CREATE EXTENSION citext; CREATE SCHEMA more; CREATE TYPE mood AS ENUM ('a'); CREATE DOMAIN small AS int CHECK (VALUE < 9);
    CREATE TABLE more.t (id serial PRIMARY KEY, m mood, c citext); INSERT INTO more.t (m, c) VALUES ('a', 'x');
    CREATE VIEW more.v AS SELECT * FROM more.t; CREATE MATERIALIZED VIEW more.mv AS SELECT count(*) FROM users;
    CREATE FUNCTION more.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE SEQUENCE loose;
    CREATE STATISTICS more.s (dependencies) ON id, m FROM more.t; SELECT lo_from_bytea(4711, 'x');";

/// What does not belong to a role: each with its owner.
fn not_of(role: &str) -> String {
    format!(
        "SELECT what, owner FROM (
             SELECT oid::regclass::text, relowner::regrole::text FROM pg_class WHERE oid >= 16384 AND relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
                 AND relnamespace::regnamespace::text !~ '^pg_'
             UNION ALL SELECT p.oid::regprocedure::text, proowner::regrole::text FROM pg_proc p WHERE p.oid >= 16384
                 AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
             UNION ALL SELECT typname, typowner::regrole::text FROM pg_type t WHERE t.oid >= 16384 AND typcategory <> 'A'
                 AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e')
                 AND typnamespace::regnamespace::text !~ '^pg_'
             UNION ALL SELECT nspname, nspowner::regrole::text FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_'
             UNION ALL SELECT stxname, stxowner::regrole::text FROM pg_statistic_ext
             UNION ALL SELECT 'large object', lomowner::regrole::text FROM pg_largeobject_metadata
             UNION ALL SELECT extname, extowner::regrole::text FROM pg_extension WHERE oid >= 16384
             UNION ALL SELECT datname, datdba::regrole::text FROM pg_database WHERE datname = current_database()
         ) AS things (what, owner) WHERE owner <> '{role}' ORDER BY 1"
    )
}

/// An application's role, and a role that is a member of it and may make databases: as on every host that deploys so.
struct Host<'a> {
    scene: Scene<'a>,
    app: String,
    user: String,
}

impl<'a> Host<'a> {
    fn on(source: &'a Cluster, target: &'a Cluster) -> Self {
        let scene = Scene::on(source, target);
        let (app, user) = (unique("app"), unique("deploy"));
        target.psql(
            "postgres",
            &format!(
                "CREATE ROLE {app} LOGIN; CREATE ROLE {user} LOGIN CREATEDB; GRANT {app} TO {user};
                 ALTER DATABASE {} OWNER TO {app}",
                quote(&scene.to)
            ),
        );
        scene.live(&format!(
            "ALTER TABLE users OWNER TO {app}; ALTER TABLE only_live OWNER TO {app}"
        ));
        Self { scene, app, user }
    }

    fn new() -> Host<'static> {
        Host::on(&shared().source, &shared().target)
    }

    fn job(&self) -> Job {
        Job::between(
            "postgresql",
            &self.scene.source.url("postgres", &self.scene.from),
            &self.scene.target.url(&self.user, &self.scene.to),
        )
    }

    fn once(&self, job: &Job) -> Outcome {
        let file = self.scene.write(job);
        self.scene.with_newest_pg_dump(&["--once"], &file)
    }

    /// All is the application's, and it can work with it.
    #[track_caller]
    fn the_application_works(&self) {
        let scene = &self.scene;
        scene.live_is_new();
        assert_eq!(scene.live(&not_of(&self.app)), "");
        let work = "INSERT INTO orders (buyer, note) VALUES (1, 'mine'); SELECT count(*) FROM orders; CREATE TABLE own (a int);
            ALTER TABLE users ADD COLUMN added int";
        let worked = scene.target.try_psql(&self.app, &scene.to, work);
        assert_eq!(worked.as_deref(), Ok("501"));
    }
}

#[test]
fn all_that_a_member_of_live_s_owner_copies_is_the_owner_s_by_swap_and_in_place() {
    for publish in ["swap", "in_place"] {
        let host = Host::new();
        host.scene.source(THINGS);
        for roles in ["skip", "map"] {
            let job = host.job().task(&format!("roles = \"{roles}\""));
            let job = job.task(&format!("publish = \"{publish}\""));
            let outcome = host.once(&job).expect(0);
            host.the_application_works();
            let said = outcome.stderr.contains("mapped to another role");
            assert_eq!(said, roles == "map", "{}", outcome.stderr);
        }
    }
}

#[test]
fn a_newer_server_gives_all_to_live_s_owner_as_well() {
    let (source, target) = (
        Cluster::builder().newer().start(),
        Cluster::builder().newer().start(),
    );
    let host = Host::on(&source, &target);
    host.scene.source(THINGS);
    for roles in ["map", "skip"] {
        host.once(&host.job().task(&format!("roles = \"{roles}\"")))
            .expect(0);
        host.the_application_works();
    }
    let file = host.scene.write(&host.job());
    host.scene.bed.with_file("rollback", &file).expect(0);
}

#[test]
fn a_superuser_s_copy_is_live_s_owner_s_where_roles_are_skipped() {
    let host = Host::new();
    host.scene.source(THINGS);
    let job = host.scene.job().task("roles = \"skip\"");
    host.once(&job).expect(0);
    host.the_application_works();
}

#[test]
fn on_one_server_files_are_copied_for_a_member_and_stay_the_application_s() {
    let cluster = &shared().target;
    let host = Host::on(cluster, cluster);
    let (app, scene) = (&host.app, &host.scene);
    cluster.psql(
        "postgres",
        &format!("ALTER DATABASE {} OWNER TO {app}", quote(&scene.from)),
    );
    scene.source(&format!(
        "ALTER TABLE users OWNER TO {app}; ALTER TABLE orders OWNER TO {app}"
    ));
    scene.source_is_left();
    host.once(&host.job())
        .expect(0)
        .says(&["copied the database's files"]);
    host.the_application_works();
}

#[test]
fn an_owner_keeps_things_in_a_schema_where_they_may_make_none() {
    let host = Host::new();
    let (clerk, scene) = (unique("clerk"), &host.scene);
    scene.target.psql(
        "postgres",
        &format!("CREATE ROLE {clerk}; GRANT {clerk} TO {}", host.user),
    );
    scene
        .source
        .psql("postgres", &format!("CREATE ROLE {clerk}"));
    scene.source(&format!("ALTER TABLE orders OWNER TO {clerk}"));
    host.once(&host.job()).expect(0);
    assert_eq!(
        scene.live("SELECT relowner::regrole FROM pg_class WHERE relname = 'orders'"),
        clerk
    );
    let may = format!("SELECT has_schema_privilege('{clerk}', 'public', 'CREATE')");
    assert_eq!(scene.live(&may), "f");
}

#[test]
fn a_script_may_give_things_to_live_s_owner() {
    let host = Host::new();
    let script = format!(
        "ALTER TABLE users OWNER TO {}; UPDATE users SET email = 'x';",
        host.app
    );
    host.scene.bed.file("own.sql", &script);
    let job = host.job().task("scripts = [\"own.sql\"]");
    host.once(&job).expect(0);
    assert_eq!(host.scene.live("SELECT DISTINCT email FROM users"), "x");
}

#[test]
fn public_belongs_to_whom_it_belongs_to_on_the_source() {
    let owner = "SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'public'";
    let scene = Scene::new();
    scene.source("ALTER SCHEMA public OWNER TO postgres; GRANT CREATE ON SCHEMA public TO PUBLIC");
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    assert_eq!(scene.live(owner), "postgres");
    // Who is no superuser leaves it to live's owner; and the other way round.
    let host = Host::new();
    let from = "ALTER SCHEMA public OWNER TO postgres; GRANT CREATE ON SCHEMA public TO PUBLIC";
    host.scene.source(from);
    host.once(&host.job()).expect(0);
    assert_eq!(host.scene.live(owner), "pg_database_owner");
    host.the_application_works();
    let app = &host.app;
    host.scene
        .source
        .psql("postgres", &format!("CREATE ROLE {app}"));
    host.scene
        .source(&format!("ALTER SCHEMA public OWNER TO {app}"));
    host.once(&host.job()).expect(0);
    assert_eq!(host.scene.live(owner), *app);
}

#[test]
fn a_template_whose_public_is_a_superuser_s_makes_no_difference() {
    let target = Cluster::builder().start();
    target.psql(
        "postgres",
        "ALTER DATABASE template0 ALLOW_CONNECTIONS true",
    );
    target.psql("template0", "ALTER SCHEMA public OWNER TO postgres");
    target.psql(
        "postgres",
        "ALTER DATABASE template0 ALLOW_CONNECTIONS false",
    );
    let scene = Scene::on(&shared().source, &target);
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    scene.live_is_new();
}

#[test]
fn a_member_without_the_owner_s_rights_is_refused_by_plan_with_what_to_grant() {
    let source = Cluster::builder().newer().start();
    let host = Host::on(&source, &source);
    let file = host.scene.write(&host.job());
    for options in ["INHERIT FALSE, SET TRUE", "INHERIT TRUE, SET FALSE"] {
        let grant = format!("GRANT {} TO {} WITH {options}", host.app, host.user);
        source.psql("postgres", &grant);
        let outcome = host.scene.with_newest_pg_dump(&["plan"], &file);
        outcome
            .expect(1)
            .says(&["WITH INHERIT TRUE, SET TRUE", &host.app]);
    }
    let grant = format!(
        "GRANT {} TO {} WITH INHERIT TRUE, SET TRUE",
        host.app, host.user
    );
    source.psql("postgres", &grant);
    host.scene.with_newest_pg_dump(&["--once"], &file).expect(0);
    let host = Host::new();
    let noinherit = format!("ALTER ROLE {} NOINHERIT", host.user);
    host.scene.target.psql("postgres", &noinherit);
    let file = host.scene.write(&host.job());
    let outcome = host.scene.bed.with_file("plan", &file);
    outcome.expect(1).says(&["INHERIT", &host.app]);
}

#[test]
fn version_14_s_public_arrives_as_it_can_be_had() {
    let owner = "SELECT nspowner::regrole, has_schema_privilege('pg_monitor', 'public', 'CREATE') FROM pg_namespace WHERE nspname = 'public'";
    let old = Cluster::builder().of(14).start();
    for (target, by_member, by_superuser) in [
        (&shared().target, "pg_database_owner|t", "postgres|t"),
        (&old, "postgres|t", "postgres|t"),
    ] {
        let host = Host::on(&old, target);
        host.once(&host.job()).expect(0);
        assert_eq!(host.scene.live(owner), by_member);
        host.the_application_works();
        host.once(&host.job().task("roles = \"skip\"")).expect(0);
        host.the_application_works();
        host.once(&host.scene.job()).expect(0);
        assert_eq!(host.scene.live(owner), by_superuser);
        host.scene.live_is_new();
    }
}
