//! Views, triggers, events and counters: all that hangs on tables, and names them.

use super::Scene;
use crate::support::mysql::{Server, quote, shared};

const EVENTS: &str = "SELECT event_name, status FROM information_schema.events WHERE event_schema = DATABASE() ORDER BY 1";

#[test]
fn what_names_its_schema_names_the_target_s() {
    let scene = Scene::new();
    let own = quote(&scene.from);
    scene.source(&format!(
        "CREATE VIEW v AS SELECT u.id FROM {own}.users AS u WHERE u.email <> '{own}.users';
         CREATE VIEW w AS SELECT v.id FROM {own}.v;
         CREATE FUNCTION f() RETURNS int READS SQL DATA RETURN (SELECT count(*) FROM {own}.users);
         CREATE TRIGGER t BEFORE INSERT ON {own}.orders FOR EACH ROW SET NEW.note = (SELECT count(*) FROM {own}.users);
         CREATE TABLE child (id int PRIMARY KEY, CONSTRAINT up FOREIGN KEY (id) REFERENCES {own}.users (id))"
    ));
    let outcome = scene.bed.once(&scene.write(&scene.job()));
    if outcome.code == Some(0) {
        scene.live_is_new();
        assert_eq!(scene.live("SELECT count(*), f() FROM w"), "200|200");
        scene.live("INSERT INTO orders (buyer) VALUES (1)");
        let all = scene.target.definitions(&scene.to).join("\n");
        let left: Vec<&str> = all
            .lines()
            .filter(|line| line.contains(&format!("{own}.")) && !line.contains(&format!("'{own}.")))
            .collect();
        assert_eq!(left, Vec::<&str>::new(), "production's name is left");
    } else {
        outcome.expect(1).says(&[&scene.from]);
        scene.live_is_old();
        scene.nothing_is_left();
    }
}

#[test]
fn what_names_another_schema_is_no_silent_way_back_to_production() {
    let scene = Scene::new();
    let other = format!("{}_other", scene.from);
    scene.source.create_db(&other);
    scene
        .source
        .sql(&other, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)");
    scene.source(&format!("CREATE VIEW across AS SELECT a FROM {other}.t"));
    let outcome = scene
        .bed
        .once(&scene.write(&scene.job()))
        .says(&["across", &other]);
    if outcome.code == Some(0) {
        scene.live_is_new();
    } else {
        scene.live_is_old();
    }
}

#[test]
fn a_broken_view_arrives_broken_with_a_warning() {
    let scene = Scene::new();
    scene.source(
        "CREATE TABLE gone (a int); CREATE VIEW broken AS SELECT a FROM gone; CREATE VIEW on_broken AS SELECT a FROM broken;
         CREATE VIEW whole AS SELECT id FROM users; DROP TABLE gone",
    );
    scene.copy(&scene.job()).says(&["broken"]);
    assert!(scene.bed.status("app")["warnings"].as_u64() > Some(0));
    scene.assert_same();
    // It is whole again with its table.
    scene.live("CREATE TABLE gone (a int); INSERT INTO gone VALUES (5)");
    assert_eq!(scene.live("SELECT a FROM on_broken"), "5");
}

#[test]
fn a_view_over_a_table_that_is_excluded_is_refused_by_name_and_can_be_excluded_too() {
    let scene = Scene::new();
    scene.source("CREATE TABLE cache (a int); CREATE VIEW cached AS SELECT a FROM cache; CREATE VIEW whole AS SELECT id FROM users");
    let job = |globs: &str| scene.job().task(&format!("exclude = [{globs}]"));
    scene
        .bed
        .once(&scene.write(&job("\"cache\"")))
        .expect(1)
        .says(&["view cached", "`cache`", "exclude"]);
    scene.live_is_old();
    scene.nothing_is_left();
    scene.copy(&job("\"cache\", \"cached\""));
    assert_eq!(scene.live("SELECT count(*) FROM whole"), "200");
}

#[test]
fn events_arrive_disabled_unless_the_job_says_otherwise() {
    let scene = Scene::new();
    scene.source(
        "CREATE EVENT awake ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 00:00:00' DO DELETE FROM users;
         CREATE EVENT asleep ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 00:00:00' DISABLE DO DELETE FROM users;
         CREATE EVENT past ON SCHEDULE AT '2001-01-01 00:00:00' ON COMPLETION PRESERVE DO DELETE FROM users;",
    );
    scene.copy(&scene.job());
    assert_eq!(
        scene.live(EVENTS),
        "asleep|DISABLED\nawake|DISABLED\npast|DISABLED"
    );
    scene.copy(&scene.job().task("events = \"keep\""));
    assert_eq!(scene.live(EVENTS), scene.source(EVENTS));
    scene.live_is_new();
}

#[test]
fn an_event_does_not_happen_in_incoming() {
    let target = Server::with(&["--event-scheduler=ON"]);
    let scene = Scene::on(&shared().source, &target);
    scene.source("CREATE EVENT eager ON SCHEDULE EVERY 1 SECOND DO DELETE FROM users");
    let gate = scene.bed.gate("on");
    let slow = scene.job().hooks(&gate.maintenance());
    let mut running = scene.bed.start(&scene.write(&slow));
    gate.wait(&mut running);
    // Twice its time.
    std::thread::sleep(std::time::Duration::from_secs(2));
    gate.open();
    running.end().expect(0);
    std::thread::sleep(std::time::Duration::from_secs(2));
    scene.live_is_new();
}

#[test]
fn triggers_come_after_the_rows_and_in_their_order() {
    let scene = Scene::new();
    scene.source(
        "CREATE TABLE log (n int AUTO_INCREMENT PRIMARY KEY, what text);
         CREATE TRIGGER z BEFORE INSERT ON users FOR EACH ROW SET NEW.email = concat(NEW.email, ' z');
         CREATE TRIGGER a BEFORE INSERT ON users FOR EACH ROW SET NEW.email = concat(NEW.email, ' a');
         CREATE TRIGGER m BEFORE INSERT ON users FOR EACH ROW FOLLOWS z SET NEW.email = concat(NEW.email, ' m');
         CREATE TRIGGER told AFTER INSERT ON users FOR EACH ROW INSERT INTO log (what) VALUES (NEW.email);",
    );
    scene.copy(&scene.job());
    scene.live_is_new();
    scene.assert_same();
    scene.live("INSERT INTO users VALUES (1000, 'x')");
    assert_eq!(scene.live("SELECT n, what FROM log"), "1|x z m a");
    // And once more over what has triggers already; then back.
    scene.copy(&scene.job());
    scene.assert_same();
    let file = scene.write(&scene.job());
    scene.bed.with_file("rollback", &file).expect(0);
    scene.live("INSERT INTO users VALUES (1001, 'y')");
    assert_eq!(
        scene.live("SELECT what FROM log ORDER BY n DESC LIMIT 1"),
        "y z m a"
    );
}

#[test]
fn a_trigger_of_the_old_tables_does_not_stay_behind() {
    let scene = Scene::new();
    scene.live("CREATE TRIGGER old BEFORE INSERT ON users FOR EACH ROW SET NEW.email = 'old trigger'; CREATE VIEW old_view AS SELECT 1 AS one; CREATE PROCEDURE old_routine() SELECT 1");
    scene.copy(&scene.job());
    scene.assert_same();
    let file = scene.write(&scene.job());
    scene.bed.with_file("rollback", &file).expect(0);
    scene.live_is_old();
    scene.live("INSERT INTO users VALUES (2, 'x')");
    assert_eq!(
        scene.live("SELECT email FROM users WHERE id = 2"),
        "old trigger"
    );
    assert_eq!(scene.live("SELECT one FROM old_view"), "1");
    assert_eq!(scene.live("CALL old_routine()"), "1");
}

#[test]
fn counters_go_on_where_they_were() {
    let scene = Scene::new();
    scene.source(
        "DELETE FROM orders WHERE id > 400; ALTER TABLE orders AUTO_INCREMENT = 9000;
         CREATE TABLE emptied (id int AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT = 77;
         CREATE TABLE in_myisam (id int AUTO_INCREMENT PRIMARY KEY) ENGINE = MyISAM AUTO_INCREMENT = 88;
         CREATE SEQUENCE s START WITH 100 INCREMENT BY 10 NOCACHE; DO NEXTVAL(s), NEXTVAL(s);",
    );
    scene.copy(&scene.job());
    scene.assert_same();
    scene.live("INSERT INTO orders (buyer) VALUES (1); INSERT INTO emptied VALUES (NULL); INSERT INTO in_myisam VALUES (NULL)");
    assert_eq!(
        scene.live("SELECT (SELECT max(id) FROM orders), (SELECT id FROM emptied), (SELECT id FROM in_myisam), NEXTVAL(s)"),
        "9000|77|88|120"
    );
}

#[test]
fn myisam_beside_innodb_arrives_with_a_warning() {
    let scene = Scene::new();
    scene.source("CREATE TABLE old_engine (id int PRIMARY KEY, t text) ENGINE = MyISAM; INSERT INTO old_engine SELECT seq, 'x' FROM seq_1_to_5000");
    scene.copy(&scene.job()).says(&["MyISAM"]);
    assert!(scene.bed.status("app")["warnings"].as_u64() > Some(0));
    scene.assert_same();
}

#[test]
fn rows_that_break_their_own_checks_and_keys_arrive() {
    let scene = Scene::new();
    scene.source(
        "SET check_constraint_checks = 0, foreign_key_checks = 0;
         CREATE TABLE checked (id int PRIMARY KEY, a int, CHECK (a > 0)); INSERT INTO checked VALUES (1, -1);
         INSERT INTO orders (id, buyer) VALUES (777, 99999);",
    );
    scene.copy(&scene.job());
    scene.assert_same();
}

#[test]
fn comments_arrive_whatever_the_character_set_around_them() {
    let scene = Scene::new();
    scene.source(
        "CREATE TABLE c (a int COMMENT 'café, naïve, größe', b int COMMENT '日本語 ☃', c int COMMENT 'it''s a \\\\ \"quote\"\\n') CHARSET latin1 COMMENT = 'Größe € ☃';
         CREATE PROCEDURE p() COMMENT 'größe 🌍' SELECT 1;",
    );
    scene.copy(&scene.job());
    scene.assert_same();
}
