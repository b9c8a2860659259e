//! SQLite.

use std::path::Path;

use rusqlite::Connection;

use super::{settings, with};
use crate::support::job::{Bed, Job};

fn open(file: &Path) -> Connection {
    Connection::open(file).expect("a database")
}

fn ask(file: &Path, sql: &str) -> String {
    let connection = open(file);
    let mut statement = connection.prepare(sql).expect("our own SQL");
    let mut rows = statement.query([]).expect("our own SQL");
    let row = rows.next().expect("a row").expect("a row");
    match row.get_ref(0).expect("a column") {
        rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        rusqlite::types::ValueRef::Integer(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

#[test]
fn masked_rows_arrive_and_nothing_raw_is_in_the_file_its_indexes_or_its_statistics() {
    let bed = Bed::new();
    let (source, live) = (bed.path("source.db"), bed.path("live.db"));
    open(&source)
        .execute_batch(
            "CREATE TABLE users (id integer PRIMARY KEY, email text NOT NULL UNIQUE, name text, born date, salary numeric, token blob, note text,
               upper_name text AS (upper(name)) STORED);
             CREATE TABLE letters (id integer PRIMARY KEY, to_email text REFERENCES users (email), body text);
             CREATE VIRTUAL TABLE notes USING fts5 (note, content = 'users', content_rowid = 'id');
             CREATE VIRTUAL TABLE bodies USING fts5 (body);
             CREATE TRIGGER indexed AFTER INSERT ON users BEGIN INSERT INTO notes (rowid, note) VALUES (new.id, new.note); END;
             CREATE TRIGGER found AFTER INSERT ON letters BEGIN INSERT INTO bodies (rowid, body) VALUES (new.id, new.body); END;
             CREATE INDEX named ON users (name);
             WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000)
               INSERT INTO users (id, email, name, born, salary, token, note)
               SELECT n, 'planted' || n || '@corp.example', 'Planted Name ' || n, date('1970-01-01', n || ' days'), 1000.5 + n,
                 CAST('planted' || n AS blob), 'plantednote' || n || ' of somebody' FROM n;
             INSERT INTO letters (to_email, body) SELECT email, 'Dear ' || email FROM users;
             ANALYZE;",
        )
        .expect("our own SQL");
    let url = |file: &Path| format!("sqlite://{}", file.display());
    let job = Job::between("sqlite", &url(&source), &url(&live)).task(
        r#"
[[task.mask]]
table = "USERS"
columns = { email = "email", name = "full_name", born = "date_shift", salary = "number_noise", token = "hash", note = "text" }
[[task.mask]]
table = "letters"
columns = { body = { kind = "redact", of = ["to_email"] } }
"#,
    );
    let settings = settings(&bed, "");
    with(&bed, &settings, &["plan"], &job)
        .expect(0)
        .says(&["email", "full_name", "redact"]);
    with(&bed, &settings, &["--once"], &job)
        .expect(0)
        .says(&["bodies"]);
    let ask = |sql: &str| ask(&live, sql);
    assert_eq!(
        ask("SELECT count(*) FROM users JOIN letters ON to_email = email"),
        "1000"
    );
    assert_eq!(
        ask("SELECT count(*) FROM letters WHERE body = 'Dear ' || to_email"),
        "1000"
    );
    assert_eq!(
        ask("SELECT upper_name = upper(name) FROM users WHERE id = 7"),
        "1"
    );
    assert_eq!(ask("SELECT typeof(token) FROM users WHERE id = 7"), "blob");
    assert_eq!(
        ask("SELECT count(*) FROM notes WHERE notes MATCH 'plantednote7'"),
        "0"
    );
    let word = ask("SELECT substr(note, 1, instr(note, ' ') - 1) FROM users WHERE id = 7");
    let matched = ask(&format!(
        "SELECT count(*) > 0 FROM notes WHERE notes MATCH '\"{word}\"'"
    ));
    assert_eq!(matched, "1", "{word} is in the index that was made anew");
    assert_eq!(ask("PRAGMA integrity_check"), "ok");
    let content = std::fs::read(&live).expect("it is there");
    for needle in ["planted", "Planted", "PLANTED"] {
        assert!(
            memchr::memmem::find(&content, needle.as_bytes()).is_none(),
            "{needle}"
        );
    }
}

#[test]
fn a_raw_snapshot_is_masked_on_its_way() {
    let bed = Bed::new();
    let (source, live) = (bed.path("source.db"), bed.path("live.db"));
    open(&source)
        .execute_batch(
            "CREATE TABLE users (id integer PRIMARY KEY, email text NOT NULL UNIQUE, token blob);
             INSERT INTO users VALUES (1, 'planted1@corp.example', x'00'), (2, 'planted2@corp.example', NULL)",
        )
        .expect("our own SQL");
    let url = |file: &Path| format!("sqlite://{}", file.display());
    let archive = format!("file://{}", bed.path("archive").display());
    let push = Job::between("sqlite", &url(&source), &archive);
    bed.once(&bed.job("push", &push)).expect(0);
    let pull = Job::between("sqlite", &archive, &url(&live)).task(
        "[[task.mask]]\ntable = \"users\"\ncolumns = { email = \"email\", token = \"null\" }",
    );
    with(&bed, &settings(&bed, ""), &["--once"], &pull).expect(0);
    let masked = ask(
        &live,
        "SELECT count(*) FROM users WHERE email LIKE '%@example.com' AND token IS NULL",
    );
    assert_eq!(masked, "2");
    let content = std::fs::read(&live).expect("it is there");
    assert!(memchr::memmem::find(&content, b"planted").is_none());
}

#[test]
fn parts_of_a_search_index_cannot_be_masked() {
    let bed = Bed::new();
    let (source, live) = (bed.path("source.db"), bed.path("live.db"));
    open(&source)
        .execute_batch(
            "CREATE VIRTUAL TABLE notes USING fts5 (note); INSERT INTO notes VALUES ('a')",
        )
        .expect("our own SQL");
    let url = |file: &Path| format!("sqlite://{}", file.display());
    let job = Job::between("sqlite", &url(&source), &url(&live))
        .task("[[task.mask]]\ntable = \"notes_content\"\ncolumns = { c0 = \"text\" }");
    with(&bed, &settings(&bed, ""), &["--once"], &job)
        .expect(2)
        .says(&["notes_content", "virtual table notes"]);
    assert!(!live.exists());
}
