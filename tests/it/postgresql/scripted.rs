//! What a job's scripts leave behind: it is committed, or the run fails.

use super::Scene;
use crate::support::job::Outcome;
use crate::support::postgres::{Cluster, shared};

/// Runs a job with these scripts.
fn with(scene: &Scene<'_>, scripts: &[&str]) -> Outcome {
    let mut names = Vec::new();
    for (place, text) in scripts.iter().enumerate() {
        let name = format!("{place}.sql");
        scene.bed.file(&name, text);
        names.push(format!("\"{name}\""));
    }
    let job = scene
        .job()
        .task(&format!("scripts = [{}]", names.join(", ")));
    scene.bed.once(&scene.write(&job))
}

#[test]
fn a_transaction_that_a_script_leaves_open_or_undoes_fails_the_run_and_nothing_raw_goes_live() {
    let scene = Scene::new();
    let update = "UPDATE users SET email = 'x'";
    for (script, said) in [
        (format!("BEGIN; {update};"), "leaves a transaction open"),
        (
            format!("START TRANSACTION ISOLATION LEVEL SERIALIZABLE; {update};"),
            "leaves a transaction open",
        ),
        (
            format!("BEGIN; {update}; SAVEPOINT s; RELEASE s;"),
            "leaves a transaction open",
        ),
        (
            format!("BEGIN; {update}; COMMIT AND CHAIN; {update};"),
            "leaves a transaction open",
        ),
        (format!("BEGIN; {update}; ROLLBACK;"), "0.sql:1 rolls back"),
        (
            format!("BEGIN;\n{update};\nABORT AND CHAIN; COMMIT;"),
            "0.sql:3 rolls back",
        ),
    ] {
        with(&scene, &[&script]).expect(1).says(&[said]);
        scene.live_is_old();
    }
    scene.nothing_is_left();
    for script in [
        format!("BEGIN; {update}; COMMIT;"),
        format!("BEGIN; {update}; END AND NO CHAIN; ROLLBACK;"),
        format!("BEGIN; SAVEPOINT a; DELETE FROM orders; ROLLBACK TO a; {update}; COMMIT;"),
    ] {
        with(&scene, &[&script]).expect(0);
        let live = "SELECT DISTINCT email, (SELECT count(*) FROM orders) FROM users";
        assert_eq!(scene.live(live), "x|500", "{script}");
    }
}

#[test]
fn a_prepared_transaction_fails_the_run_and_is_in_nobody_s_way_afterwards() {
    let target = Cluster::builder()
        .set("max_prepared_transactions", "5")
        .start();
    let scene = Scene::on(&shared().source, &target);
    let prepare = "BEGIN; UPDATE users SET email = 'x'; PREPARE TRANSACTION 'left';";
    with(&scene, &[prepare])
        .expect(1)
        .says(&["leaves the transaction left prepared"]);
    scene.nothing_is_left();
    with(&scene, &[&format!("{prepare} SELECT 1 / 0;")]).expect(1);
    scene.nothing_is_left();
    with(&scene, &[&format!("{prepare} ROLLBACK PREPARED 'left';")])
        .expect(1)
        .says(&["rolls back"]);
    scene.live_is_old();
    scene.nothing_is_left();
    with(&scene, &[&format!("{prepare} COMMIT PREPARED 'left';")]).expect(0);
    assert_eq!(scene.live("SELECT DISTINCT email FROM users"), "x");
}

#[test]
fn what_a_script_sets_ends_with_it() {
    let scene = Scene::new();
    let role = crate::support::postgres::unique("scripter");
    scene
        .target
        .psql("postgres", &format!("CREATE ROLE {role}"));
    let first = format!(
        "SET session_replication_role = replica; SET search_path = pg_catalog; SET DateStyle = 'German';
         CREATE TEMP TABLE users (a int); SET default_transaction_read_only = on; SET SESSION AUTHORIZATION {role};"
    );
    let second = "CREATE TABLE seen AS SELECT current_setting('session_replication_role') AS a, current_user::text AS b, count(*) AS c FROM users;";
    with(&scene, &[&first, second]).expect(0);
    assert_eq!(scene.live("SELECT * FROM seen"), "origin|postgres|200");
}

#[test]
fn set_local_without_a_transaction_is_told() {
    let scene = Scene::new();
    let script = "SET LOCAL session_replication_role = replica;\nUPDATE users SET email = 'x';";
    with(&scene, &[script])
        .expect(0)
        .says(&["SET LOCAL has no effect", "0.sql:1"]);
    assert_eq!(scene.live("SELECT DISTINCT email FROM users"), "x");
}

#[test]
fn a_definition_with_incoming_s_name_in_it_does_not_go_live() {
    let scene = Scene::new();
    for (makes, named) in [
        ("CREATE VIEW v AS SELECT %L::text AS x", "public.v"),
        (
            "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'SELECT ''%s''::text'",
            "f()",
        ),
        ("ALTER TABLE users ADD COLUMN d text DEFAULT %L", "users.d"),
        ("CREATE TABLE %I (a int)", "relation public"),
        ("COMMENT ON TABLE users IS %L", "the comment on table"),
        (
            "CREATE EXTENSION postgres_fdw; CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname %L)",
            "the options of server here",
        ),
    ] {
        let script =
            format!("DO $do$ BEGIN EXECUTE format($q$ {makes} $q$, current_database()); END $do$;");
        let outcome = with(&scene, &[&script]);
        outcome
            .expect(1)
            .says(&[named, "would go live with the name", "current_database()"]);
        scene.live_is_old();
    }
    scene.nothing_is_left();
}

#[test]
fn a_setting_or_comment_that_a_script_gives_its_database_does_not_outlive_the_copy() {
    let scene = Scene::new();
    let script = "DO $$ BEGIN
        EXECUTE format('COMMENT ON DATABASE %I IS %L', current_database(), current_database());
        EXECUTE format('ALTER DATABASE %I SET application_name = %L', current_database(), current_database()); END $$;";
    with(&scene, &[script]).expect(0);
    let facts = format!(
        "SELECT shobj_description(oid, 'pg_database'), (SELECT count(*) FROM pg_db_role_setting WHERE setdatabase = d.oid)
         FROM pg_database d WHERE datname = '{}'",
        scene.to
    );
    assert_eq!(scene.target.psql("postgres", &facts), "|0");
}

#[test]
fn a_materialized_view_that_asks_for_its_database_has_live_s_name() {
    let scene = Scene::new();
    scene.source("CREATE MATERIALIZED VIEW whose AS SELECT current_database()::text AS db, count(*) FROM users");
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    assert_eq!(
        scene.live("SELECT * FROM whose"),
        format!("{}|200", scene.to)
    );
}

#[test]
fn a_statement_that_reaches_beyond_the_copy_is_refused_by_plan_before_anything_is_made() {
    let scene = Scene::new();
    let role = crate::support::postgres::unique("made_by_script");
    for statement in [
        format!("DROP DATABASE {}", scene.to),
        format!("ALTER DATABASE {} SET work_mem = '1MB'", scene.to),
        "ALTER SYSTEM SET log_statement = 'all'".to_owned(),
        format!("CREATE ROLE {role}"),
        "ALTER USER postgres PASSWORD 'x'".to_owned(),
        "GRANT pg_monitor TO postgres".to_owned(),
        "COPY users TO PROGRAM 'cat > /tmp/never'".to_owned(),
        "COPY users TO '/tmp/never'".to_owned(),
    ] {
        scene
            .bed
            .file("reach.sql", &format!("SELECT 1;\n{statement};\n"));
        let file = scene.write(&scene.job().task("scripts = [\"reach.sql\"]"));
        for outcome in [scene.bed.with_file("plan", &file), scene.bed.once(&file)] {
            outcome.expect(1).says(&["reach.sql:2", "its copy alone"]);
        }
        scene.live_is_old();
        scene.nothing_is_left();
    }
    assert_eq!(
        scene.target.psql(
            "postgres",
            &format!("SELECT count(*) FROM pg_roles WHERE rolname = '{role}'")
        ),
        "0"
    );
}

#[test]
fn a_script_that_touches_live_by_another_way_fails_the_run_which_says_what_it_found() {
    let scene = Scene::new();
    let set = format!(
        "DO $do$ BEGIN EXECUTE 'ALTER DATABASE {} SET work_mem = ''1MB'''; END $do$",
        scene.to
    );
    with(&scene, &[&set])
        .expect(1)
        .says(&["0.sql", "is not as it was", "its settings"]);
    scene.live_is_old();
    scene.nothing_is_left();
    let socket = scene.target.url("postgres", "postgres");
    let drop = format!(
        "CREATE EXTENSION dblink; SELECT dblink_connect('d', '{socket}'); SELECT dblink_exec('d', 'DROP DATABASE {}');",
        scene.to
    );
    with(&scene, &[&drop]).expect(1).says(&["0.sql", "is gone"]);
    scene.target.create_db(&scene.to);
    scene.nothing_is_left();
}
