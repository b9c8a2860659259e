//! What hangs on something that is excluded or that only the target has: left out by name, kept, or an error.

use super::Scene;
use crate::support::mysql::{Server, Version, shared};

/// On both makers' servers, with a table in production.
fn on_both(test: impl Fn(&Scene<'_>)) {
    let oracle = Server::builder().of(Version::Oracle).start();
    let pair = shared();
    for (source, target) in [(&pair.source, &pair.target), (&oracle, &oracle)] {
        let scene = Scene::on_any(source, target);
        scene.source(
            "CREATE TABLE users (id int PRIMARY KEY, log int); INSERT INTO users VALUES (1, 1)",
        );
        test(&scene);
    }
}

#[test]
fn a_trigger_that_uses_what_is_excluded_is_left_out_by_name_and_rows_can_be_written() {
    on_both(|scene| {
        scene.source(
            "DELIMITER //
             CREATE TABLE log (a int)//
             CREATE TABLE other (a int)//
             CREATE PROCEDURE logs(x int) BEGIN INSERT INTO log VALUES (x); END//
             CREATE FUNCTION counted() RETURNS int READS SQL DATA RETURN (SELECT COUNT(*) FROM log)//
             CREATE TRIGGER direct AFTER INSERT ON users FOR EACH ROW INSERT INTO log VALUES (NEW.id)//
             CREATE TRIGGER called BEFORE INSERT ON users FOR EACH ROW CALL logs(NEW.id)//
             CREATE TRIGGER asked BEFORE UPDATE ON users FOR EACH ROW SET NEW.log = counted()//
             CREATE TRIGGER harmless BEFORE INSERT ON users FOR EACH ROW FOLLOWS called SET NEW.log = NEW.log + 1, @a = (SELECT COUNT(*) FROM other)//
             CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM log//",
        );
        let outcome = scene.copy(&scene.job().task("exclude = [\"log\"]"));
        for name in ["direct", "called", "asked"] {
            let told = outcome.stderr.lines().any(|line| {
                line.contains("a trigger is left out")
                    && line.contains(name)
                    && line.contains("log")
            });
            assert!(told, "{name}: {}", outcome.stderr);
        }
        for label in ["procedure logs", "function counted", "event e"] {
            let told = outcome
                .stderr
                .lines()
                .any(|line| line.contains("uses what is excluded") && line.contains(label));
            assert!(told, "{label}: {}", outcome.stderr);
        }
        scene.live("INSERT INTO users VALUES (2, 2); UPDATE users SET log = 7 WHERE id = 1");
        assert_eq!(
            scene.live("SELECT id, log FROM users ORDER BY id"),
            "1|7\n2|3"
        );
    });
}

#[test]
fn a_trigger_that_refuses_rows_fails_the_run_unless_the_task_names_it() {
    on_both(|scene| {
        scene.source(
            "DELIMITER //
             CREATE TABLE banned (id int)//
             CREATE PROCEDURE refuse() SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'//
             CREATE TRIGGER guard BEFORE INSERT ON users FOR EACH ROW BEGIN IF EXISTS (SELECT 1 FROM banned b WHERE b.id = NEW.id) THEN SIGNAL SQLSTATE '45000'; END IF; END//
             CREATE TRIGGER second BEFORE UPDATE ON users FOR EACH ROW BEGIN IF NEW.id IN (SELECT id FROM banned) THEN CALL refuse(); END IF; END//",
        );
        let job = |rest: &str| scene.job().task("exclude = [\"banned\"]").task(rest);
        let file = scene.write(&job(""));
        let said = [
            "users.guard",
            "users.second",
            "`banned`",
            "leave_out = [\"users.guard\", \"users.second\"]",
        ];
        scene.bed.with_file("plan", &file).expect(1).says(&said);
        scene.bed.once(&file).expect(1).says(&said);
        assert_eq!(scene.target.tables(&scene.to), Vec::<String>::new());
        scene.copy(&job("leave_out = [\"users.*\"]")).says(&[
            "a trigger is left out",
            "guard",
            "second",
        ]);
        scene.live("INSERT INTO users VALUES (2, 2)");
        // With its table, empty or not, it comes.
        scene.copy(&scene.job().task("schema_only = [\"banned\"]"));
        scene.live("INSERT INTO banned VALUES (3)");
        let refused = scene
            .target
            .try_sql("root", &scene.to, "INSERT INTO users VALUES (3, 3)");
        assert!(refused.is_err(), "{refused:?}");
    });
}

#[test]
fn no_word_of_rows_that_are_left_out_arrives_in_an_index_or_in_the_past() {
    on_both(|scene| {
        let is_mariadb = !std::ptr::eq(scene.source, scene.target);
        scene.source(
            "CREATE TABLE secrets (id int PRIMARY KEY, t text, FULLTEXT (t)); INSERT INTO secrets VALUES (1, 'cinnamon')",
        );
        if is_mariadb {
            scene.source("CREATE TABLE past (a int) WITH SYSTEM VERSIONING; INSERT INTO past VALUES (1); UPDATE past SET a = 2; ANALYZE TABLE secrets PERSISTENT FOR ALL");
        } else {
            scene.source("ANALYZE TABLE secrets UPDATE HISTOGRAM ON id");
        }
        scene.copy(&scene.job().task("schema_only = [\"secrets\", \"past\"]"));
        assert_eq!(
            scene.live("SELECT COUNT(*) FROM secrets WHERE MATCH (t) AGAINST ('cinnamon')"),
            "0"
        );
        if is_mariadb {
            assert_eq!(
                scene.live("SELECT COUNT(*) FROM past FOR SYSTEM_TIME ALL"),
                "0"
            );
            assert_eq!(
                scene.live("SELECT COUNT(*) FROM mysql.column_stats WHERE db_name = DATABASE()"),
                "0"
            );
        } else {
            assert_eq!(scene.live("SELECT COUNT(*) FROM information_schema.COLUMN_STATISTICS WHERE SCHEMA_NAME = DATABASE()"), "0");
        }
        scene.live("INSERT INTO secrets VALUES (2, 'pepper')");
        assert_eq!(
            scene.live("SELECT id FROM secrets WHERE MATCH (t) AGAINST ('pepper')"),
            "2"
        );
    });
}

#[test]
fn in_overlay_all_that_only_the_target_has_stays() {
    on_both(|scene| {
        scene.source("CREATE VIEW both_ AS SELECT 'source' AS who; CREATE TRIGGER theirs BEFORE INSERT ON users FOR EACH ROW SET NEW.log = 5");
        scene.live(
            "DELIMITER //
             CREATE TABLE users (id int PRIMARY KEY, log int)//
             CREATE TABLE own (a int, b int)//
             INSERT INTO own VALUES (7, 7)//
             CREATE FUNCTION own_f(x int) RETURNS int DETERMINISTIC RETURN x + 1//
             CREATE PROCEDURE own_p() SELECT 'mine'//
             CREATE VIEW own_v AS SELECT own_f(id) AS x FROM users//
             CREATE VIEW own_w AS SELECT x FROM own_v//
             CREATE VIEW both_ AS SELECT 'target' AS who//
             CREATE EVENT own_e ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 00:00:00' DO DELETE FROM own//
             CREATE TRIGGER own_t BEFORE INSERT ON own FOR EACH ROW SET NEW.b = (SELECT COUNT(*) FROM users)//
             CREATE TRIGGER gone BEFORE INSERT ON users FOR EACH ROW SET NEW.log = 9//",
        );
        let is_mariadb = !std::ptr::eq(scene.source, scene.target);
        if is_mariadb {
            scene.live("CREATE SEQUENCE own_s START WITH 100; DO NEXTVAL(own_s)");
        }
        let job = scene.job().task("mode = \"overlay\"");
        for _ in 0..2 {
            scene.copy(&job);
            assert_eq!(
                scene.live("SELECT x FROM own_w; CALL own_p(); SELECT who FROM both_"),
                "2\nmine\nsource"
            );
            assert_eq!(
                scene.live("SELECT event_name, status FROM information_schema.events WHERE event_schema = DATABASE()"),
                "own_e|ENABLED"
            );
        }
        scene.live("INSERT INTO own VALUES (8, 0); INSERT INTO users VALUES (2, 0)");
        assert_eq!(scene.live("SELECT a, b FROM own ORDER BY a"), "7|7\n8|1");
        assert_eq!(scene.live("SELECT log FROM users WHERE id = 2"), "5");
        if is_mariadb {
            assert_eq!(scene.live("SELECT NEXTVAL(own_s) > 100"), "1");
        }
    });
}

#[test]
fn what_only_the_target_has_and_cannot_stay_fails_the_run_by_name() {
    on_both(|scene| {
        scene.live("CREATE TABLE users (id int PRIMARY KEY, log int, mine int); CREATE VIEW own_v AS SELECT mine FROM users");
        let job = scene.job().task("mode = \"overlay\"");
        scene
            .bed
            .once(&scene.write(&job))
            .expect(1)
            .says(&["view own_v", "cannot stay"]);
        assert_eq!(scene.live("SELECT COUNT(*) FROM own_v"), "0");
        assert_eq!(scene.beside_live(), Vec::<String>::new());
        // A name that a database has once.
        scene.source("CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW SET NEW.log = 5");
        scene.live("DROP VIEW own_v; CREATE TABLE own (a int); CREATE TRIGGER t BEFORE INSERT ON own FOR EACH ROW SET NEW.a = 5");
        scene.bed.once(&scene.write(&job)).expect(1).says(&[
            "trigger t",
            "cannot stay",
            "same name",
        ]);
        // A kept table's trigger that needs what is not kept.
        scene.live("DROP TRIGGER t; CREATE TABLE log (a int); CREATE TRIGGER own_t AFTER INSERT ON own FOR EACH ROW INSERT INTO log VALUES (NEW.a)");
        let job = scene.job().task("keep = [\"own\"]");
        scene.bed.once(&scene.write(&job)).expect(1).says(&[
            "trigger own_t",
            "cannot stay",
            "`log`",
        ]);
        scene.copy(&scene.job().task("keep = [\"own\", \"log\"]"));
        scene.live("INSERT INTO own VALUES (3)");
        assert_eq!(scene.live("SELECT a FROM log"), "3");
    });
}

#[test]
fn a_source_without_tables_is_warned_of_where_the_target_has_some() {
    let scene = Scene::new();
    scene.source("DROP TABLE orders, users");
    let said = "the source has no tables, and the target has some: they go";
    let file = scene.write(&scene.job());
    scene.bed.with_file("plan", &file).expect(0).says(&[said]);
    scene.copy(&scene.job()).says(&[said]);
    assert_eq!(scene.target.tables(&scene.to), Vec::<String>::new());
    // Now it has none, either.
    let outcome = scene.copy(&scene.job());
    assert!(!outcome.stderr.contains(said), "{}", outcome.stderr);
}

#[test]
fn tables_are_encrypted_as_the_target_s_rule_says() {
    // Without a keyring, tables cannot be encrypted: that they are not is what can be seen.
    let source = Server::builder().of(Version::Oracle).start();
    let target = Server::builder()
        .of(Version::Oracle)
        .set("--default-table-encryption=ON")
        .start();
    let scene = Scene::without_databases(&source, &target);
    source.create_db(&scene.from);
    scene.source("CREATE TABLE users (id int PRIMARY KEY); INSERT INTO users VALUES (1)");
    let file = scene.write(&scene.job());
    let said = "these tables are encrypted on the target, as its rule says";
    scene
        .bed
        .with_file("plan", &file)
        .expect(0)
        .says(&[said, "`users`"]);
    target.sql(
        "",
        &format!("CREATE DATABASE {} DEFAULT ENCRYPTION = 'N'", scene.to),
    );
    let outcome = scene.bed.once(&file).expect(0);
    assert!(!outcome.stderr.contains(said), "{}", outcome.stderr);
    scene.assert_same();
}
