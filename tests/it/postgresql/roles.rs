//! `roles`: whose things are on a target that lacks some of the source's roles.

use super::Scene;
use crate::support::postgres::{Cluster, unique};

/// Two clusters, as roles are a cluster's; production's table `users` belongs to `keeper` and `reader` reads it.
struct Stage {
    source: Cluster,
    target: Cluster,
}

impl Stage {
    fn new() -> Self {
        Self {
            source: Cluster::builder().start(),
            target: Cluster::builder().start(),
        }
    }

    fn scene(&self) -> Scene<'_> {
        let scene = Scene::on(&self.source, &self.target);
        scene.source(
            "CREATE ROLE keeper; CREATE ROLE reader; CREATE ROLE clerk;
             ALTER TABLE users OWNER TO keeper; GRANT SELECT ON users TO reader, clerk;
             CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION f() OWNER TO keeper;
             REVOKE ALL ON FUNCTION f() FROM PUBLIC; GRANT EXECUTE ON FUNCTION f() TO clerk;
             REVOKE DELETE ON users FROM keeper;
             ALTER TABLE users ENABLE ROW LEVEL SECURITY;
             CREATE POLICY for_two ON users TO reader, clerk USING (id < 100);
             CREATE POLICY for_one ON users FOR UPDATE TO reader USING (true);
             ALTER DEFAULT PRIVILEGES FOR ROLE keeper GRANT SELECT ON TABLES TO reader;
             SELECT lo_from_bytea(4711, 'x'); ALTER LARGE OBJECT 4711 OWNER TO keeper; GRANT SELECT ON LARGE OBJECT 4711 TO reader;",
        );
        scene
    }
}

/// Owner and grants of `users`, owner of `f`, policies, owner of the large object.
const RIGHTS: &str = "SELECT c.relowner::regrole, (SELECT string_agg(grantee::regrole || ':' || privilege_type, ',' ORDER BY 1) FROM aclexplode(c.relacl)
         WHERE grantee <> c.relowner),
     (SELECT string_agg(privilege_type, ',' ORDER BY 1) FROM aclexplode(c.relacl) WHERE grantee = c.relowner AND privilege_type IN ('INSERT', 'DELETE')),
     (SELECT proowner::regrole FROM pg_proc WHERE proname = 'f'),
     (SELECT string_agg(polname || ':' || polroles::regrole[]::text, ',' ORDER BY polname) FROM pg_policy),
     (SELECT lomowner::regrole FROM pg_largeobject_metadata)
     FROM pg_class c WHERE relname = 'users'";

#[test]
fn missing_roles_are_mapped_to_live_s_owner_and_their_grants_left_out_and_counted() {
    let stage = Stage::new();
    let scene = stage.scene();
    let owner = scene.owner_of_live();
    stage.target.psql("postgres", "CREATE ROLE clerk");
    for task in ["", "roles = \"map\""] {
        let job = scene.job().task(task);
        scene
            .bed
            .once(&scene.write(&job))
            .expect(0)
            .says(&["keeper", "reader", &owner]);
        scene.live_is_new();
        assert_eq!(
            scene.live(RIGHTS),
            format!("{owner}|clerk:SELECT|INSERT|{owner}|for_two:{{clerk}}|{owner}")
        );
    }
}

#[test]
fn with_skip_all_belongs_to_live_s_owner_and_nothing_is_granted() {
    let stage = Stage::new();
    let scene = stage.scene();
    let owner = scene.owner_of_live();
    stage.target.psql(
        "postgres",
        "CREATE ROLE clerk; CREATE ROLE keeper; CREATE ROLE reader",
    );
    let job = scene.job().task("roles = \"skip\"");
    let outcome = scene.bed.once(&scene.write(&job)).expect(0);
    assert!(!outcome.stderr.contains("mapped"), "{}", outcome.stderr);
    assert_eq!(
        scene.live(RIGHTS),
        format!("{owner}|||{owner}|for_one:{{reader}},for_two:{{reader,clerk}}|{owner}")
    );
    assert_eq!(scene.live("SELECT count(*) FROM pg_default_acl"), "0");
}

#[test]
fn with_fail_all_missing_roles_are_named_by_plan_and_by_a_run_that_builds_nothing() {
    let stage = Stage::new();
    let scene = stage.scene();
    stage.target.psql("postgres", "CREATE ROLE clerk");
    let file = scene.write(&scene.job().task("roles = \"fail\""));
    let missing = "lacks the roles keeper, reader";
    scene
        .bed
        .with_file("plan", &file)
        .expect(1)
        .says(&[missing]);
    scene.bed.once(&file).expect(1).says(&[missing]);
    scene.live_is_old();
    scene.nothing_is_left();
    assert!(
        !stage.target.log().contains("_incoming_"),
        "incoming was made"
    );
    // Once they are there, all is as on the source.
    stage
        .target
        .psql("postgres", "CREATE ROLE keeper; CREATE ROLE reader");
    scene.bed.once(&file).expect(0);
    assert_eq!(scene.live(RIGHTS), scene.source(RIGHTS));
}

#[test]
fn with_fail_an_owner_out_of_the_target_user_s_reach_is_refused_too() {
    let stage = Stage::new();
    let scene = stage.scene();
    stage.target.psql(
        "postgres",
        "CREATE ROLE clerk; CREATE ROLE keeper; CREATE ROLE reader; CREATE ROLE postgres2",
    );
    let owner = scene.owner_of_live();
    let job = crate::support::job::Job::between(
        "postgresql",
        &stage.source.url("postgres", &scene.from),
        &stage.target.url(&owner, &scene.to),
    );
    let file = scene.write(&job.task("roles = \"fail\""));
    scene
        .bed
        .with_file("plan", &file)
        .expect(1)
        .says(&[&owner, "keeper"]);
    scene.live_is_old();
}

#[test]
fn roles_of_another_word_or_of_another_store_are_refused_by_validate() {
    let scene = Scene::new();
    let file = scene.write(&scene.job().task("roles = \"drop\""));
    scene
        .bed
        .with_file("validate", &file)
        .expect(2)
        .says(&["roles", "map | skip | fail"]);
    let name = unique("file");
    let job = crate::support::job::Job::between(
        "sqlite",
        &format!("sqlite:///tmp/{name}.db"),
        &format!("sqlite:///tmp/{name}-copy.db"),
    );
    let file = scene.write(&job.task("roles = \"map\""));
    scene
        .bed
        .with_file("validate", &file)
        .expect(2)
        .says(&["roles"]);
}

#[test]
fn a_materialized_view_is_filled_by_an_owner_who_reads_by_grants_alone() {
    let stage = Stage::new();
    let scene = stage.scene();
    scene.source(
        "CREATE TABLE hidden (a int); INSERT INTO hidden VALUES (1), (2);
         CREATE MATERIALIZED VIEW seen AS SELECT sum(a) AS s FROM hidden;
         ALTER MATERIALIZED VIEW seen OWNER TO clerk; GRANT SELECT ON hidden TO clerk",
    );
    stage.target.psql(
        "postgres",
        "CREATE ROLE clerk; CREATE ROLE keeper; CREATE ROLE reader",
    );
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    assert_eq!(scene.live("SELECT s FROM seen"), "3");
}
