//! Source and target on one server: it copies files by itself where nothing has to change, and nobody has to wait.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Scene;
use crate::support::dump::assert_equal;
use crate::support::job::{Job, Outcome, Running};
use crate::support::postgres::{Cluster, quote, shared, unique};
use crate::support::proxy::{Fault, Proxy};
use crate::support::wait_until;

const COPIED: &str = "copied the database's files";

/// Production and staging on one server.
fn on_one() -> Scene<'static> {
    let cluster = &shared().source;
    Scene::on(cluster, cluster)
}

/// Runs a job when nobody is in the source.
fn once(scene: &Scene<'_>, job: &Job) -> Outcome {
    scene.source_is_left();
    run(scene, job)
}

/// Begins the scene's job when nobody is in the source.
fn start(scene: &Scene<'_>, job: &Job) -> Running {
    let file = scene.write(job);
    scene.source_is_left();
    scene.bed.start(&file)
}

/// Runs a job that says what it does not do, too.
fn run(scene: &Scene<'_>, job: &Job) -> Outcome {
    let file = scene.write(job);
    let mut command = scene.bed.command();
    command.env("ENVSYNCD_LOG", "envsyncd=debug");
    command.args(["--once", "-f"]).arg(&file);
    scene.bed.spawn(&mut command).end()
}

/// Runs a job that has to copy rows, for this reason.
#[track_caller]
fn by_rows(scene: &Scene<'_>, job: &Job, why: &str) {
    let outcome = once(scene, job).expect(0).says(&[why]);
    assert!(!outcome.stderr.contains(COPIED), "{}", outcome.stderr);
}

#[test]
fn on_one_server_the_files_are_copied_and_previous_and_live_s_settings_are_kept() {
    let scene = on_one();
    let to = quote(&scene.to);
    scene.target.psql(
        "postgres",
        &format!(
            "ALTER DATABASE {to} SET statement_timeout = '61s'; COMMENT ON DATABASE {to} IS 'staging';
             ALTER DATABASE {} SET statement_timeout = '62s'; REVOKE ALL ON DATABASE {to} FROM PUBLIC",
            quote(&scene.from)
        ),
    );
    let facts = format!(
        "SELECT pg_get_userbyid(datdba), datacl, datconnlimit, datallowconn, datistemplate, shobj_description(oid, 'pg_database'),
                (SELECT array_agg(setconfig::text) FROM pg_db_role_setting WHERE setdatabase = d.oid)
         FROM pg_database AS d WHERE datname = '{}'",
        scene.to
    );
    let before = scene.target.psql("postgres", &facts);
    scene
        .bed
        .file("after.sql", "CREATE TABLE scripted (a int);");
    let job = scene.job().task("scripts = [\"after.sql\"]");
    once(&scene, &job).expect(0).says(&[COPIED]);
    scene.live_is_new();
    assert_eq!(scene.live("SELECT count(*) FROM scripted"), "0");
    assert_eq!(scene.target.psql("postgres", &facts), before);
    assert_eq!(scene.beside_live(), [format!("{}_previous", scene.to)]);
    let status = scene.bed.status("app");
    assert_eq!(status["tasks"][0]["rows"].as_u64(), Some(700));
    assert_eq!(status["warnings"].as_u64(), Some(0));
    let file = scene.bed.path("jobs/app.toml");
    scene.bed.with_file("rollback", &file).expect(0);
    scene.live_is_old();
}

#[test]
fn files_make_a_target_that_is_not_there_and_the_copy_can_go_unverified() {
    let scene = on_one();
    let drop = format!("DROP DATABASE {}", quote(&scene.to));
    scene.target.psql("postgres", &drop);
    let job = scene.job().task("verify = \"none\"");
    once(&scene, &job).expect(0).says(&[COPIED]);
    scene.live_is_new();
    assert_eq!(
        scene.bed.status("app")["tasks"][0]["rows"].as_u64(),
        Some(700)
    );
    let closed = format!(
        "SELECT datacl IS NULL FROM pg_database WHERE datname = '{}'",
        scene.to
    );
    // As any first copy.
    assert_eq!(scene.target.psql("postgres", &closed), "f");
}

#[test]
fn everything_in_the_files_is_as_it_was_by_checksum_and_by_pg_dump() {
    let cluster = Cluster::builder().start();
    for (fixture, more) in [
        (
            include_str!("../fixtures/everything.sql"),
            "DROP PUBLICATION all_changes",
        ),
        (
            include_str!("../fixtures/ordinary.sql"),
            "DROP PUBLICATION fixture_publication",
        ),
        (include_str!("../fixtures/large_objects.sql"), ""),
        (include_str!("../fixtures/hashed_enum.sql"), ""),
        (include_str!("../fixtures/search_path.sql"), ""),
    ] {
        let scene = Scene::without_databases(&cluster, &cluster);
        cluster.create_db(&scene.from);
        scene.source(fixture);
        scene.source(more);
        let strict = scene
            .job()
            .task("roles = \"fail\"")
            .task("verify = \"checksum\"");
        let outcome = once(&scene, &strict).expect(0).says(&[COPIED]);
        assert!(
            !outcome.stderr.contains("copying rows"),
            "{}",
            outcome.stderr
        );
        assert_equal(&cluster.pg_dump(&scene.from), &cluster.pg_dump(&scene.to));
    }
}

#[test]
fn the_newest_server_copies_files_as_well() {
    let cluster = Cluster::builder().newer().start();
    let scene = Scene::on(&cluster, &cluster);
    scene.source_is_left();
    scene
        .with_newest_pg_dump(&["--once"], &scene.write(&scene.job()))
        .expect(0)
        .says(&[COPIED]);
    scene.live_is_new();
    assert_equal(&cluster.pg_dump(&scene.from), &cluster.pg_dump(&scene.to));
}

#[test]
fn an_extension_s_own_rows_are_no_difference() {
    let scene = on_one();
    // As an extension's script does it: of its table only what others add is dumped.
    scene.source(
        "CREATE EXTENSION citext; CREATE TABLE config (id int); INSERT INTO config SELECT generate_series(1, 10);
         ALTER EXTENSION citext ADD TABLE config;
         UPDATE pg_extension SET extconfig = ARRAY['config'::regclass::oid], extcondition = ARRAY['WHERE id > 7'] WHERE extname = 'citext'",
    );
    for verify in ["rows", "checksum"] {
        let job = scene.job().task(&format!("verify = \"{verify}\""));
        let outcome = once(&scene, &job).expect(0).says(&[COPIED]);
        assert!(
            !outcome.stderr.contains("copying rows"),
            "{}",
            outcome.stderr
        );
        assert_eq!(scene.live("SELECT count(*) FROM config"), "10");
    }
}

#[test]
fn who_is_in_the_source_stays_there_undisturbed_and_rows_are_copied() {
    let scene = on_one();
    let mut guest = scene.source.guest(&scene.from);
    let pid = guest.ask("SELECT pg_backend_pid()");
    let outcome = run(&scene, &scene.job()).expect(0);
    let outcome = outcome.says(&["somebody is in the source"]);
    assert!(!outcome.stderr.contains(COPIED), "{}", outcome.stderr);
    scene.live_is_new();
    assert_eq!(guest.ask("SELECT pg_backend_pid()"), pid);
}

#[test]
fn who_comes_in_just_before_the_files_are_copied_stays_there_and_nobody_waits() {
    let scene = on_one();
    let proxy = Proxy::before(scene.target);
    proxy.trap("STRATEGY FILE_COPY", Fault::Stall);
    let job = Job::between(
        "postgresql",
        &scene.source.url("postgres", &scene.from),
        &proxy.url("postgres", &scene.to),
    );
    let mut running = start(&scene, &job);
    wait_until("files are about to be copied", || proxy.is_sprung());
    let mut guest = scene.source.guest(&scene.from);
    let pid = guest.ask("SELECT pg_backend_pid()");
    proxy.go_on();
    // The server itself would look for five seconds whether the guest leaves, with the door closed. What is cancelled before it
    // has begun is not in the log.
    let incoming = format!("{}_incoming", scene.to);
    wait_until("the server tries", || {
        scene.target.log().contains(&incoming) || !running.is_running()
    });
    let next = scene.source.guest(&scene.from);
    let outcome = running.end().expect(0).says(&["could not be copied"]);
    assert!(!outcome.stderr.contains(COPIED), "{}", outcome.stderr);
    assert_eq!(guest.ask("SELECT pg_backend_pid()"), pid);
    drop((guest, next));
    scene.live_is_new();
}

#[test]
fn what_has_to_change_on_the_way_is_copied_by_rows() {
    for (line, why) in [
        ("exclude = [\"orders\"]", "not everything is copied"),
        ("schema_only = [\"orders\"]", "not everything is copied"),
        ("keep = [\"orders\"]", "not everything is copied"),
        ("mode = \"overlay\"", "not everything is copied"),
        ("roles = \"skip\"", "owners and grants are left out"),
        ("throttle = \"100MB/s\"", "incoming is complete"),
        ("max_replication_lag = \"1h\"", "incoming is complete"),
        (
            "publish = \"in_place\"\nprevious = \"drop\"",
            "published in place",
        ),
    ] {
        let scene = on_one();
        by_rows(&scene, &scene.job().task(line), why);
        scene.live_is_new();
    }
}

#[test]
fn what_files_would_bring_along_or_lose_is_copied_by_rows() {
    let prepared = Cluster::builder()
        .set("max_prepared_transactions", "3")
        .set("wal_level", "logical")
        .start();
    for (sql, why) in [
        (
            "CREATE PUBLICATION p FOR TABLE users",
            "the source has publications",
        ),
        (
            "SELECT pg_create_logical_replication_slot('adopting', 'pgoutput')",
            "the source has replication slots",
        ),
        (
            "BEGIN; INSERT INTO users VALUES (0, 'unsure'); PREPARE TRANSACTION 'adopting'",
            "the source has prepared transactions",
        ),
        (
            "CREATE SUBSCRIPTION s CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)",
            "the source has subscriptions",
        ),
    ] {
        let scene = Scene::on(&prepared, &prepared);
        scene.source(sql);
        by_rows(&scene, &scene.job(), why);
        scene.live_is_new();
        assert_eq!(scene.live("SELECT count(*) FROM pg_publication"), "0");
    }
}

#[test]
fn a_source_in_another_tablespace_is_copied_by_rows() {
    let cluster = Cluster::builder()
        .set("allow_in_place_tablespaces", "on")
        .start();
    let scene = Scene::on(&cluster, &cluster);
    let space = unique("space");
    // Each for itself: neither may be in a transaction.
    for sql in [
        format!("CREATE TABLESPACE {space} LOCATION ''"),
        format!(
            "ALTER DATABASE {} SET TABLESPACE {space}",
            quote(&scene.from)
        ),
    ] {
        cluster.psql("postgres", &sql);
    }
    by_rows(&scene, &scene.job(), "another tablespace");
    scene.live_is_new();
}

#[test]
fn a_standby_of_the_target_s_server_is_another_server() {
    let primary = Cluster::builder().start();
    let scene = Scene::on(&primary, &primary);
    let standby = primary.standby();
    let job = Job::between(
        "postgresql",
        &standby.url("postgres", &scene.from),
        &primary.url("postgres", &scene.to),
    );
    by_rows(&scene, &job, "on different servers");
    scene.live_is_new();
}

#[test]
fn one_who_may_not_use_the_source_as_a_template_copies_rows_and_its_owner_copies_files() {
    let scene = on_one();
    let role = scene.owner_of_live();
    scene.source(&format!("GRANT pg_read_all_data TO {role}"));
    let job = Job::between(
        "postgresql",
        &scene.source.url(&role, &scene.from),
        &scene.target.url(&role, &scene.to),
    );
    by_rows(&scene, &job, "may not copy the source as a template");
    scene.live_is_new();
    // Its owner, but others' tables are in it: rows give them to whom staging belongs.
    let give = format!("ALTER DATABASE {} OWNER TO {role}", quote(&scene.from));
    scene.source.psql("postgres", &give);
    by_rows(&scene, &job, "may not have all owners and grants");
    assert_eq!(
        scene.live(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tableowner = 'postgres'"
        ),
        "0"
    );
    scene.source(&format!(
        "ALTER TABLE users OWNER TO {role}; ALTER TABLE orders OWNER TO {role}; ALTER SEQUENCE orders_id_seq OWNER TO {role}"
    ));
    once(&scene, &job).expect(0).says(&[COPIED]);
    assert_equal(
        &scene.source.pg_dump(&scene.from),
        &scene.target.pg_dump(&scene.to),
    );
}

#[test]
fn a_source_that_changes_after_its_files_were_copied_is_copied_by_rows() {
    for (verify, sql) in [
        ("rows", "INSERT INTO users VALUES (9999, 'new')"),
        ("checksum", "UPDATE users SET email = 'newer' WHERE id = 7"),
        ("rows", "ALTER TABLE orders ADD COLUMN more int"),
        ("rows", "GRANT SELECT ON users TO PUBLIC"),
    ] {
        let scene = on_one();
        let proxy = Proxy::before(scene.source);
        // The first that the survey asks for, once the source is back.
        proxy.trap("REPEATABLE READ READ ONLY", Fault::Stall);
        let job = Job::between(
            "postgresql",
            &proxy.url("postgres", &scene.from),
            &scene.target.url("postgres", &scene.to),
        )
        .task(&format!("verify = \"{verify}\""));
        let running = start(&scene, &job);
        wait_until("the files are copied", || proxy.is_sprung());
        scene.source(sql);
        proxy.go_on();
        running.end().expect(0).says(&[COPIED, "copying rows"]);
        assert_equal(
            &scene.source.pg_dump(&scene.from),
            &scene.target.pg_dump(&scene.to),
        );
        let status = scene.bed.status("app");
        let rows = if sql.starts_with("INSERT") { 701 } else { 700 };
        assert_eq!(status["tasks"][0]["rows"].as_u64(), Some(rows));
        assert_eq!(status["errors"].as_u64(), Some(0));
    }
}

#[test]
fn whoever_writes_all_the_time_loses_nothing_and_live_has_one_moment_of_it() {
    let scene = on_one();
    scene
        .source("CREATE TABLE twins (id int PRIMARY KEY); CREATE TABLE pairs (id int PRIMARY KEY)");
    let over = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = 0;
            while !over.load(Ordering::SeqCst) {
                let sql = format!(
                    "BEGIN; INSERT INTO twins VALUES ({written}); INSERT INTO pairs VALUES ({written}); COMMIT"
                );
                scene.source(&sql);
                written += 1;
            }
            written
        });
        let outcomes: Vec<Outcome> = (0..3).map(|_| run(&scene, &scene.job())).collect();
        over.store(true, Ordering::SeqCst);
        for outcome in outcomes {
            outcome.expect(0);
        }
        writer.join().expect("it never failed")
    });
    assert_eq!(
        scene.source("SELECT count(*) FROM twins"),
        written.to_string()
    );
    scene.live_is_new();
    assert_eq!(
        scene.live("SELECT count(*) FROM twins FULL JOIN pairs USING (id) WHERE twins IS NULL OR pairs IS NULL"),
        "0"
    );
}

/// A server whose checkpoints never end: it cannot begin to copy files.
struct Slow {
    cluster: Cluster,
    checkpointer: Pid,
}

impl Slow {
    fn start() -> Self {
        let cluster = Cluster::builder().start();
        let checkpointer = cluster.psql(
            "postgres",
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'",
        );
        let checkpointer = Pid::from_raw(checkpointer.parse().expect("a process"));
        Self {
            cluster,
            checkpointer,
        }
    }

    fn stop(&self) {
        kill(self.checkpointer, Signal::SIGSTOP).expect("it runs");
    }

    fn go_on(&self) {
        kill(self.checkpointer, Signal::SIGCONT).expect("it is there");
    }

    fn wait_for_copy(&self) {
        wait_until("files are copied", || {
            let asked = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE DATABASE%FILE_COPY%' AND state = 'active' AND pid <> pg_backend_pid()";
            self.cluster.psql("postgres", asked) == "1"
        });
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        let _ = kill(self.checkpointer, Signal::SIGCONT);
    }
}

#[test]
fn a_run_that_is_ended_while_files_are_copied_ends_at_once_and_leaves_nothing() {
    let slow = Slow::start();
    let scene = Scene::on(&slow.cluster, &slow.cluster);
    slow.stop();
    let running = start(&scene, &scene.job());
    slow.wait_for_copy();
    running.signal(Signal::SIGTERM);
    running.end().expect(143);
    slow.go_on();
    scene.live_is_old();
    scene.nothing_is_left();
    once(&scene, &scene.job()).expect(0).says(&[COPIED]);
    scene.live_is_new();
}

#[test]
fn what_a_run_leaves_that_is_killed_while_files_are_copied_is_gone_after_the_next() {
    let slow = Slow::start();
    let scene = Scene::on(&slow.cluster, &slow.cluster);
    slow.stop();
    let running = start(&scene, &scene.job());
    slow.wait_for_copy();
    running.kill();
    let next = scene.bed.start(&scene.write(&scene.job()));
    slow.go_on();
    next.end().expect(0);
    scene.live_is_new();
    assert_eq!(scene.beside_live(), [format!("{}_previous", scene.to)]);
}

#[test]
fn logins_to_the_source_wait_ten_seconds_at_the_most() {
    let slow = Slow::start();
    let scene = Scene::on(&slow.cluster, &slow.cluster);
    slow.stop();
    let running = start(&scene, &scene.job());
    slow.wait_for_copy();
    // Would wait for ever.
    drop(scene.source.guest(&scene.from));
    slow.go_on();
    running.end().expect(0).says(&["could not be copied"]);
    scene.live_is_new();
}
