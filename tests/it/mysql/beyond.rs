//! Scripts that reach beyond their copy, and readers of live while it is published.

use std::io::Write;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::Scene;
use crate::support::mysql::{Server, Version, quote, shared};
use crate::support::wait_until;

/// Both databases on one server, of both makers.
fn on_one_server(test: impl Fn(&Scene<'_>)) {
    let oracle = Server::builder().of(Version::Oracle).start();
    for server in [&shared().target, &oracle] {
        let scene = Scene::on_any(server, server);
        scene.source("CREATE TABLE users (id int PRIMARY KEY, mail varchar(20)); INSERT INTO users VALUES (1, 'new')");
        scene.live("CREATE TABLE users (id int PRIMARY KEY, mail varchar(20)); INSERT INTO users VALUES (2, 'old')");
        test(&scene);
    }
}

#[test]
fn a_script_that_names_another_database_or_the_server_is_refused_before_it_does_anything() {
    on_one_server(|scene| {
        let (live, source) = (quote(&scene.to), quote(&scene.from));
        let user = format!("{}_user", scene.to);
        let job = scene.job().task("scripts = [\"s.sql\"]");
        for script in [
            format!("UPDATE {live}.users SET mail = 'x'"),
            format!("DELETE FROM {source}.users"),
            format!("DROP DATABASE {live}"),
            format!("DROP TABLE {live}.users"),
            format!("RENAME TABLE users TO {live}.u2"),
            format!("/*!40000 TRUNCATE {source}.users */"),
            format!("PREPARE s FROM 'DELETE FROM {live}.users'; EXECUTE s"),
            format!(
                "SET @a = CONCAT('DELETE FROM {live}.', 'users'); PREPARE s FROM @a; EXECUTE s"
            ),
            format!(
                "DELIMITER //\nCREATE PROCEDURE p() BEGIN DELETE FROM {live}.users; END//\nCALL p()//"
            ),
            format!("CREATE USER {user}"),
            format!("GRANT ALL ON {live}.* TO root@localhost"),
            "SET GLOBAL max_connections = 77".to_owned(),
            "SELECT * FROM users INTO OUTFILE '/tmp/x'".to_owned(),
        ] {
            scene.bed.file("s.sql", &format!("-- one\n{script}"));
            let outcome = scene.bed.once(&scene.write(&job));
            assert_ne!(outcome.code, Some(0), "{script}");
            outcome.says(&["s.sql:", "works on its copy alone"]);
            assert_eq!(scene.live("SELECT * FROM users"), "2|old", "{script}");
            assert_eq!(scene.source("SELECT * FROM users"), "1|new", "{script}");
            assert_eq!(scene.beside_live(), Vec::<String>::new());
        }
        // What only looks as if.
        scene.bed.file("s.sql", &format!("UPDATE users SET mail = '{live}.x' WHERE users.id IN (SELECT 1 FROM information_schema.TABLES); CREATE TABLE n AS SELECT u.id FROM users u"));
        scene.copy(&job);
        assert_eq!(scene.live("SELECT mail FROM users"), format!("{live}.x"));
    });
}

#[test]
fn what_a_script_does_elsewhere_by_statements_in_strings_is_found_afterwards() {
    on_one_server(|scene| {
        let (live, source) = (quote(&scene.to), quote(&scene.from));
        scene.source(
            "DELIMITER //
             CREATE PROCEDURE run(t text) BEGIN SET @t = t; PREPARE s FROM @t; EXECUTE s; END//",
        );
        let job = scene.job().task("scripts = [\"s.sql\"]");
        for (done, said, undo) in [
            (
                format!("UPDATE {live}.users SET mail = ''x''"),
                "table users",
                "UPDATE users SET mail = 'old'",
            ),
            (
                format!("CREATE TABLE {live}.more (a int)"),
                "table more",
                "DROP TABLE more",
            ),
            (
                format!("ALTER TABLE {live}.users ADD b int"),
                "users",
                "ALTER TABLE users DROP b",
            ),
        ] {
            scene.bed.file("s.sql", &format!("CALL run('{done}')"));
            scene.bed.once(&scene.write(&job)).expect(1).says(&[
                "s.sql",
                said,
                &scene.to,
                "is not its copy",
            ]);
            scene.live(undo);
            assert_eq!(scene.live("SELECT * FROM users"), "2|old");
        }
        scene
            .bed
            .file("s.sql", &format!("CALL run('DELETE FROM {source}.users')"));
        scene
            .bed
            .once(&scene.write(&job))
            .expect(1)
            .says(&["table users", &scene.from]);
        scene.source("INSERT INTO users VALUES (1, 'new')");
        scene
            .bed
            .file("s.sql", "CALL run('UPDATE users SET mail = ''hidden''')");
        scene.copy(&job);
        assert_eq!(scene.live("SELECT * FROM users"), "1|hidden");
    });
}

/// Somebody who reads live in a transaction that stays open.
fn idle(scene: &Scene<'_>) -> Child {
    let mut client = scene
        .target
        .client("root", &scene.to)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("a client");
    writeln!(
        client.stdin.as_mut().expect("its input"),
        "BEGIN; SELECT * FROM users;"
    )
    .expect("it reads");
    wait_until("somebody is in a transaction", || {
        // InnoDB keeps this list for as long as somebody reads it ten times a second.
        std::thread::sleep(Duration::from_millis(200));
        scene
            .target
            .sql("", "SELECT COUNT(*) FROM information_schema.INNODB_TRX")
            != "0"
    });
    client
}

#[test]
fn while_a_transaction_idles_in_live_readers_wait_for_a_second_at_a_time_and_the_rest_of_the_time_not_at_all()
 {
    for version in [Version::System, Version::Oracle] {
        let server = Server::builder()
            .of(version)
            .set("--general-log=1")
            .set("--log-output=TABLE")
            .start();
        let scene = Scene::on_any(&server, &server);
        scene.source("CREATE TABLE users (id int PRIMARY KEY); INSERT INTO users VALUES (1)");
        scene.live("CREATE TABLE users (id int PRIMARY KEY); INSERT INTO users VALUES (2)");
        let mut client = idle(&scene);
        let said = |what: &str| {
            server.sql("", &format!("SELECT COUNT(*) FROM mysql.general_log WHERE command_type = 'Query' AND argument LIKE '{what}'"))
                .parse::<u32>()
                .expect("a number")
        };
        let mut running = scene.bed.start(&scene.write(&scene.job()));
        wait_until("three tries", || {
            said("RENAME TABLE%") >= 3 || !running.is_running()
        });
        assert_eq!(scene.live("SELECT id FROM users"), "2");
        client.kill().expect("a client");
        client.wait().expect("a client");
        let outcome = running.end().expect(0);
        assert_eq!(scene.live("SELECT id FROM users"), "1");
        assert!(
            outcome.stderr.contains("others hold locks")
                && outcome.stderr.contains("user root")
                && outcome.stderr.contains("idle for"),
            "{}",
            outcome.stderr
        );
        // The session that renames, and that is before it renames.
        assert!(said("%lock_wait_timeout = 1, sql_quote_show_create%") >= 1);
    }
}
