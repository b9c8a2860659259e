use super::*;
use crate::store::mysql::dump::settings;

mod as_the_server_reads;

/// What becomes of each of these statements, the last one at the end; remarks are fed as such.
fn decided(statements: &[&str]) -> Result<Action, String> {
    decided_by(Definer::Map, &Selection::everything(), statements)
}

/// One for a server of MariaDB's.
fn fresh(definer: Definer, selection: &Selection) -> Allowed<'_> {
    let here = Version::parse("10.11.6-MariaDB").expect("a version");
    let settings = settings::tests::fresh();
    Allowed::new("new", false, definer, selection, here, settings)
}

fn decided_by(
    definer: Definer,
    selection: &Selection,
    statements: &[&str],
) -> Result<Action, String> {
    let mut allowed = fresh(definer, selection);
    let mut last = Err("nothing".to_owned());
    for (at, statement) in statements.iter().enumerate() {
        if statement.starts_with("--") {
            allowed.remark(statement.as_bytes());
            continue;
        }
        last = allowed.decide(statement.as_bytes(), Dialect::default());
        assert!(
            last.is_ok() || at + 1 == statements.len(),
            "{statement}: {last:?}"
        );
    }
    last
}

const HEADER: &str = "-- Host: localhost    Database: app";
const TABLE: &str = "CREATE TABLE `t` (`a` int DEFAULT NULL) ENGINE=InnoDB";

#[allow(clippy::unnecessary_wraps)] // it stands beside what `decided` says
fn run(text: &str) -> Result<Action, String> {
    Ok(Action::Run(text.into()))
}

#[test]
fn what_dumps_consist_of_is_run() {
    for (sql, sent) in [
        ("DROP TABLE IF EXISTS `t`", ""),
        (
            "/*!50001 DROP VIEW IF EXISTS `a ``top`*/",
            "DROP VIEW IF EXISTS `a ``top`",
        ),
        (
            "/*!50003 DROP PROCEDURE IF EXISTS `p` */",
            "DROP PROCEDURE IF EXISTS `p`",
        ),
        ("DROP SEQUENCE IF EXISTS `s`", ""),
        ("DROP PACKAGE BODY IF EXISTS `k`", ""),
        (
            "/*!40000 ALTER TABLE `t` DISABLE KEYS */",
            "ALTER TABLE `t` DISABLE KEYS",
        ),
        (
            "CREATE TABLE `u` (`id` int, `app` int, CONSTRAINT `c` FOREIGN KEY (`id`) REFERENCES `other`.`t` (`a`)) ENGINE=MyISAM",
            "",
        ),
        ("CREATE SEQUENCE `s` start with -100 minvalue -1000", ""),
        ("CREATE PROCEDURE `p`() DELETE FROM other.t", ""),
        (
            "CREATE AGGREGATE FUNCTION `f`(x int) RETURNS int RETURN 1",
            "",
        ),
        ("CREATE PACKAGE BODY `k` AS END", ""),
        (
            "/*!50003 CREATE*/ /*!50003 TRIGGER z BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1 */",
            "CREATE    TRIGGER z BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1",
        ),
    ] {
        let sent = if sent.is_empty() { sql } else { sent };
        assert_eq!(decided(&[HEADER, TABLE, sql]), run(sent), "{sql}");
    }
    let view = "/*!50001 CREATE VIEW `v` AS SELECT\n NULL AS `a`*/";
    let sent = "CREATE VIEW `v` AS SELECT\n NULL AS `a`";
    assert_eq!(decided(&[view]), Ok(Action::View(sent.into())));
    for sql in [
        "LOCK TABLES `t` WRITE",
        "UNLOCK TABLES",
        "USE `app`",
        "SET @@SESSION.SQL_LOG_BIN= 0",
        "commit",
        "/*!80002 ANALYZE TABLE `t` UPDATE HISTOGRAM ON `a` WITH 9 BUCKETS */",
    ] {
        assert_eq!(decided(&[HEADER, TABLE, sql]), Ok(Action::Skip), "{sql}");
    }
    assert!(matches!(
        decided(&[HEADER, TABLE, "INSERT INTO `t` VALUES (1),(2)"]),
        Ok(Action::Rows(_, Rows { count: 2, .. }))
    ));
    assert_eq!(
        decided(&["CREATE SEQUENCE `s`", "DO SETVAL(`s`, -114, 0)"]),
        run("DO SETVAL(`s`, -114, 0)")
    );
}

#[test]
fn what_reaches_out_of_the_staging_schema_is_refused() {
    for sql in [
        "USE other",
        "USE mysql",
        "DROP DATABASE app",
        "DROP DATABASE IF EXISTS other",
        "CREATE DATABASE other",
        "ALTER DATABASE other CHARACTER SET latin1",
        "ALTER DATABASE app READ ONLY = 1",
        "DROP TABLE IF EXISTS other.t",
        "DROP TABLE IF EXISTS `t`, `other`.`t`",
        "DROP USER root",
        "CREATE USER eve",
        "CREATE ROLE eve",
        "CREATE OR REPLACE USER eve",
        "CREATE DEFINER=root USER eve",
        "CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')",
        "CREATE TABLE other.t (a int)",
        "CREATE TABLE u (a int DEFAULT nextval(`other`.`s`))",
        "CREATE TABLE u AS SELECT * FROM other.t",
        "CREATE TABLE u (a int) SELECT 1",
        "CREATE TABLE u LIKE other.t",
        "CREATE TABLE u (a int) ENGINE=FEDERATED CONNECTION='mysql://x'",
        "CREATE TABLE u (a int) ENGINE=MRG_MyISAM UNION=(`t`)",
        "CREATE FUNCTION f RETURNS STRING SONAME 'lib.so'",
        "CREATE TRIGGER z BEFORE INSERT ON other.t FOR EACH ROW SET @a = 1",
        "CREATE TRIGGER z BEFORE INSERT ON `nothing` FOR EACH ROW SET @a = 1",
        "CREATE PROCEDURE other.p() SELECT 1",
        "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1",
        "ALTER TABLE t ADD COLUMN b int",
        "ALTER TABLE other.t ENABLE KEYS",
        "ALTER USER root IDENTIFIED BY 'x'",
        "INSERT INTO other.t VALUES (1)",
        "INSERT INTO `nothing` VALUES (1)",
        "INSERT INTO `t` SELECT * FROM other.t",
        "UPDATE t SET a = 1",
        "DELETE FROM t",
        "TRUNCATE t",
        "GRANT ALL ON *.* TO eve",
        "/*!40000 GRANT ALL ON *.* TO eve */",
        "REVOKE ALL ON *.* FROM eve",
        "FLUSH PRIVILEGES",
        "SHUTDOWN",
        "KILL 1",
        "INSTALL PLUGIN x SONAME 'y'",
        "LOAD DATA INFILE '/etc/passwd' INTO TABLE t",
        "SELECT * INTO OUTFILE '/tmp/x' FROM t",
        "SELECT SETVAL(other.s, 1, 0)",
        "DO SLEEP(1)",
        "CALL p()",
        "PREPARE s FROM 'x'",
        "RENAME TABLE t TO other.t",
        "CHANGE MASTER TO MASTER_HOST = 'x'",
        "SET GLOBAL sql_mode = ''",
        "HANDLER t OPEN",
        "XA START 'x'",
        "LOCK INSTANCE FOR BACKUP",
        "START SLAVE",
        "source x",
    ] {
        assert!(decided(&[HEADER, TABLE, sql]).is_err(), "{sql}");
    }
}

#[test]
fn a_dump_that_names_its_one_database_is_restored_beside_live() {
    let databases = [
        HEADER,
        "/*!40000 DROP DATABASE IF EXISTS `app`*/",
        "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `app` /*!40100 DEFAULT CHARACTER SET latin1 COLLATE latin1_bin */",
    ];
    assert!(matches!(decided(&databases[..2]), Ok(Action::Told(_))));
    assert_eq!(
        decided(&databases),
        run("ALTER DATABASE `new` CHARACTER SET latin1 COLLATE latin1_bin")
    );
    // Without remarks its first words say it.
    assert_eq!(
        decided(&[
            "CREATE DATABASE `app` /*!80016 DEFAULT ENCRYPTION='N' */",
            "USE `app`"
        ]),
        Ok(Action::Skip)
    );
    assert!(decided(&["USE `app`", TABLE, "USE `other`"]).is_err());
    assert_eq!(
        decided(&[
            HEADER,
            "/*!50003 ALTER DATABASE `app` CHARACTER SET latin1 COLLATE latin1_swedish_ci */"
        ]),
        run("ALTER DATABASE `new` CHARACTER SET latin1 COLLATE latin1_swedish_ci")
    );
}

#[test]
fn what_names_the_dumped_database_names_the_staging_schema_and_no_other() {
    for (sql, made) in [
        (
            "CREATE TABLE `n` (`id` bigint DEFAULT nextval(`app`.`s`), `app` int) DATA DIRECTORY='/x'",
            "CREATE TABLE `n` (`id` bigint DEFAULT nextval(`new`.`s`), `app` int)",
        ),
        (
            "CREATE DEFINER=`a`@`%` PROCEDURE `p`() DELETE FROM app.t WHERE x = 'app.t'",
            "CREATE PROCEDURE `p`() DELETE FROM `new`.t WHERE x = 'app.t'",
        ),
        (
            "/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 TRIGGER app.z AFTER INSERT ON app . t FOR EACH ROW SET @a = 1 */",
            "CREATE    TRIGGER `new`.z AFTER INSERT ON `new` . t FOR EACH ROW SET @a = 1",
        ),
    ] {
        assert_eq!(decided(&[HEADER, TABLE, sql]), run(made), "{sql}");
    }
    let procedure = "CREATE PROCEDURE `p`() SELECT app.a";
    let table = "CREATE TABLE `app` (`a` int)";
    assert!(decided(&[HEADER, table, procedure]).is_err());
    assert!(decided(&[HEADER, procedure, table]).is_err());
    assert!(decided(&[HEADER, procedure, TABLE]).is_ok());
}

#[test]
fn a_definer_is_kept_where_the_task_says_so() {
    let sql = "CREATE DEFINER=`a`@`%` PROCEDURE `p`() SELECT 1";
    let kept = decided_by(Definer::Keep, &Selection::everything(), &[HEADER, sql]);
    assert_eq!(kept, run(sql));
}

#[test]
fn events_sleep_and_it_is_known_which_did_not() {
    let selection = Selection::everything();
    let mut allowed = fresh(Definer::Map, &selection);
    for (sql, made) in [
        (
            "/*!50106 CREATE*/ /*!50117 DEFINER=`r`@`%`*/ /*!50106 EVENT `größe` ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 00:00:00' ON COMPLETION NOT PRESERVE ENABLE DO SELECT 'ENABLE' */",
            Action::Run("CREATE    EVENT `größe` ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 00:00:00' ON COMPLETION NOT PRESERVE DISABLE DO SELECT 'ENABLE'".into()),
        ),
        (
            "CREATE EVENT `b` ON SCHEDULE AT '2001-01-01 00:00:00' ON COMPLETION PRESERVE DISABLE ON SLAVE DO SELECT 1",
            Action::Early("CREATE EVENT `b` ON SCHEDULE AT '2001-01-01 00:00:00' ON COMPLETION PRESERVE DISABLE DO SELECT 1".into()),
        ),
    ] {
        assert_eq!(allowed.decide(sql.as_bytes(), Dialect::default()), Ok(made));
    }
    let awake: Vec<_> = allowed.awake().into_iter().collect();
    assert_eq!(
        awake,
        [
            ("b".to_owned(), "DISABLE ON SLAVE".to_owned()),
            ("größe".to_owned(), "ENABLE".to_owned())
        ]
    );
}

#[test]
fn rows_come_before_triggers_and_only_where_they_are_wanted() {
    let trigger = "CREATE TRIGGER z BEFORE INSERT ON `t` FOR EACH ROW SET NEW.a = 1";
    let rows = "INSERT INTO `t` VALUES (1)";
    assert!(decided(&[TABLE, trigger, rows]).is_err());
    assert!(decided(&[TABLE, trigger, "DROP TABLE IF EXISTS `t`", TABLE, rows]).is_ok());
    // Into a view they would go to who knows where.
    assert!(
        decided(&[
            "CREATE VIEW `v` AS SELECT * FROM other.t",
            "INSERT INTO `v` VALUES (1)"
        ])
        .is_err()
    );
}

#[test]
fn a_dump_is_whole_if_it_says_so_at_its_end() {
    let said = |statements: &[&str]| {
        let selection = Selection::everything();
        let mut allowed = fresh(Definer::Map, &selection);
        for statement in statements {
            if statement.starts_with("--") {
                allowed.remark(statement.as_bytes());
            } else {
                allowed
                    .decide(statement.as_bytes(), Dialect::default())
                    .expect(statement);
            }
        }
        allowed.whole()
    };
    let header = "-- MySQL dump 10.13  Distrib 8.0.35, for Linux (x86_64)";
    let completed = "-- Dump completed on 2024-01-01  0:00:00";
    let notes = "/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */";
    let back = "/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */";
    assert!(said(&[header, notes, TABLE, back, completed]).is_ok());
    assert!(said(&[notes, TABLE, back]).is_ok());
    for cut in [
        &[header, notes, TABLE, back][..],
        &[header, notes, TABLE],
        &[notes, TABLE],
        &[header, notes, TABLE, back, completed, header, notes],
        &[notes, TABLE, back, TABLE],
        &[TABLE],
        &[],
    ] {
        assert!(said(cut).is_err(), "{cut:?}");
    }
}

#[test]
fn sql_that_hides_is_refused_or_is_not_there() {
    // What two readers may cut or read differently, each with something behind it that would reach out.
    for sql in [
        "CREATE TABLE u (a int); DROP DATABASE live",
        "CREATE TABLE u (a int) SELECT * FROM live.t",
        "CREATE TABLE u (a int) ENGINE=\u{b}CONNECT",
        "CREATE TABLE u (a int) ENGINE='CONNECT'",
        "CREATE TABLE u (a int) ENGINE /* x */ = CONNECT",
        "CREATE TABLE u (a int) START TRANSACTION",
        "CREATE SEQUENCE s ENGINE=CONNECT",
        "CREATE SEQUENCE live.s",
        "/*!40000 CREATE TABLE u (a int) /*!40000 */ DROP DATABASE live */",
        "/*!40000 INSERT INTO `t` VALUES (1) */",
        "/*!99999 CREATE TABLE u (a int) */ DROP DATABASE live",
        "/*!99999 CREATE PROCEDURE p() */ DROP DATABASE live",
        "/*!50701 CREATE PROCEDURE p() */ DROP DATABASE live",
        "/*!99999 SET sql_notes = 1 */ SET GLOBAL sql_notes = 1",
        "SET sql_notes = 1 */ GLOBAL sql_notes = 1",
        "INSERT INTO `t` VALUES (1); DROP DATABASE live",
        "INSERT INTO `t` VALUES ('\\'), (SLEEP(1), '')",
        "INSERT INTO `t` VALUES (1) /*!40000 ON DUPLICATE KEY UPDATE a = live.f() */",
        "INSERT INTO `t` VALUES (1\u{a0})",
        "INSERT /*+ SET_VAR(sql_mode = 'ANSI_QUOTES') */ INTO `t` VALUES (1)",
        "DROP TABLE `t` /*!40000 , live.t */",
        "ALTER TABLE `t` /*!40000 DISABLE KEYS, RENAME TO live.t */",
        "ALTER DATABASE app CHARACTER SET latin1 /*!40000 READ ONLY = 1 */",
    ] {
        let found = decided(&[HEADER, TABLE, sql]);
        assert!(found.is_err(), "{sql}: {found:?}");
    }
    // To this server it is a comment and no more.
    for sql in [
        "/*!99999 DROP DATABASE live */",
        "/*!80016 SET GLOBAL a = 1 */",
        "/*!999999 SET character_set_client = gbk */",
    ] {
        assert_eq!(decided(&[HEADER, TABLE, sql]), Ok(Action::Skip), "{sql}");
    }
    // What is over-long is not even read.
    let long = format!("CREATE TABLE u ({})", "a int, ".repeat(LONGEST / 6));
    assert!(decided(&[&long]).is_err_and(|why| why.contains("bytes")));
}

#[test]
fn outside_of_quotes_there_is_nothing_that_a_character_set_could_make_a_blank_of() {
    let selection = Selection::everything();
    for (sql, passes_utf8) in [
        (&b"CREATE TABLE u (a int) ENGINE\xa0=\xa0CONNECT"[..], false),
        (b"CREATE PROCEDURE gr\xc3\xb6\xc3\x9fe() SELECT 1", true),
    ] {
        let mut allowed = fresh(Definer::Map, &selection);
        let decided = allowed.decide(sql, Dialect::default());
        assert_eq!(decided.is_ok(), passes_utf8);
        let names = allowed.decide(b"SET NAMES latin1", Dialect::default());
        assert!(matches!(names, Ok(Action::Set(_))));
        assert!(allowed.decide(sql, Dialect::default()).is_err());
    }
}
