//! A database at rest, restored with nothing but the store's own client.

use std::fs::File;
use std::io::Write;
use std::process::{Command, Stdio};

use super::*;

impl Scene<'_> {
    /// The client as a person would call it, in a database of the target's.
    fn client(&self, database: &str, options: &[&str]) -> Command {
        let mut client = self.target.client("root", database);
        client.arg("--comments").args(options);
        client
    }

    /// Restores with nothing but the client.
    fn restore_by_hand(&self, rest: &Rest, database: &str) {
        self.target.create_db(database);
        let folder = tempfile::tempdir().expect("a directory");
        let file = |name: &str, content: &[u8]| {
            let path = folder.path().join(name);
            File::create(&path)
                .and_then(|mut file| file.write_all(content))
                .expect("a file");
            File::open(path).expect("a file")
        };
        let script = |script: &Script| {
            let input = file(&script.name, script.text.as_bytes());
            must(self.client(database, &[]).stdin(input), &script.name);
        };
        let (before, after): (Vec<&Script>, Vec<&Script>) = rest
            .scripts
            .iter()
            .partition(|script| script.name.starts_with('1'));
        before.into_iter().for_each(script);
        for plain in &rest.rows {
            let mut client = self.client(
                database,
                &[
                    "--local-infile=1",
                    "--show-warnings",
                    "-e",
                    &plain.statement,
                ],
            );
            // A pipe, as zstd's would be.
            let mut cat = Command::new("cat")
                .stdin(file("rows", &plain.bytes))
                .stdout(Stdio::piped())
                .spawn()
                .expect("cat");
            must(
                client.stdin(cat.stdout.take().expect("piped")),
                &plain.statement,
            );
            cat.wait().expect("cat");
        }
        after.into_iter().for_each(script);
    }
}

#[track_caller]
fn must(command: &mut Command, what: &str) {
    let output = command.output().expect("a client");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {error}");
}

#[test]
fn a_database_at_rest_is_restored_by_the_client_alone() {
    let scene = Scene::empty();
    scene.source(EVERYTHING);
    let rest = run(push(&scene, &exact(&scene))).expect("a push");
    let names: Vec<&str> = rest
        .scripts
        .iter()
        .map(|script| script.name.as_str())
        .collect();
    assert_eq!(names, ["1-before-rows", "3-after-rows", "4-events"]);
    scene.restore_by_hand(&rest, &scene.to);
    // No client can make these.
    scene.source("DROP VIEW broken, on_broken");
    scene.assert_same();
}

#[test]
fn oracle_s_database_at_rest_is_restored_by_the_client_alone() {
    let server = Server::builder().of(Version::Oracle).start();
    let scene = Scene::without_databases(&server, &server);
    server.create_db(&scene.from);
    scene.source(ORACLE);
    let rest = run(push(&scene, &exact(&scene))).expect("a push");
    scene.restore_by_hand(&rest, &scene.to);
    scene.assert_same();
}

#[test]
fn what_names_its_schema_is_restored_into_another_one() {
    let scene = Scene::new();
    scene.source(&format!(
        "CREATE VIEW v AS SELECT u.id FROM `{0}`.users AS u;
         CREATE FUNCTION f() RETURNS int READS SQL DATA RETURN (SELECT count(*) FROM {0}.users);
         CREATE TRIGGER t BEFORE INSERT ON {0}.orders FOR EACH ROW SET NEW.note = (SELECT count({0}.users.id) FROM {0} . users);
         CREATE SEQUENCE s; CREATE TABLE numbered (id bigint DEFAULT NEXTVAL({0}.s) PRIMARY KEY)",
        scene.from
    ));
    let rest = run(push(&scene, &scene.job())).expect("a push");
    let restored = format!("{}_by_hand", scene.to);
    scene.restore_by_hand(&rest, &restored);
    let ask = |sql: &str| scene.target.sql(&restored, sql);
    assert_eq!(ask("SELECT count(*), f() FROM v"), "200|200");
    ask("INSERT INTO orders (buyer) VALUES (1); INSERT INTO numbered () VALUES ()");
    assert_eq!(
        ask("SELECT note FROM orders ORDER BY id DESC LIMIT 1"),
        "200"
    );
    for script in &rest.scripts {
        assert!(!script.text.contains(&scene.from), "{}", script.text);
    }
}
