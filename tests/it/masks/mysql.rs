//! MariaDB and MySQL.

use super::{files_with, settings, with};
use crate::support::job::{Bed, Job, toml};
use crate::support::mysql::{Server, Version, shared};
use crate::support::postgres::unique;

const PEOPLE: &str = "
    CREATE TABLE users (
        id int PRIMARY KEY, email varchar(60) NOT NULL UNIQUE, name varchar(80) CHARACTER SET latin1 NOT NULL, phone varchar(20), born date,
        seen datetime(3), salary decimal(10,2), token varbinary(16), fixed_token binary(20), data json, note text CHARACTER SET utf8mb3,
        state enum('new', 'old'), upper_name varchar(80) AS (upper(name)) STORED);
    INSERT INTO users (id, email, name, phone, born, seen, salary, token, fixed_token, data, note, state)
        SELECT n, CONCAT('planted', n, '@corp.example'), CONCAT('Planted Name\\t', n, '\\\\\\n'), CONCAT('+44 20 7946 ', LPAD(n, 4, '0')),
        DATE '1970-01-01' + INTERVAL n DAY, TIMESTAMP '2020-01-01 00:00:00.123' + INTERVAL n HOUR, 1000 + n, UNHEX(LEFT(SHA2(CONCAT('planted', n), 256), 32)),
        CONCAT('planted', n), JSON_OBJECT('mail', CONCAT('planted', n, '@corp.example'), 'n', n), CONCAT('note of planted', n), 'new' FROM numbers;
    INSERT INTO users (id, email, name) VALUES (1001, 'planted1001@corp.example', '');
    CREATE TABLE letters (id int AUTO_INCREMENT PRIMARY KEY, to_email varchar(60), body text, FULLTEXT (body),
        CONSTRAINT sent_to FOREIGN KEY (to_email) REFERENCES users (email));
    INSERT INTO letters (to_email, body) SELECT email, CONCAT('Dear ', email) FROM users;
    CREATE TABLE untouched (id int PRIMARY KEY, a text); INSERT INTO untouched SELECT n, CONCAT('as it is ', n) FROM numbers;
    DROP TABLE numbers;";

const NUMBERS: &str = "SET SESSION cte_max_recursion_depth = 2000;
    CREATE TABLE numbers (n int PRIMARY KEY); INSERT INTO numbers WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 1000) SELECT n FROM s;";

const MASKS: &str = r#"
[[task.mask]]
table = "users"
columns = { email = "email", name = "full_name", phone = "phone", born = "date_shift", seen = "date_shift", salary = "number_noise", token = "hash", fixed_token = "hash", data = { kind = "json", paths = { mail = "email" } }, note = "text" }
[[task.mask]]
table = "letters"
columns = { body = { kind = "redact", of = ["to_email"] } }
"#;

pub(super) fn people(server: &Server) -> String {
    let from = unique("people");
    server.create_db(&from);
    let numbers = match server.version() {
        Version::Oracle => NUMBERS.to_owned(),
        _ => NUMBERS.replace("cte_max_recursion_depth", "max_recursive_iterations"),
    };
    server.sql(&from, &format!("{numbers}{PEOPLE}"));
    from
}

/// Runs the job on servers, and looks at what arrived.
fn are_masked(source: &Server, target: &Server) {
    let from = people(source);
    let bed = Bed::new();
    let url = toml(&source.url("root", &from));
    arrive_masked(&bed, source, &from, &url, target);
}

/// The same from where production's rows are, as a job says it.
pub(super) fn arrive_masked(bed: &Bed, source: &Server, from: &str, place: &str, target: &Server) {
    let to = unique("live");
    let job = Job::new("mysql", place, &toml(&target.url("root", &to)))
        .task("verify = \"checksum\"")
        .task(MASKS);
    with(bed, &settings(bed, ""), &["--once"], &job).expect(0);
    let live = |sql: &str| target.sql(&to, sql);
    let here = |sql: &str| source.sql(from, sql);
    for count in ["users", "letters", "untouched"] {
        let sql = format!("SELECT COUNT(*) FROM {count}");
        assert_eq!(live(&sql), here(&sql), "{count}");
    }
    let distinct = "SELECT COUNT(DISTINCT email), COUNT(DISTINCT token), COUNT(DISTINCT fixed_token) FROM users";
    assert_eq!(live(distinct), here(distinct));
    assert_eq!(
        live("SELECT COUNT(*) FROM users WHERE email NOT REGEXP '^[a-z0-9]{12}@example.com$'"),
        "0"
    );
    assert_eq!(
        live("SELECT COUNT(*) FROM users JOIN letters ON to_email = email"),
        "1001"
    );
    assert_eq!(
        live("SELECT COUNT(*) FROM letters WHERE body = CONCAT('Dear ', to_email)"),
        "1001"
    );
    assert_eq!(live("SELECT name = '' FROM users WHERE id = 1001"), "1");
    assert_eq!(
        live("SELECT upper_name = UPPER(name) FROM users WHERE id = 7"),
        "1"
    );
    assert_eq!(
        live("SELECT MICROSECOND(seen) FROM users WHERE id = 7"),
        "123000"
    );
    assert_eq!(
        live("SELECT JSON_EXTRACT(data, '$.n') FROM users WHERE id = 7"),
        "7"
    );
    assert_eq!(
        live("SELECT COUNT(*) FROM users WHERE note LIKE '%planted%' OR data LIKE '%planted%'"),
        "0"
    );
    assert_eq!(
        live("SELECT SUM(id) FROM untouched"),
        here("SELECT SUM(id) FROM untouched")
    );
    // What is left in pages that were used before is looked for, too.
    let found = files_with(
        &target.data(),
        &[
            "@corp.example",
            "Planted Name",
            "PLANTED NAME",
            "note of planted",
        ],
    );
    assert!(found.is_empty(), "{found:?}");
    assert!(files_with(&bed.path("state"), &["planted"]).is_empty());
}

#[test]
fn masked_rows_arrive_verified_and_nothing_raw_is_in_the_targets_files() {
    let target = Server::with(&["--log-bin=on"]);
    are_masked(&shared().source, &target);
}

#[test]
fn a_raw_snapshot_is_masked_on_its_way() {
    let (source, target) = (&shared().source, Server::with(&["--log-bin=on"]));
    let from = people(source);
    let bed = Bed::new();
    let archive = format!("file://{}", bed.path("archive").display());
    let push =
        Job::between("mysql", &source.url("root", &from), &archive).task("verify = \"checksum\"");
    bed.once(&bed.job("push", &push)).expect(0);
    arrive_masked(&bed, source, &from, &toml(&archive), &target);
}

#[test]
fn the_same_on_oracle_s_server() {
    let source = Server::builder().of(Version::Oracle).start();
    let target = Server::builder().of(Version::Oracle).start();
    are_masked(&source, &target);
}
