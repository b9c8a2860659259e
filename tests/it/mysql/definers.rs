//! Who views, routines, triggers and events run as, once they are elsewhere.

use super::Scene;
use crate::support::job::{Job, toml};
use crate::support::mysql::{PASSWORD, Server};
use crate::support::postgres::unique;

/// A view, a routine, a trigger and an event of someone's.
fn things_of(definer: &str) -> String {
    format!(
        "CREATE DEFINER = {definer} VIEW v AS SELECT id, email FROM users;
         CREATE DEFINER = {definer} FUNCTION f() RETURNS int READS SQL DATA RETURN (SELECT count(*) FROM users);
         CREATE DEFINER = {definer} PROCEDURE p() SELECT f();
         CREATE DEFINER = {definer} TRIGGER t BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = 'by trigger';
         CREATE DEFINER = {definer} EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 00:00:00' DO DELETE FROM orders;"
    )
}

const DEFINERS: &str = "SELECT 'view', definer FROM information_schema.views WHERE table_schema = DATABASE()
    UNION ALL SELECT routine_name, definer FROM information_schema.routines WHERE routine_schema = DATABASE()
    UNION ALL SELECT trigger_name, definer FROM information_schema.triggers WHERE trigger_schema = DATABASE()
    UNION ALL SELECT event_name, definer FROM information_schema.events WHERE event_schema = DATABASE() ORDER BY 1";

/// Production has a user whom staging does not have.
fn scene_of_a_stranger() -> (Scene<'static>, String) {
    let scene = Scene::new();
    let stranger = unique("stranger");
    scene
        .source
        .sql("", &format!("CREATE USER {stranger}@'10.%'"));
    scene.source(&things_of(&format!("{stranger}@'10.%'")));
    (scene, stranger)
}

#[test]
fn definers_become_the_target_s_owner() {
    let (scene, _) = scene_of_a_stranger();
    scene.copy(&scene.modest_job());
    assert_eq!(
        scene.live(DEFINERS),
        "e|owner@%\nf|owner@%\np|owner@%\nt|owner@%\nview|owner@%"
    );
    // All of them work.
    assert_eq!(scene.live("SELECT count(*) FROM v"), "200");
    assert_eq!(scene.live("CALL p()"), "200");
    scene.live("INSERT INTO orders (buyer, note) VALUES (1, 'x')");
    assert_eq!(
        scene.live("SELECT note FROM orders ORDER BY id DESC LIMIT 1"),
        "by trigger"
    );
}

#[test]
fn what_would_run_as_a_user_who_may_do_more_than_its_database_needs_is_warned_of_by_privilege() {
    let server = Server::with(&[]);
    let (scene, _) = scene_of_a_stranger();
    server.create_db(&scene.to);
    let give = |place: &str, privileges| super::grant(&server, "modest", place, privileges);
    give(&format!("{}.*", scene.to), "ALL");
    give(&format!("`{}\\_%`.*", scene.to.replace('_', "\\_")), "ALL");
    let target = scene.endpoint(&server.url("modest", &scene.to), Some(PASSWORD));
    let source = toml(&scene.source.url("root", &scene.from));
    let file = scene.write(&Job::new("mysql", &source, &target));
    let said = "runs as the target's user";
    let outcome = scene.bed.with_file("plan", &file).expect(0);
    assert!(!outcome.stderr.contains(said), "{}", outcome.stderr);
    give("*.*", "FILE, PROCESS");
    give("mysql.*", "SELECT");
    let told = [said, "FILE", "PROCESS", "SELECT on `mysql`", "procedure p"];
    scene.bed.with_file("plan", &file).expect(0).says(&told);
    scene.bed.once(&file).expect(0).says(&told);
    // Of root, who may do everything.
    let job = Job::between(
        "mysql",
        &scene.source.url("root", &scene.from),
        &server.url("root", &scene.to),
    );
    let file = scene.write(&job);
    let told = [said, "ALL PRIVILEGES", "all databases"];
    scene.bed.with_file("plan", &file).expect(0).says(&told);
}

#[test]
fn definers_stay_if_the_job_says_so_and_the_user_may() {
    let (scene, stranger) = scene_of_a_stranger();
    scene
        .target
        .sql("", &format!("CREATE USER {stranger}@'10.%'"));
    scene.copy(&scene.job().task("definer = \"keep\""));
    assert_eq!(scene.live(DEFINERS), scene.source(DEFINERS));
    scene.assert_same_but_events();
}

#[test]
fn a_definer_that_the_target_lacks_is_no_unusable_view_in_silence() {
    let (scene, stranger) = scene_of_a_stranger();
    let job = scene.job().task("definer = \"keep\"");
    let outcome = scene.bed.once(&scene.write(&job)).says(&[&stranger]);
    if outcome.code == Some(0) {
        scene.live_is_new();
    } else {
        scene.live_is_old();
        scene.nothing_is_left();
    }
}

#[test]
fn an_owner_who_may_not_name_others_as_definers_hears_of_it_before_anything_is_live() {
    let (scene, _) = scene_of_a_stranger();
    let job = scene.modest_job().task("definer = \"keep\"");
    scene
        .bed
        .once(&scene.write(&job))
        .expect(1)
        .says(&["definer"]);
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn a_definer_s_name_in_a_body_or_a_comment_stays() {
    let scene = Scene::new();
    scene.source(
        "CREATE PROCEDURE p() COMMENT 'DEFINER=`root`@`localhost`' SELECT 'DEFINER=`x`@`y`' AS `DEFINER=``a``@``b```;
         CREATE VIEW v AS SELECT 'DEFINER=`x`@`y` SQL SECURITY DEFINER' AS d;",
    );
    scene.copy(&scene.modest_job());
    assert_eq!(
        scene.live("SELECT d FROM v"),
        "DEFINER=`x`@`y` SQL SECURITY DEFINER"
    );
    assert_eq!(scene.live("CALL p()"), "DEFINER=`x`@`y`");
}

#[test]
fn no_right_over_a_whole_server_is_needed_nor_its_log_or_identifiers_touched() {
    let start = |id| {
        Server::with(&[
            "--log-bin=binlog",
            id,
            "--general-log",
            "--general-log-file=general.log",
            // Without it, nobody but SUPER makes a trigger where there is a binary log.
            "--log-bin-trust-function-creators=1",
        ])
    };
    let (source, target) = (start("--server-id=1"), start("--server-id=2"));
    let scene = Scene::on(&source, &target);
    scene.source(&things_of("root@localhost"));
    let before = target.sql("", "SELECT @@gtid_current_pos");
    scene.copy(&scene.modest_job());
    scene.live_is_new();
    let said = std::fs::read_to_string(target.data().join("general.log"))
        .expect("the server's log")
        .to_lowercase();
    assert!(said.contains("insert into"), "{said}");
    for word in ["sql_log_bin", "gtid_"] {
        let sent: Vec<&str> = said
            .lines()
            .filter(|line| line.contains(word) && !line.contains("gtid_current_pos"))
            .collect();
        assert_eq!(sent, Vec::<&str>::new());
    }
    // The replicas of the target's get all of it.
    assert_ne!(target.sql("", "SELECT @@gtid_current_pos"), before);
}
