//! The moment when incoming becomes live, and what is around it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Scene;
use crate::support::job::Job;
use crate::support::postgres::pooler::Pooler;
use crate::support::postgres::{Cluster, quote, shared, unique};
use crate::support::wait_until;

#[test]
fn the_first_copy_makes_the_target() {
    let scene = Scene::new();
    scene
        .target
        .psql("postgres", &format!("DROP DATABASE {}", quote(&scene.to)));
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    scene.live_is_new();
    assert_eq!(scene.beside_live(), Vec::<String>::new());
}

#[test]
fn live_s_owner_grants_settings_comment_and_limit_carry_over() {
    let scene = Scene::new();
    let owner = scene.owner_of_live();
    let (reader, to) = (unique("reader"), quote(&scene.to));
    scene.target.psql(
        "postgres",
        &format!(
            "CREATE ROLE {reader} LOGIN;
             REVOKE ALL ON DATABASE {to} FROM PUBLIC;
             GRANT CONNECT ON DATABASE {to} TO {reader} WITH GRANT OPTION;
             ALTER DATABASE {to} CONNECTION LIMIT 17;
             ALTER DATABASE {to} SET statement_timeout = '61s';
             ALTER DATABASE {to} SET search_path = \"$user\", public, \"odd, schema\";
             ALTER ROLE {reader} IN DATABASE {to} SET work_mem = '7MB';
             COMMENT ON DATABASE {to} IS 'staging''s \"own\"';"
        ),
    );
    let facts = format!(
        "SELECT pg_get_userbyid(datdba), datacl, datconnlimit, datallowconn, datistemplate, encoding, datcollate, datctype,
                shobj_description(oid, 'pg_database'),
                (SELECT array_agg(setrole::regrole::text || setconfig::text ORDER BY 1) FROM pg_db_role_setting WHERE setdatabase = d.oid)
         FROM pg_database AS d WHERE datname = '{}'",
        scene.to
    );
    let before = scene.target.psql("postgres", &facts);
    assert!(before.starts_with(&owner), "{before}");
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    assert_eq!(scene.target.psql("postgres", &facts), before);
    scene.live_is_new();
    // And back again.
    scene
        .bed
        .with_file("rollback", &scene.write(&scene.job()))
        .expect(0);
    assert_eq!(scene.target.psql("postgres", &facts), before);
    scene.live_is_old();
}

#[test]
fn sessions_on_live_are_ended_and_the_next_ones_see_the_new_rows() {
    use std::io::{BufRead, BufReader, Write};
    let scene = Scene::new();
    let mut application = scene
        .target
        .psql_command("postgres", &scene.to)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("psql");
    let mut stdin = application.stdin.take().expect("piped");
    let mut stdout = BufReader::new(application.stdout.take().expect("piped"));
    let mut line = String::new();
    writeln!(stdin, "BEGIN; SELECT email FROM users;").expect("it listens");
    stdout.read_line(&mut line).expect("it answers");
    assert_eq!(line.trim(), "old");
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    let _ = writeln!(stdin, "SELECT 'still here';");
    drop(stdin);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut stdout, &mut rest).expect("it ends");
    assert!(!rest.contains("still here"), "the old session went on");
    assert!(!application.wait().expect("our child").success());
    scene.live_is_new();
}

#[test]
fn previous_is_kept_until_the_next_run_and_there_is_only_one() {
    let scene = Scene::new();
    let file = scene.write(&scene.job());
    scene.bed.once(&file).expect(0);
    assert_eq!(scene.beside_live().len(), 1, "{:?}", scene.beside_live());
    scene.bed.once(&file).expect(0);
    assert_eq!(scene.beside_live().len(), 1, "{:?}", scene.beside_live());
}

#[test]
fn previous_is_dropped_if_the_job_says_so_and_rollback_says_that_there_is_none() {
    let scene = Scene::new();
    let file = scene.write(&scene.job().task("previous = \"drop\""));
    scene.bed.once(&file).expect(0);
    scene.live_is_new();
    scene.nothing_is_left();
    let outcome = scene.bed.with_file("rollback", &file);
    assert_ne!(outcome.code, Some(0), "{}", outcome.stdout);
    scene.live_is_new();
}

#[test]
fn rollback_returns_what_was_live_and_again_what_is_new() {
    let scene = Scene::new();
    let file = scene.write(&scene.job());
    scene.bed.once(&file).expect(0);
    scene.bed.with_file("rollback", &file).expect(0);
    scene.live_is_old();
    scene.bed.with_file("rollback", &file).expect(0);
    scene.live_is_new();
}

#[test]
fn nobody_can_look_into_incoming_before_it_is_published() {
    let scene = Scene::new();
    let visitor = unique("visitor");
    scene.target.psql(
        "postgres",
        &format!("CREATE ROLE {visitor} LOGIN; GRANT pg_read_all_data TO {visitor}"),
    );
    let gate = scene.bed.gate("on");
    let job = scene.job().hooks(&gate.maintenance());
    let mut running = scene.bed.start(&scene.write(&job));
    gate.wait(&mut running);
    let incoming = scene.beside_live();
    assert_eq!(incoming.len(), 1, "{incoming:?}");
    assert!(
        scene
            .target
            .try_psql(&visitor, &incoming[0], "SELECT email FROM users")
            .is_err(),
        "a visitor was let into {incoming:?}"
    );
    gate.open();
    running.end().expect(0);
    let seen = scene
        .target
        .try_psql(&visitor, &scene.to, "SELECT DISTINCT email FROM users");
    assert_eq!(seen.as_deref(), Ok("new"));
}

#[test]
fn hooks_run_in_order_around_publish() {
    let scene = Scene::new();
    let url = scene.target.url("postgres", &scene.to);
    let notes = scene.bed.path("notes");
    let look = |word: &str| {
        let psql = crate::support::postgres::binary("psql");
        let script = format!(
            "echo {word} $('{}' -XAtd '{url}' -c 'SELECT email FROM users LIMIT 1') >> '{}'",
            psql.display(),
            notes.display()
        );
        serde_json::to_string(&["sh", "-c", &script]).expect("text")
    };
    let hooks = format!(
        "maintenance_off = {}\nafter_publish = {}\nmaintenance_on = {}",
        look("off"),
        look("after"),
        look("on")
    );
    scene
        .bed
        .once(&scene.write(&scene.job().hooks(&hooks)))
        .expect(0);
    assert_eq!(scene.bed.notes(), ["on old", "after new", "off new"]);
}

#[test]
fn a_hook_that_fails_before_publish_fails_the_run_and_maintenance_ends() {
    let scene = Scene::new();
    let hooks = format!(
        "maintenance_on = [\"sh\", \"-c\", \"echo no luck; exit 9\"]\nafter_publish = {}\nmaintenance_off = {}",
        scene.bed.note("after"),
        scene.bed.note("off")
    );
    scene
        .bed
        .once(&scene.write(&scene.job().hooks(&hooks)))
        .expect(1)
        .says(&["maintenance_on", "no luck"]);
    scene.live_is_old();
    scene.nothing_is_left();
    assert_eq!(scene.bed.notes(), ["off"]);
}

#[test]
fn a_hook_that_fails_after_publish_fails_the_run_and_says_that_the_new_data_is_live() {
    let scene = Scene::new();
    let hooks = format!(
        "maintenance_on = {}\nafter_publish = [\"false\"]\nmaintenance_off = {}",
        scene.bed.note("on"),
        scene.bed.note("off")
    );
    scene
        .bed
        .once(&scene.write(&scene.job().hooks(&hooks)))
        .expect(1);
    scene.live_is_new();
    assert_eq!(scene.bed.notes(), ["on", "off"]);
    assert_eq!(scene.bed.status_text("app", "state"), "failed");
    let message = scene.bed.status_text("app", "message");
    assert!(
        message.contains("after_publish") && message.contains("live"),
        "{message}"
    );
}

#[test]
fn a_hook_s_time_limit_ends_it_and_what_it_started() {
    let scene = Scene::new();
    let pid = scene.bed.path("pid");
    let script = format!("sleep 600 & echo $! > '{}'; wait", pid.display());
    let hooks = format!(
        "maintenance_on = {{ command = [\"sh\", \"-c\", {}], timeout = \"5s\" }}\nmaintenance_off = {}",
        crate::support::job::toml(&script),
        scene.bed.note("off")
    );
    scene
        .bed
        .once(&scene.write(&scene.job().hooks(&hooks)))
        .expect(1)
        .says(&["maintenance_on"]);
    scene.live_is_old();
    assert_eq!(scene.bed.notes(), ["off"]);
    let pid = std::fs::read_to_string(pid).expect("the hook wrote it");
    wait_until("the hook's child is gone", || {
        std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
            .map_or(true, |stat| stat.contains(") Z "))
    });
}

#[test]
fn argv_reaches_a_hook_without_a_shell() {
    let scene = Scene::new();
    let argument = "$HOME `id` \"quoted\" *; exit 1";
    let hooks = format!("after_publish = {}", scene.bed.note(argument));
    scene
        .bed
        .once(&scene.write(&scene.job().hooks(&hooks)))
        .expect(0);
    assert_eq!(scene.bed.notes(), [argument]);
}

#[test]
fn a_database_that_a_first_copy_makes_is_as_open_as_any_new_one() {
    let scene = Scene::without_databases(&shared().source, &shared().target);
    scene.source.create_db(&scene.from);
    // Rows, not files.
    scene.source("CREATE TABLE users (id int PRIMARY KEY)");
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    let asked = format!(
        "SELECT has_database_privilege('public', '{}', 'CONNECT')",
        scene.to
    );
    assert_eq!(scene.target.psql("postgres", &asked), "t");
}

/// An application that asks behind a pooler as fast as it is answered, until it is told to stop; how often it was.
fn ask_behind(pooler: &Pooler, database: &str, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<u64>> {
    (0..4)
        .map(|_| {
            let (url, stop) = (pooler.url("postgres", database), Arc::clone(stop));
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime");
                runtime.block_on(async {
                    let mut answers = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let connected = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
                        let Ok((client, connection)) = connected else {
                            tokio::time::sleep(Duration::from_millis(5)).await;
                            continue;
                        };
                        let driven = tokio::spawn(connection);
                        while !stop.load(Ordering::Relaxed)
                            && client
                                .simple_query("SELECT count(*) FROM users")
                                .await
                                .is_ok()
                        {
                            answers += 1;
                        }
                        driven.abort();
                    }
                    answers
                })
            })
        })
        .collect()
}

#[test]
fn no_login_through_a_pooler_fails_while_databases_change_names() {
    let (source, target) = (Cluster::builder().start(), Cluster::builder().start());
    let scene = Scene::on(&source, &target);
    let pooler = Pooler::of_mode(&target, "transaction");
    let job = Job::between(
        "postgresql",
        &scene.source.url("postgres", &scene.from),
        &scene.target.url("postgres", &scene.to),
    );
    let stop = Arc::new(AtomicBool::new(false));
    let asking = ask_behind(&pooler, &scene.to, &stop);
    for _ in 0..4 {
        scene.bed.once(&scene.write(&job)).expect(0);
    }
    // Each time, somebody is let in anew, sooner or later.
    let logins = || pooler.log().matches("new connection to server").count();
    wait_until("it was in the way four times", || logins() > 4);
    stop.store(true, Ordering::Relaxed);
    let answers: u64 = asking.into_iter().map(|one| one.join().unwrap()).sum();
    assert!(answers > 0, "the application was served");
    let log = pooler.log();
    assert!(!log.contains("login failed"), "{log}");
    scene.live_is_new();
}

#[test]
fn who_reads_the_list_of_databases_for_long_does_not_stop_a_publish() {
    let scene = Scene::new();
    let mut reader = scene.target.guest("postgres");
    reader.ask("BEGIN; SELECT count(*) FROM pg_database");
    scene.bed.once(&scene.write(&scene.job())).expect(0);
    scene.live_is_new();
    drop(reader);
}
