//! Snapshots restored as docs/archives.md says, with `zstd` and the store's own client and without envsyncd.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::Scene;
use crate::support::dump::assert_equal;
use crate::support::job::{Bed, Job, toml};
use crate::support::mysql;
use crate::support::postgres::{Must, unique};

/// The commands under a heading of the page, as one script.
fn commands(heading: &str) -> String {
    let page = include_str!("../../../docs/archives.md");
    let section = page
        .split("\n### ")
        .find(|section| section.starts_with(heading))
        .unwrap_or_else(|| panic!("no section {heading}"));
    let code = section.split("```sh\n").nth(1).expect("commands");
    code.split("```").next().expect("its end").to_owned()
}

fn run(script: &str, folder: &Path, set: impl FnOnce(&mut Command) -> &mut Command) {
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", script])
        .current_dir(folder);
    set(&mut bash).must("bash");
}

#[test]
fn a_postgresql_snapshot_is_restored_with_psql_alone() {
    let scene = Scene::new();
    let fixture = include_str!("../fixtures/ordinary.sql");
    scene.source(fixture);
    // Who restores by hand has the roles.
    for line in fixture.lines().filter(|line| line.contains("CREATE ROLE")) {
        scene.live(line);
    }
    scene.once("push", &scene.push()).expect(0);
    let folder = scene.snapshots().pop().unwrap();
    let restored = unique("restored");
    let script = commands("PostgreSQL").replace("restored", &restored);
    let (source, target) = (&scene.pair.source, &scene.pair.target);
    run(&script, &folder, |bash| {
        bash.env("PGHOST", target.socket_directory())
            .env("PGPORT", target.port().to_string())
            .env("PGUSER", "postgres")
    });
    assert_equal(&source.pg_dump(&scene.from), &target.pg_dump(&restored));
}

#[test]
fn a_mysql_snapshot_is_restored_with_mariadb_alone() {
    let (pair, bed) = (mysql::shared(), Bed::new());
    let (from, restored) = (unique("from"), unique("restored"));
    pair.source.create_db(&from);
    pair.source
        .sql(&from, include_str!("../fixtures/mysql.sql"));
    // Views that are broken cannot be made with a client alone; the script has them as comments.
    pair.source.sql(&from, "DROP VIEW on_broken, broken");
    let archive = bed.path("archive");
    let push = Job::between(
        "mysql",
        &pair.source.url("root", &from),
        &format!("file://{}", archive.display()),
    );
    bed.once(&bed.job("push", &push)).expect(0);
    let folder = fs::read_dir(&archive)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let options = bed.file(
        "client.cnf",
        &format!(
            "[client]\nuser=root\nsocket={}\n",
            pair.target.socket().display()
        ),
    );
    let script = commands("MySQL and MariaDB")
        .replace("restored", &restored)
        .replace(
            "mariadb",
            &format!("mariadb --defaults-file={}", options.display()),
        );
    run(&script, &folder, |bash| {
        bash.env(
            "CLIENT",
            format!("mariadb --defaults-file={}", options.display()),
        )
    });
    pair.source.assert_same(&from, &pair.target, &restored);
}

#[test]
fn a_sqlite_snapshot_is_restored_with_sqlite3_alone() {
    let bed = Bed::new();
    let source = bed.path("source.db");
    let sqlite =
        |file: &Path, sql: &str| Command::new("sqlite3").arg(file).arg(sql).must("sqlite3");
    sqlite(
        &source,
        "CREATE TABLE a (id INTEGER PRIMARY KEY, t TEXT, b BLOB, r REAL);
         INSERT INTO a VALUES (1, 'it''s' || char(10) || 'two lines', x'00ff', 0.1), (2, NULL, NULL, -0.0), (7, '', x'', 9e999);
         CREATE INDEX a_t ON a (t); CREATE VIEW v AS SELECT t FROM a;
         CREATE TRIGGER later AFTER INSERT ON a BEGIN UPDATE a SET t = 'fired'; END;",
    );
    let archive = bed.path("archive");
    let push = Job::between(
        "sqlite",
        &format!("sqlite://{}", source.display()),
        &format!("file://{}", archive.display()),
    );
    bed.once(&bed.job("push", &push)).expect(0);
    let folder = fs::read_dir(&archive)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let restored = bed.path("restored.db");
    let script = commands("SQLite").replace("restored.db", &restored.display().to_string());
    run(&script, &folder, |bash| bash);
    assert_eq!(sqlite(&restored, ".dump"), sqlite(&source, ".dump"));
}

#[test]
fn an_encrypted_snapshot_is_restored_with_age_and_sqlite3_alone() {
    let bed = Bed::new();
    let source = bed.path("source.db");
    let sqlite =
        |file: &Path, sql: &str| Command::new("sqlite3").arg(file).arg(sql).must("sqlite3");
    sqlite(
        &source,
        "CREATE TABLE a (id INTEGER PRIMARY KEY, t TEXT); INSERT INTO a VALUES (1, 'x'), (2, NULL); CREATE INDEX a_t ON a (t);",
    );
    let identity = bed.path("identity");
    Command::new("age-keygen")
        .arg("-o")
        .arg(&identity)
        .must("age-keygen (script/install-test-deps installs it)");
    let recipient = Command::new("age-keygen")
        .arg("-y")
        .arg(&identity)
        .must("age-keygen");
    let archive = bed.path("archive");
    let push = Job::new(
        "sqlite",
        &toml(&format!("sqlite://{}", source.display())),
        &format!(
            "{{ url = {}, recipients = [\"{}\"] }}",
            toml(&format!("file://{}", archive.display())),
            recipient.trim()
        ),
    );
    bed.once(&bed.job("push", &push)).expect(0);
    let folder = fs::read_dir(&archive)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let restored = bed.path("restored.db");
    let script = commands("SQLite").replace("restored.db", &restored.display().to_string());
    run(&script, &folder, |bash| bash.env("IDENTITY", &identity));
    assert_eq!(sqlite(&restored, ".dump"), sqlite(&source, ".dump"));
    // Who forgets it is told its name, before anything was read.
    let said = Command::new("bash")
        .args(["-c", "age -d -i \"$1\" definitions/2-rows.sh.0000.zst.age | zstd -dcq > \"$2\"; bash \"$2\" x.db", "bash"])
        .arg(&identity)
        .arg(bed.path("2-rows.sh"))
        .current_dir(&folder)
        .env_remove("IDENTITY")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.status.success());
    assert!(
        text.contains("IDENTITY") && text.contains("the age identity"),
        "{text}"
    );
}
