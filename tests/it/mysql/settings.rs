//! Settings of servers that an application may like and a copy must not feel.

use super::Scene;
use crate::support::mysql::{Server, Version, shared};

/// Values that some modes refuse, change or read otherwise.
const ODD: &str = r#"SET sql_mode = '';
    CREATE TABLE odd (id int AUTO_INCREMENT PRIMARY KEY, d date NOT NULL DEFAULT '0000-00-00', t datetime, s timestamp NOT NULL DEFAULT '0000-00-00 00:00:00',
      b varchar(40) DEFAULT 'a\\b', q varchar(40) DEFAULT 'it''s', e enum('x','y'), c char(10), `we""ird ``name` int);
    INSERT INTO odd VALUES (1, '2024-02-31', '0000-00-00 00:00:00', '2024-01-01', 'a\\b\n', '''""', 'wrong', 'pad  ', 1),
      (2, '2024-00-00', NULL, 0, NULL, '', 'y', '', 2);
    SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
    INSERT INTO odd (id, b) VALUES (0, 'zero');
    CREATE TABLE wide (id int PRIMARY KEY, a varchar(8000), b varchar(8000)) ROW_FORMAT = DYNAMIC;
    INSERT INTO wide VALUES (1, REPEAT('a', 8000), REPEAT('b', 8000));"#;

/// A view, a trigger and a routine with strings in them.
const OBJECTS: &str = r#"CREATE VIEW said AS SELECT CONCAT("a\\b", 'it''s', email) AS what FROM users;
    CREATE FUNCTION slash() RETURNS varchar(20) DETERMINISTIC RETURN "\\\"";
    CREATE TRIGGER odd_in BEFORE INSERT ON `odd` FOR EACH ROW SET NEW.b = CONCAT(NEW.b, '\\"');"#;

#[test]
fn global_modes_of_either_server_change_nothing() {
    for mode in [
        "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,IGNORE_SPACE",
        "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,TRADITIONAL,NO_UNSIGNED_SUBTRACTION",
        "ORACLE,PAD_CHAR_TO_FULL_LENGTH,EMPTY_STRING_IS_NULL",
        "",
    ] {
        let start = || Server::with(&["--innodb-strict-mode=ON"]);
        let (source, target) = (start(), start());
        let scene = Scene::on(&source, &target);
        scene.source(ODD);
        scene.source(OBJECTS);
        for server in [&source, &target] {
            server.sql(
                "",
                &format!("SET GLOBAL sql_mode = '{mode}', GLOBAL foreign_key_checks = 0, GLOBAL autocommit = 0"),
            );
        }
        scene.copy(&scene.job().task("verify = \"checksum\""));
        for server in [&source, &target] {
            server.sql(
                "",
                "SET GLOBAL sql_mode = DEFAULT, GLOBAL foreign_key_checks = 1, GLOBAL autocommit = 1",
            );
        }
        scene.live_is_new();
        scene.assert_same();
    }
}

#[test]
fn other_global_settings_of_either_server_change_nothing() {
    let options = [
        "--character-set-server=latin1",
        "--collation-server=latin1_german1_ci",
        "--default-time-zone=-05:00",
        "--transaction-isolation=READ-COMMITTED",
        "--group-concat-max-len=4",
        "--max-sort-length=64",
        "--completion-type=CHAIN",
        "--innodb-default-row-format=COMPACT",
        "--lock-wait-timeout=5",
        "--init-connect=SET autocommit=0, sql_mode='ANSI'",
    ];
    let (source, target) = (Server::with(&options), Server::with(&options));
    let scene = Scene::on(&source, &target);
    scene.source(&format!("{ODD} COMMIT"));
    for server in [&source, &target] {
        server.sql("", "SET GLOBAL sql_select_limit = 3, GLOBAL sql_quote_show_create = 0, GLOBAL autocommit = 0");
    }
    // `init_connect` is not for root.
    scene.copy(&scene.modest_job().task("verify = \"checksum\""));
    for server in [&source, &target] {
        server.sql("", "SET GLOBAL sql_select_limit = DEFAULT, GLOBAL sql_quote_show_create = 1, GLOBAL autocommit = 1, GLOBAL group_concat_max_len = DEFAULT");
    }
    scene.live_is_new();
    scene.assert_same();
}

#[test]
fn a_read_only_target_is_said_to_be_that() {
    let target = Server::with(&[]);
    let scene = Scene::on(&shared().source, &target);
    target.sql("", "SET GLOBAL read_only = ON");
    scene.fails(&scene.modest_job(), &["target", "read-only", "replica"]);
    target.sql("", "SET GLOBAL read_only = OFF");
    scene.copy(&scene.modest_job());
    scene.live_is_new();
}

#[test]
fn mysqls_own_strict_settings_let_a_copy_through_or_name_what_they_refuse() {
    let start = |options: &[&str]| {
        let builder = Server::builder().of(Version::Oracle);
        options
            .iter()
            .fold(builder, |builder, option| builder.set(option))
            .start()
    };
    let source = start(&["--autocommit=0"]);
    let target = start(&[
        "--autocommit=0",
        "--sql-require-primary-key=ON",
        "--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES",
        "--sql-generate-invisible-primary-key=OFF",
        "--local-infile=0",
    ]);
    let scene = Scene::on_any(&source, &target);
    scene.source(r"CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, a varchar(20) DEFAULT 'a\\b', KEY (a)); INSERT INTO t (a) VALUES ('x\\y'), ('it''s'); COMMIT");
    scene.copy(&scene.job()).says(&["local_infile"]);
    assert_eq!(
        scene.live("SELECT GROUP_CONCAT(a ORDER BY id) FROM t"),
        r"x\y,it's"
    );
    scene.source("CREATE TABLE bare (a int); INSERT INTO bare VALUES (1); COMMIT");
    let outcome = scene.bed.once(&scene.write(&scene.job())).expect(1);
    outcome.says(&["bare", "sql_require_primary_key"]);
    assert_eq!(scene.live("SELECT COUNT(*) FROM t"), "2");
    scene.source("ALTER TABLE bare ADD PRIMARY KEY (a)");
    scene.copy(&scene.job());
    assert_eq!(scene.live("SELECT COUNT(*) FROM bare"), "1");
}
