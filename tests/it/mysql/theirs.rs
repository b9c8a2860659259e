//! What is somebody else's is not touched, however it is called; and what is ours says so.

use super::Scene;
use crate::support::job::Job;
use crate::support::lease::lease;
use crate::support::mysql::{Pair, Server, Version, quote, shared};

/// Servers of Oracle's whose global settings nobody changes.
pub(super) fn oracle() -> &'static Pair {
    lease(("mysql", "of oracle"), || {
        let start = || Server::builder().of(Version::Oracle).start();
        Pair {
            source: start(),
            target: start(),
        }
    })
}

/// One of each kind: schemas have comments on MariaDB's, and none on MySQL's.
fn scenes() -> [Scene<'static>; 2] {
    let (maria, oracle) = (shared(), oracle());
    [
        Scene::on_any(&maria.source, &maria.target),
        Scene::on_any(&oracle.source, &oracle.target),
    ]
    .map(|scene| {
        scene.source("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)");
        scene
    })
}

impl Scene<'_> {
    /// The marks of all that is beside live.
    fn marks(&self) -> String {
        let mut all = String::new();
        for schema in self.beside_live() {
            let sql = if self.target.version() == Version::Oracle {
                format!(
                    "SELECT table_comment FROM information_schema.tables WHERE table_schema = '{schema}' AND table_name = 'envsyncd~mark'"
                )
            } else {
                format!(
                    "SELECT schema_comment FROM information_schema.schemata WHERE schema_name = '{schema}'"
                )
            };
            all += &format!("{schema}: {}\n", self.target.sql("", &sql));
        }
        all
    }
}

#[test]
fn a_previous_or_incoming_that_somebody_else_made_is_refused_by_name_and_stays() {
    for scene in scenes() {
        for suffix in [
            "_previous",
            "_incoming_0123456789ab",
            "_discarded_0123456789ab",
            "_staging_0123456789ab",
        ] {
            let theirs = format!("{}{suffix}", scene.to);
            scene.target.create_db(&theirs);
            scene.target.sql(
                &theirs,
                "CREATE TABLE precious (a int); INSERT INTO precious VALUES (7)",
            );
            let job = scene.job();
            scene.plan(&job).expect(3).says(&[&theirs, "mark"]);
            let file = scene.write(&job);
            scene.bed.once(&file).expect(3).says(&[&theirs]);
            let rolled_back = scene.bed.with_file("rollback", &file);
            assert_ne!(rolled_back.code, Some(0), "{suffix}");
            assert_eq!(scene.target.sql(&theirs, "SELECT a FROM precious"), "7");
            assert_eq!(scene.target.tables(&scene.to), Vec::<String>::new());
            scene
                .target
                .sql("", &format!("DROP DATABASE {}", quote(&theirs)));
        }
        // Nor one that is empty.
        let theirs = format!("{}_previous", scene.to);
        scene.target.create_db(&theirs);
        scene.plan(&scene.job()).expect(3).says(&[&theirs]);
        scene
            .target
            .sql("", &format!("DROP DATABASE {}", quote(&theirs)));
        scene.copy(&scene.job());
    }
}

#[test]
fn a_source_that_a_run_would_replace_is_refused() {
    for scene in scenes() {
        // A previous that is ours, as a source of the very target.
        scene.copy(&scene.job());
        let previous = format!("{}_previous", scene.to);
        let url = |database: &str| scene.target.url("root", database);
        let job = Job::between("mysql", &url(&previous), &url(&scene.to));
        let file = scene.bed.job("app", &job);
        scene
            .bed
            .with_file("plan", &file)
            .expect(3)
            .says(&[&previous]);
        scene.bed.once(&file).expect(3).says(&[&previous]);
        assert_eq!(scene.live("SELECT COUNT(*) FROM t"), "2");
        // And as a target of another job.
        let job = Job::between(
            "mysql",
            &scene.source.url("root", &scene.from),
            &url(&previous),
        );
        let file = scene.bed.job("other", &job);
        scene
            .bed
            .with_file("plan", &file)
            .expect(3)
            .says(&[&previous]);
        // To elsewhere it can be copied, without what is ours in it.
        let other = format!("{}_elsewhere", scene.to);
        let job = Job::between("mysql", &url(&previous), &url(&other));
        scene
            .bed
            .once(&scene.bed.job("app", &job))
            .expect(0)
            .says(&["envsyncd~journal"]);
        assert_eq!(scene.target.tables(&other), Vec::<String>::new());
    }
}

#[test]
fn what_a_run_makes_says_by_which_job_and_run_and_when() {
    for scene in scenes() {
        let gate = scene.bed.gate("on");
        let slow = scene.job().hooks(&gate.maintenance());
        let mut running = scene.bed.start(&scene.write(&slow));
        gate.wait(&mut running);
        let marks = scene.marks();
        assert!(marks.contains("_incoming_"), "{marks}");
        gate.open();
        running.end().expect(0);
        let run = scene.bed.status_text("app", "run_id");
        let previous = scene.marks();
        for marks in [marks, previous] {
            for part in ["envsyncd: job app, ", &run, "Z, for "] {
                assert!(marks.contains(part), "{part} is not in {marks}");
            }
        }
    }
}

#[test]
fn tables_that_are_called_like_a_journal_arrive_and_those_that_are_called_like_ours_are_refused() {
    for scene in scenes() {
        scene.source(
            "CREATE TABLE envsyncd_journal (id int PRIMARY KEY); INSERT INTO envsyncd_journal VALUES (42);
             CREATE TABLE envsyncd_next (id int PRIMARY KEY); INSERT INTO envsyncd_next VALUES (43);
             CREATE VIEW envsyncd_before AS SELECT 1 AS one;
             CREATE TRIGGER on_t BEFORE INSERT ON t FOR EACH ROW SET NEW.id = NEW.id + 100;
             CREATE TABLE `t~envsyncd` (id int PRIMARY KEY); INSERT INTO `t~envsyncd` VALUES (44);",
        );
        let job = scene.job();
        for _ in 0..2 {
            scene.copy(&job);
            assert_eq!(
                scene.live("SELECT id FROM envsyncd_journal UNION SELECT id FROM envsyncd_next UNION SELECT one FROM envsyncd_before UNION SELECT id FROM `t~envsyncd`"),
                "42\n43\n1\n44"
            );
        }
        scene
            .bed
            .with_file("rollback", &scene.write(&job))
            .expect(0);
        scene.live("INSERT INTO t VALUES (1000)");
        assert_eq!(scene.live("SELECT MAX(id) FROM t"), "1100");
        scene.source("CREATE TABLE `envsyncd~journal` (id int PRIMARY KEY)");
        scene
            .plan(&job)
            .expect(1)
            .says(&["envsyncd~journal", "rename"]);
        scene.copy(&scene.job().task("exclude = [\"envsyncd~journal\"]"));
        scene.live("CREATE VIEW `envsyncd~next` AS SELECT 1 AS one");
        scene.plan(&job).expect(1).says(&["envsyncd~"]);
    }
}

#[test]
fn a_previous_of_an_older_version_is_gone_back_to_and_replaced() {
    for scene in scenes() {
        scene.live("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (9); CREATE VIEW v AS SELECT id FROM t");
        let job = scene.job();
        scene.copy(&job);
        let previous = format!("{}_previous", scene.to);
        let age = || {
            let unmark = if scene.target.version() == Version::Oracle {
                "DROP TABLE IF EXISTS `envsyncd~mark`;".to_owned()
            } else {
                format!("ALTER DATABASE {} COMMENT '';", quote(&previous))
            };
            scene.target.sql(
                &previous,
                &format!("{unmark} ALTER TABLE `envsyncd~journal` COMMENT = '', RENAME TO envsyncd_journal"),
            );
        };
        age();
        scene.plan(&job).expect(0);
        scene
            .bed
            .with_file("rollback", &scene.write(&job))
            .expect(0);
        assert_eq!(scene.live("SELECT id FROM v"), "9");
        age();
        scene.copy(&job);
        assert_eq!(scene.live("SELECT COUNT(*) FROM t"), "2");
        assert_eq!(scene.target.sql(&previous, "SELECT id FROM t"), "9");
    }
}

#[test]
fn statements_that_somebody_puts_into_a_journal_are_run_by_nobody() {
    for scene in scenes() {
        scene.live(
            "CREATE TABLE t (id int PRIMARY KEY); CREATE VIEW v AS SELECT id FROM t; CREATE PROCEDURE p() SELECT 1",
        );
        let job = scene.job();
        scene.copy(&job);
        let file = scene.write(&job);
        let (previous, eve) = (
            format!("{}_previous", scene.to),
            format!("{}_eve", scene.to),
        );
        let journal = |sql: &str| scene.target.sql(&previous, sql);
        journal("CREATE TABLE kept AS SELECT * FROM `envsyncd~journal`");
        let make = format!("CREATE DATABASE {eve}");
        for (what, instead) in [
            (
                "VIEW `v` AS",
                format!("VIEW `v` AS select 1; {make}; CREATE VIEW `w` AS"),
            ),
            ("SET @envsyncd_mode", format!("{make}; SET @envsyncd_mode")),
            (
                "SET @envsyncd_mode",
                "SET GLOBAL max_connections = 77, @envsyncd_mode".to_owned(),
            ),
            (
                "CHARACTER SET",
                format!("READ ONLY = 1; {make}; ALTER DATABASE CHARACTER SET"),
            ),
            ("\"kind\":\"VIEW\"", "\"kind\":\"DATABASE\"".to_owned()),
            ("\"incoming\":\"", "\"incoming\":\"mysql".to_owned()),
            ("\"source\":\"", "\"source\":\"mysql".to_owned()),
        ] {
            let changed = journal(&format!(
                "UPDATE `envsyncd~journal` SET content = REPLACE(content, '{what}', '{instead}') WHERE part > 0; SELECT ROW_COUNT()"
            ));
            assert_eq!(changed, "1", "{what}");
            let says = ["envsyncd~journal", "nothing that a run of envsyncd writes"];
            scene.bed.with_file("rollback", &file).expect(1).says(&says);
            // Nor where a run has been cut short.
            journal("UPDATE `envsyncd~journal` SET content = 'begun' WHERE part = 0");
            scene.bed.once(&file).expect(1).says(&says);
            journal("REPLACE INTO `envsyncd~journal` SELECT * FROM kept");
        }
        // What stands behind a body is taken for a part of it, or for an error.
        journal(&format!(
            "UPDATE `envsyncd~journal` SET content = REPLACE(content, 'SELECT 1', 'SELECT 1; {make}') WHERE part > 0"
        ));
        scene
            .bed
            .with_file("rollback", &file)
            .expect(1)
            .says(&["procedure p"]);
        let made =
            format!("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{eve}'");
        assert_eq!(scene.target.sql("", &made), "0");
        assert_ne!(
            scene.target.sql("", "SELECT @@GLOBAL.max_connections"),
            "77"
        );
    }
}

#[test]
fn what_a_killed_run_had_only_begun_to_make_is_removed() {
    let pair = oracle();
    let scene = Scene::on_any(&pair.source, &pair.target);
    scene.source("CREATE TABLE t (id int PRIMARY KEY)");
    // Between the two statements that a schema takes where it has no comment.
    let begun = format!("{}_incoming_0123456789ab", scene.to);
    scene.target.sql(
        "",
        &format!(
            "CREATE DATABASE {} CHARACTER SET utf8mb4 COLLATE utf8mb4_esperanto_ci",
            quote(&begun)
        ),
    );
    scene
        .copy(&scene.job().task("previous = \"drop\""))
        .says(&[&begun]);
    scene.nothing_is_left();
}
