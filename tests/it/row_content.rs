//! No row's content, no literal and no secret is told: SQLite's errors, and what hooks print.

use std::fs;

use rusqlite::Connection;

use crate::support::job::{Bed, Job};
use crate::support::told::{MARKER, run_and_search};

/// Production and staging in files.
fn files(bed: &Bed) -> (String, String) {
    let url = |name: &str| format!("sqlite://{}", bed.path(name).display());
    let source = Connection::open(bed.path("from.db")).expect("a database");
    source
        .execute_batch(&format!(
            "CREATE TABLE people (id INTEGER PRIMARY KEY, mail TEXT UNIQUE NOT NULL, age INT CHECK (age <> 9));
             INSERT INTO people VALUES (1, '{MARKER}1', 1), (2, '{MARKER}2', 2);
             CREATE TABLE picky (n INT) STRICT;
             CREATE TABLE log (a);
             CREATE TABLE child (p REFERENCES people (id));
             CREATE TRIGGER loud BEFORE DELETE ON people BEGIN SELECT RAISE(ABORT, '{MARKER} stays'); END;
             CREATE VIRTUAL TABLE words USING fts5(a)"
        ))
        .expect("our own SQL");
    Connection::open(bed.path("to.db"))
        .and_then(|live| {
            live.execute_batch("CREATE TABLE people (id INTEGER PRIMARY KEY, mail TEXT)")
        })
        .expect("our own SQL");
    (url("from.db"), url("to.db"))
}

#[test]
fn no_error_of_a_script_on_sqlite_tells_a_value_or_a_literal() {
    let bed = Bed::new();
    let (source, target) = files(&bed);
    let scripts = [
        "DELETE FROM people".to_owned(),
        "UPDATE people SET mail = (SELECT mail FROM people WHERE id = 1)".to_owned(),
        "UPDATE people SET mail = NULL".to_owned(),
        "UPDATE people SET age = 9".to_owned(),
        "UPDATE people SET id = mail".to_owned(),
        "INSERT INTO picky SELECT mail FROM people".to_owned(),
        "INSERT INTO child SELECT mail FROM people".to_owned(),
        format!("INSERT INTO people VALUES (1, '{MARKER}', 1)"),
        format!("INSERT INTO people VALUES (3, '{MARKER}1', 1)"),
        "CREATE UNIQUE INDEX i ON people (substr(mail, 1, 3))".to_owned(),
        "SELECT json(mail) FROM people".to_owned(),
        "SELECT json_extract('{}', mail) FROM people".to_owned(),
        "SELECT json_extract('{}', '$.' || mail || '[') FROM people".to_owned(),
        "SELECT value FROM people, json_each(mail)".to_owned(),
        "SELECT * FROM words WHERE words MATCH (SELECT '\"' || mail FROM people)".to_owned(),
        "SELECT 'a' LIKE 'b' ESCAPE mail FROM people".to_owned(),
        "SELECT load_extension(mail) FROM people".to_owned(),
        "SELECT mail REGEXP 'a' FROM people".to_owned(),
        "ATTACH (SELECT '/nonexistent/' || mail FROM people) AS other".to_owned(),
        "INSERT INTO words (words) SELECT mail FROM people".to_owned(),
        "CREATE TRIGGER t AFTER INSERT ON log BEGIN SELECT RAISE(FAIL, 'no'); END; INSERT INTO log SELECT mail FROM people".to_owned(),
        format!("SELECT nothing FROM people WHERE mail = '{MARKER}'"),
        format!("SELECT 1 FROM nowhere WHERE a = \"{MARKER}\" -- {MARKER}"),
        format!("SELECT '{MARKER}"),
        format!("SELECT 12{MARKER}"),
        format!("SELEKT '{MARKER}'"),
        format!("SELECT 1 WHERE '{MARKER}' '{MARKER}'"),
        format!("INSERT INTO people (id, \"{MARKER}\") VALUES (1, 'x')"),
        format!("BEGIN; UPDATE people SET mail = '{MARKER}'"),
    ];
    let (all, mut failed) = (scripts.len(), 0);
    for script in scripts {
        bed.file("after.sql", &script);
        let job = Job::between("sqlite", &source, &target).task("scripts = [\"after.sql\"]");
        let outcome = run_and_search(&bed, &bed.job("app", &job), &script);
        if outcome.code != Some(0) {
            failed += 1;
            outcome.expect(1).says(&["after.sql"]);
        }
    }
    // A few are none to SQLite's own mind.
    assert!(failed > all * 4 / 5, "{failed} of {all}");
}

#[test]
fn what_can_be_done_about_an_sqlite_script_is_still_said() {
    let bed = Bed::new();
    let (source, target) = files(&bed);
    for (script, said) in [
        (
            "UPDATE people SET mail = 'x'",
            "UNIQUE constraint failed: people.mail",
        ),
        (
            "DELETE FROM nowhere WHERE a = 'x'",
            "no such table: nowhere",
        ),
        ("DELETE FROM people", "a trigger's RAISE"),
    ] {
        bed.file("after.sql", script);
        let job = Job::between("sqlite", &source, &target).task("scripts = [\"after.sql\"]");
        bed.once(&bed.job("app", &job))
            .expect(1)
            .says(&["after.sql:1", said]);
    }
}

#[test]
fn a_secret_that_a_hook_prints_reaches_nobody() {
    let bed = Bed::new();
    let (source, target) = files(&bed);
    // Of env_dir, and of a file that the job's own source has its password in.
    fs::create_dir(bed.path("env.d")).expect("a directory");
    fs::write(bed.path("env.d/READER_PW"), format!("{MARKER}!")).expect("a file");
    let settings = bed.file("envsyncd.toml", "[reboot_lock]\ninhibit = false\n");
    for script in [
        "echo $READER_PW; echo $READER_PW >&2; exit 1",
        "set -x; test -z \"$READER_PW\"",
        "printf '%s' \"$READER_PW\" | cut -c1-6; printf '%s\\n' \"$READER_PW\" | cut -c7-; exit 1",
        "printf '%s' \"user:$READER_PW\" | base64; exit 1",
        "head -c 4093 /dev/zero | tr '\\0' x; echo \"$READER_PW and more\"; exit 1",
        "env; exit 1",
    ] {
        let hook = serde_json::to_string(&["/bin/sh", "-c", script]).expect("text");
        let job =
            Job::between("sqlite", &source, &target).hooks(&format!("after_publish = {hook}"));
        let file = bed.job("app", &job);
        let mut command = bed.command();
        command
            .env("ENVSYNCD_CONFIG", &settings)
            .env("ENVSYNCD_ENV_DIR", bed.path("env.d"))
            .args(["--once", "-vv", "-f"])
            .arg(&file);
        let outcome = bed.spawn(&mut command).end().expect(1);
        assert!(
            !outcome.stderr.contains(MARKER),
            "{script}: {}",
            outcome.stderr
        );
        assert!(
            !outcome.stderr.contains("rowMARK"),
            "{script}: {}",
            outcome.stderr
        );
        assert!(
            outcome.stderr.contains("***"),
            "{script}: {}",
            outcome.stderr
        );
        for name in ["state", "status"] {
            for entry in fs::read_dir(bed.path(name)).expect("a directory") {
                let path = entry.expect("an entry").path();
                let bytes = fs::read(&path).unwrap_or_default();
                assert!(
                    memchr::memmem::find(&bytes, MARKER.as_bytes()).is_none(),
                    "{script}: {}",
                    path.display()
                );
            }
        }
    }
}
