//! `where`: masks for some rows, in the source's own language.

use rusqlite::Connection;

use super::{settings, with};
use crate::support::job::{Bed, Job};
use crate::support::mysql::shared as mysql;
use crate::support::postgres::{shared as postgresql, unique};

/// Values of a table by the key in another column, the first mask whose condition holds; and who is not staff by a subquery.
const TABLES: &str = "CREATE TABLE staff (id int PRIMARY KEY);
    INSERT INTO staff VALUES (2);
    CREATE TABLE settings (id int PRIMARY KEY, k varchar(20), v varchar(60));
    INSERT INTO settings VALUES (1, 'email', 'planted1'), (2, 'email', 'planted2'), (3, 'colour', 'blue'), (4, 'secret', 'planted4'), (5, NULL, 'green');";

/// The last one's comment swallows nothing.
const MASKS: &str = r#"
[[task.mask]]
table = "settings"
where = "k = 'email' AND id NOT IN (SELECT id FROM staff) -- whoever works here"
columns = { v = "email" }
[[task.mask]]
table = "settings"
where = "k IN ('email', 'secret')"
columns = { v = { kind = "fixed", value = "gone" } }
"#;

fn check(rows: &str) {
    let lines: Vec<&str> = rows.lines().collect();
    assert!(lines[0].ends_with("@example.com"), "{rows}");
    assert_eq!(lines[1..], ["gone", "blue", "gone", "green"], "{rows}");
}

const ROWS: &str = "SELECT v FROM settings ORDER BY id";

#[test]
fn the_first_mask_whose_condition_holds_is_the_one_on_postgresql() {
    let pair = postgresql();
    let (from, to) = (unique("prod"), unique("live"));
    pair.source.create_db(&from);
    pair.source.psql(&from, TABLES);
    let bed = Bed::new();
    let job = Job::between(
        "postgresql",
        &pair.source.url("postgres", &from),
        &pair.target.url("postgres", &to),
    )
    .task(MASKS);
    with(&bed, &settings(&bed, ""), &["--once"], &job).expect(0);
    check(&pair.target.psql(&to, ROWS));
}

#[test]
fn the_first_mask_whose_condition_holds_is_the_one_on_mariadb() {
    let pair = mysql();
    let (from, to) = (unique("prod"), unique("live"));
    pair.source.create_db(&from);
    pair.source.sql(&from, TABLES);
    let bed = Bed::new();
    let job = Job::between(
        "mysql",
        &pair.source.url("root", &from),
        &pair.target.url("root", &to),
    )
    .task(MASKS);
    with(&bed, &settings(&bed, ""), &["--once"], &job).expect(0);
    check(&pair.target.sql(&to, ROWS));
}

#[test]
fn the_first_mask_whose_condition_holds_is_the_one_on_sqlite() {
    let bed = Bed::new();
    let (source, live) = (bed.path("source.db"), bed.path("live.db"));
    Connection::open(&source)
        .expect("a database")
        .execute_batch(TABLES)
        .expect("our own SQL");
    let url = |file: &std::path::Path| format!("sqlite://{}", file.display());
    let job = Job::between("sqlite", &url(&source), &url(&live)).task(MASKS);
    with(&bed, &settings(&bed, ""), &["--once"], &job).expect(0);
    let live = Connection::open(&live).expect("a database");
    let mut statement = live.prepare(ROWS).expect("our own SQL");
    let rows: Result<Vec<String>, _> = statement
        .query_map([], |row| row.get(0))
        .expect("our own SQL")
        .collect();
    check(&rows.expect("texts").join("\n"));
}

#[test]
fn a_condition_that_is_wrong_fails_the_run_and_leaves_live() {
    let pair = postgresql();
    let (from, to) = (unique("prod"), unique("live"));
    pair.source.create_db(&from);
    pair.source.psql(&from, TABLES);
    let bed = Bed::new();
    let job = Job::between("postgresql", &pair.source.url("postgres", &from), &pair.target.url("postgres", &to))
        .task("[[task.mask]]\ntable = \"settings\"\nwhere = \"no_such_column = 1\"\ncolumns = { v = \"email\" }");
    with(&bed, &settings(&bed, ""), &["--once"], &job)
        .expect(2)
        .says(&[
            "the condition of a mask for public.settings",
            "no_such_column",
        ]);
    assert!(!pair.target.databases().contains(&to));
}
