//! What servers change without a word on the way of a table, and what a script leaves behind: kept, or an error.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use super::Scene;
use crate::support::job::Job;
use crate::support::mysql::{Server, Version, shared};

fn oracle(options: &[&str]) -> Server {
    let builder = Server::builder().of(Version::Oracle);
    options
        .iter()
        .fold(builder, |builder, option| builder.set(option))
        .start()
}

/// Tables with foreign keys to what is not there; one has a trigger, and so gets it before it is live.
const ORPHANS: &str = "SET foreign_key_checks = 0;
    CREATE TABLE child (id int PRIMARY KEY, k int, KEY (k), CONSTRAINT c1 FOREIGN KEY (k) REFERENCES nowhere (id) ON DELETE CASCADE);
    CREATE TABLE other (id int PRIMARY KEY, k int, KEY (k), CONSTRAINT c2 FOREIGN KEY (k) REFERENCES nothing (id));
    CREATE TRIGGER t BEFORE INSERT ON other FOR EACH ROW SET NEW.k = 1;
    INSERT INTO child VALUES (1, 7);";

fn orphans_name_their_parents(source: &Server, target: &Server) {
    let scene = Scene::on_any(source, target);
    scene.source(ORPHANS);
    let shown = |table: &str| {
        let made = scene.live(&format!("SHOW CREATE TABLE {table}"));
        assert!(
            !made.contains("_incoming_") && !made.contains("~envsyncd"),
            "{made}"
        );
        made
    };
    let file = scene.write(&scene.job());
    for _ in 0..2 {
        scene.bed.once(&file).expect(0);
        assert!(
            shown("child")
                .contains("`c1` FOREIGN KEY (`k`) REFERENCES `nowhere` (`id`) ON DELETE CASCADE")
        );
        assert!(shown("other").contains("`c2` FOREIGN KEY (`k`) REFERENCES `nothing` (`id`)"));
    }
    let previous = format!("{}_previous", scene.to);
    let made = target.sql(&previous, "SHOW CREATE TABLE child");
    assert!(made.contains("REFERENCES `nowhere`"), "{made}");
    scene.bed.with_file("rollback", &file).expect(0);
    assert!(shown("child").contains("REFERENCES `nowhere` (`id`)"));
    assert_eq!(scene.live("SELECT k FROM child"), "7");
}

#[test]
fn a_foreign_key_to_a_missing_table_names_that_table_of_live() {
    let pair = shared();
    orphans_name_their_parents(&pair.source, &pair.target);
    let (source, target) = (oracle(&[]), oracle(&[]));
    orphans_name_their_parents(&source, &target);
}

/// A date that no calendar has, and error values of an ENUM, beside a member that is called like one.
const ODD: &str = "SET sql_mode = 'ALLOW_INVALID_DATES';
    CREATE TABLE odd (id int PRIMARY KEY, d date DEFAULT '2021-02-30', t datetime, e enum('a','b'), f enum('','x','?'), s set('p','q'));
    INSERT INTO odd VALUES (1, '2021-02-31', '2021-04-31 10:00:00', 'z', '', ''), (2, '2021-00-31', '0000-00-00', 'a', 'z', 'p,q'), (3, NULL, NULL, NULL, '?', NULL);";

const SAID: &str = "SELECT GROUP_CONCAT(CONCAT_WS(',', id, IFNULL(CONCAT(d), '-'), IFNULL(CONCAT(t), '-'), IFNULL(e + 0, '-'), f + 0, IFNULL(s + 0, '-')) ORDER BY id SEPARATOR ' ') FROM odd";
const WANTED: &str =
    "1,2021-02-31,2021-04-31 10:00:00,0,1,0 2,2021-00-31,0000-00-00 00:00:00,1,0,3 3,-,-,-,3,-";

#[test]
fn dates_that_no_calendar_has_and_error_values_of_enums_are_what_they_were() {
    let pair = shared();
    let off = Server::with(&["--local-infile=0"]);
    let (source, target) = (oracle(&[]), oracle(&[]));
    for (source, target) in [
        (&pair.source, &pair.target),
        (&pair.source, &off),
        (&source, &target),
    ] {
        let scene = Scene::on_any(source, target);
        scene.source(ODD);
        scene.copy(&scene.job().task("verify = \"checksum\""));
        assert_eq!(scene.live(SAID), WANTED);
        // Several small tables take another way.
        scene.source("SET sql_mode = 'ALLOW_INVALID_DATES'; CREATE TABLE more LIKE odd; CREATE TABLE most (id int PRIMARY KEY)");
        scene.copy(&scene.job().task("verify = \"checksum\""));
        assert_eq!(scene.live(SAID), WANTED);
    }
}

#[test]
fn a_time_that_the_target_does_not_know_is_an_error_without_its_value() {
    let source = Server::builder().of(Version::Newer).start();
    let scene = Scene::on_any(&source, &shared().target);
    scene.source("SET time_zone = '+00:00'; CREATE TABLE t (id int PRIMARY KEY, at timestamp NULL) COLLATE utf8mb4_general_ci; INSERT INTO t VALUES (1, '2100-03-04 05:06:07')");
    let outcome = scene.bed.once(&scene.write(&scene.job())).expect(1);
    outcome.says(&["copying t", "warning", "of column `at`"]);
}

#[test]
fn a_script_that_leaves_a_transaction_open_is_an_error_and_never_undone() {
    let pair = shared();
    let (source, target) = (oracle(&[]), oracle(&[]));
    for (source, target) in [(&pair.source, &pair.target), (&source, &target)] {
        let scene = Scene::on_any(source, target);
        scene.source("CREATE TABLE t (id int PRIMARY KEY, mail varchar(50)); INSERT INTO t VALUES (1, 'raw')");
        let job = scene.job().task("scripts = [\"s.sql\"]");
        let prepared = "DELIMITER //\nCREATE PROCEDURE p() BEGIN XA START 'left'; UPDATE t SET mail = 'x'; XA END 'left'; XA PREPARE 'left'; END//\nDELIMITER ;\nCALL p();";
        for (script, said) in [
            (
                "START TRANSACTION; UPDATE t SET mail = 'x';",
                "open transaction",
            ),
            ("BEGIN; UPDATE t SET mail = 'x'", "open transaction"),
            (
                "SET autocommit = 0; UPDATE t SET mail = 'x';",
                "open transaction",
            ),
            (
                "SET completion_type = 'CHAIN'; BEGIN; COMMIT; UPDATE t SET mail = 'x';",
                "open transaction",
            ),
            ("XA START 'a'; UPDATE t SET mail = 'x'", "XA is refused"),
            (prepared, "prepared transaction"),
        ] {
            scene.bed.file("s.sql", script);
            let outcome = scene.bed.once(&scene.write(&job));
            assert_ne!(outcome.code, Some(0), "{script}");
            outcome.says(&["s.sql", said]);
            assert_eq!(
                scene.target.tables(&scene.to),
                Vec::<String>::new(),
                "{script}"
            );
            assert_eq!(scene.target.sql("", "XA RECOVER"), "");
        }
        for script in [
            "SET autocommit = 0; UPDATE t SET mail = 'x'; COMMIT;",
            "LOCK TABLES t WRITE; UPDATE t SET mail = 'x';",
        ] {
            scene.bed.file("s.sql", script);
            scene.copy(&job);
            assert_eq!(scene.live("SELECT mail FROM t"), "x", "{script}");
        }
    }
}

#[test]
fn scripts_run_under_the_targets_own_settings_and_rows_do_not() {
    let options = [
        "--default-time-zone=+03:00",
        "--sql-mode=STRICT_ALL_TABLES,NO_BACKSLASH_ESCAPES,NO_ZERO_DATE,NO_ZERO_IN_DATE",
    ];
    let (source, target) = (Server::with(&[]), Server::with(&options));
    let scene = Scene::on_any(&source, &target);
    scene.source("SET sql_mode = ''; CREATE TABLE t (id int PRIMARY KEY, d date, at timestamp NULL); INSERT INTO t VALUES (1, '0000-00-00', '2026-01-02 03:04:05')");
    let own = r"CREATE TABLE said AS SELECT @@sql_mode AS mode, @@time_zone AS zone, '\' AS slash;";
    scene.bed.file("s.sql", own);
    for server in [&source, &target] {
        server.sql("", "SET GLOBAL tx_read_only = 1");
    }
    let outcome = scene
        .bed
        .once(&scene.write(&scene.job().task("scripts = [\"s.sql\"]")));
    for server in [&source, &target] {
        server.sql(
            "",
            "SET SESSION TRANSACTION READ WRITE; SET GLOBAL tx_read_only = 0",
        );
    }
    outcome.expect(0);
    assert_eq!(
        scene.live("SELECT * FROM said"),
        r"NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE|+03:00|\"
    );
    assert_eq!(
        scene.live("SELECT d, at - INTERVAL 3 HOUR FROM t"),
        "0000-00-00|2026-01-02 03:04:05"
    );
    scene.bed.file("s.sql", "UPDATE t SET id = 'no number'");
    let job = scene.job().task("scripts = [\"s.sql\"]");
    scene.bed.once(&scene.write(&job)).expect(1);
}

/// A server behind something that passes statements on, but for one setting.
fn forgetful(server: &Server, place: &std::path::Path) {
    let listener = UnixListener::bind(place).expect("a socket");
    let server = server.socket();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(behind) = UnixStream::connect(&server) else {
                return;
            };
            let pass = |mut from: UnixStream, mut to: UnixStream, changes: bool| {
                std::thread::spawn(move || {
                    let mut buffer = vec![0; 1 << 16];
                    while let Ok(length @ 1..) = from.read(&mut buffer) {
                        let (set, other) =
                            (b", wait_timeout = 31536000", b", wait_timeout = 00000028");
                        let place = buffer[..length].windows(set.len()).position(|at| at == set);
                        if let (Some(at), true) = (place, changes) {
                            buffer[at..at + set.len()].copy_from_slice(other);
                        }
                        if to.write_all(&buffer[..length]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            };
            let (here, there) = (client.try_clone().unwrap(), behind.try_clone().unwrap());
            pass(client, behind, true);
            pass(there, here, false);
        }
    });
}

#[test]
fn a_connection_whose_settings_do_not_stick_is_refused() {
    let scene = Scene::new();
    let place = scene.bed.path("forgetful");
    forgetful(scene.source, &place);
    let job = Job::between(
        "mysql",
        &crate::support::mysql::socket_url(&place, "root", &scene.from),
        &scene.target.url("root", &scene.to),
    );
    let outcome = scene.bed.once(&scene.write(&job)).expect(1);
    outcome.says(&["wait_timeout is not what it was set to", "directly"]);
    scene.live_is_old();
}

#[test]
fn long_rows_are_summed_up_whatever_the_packets_are_or_refused_by_name() {
    let (source, target) = (
        Server::with(&["--max-allowed-packet=64M", "--innodb-log-file-size=256M"]),
        Server::with(&["--max-allowed-packet=1M", "--innodb-log-file-size=256M"]),
    );
    let scene = Scene::on_any(&source, &target);
    scene.source("CREATE TABLE t (id int PRIMARY KEY, a longblob, b longtext, c varchar(100)); INSERT INTO t VALUES (1, REPEAT('x', 3000000), REPEAT('é', 1000000), 'c'), (2, 'short', NULL, 'd')");
    scene.copy(&scene.job().task("verify = \"checksum\""));
    assert_eq!(scene.live("SELECT SUM(LENGTH(a)) FROM t"), "3000005");
    target.sql("", "SET GLOBAL max_allowed_packet = 65536");
    scene.source("INSERT INTO t VALUES (3, REPEAT('x', 100000), '', '')");
    // What is read back needs no text of a whole row.
    scene.copy(&scene.job().task("verify = \"checksum\""));
    // A text that is NULL to a server is equal to nothing.
    scene.source("ALTER TABLE t ADD COLUMN d int AS (LENGTH(c)) STORED");
    let outcome = scene
        .bed
        .once(&scene.write(&scene.job().task("verify = \"checksum\"")));
    outcome
        .expect(1)
        .says(&["checksum of t", "max_allowed_packet of 65536"]);
}

#[test]
fn libraries_and_duality_views_of_mysql_arrive() {
    let (source, target) = (oracle(&[]), oracle(&[]));
    let scene = Scene::on_any(&source, &target);
    scene.source("DELIMITER //\nCREATE LIBRARY l1 LANGUAGE JAVASCRIPT AS $$ export function f(n) { return \"it's `\" + n; } $$//\nDELIMITER ;\n\
        CREATE TABLE t (id int PRIMARY KEY, a varchar(10)); INSERT INTO t VALUES (1, 'x');\n\
        CREATE JSON RELATIONAL DUALITY VIEW dv AS SELECT JSON_DUALITY_OBJECT('_id': id, 'a': a) FROM t;");
    for _ in 0..2 {
        scene.copy(&scene.job());
        assert_eq!(
            scene.live("SHOW CREATE LIBRARY l1"),
            scene.source("SHOW CREATE LIBRARY l1")
        );
        assert_eq!(scene.live("SELECT JSON_VALUE(data, '$.a') FROM dv"), "x");
    }
}

#[test]
fn lives_defaults_are_the_sources_and_come_back_with_previous() {
    let scene = Scene::new();
    let asked = "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata WHERE schema_name = DATABASE()";
    let before = scene.live(asked);
    scene.source(&format!(
        "ALTER DATABASE `{}` CHARACTER SET latin1 COLLATE latin1_german1_ci",
        scene.from
    ));
    let file = scene.write(&scene.job());
    scene.bed.once(&file).expect(0);
    assert_eq!(scene.live(asked), "latin1|latin1_german1_ci");
    scene.bed.with_file("rollback", &file).expect(0);
    assert_eq!(scene.live(asked), before);
}
