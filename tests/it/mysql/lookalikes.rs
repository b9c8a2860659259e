//! Failures that look like success elsewhere.

use super::{BIG, IN_MID_COPY, Scene};
use crate::support::job::{Job, toml};
use crate::support::mysql::{PASSWORD, Server, quote};
use crate::support::postgres::unique;
use crate::support::proxy::Proxy;

/// A job that reads as a user of these rights.
fn job_of_a_reader_with(scene: &Scene<'_>, grants: &[&str]) -> Job {
    let user = unique("weak");
    let on = quote(&scene.from);
    let password = PASSWORD.replace('\'', "''");
    let mut sql = format!("CREATE USER {user} IDENTIFIED BY '{password}';");
    for grant in grants {
        sql += &format!("GRANT {} TO {user};", grant.replace("DB", &on));
    }
    scene.source.sql("", &sql);
    let secret = scene.bed.file("password", PASSWORD);
    Job::new(
        "mysql",
        &format!(
            "{{ url = {}, password = {{ file = {} }} }}",
            toml(&scene.source.url(&user, &scene.from)),
            toml(secret.to_str().expect("our paths are text"))
        ),
        &toml(&scene.target.url("root", &scene.to)),
    )
}

/// Of everything that a right is needed for.
const THINGS: &str = "CREATE VIEW v AS SELECT id FROM users;
    CREATE PROCEDURE p() SELECT 1;
    CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = 'x';
    CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 00:00:00' DO SELECT 1;
    CREATE SEQUENCE s;";

const ALL: [&str; 5] = [
    "SELECT ON DB.*",
    "SHOW VIEW ON DB.*",
    "TRIGGER ON DB.*",
    "EVENT ON DB.*",
    "SELECT ON mysql.proc",
];

#[test]
fn a_reader_with_just_enough_rights_copies_all() {
    let scene = Scene::new();
    scene.source(THINGS);
    let job = job_of_a_reader_with(&scene, &ALL)
        .task("definer = \"keep\"")
        .task("events = \"keep\"");
    scene.copy(&job);
    scene.assert_same();
}

#[test]
fn what_a_reader_may_not_see_is_named_and_never_missing() {
    for (missing, said) in [
        ("SHOW VIEW", "SHOW VIEW"),
        ("TRIGGER", "TRIGGER"),
        ("EVENT", "EVENT"),
        ("SELECT ON mysql.proc", "mysql.proc"),
    ] {
        let scene = Scene::new();
        scene.source(THINGS);
        let some: Vec<&str> = ALL
            .into_iter()
            .filter(|grant| !grant.starts_with(missing))
            .collect();
        let job = job_of_a_reader_with(&scene, &some);
        scene.bed.once(&scene.write(&job)).expect(1).says(&[said]);
        scene.live_is_old();
        scene.nothing_is_left();
    }
}

#[test]
fn a_table_or_sequence_that_cannot_be_read_is_an_error_and_not_empty() {
    for hidden in ["users", "s"] {
        let scene = Scene::new();
        scene.source("CREATE SEQUENCE s START WITH 77");
        let shown: Vec<String> = ["users", "orders", "s"]
            .into_iter()
            .filter(|name| *name != hidden)
            .map(|name| format!("SELECT ON DB.{name}"))
            .collect();
        let mut grants: Vec<&str> = shown.iter().map(String::as_str).collect();
        // It is visible, and no more.
        let visible = format!("INSERT ON DB.{hidden}");
        grants.push(&visible);
        grants.extend(&ALL[1..]);
        let job = job_of_a_reader_with(&scene, &grants);
        scene
            .bed
            .once(&scene.write(&job))
            .expect(1)
            .says(&["SELECT", &scene.from]);
        scene.live_is_old();
        scene.nothing_is_left();
    }
}

#[test]
fn a_reader_who_may_not_lock_copies_with_one_worker_and_says_so() {
    let scene = Scene::new();
    scene.source(THINGS);
    let job = job_of_a_reader_with(&scene, &ALL).task("jobs = 4");
    let outcome = scene.copy(&job);
    scene.live_is_new();
    assert!(
        outcome.stderr.contains("RELOAD") || outcome.stdout.contains("RELOAD"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn an_owner_who_lacks_a_right_hears_which_before_live_is_touched() {
    for missing in [
        "CREATE VIEW",
        "TRIGGER",
        "EVENT",
        "CREATE ROUTINE",
        "DROP",
        "INSERT",
    ] {
        let scene = Scene::new();
        scene.source(THINGS);
        let user = unique("weak");
        let rights: Vec<&str> = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER"
            .split(", ")
            .filter(|right| *right != missing)
            .collect();
        let password = PASSWORD.replace('\'', "''");
        scene.target.sql(
            "",
            &format!(
                "CREATE USER {user} IDENTIFIED BY '{password}'; GRANT {} ON *.* TO {user}",
                rights.join(", ")
            ),
        );
        let secret = scene.bed.file("password", PASSWORD);
        let job = Job::new(
            "mysql",
            &toml(&scene.source.url("root", &scene.from)),
            &format!(
                "{{ url = {}, password = {{ file = {} }} }}",
                toml(&scene.target.url(&user, &scene.to)),
                toml(secret.to_str().expect("our paths are text"))
            ),
        );
        scene
            .bed
            .once(&scene.write(&job))
            .expect(1)
            .says(&[missing]);
        scene.live_is_old();
        assert_eq!(
            scene.beside_live(),
            Vec::<String>::new(),
            "without {missing}"
        );
    }
}

#[test]
fn a_source_that_dies_half_way_fails_the_run() {
    // What was committed is there after a crash.
    let source = Server::with(&["--innodb-flush-log-at-trx-commit=1"]);
    let target = Server::with(&[]);
    let scene = Scene::on(&source, &target);
    let gate = scene.bed.gate("on");
    scene.source(BIG);
    let proxy = Proxy::before_mysql(&source);
    proxy.stall_after(IN_MID_COPY);
    let slow = Job::between(
        "mysql",
        &proxy.mysql_url("root", &scene.from),
        &target.url("root", &scene.to),
    );
    let slow = slow
        .task("verify = \"checksum\"")
        .hooks(&gate.maintenance());
    let running = scene.bed.start(&scene.write(&slow));
    proxy.wait_for_stall();
    source.crash();
    proxy.go_on();
    running.end().expect(1);
    assert!(!gate.is_reached());
    scene.live_is_old();
    scene.nothing_is_left();
    source.start_again();
    let job = scene.job().task("verify = \"checksum\"");
    scene.copy(&job);
    scene.live_is_new();
}

#[test]
fn a_target_that_dies_half_way_is_as_it_was_when_it_is_back() {
    let source = Server::with(&[]);
    // What was committed is there after a crash.
    let target = Server::with(&["--innodb-flush-log-at-trx-commit=1"]);
    let scene = Scene::on(&source, &target);
    scene.source(BIG);
    let proxy = Proxy::before_mysql(&target);
    proxy.stall_after(IN_MID_COPY);
    let through = Job::between(
        "mysql",
        &source.url("root", &scene.from),
        &proxy.mysql_url("root", &scene.to),
    );
    let running = scene.bed.start(&scene.write(&through));
    proxy.wait_for_stall();
    target.crash();
    proxy.go_on();
    running.end().expect(1);
    target.start_again();
    scene.live_is_old();
    scene.copy(&scene.job().task("previous = \"drop\""));
    scene.live_is_new();
    scene.nothing_is_left();
}

#[test]
fn names_that_differ_only_in_case_are_two() {
    let scene = Scene::new();
    scene.source("CREATE TABLE Users (id int); CREATE TABLE USERS (id int); INSERT INTO Users VALUES (1); INSERT INTO USERS VALUES (2), (3)");
    scene.copy(&scene.job().task("exclude = [\"USERS\"]"));
    assert_eq!(scene.target.tables(&scene.to), ["Users", "orders", "users"]);
    assert_eq!(scene.live("SELECT id FROM Users"), "1");
    scene.live_is_new();
}

#[test]
fn a_statement_of_a_script_that_fails_stops_all_and_delimiters_are_understood() {
    let scene = Scene::new();
    scene.bed.file(
        "good.sql",
        "DELIMITER //\nCREATE PROCEDURE made() BEGIN UPDATE users SET email = 'made; //'; END//\nDELIMITER ;\nCALL made();\nDROP PROCEDURE made;\n",
    );
    scene.copy(&scene.job().task("scripts = [\"good.sql\"]"));
    assert_eq!(scene.live("SELECT DISTINCT email FROM users"), "made; //");
    scene.bed.file(
        "bad.sql",
        "UPDATE users SET email = 'x';\nINSERT INTO users VALUES (1, 'twice');\nUPDATE users SET email = 'y';\n",
    );
    scene
        .bed
        .once(&scene.write(&scene.job().task("scripts = [\"bad.sql\"]")))
        .expect(1)
        .says(&["bad.sql", "2"]);
    assert_eq!(scene.live("SELECT DISTINCT email FROM users"), "made; //");
}
