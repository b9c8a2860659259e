//! `unlisted`: what becomes of columns that nobody has decided on.

use super::stores::all;
use crate::support::job::Job;

const TABLES: &str = "CREATE TABLE users (id int PRIMARY KEY, email varchar(60), name varchar(60), nick varchar(60) DEFAULT 'x');
    INSERT INTO users VALUES (1, 'planted1@corp.example', 'planted', 'planted');
    CREATE TABLE logins (id int PRIMARY KEY, host varchar(60), of_user int, CONSTRAINT of_user FOREIGN KEY (of_user) REFERENCES users (id));
    INSERT INTO logins VALUES (1, 'planted', 1);";

const TASK: &str = r#"
unlisted = "null"
[[task.mask]]
table = "users"
columns = { email = "email" }
[[task.pass]]
table = "*"
columns = ["id", "of_user"]
reason = "numbers that say nothing"
"#;

#[test]
fn columns_that_nobody_has_decided_on_arrive_empty_and_are_told() {
    for staging in ["", "require_masks = true"] {
        for store in all(TABLES, staging) {
            let outcome = store.with(&["--once"], TASK).expect(0);
            outcome.says(&[
                "nobody has decided on these columns: they arrive empty",
                "name, nick",
                "host",
            ]);
            let empty = "SELECT count(*) FROM users JOIN logins ON of_user = users.id WHERE name IS NULL AND nick IS NULL AND host IS NULL AND email LIKE '%@example.com'";
            assert_eq!(store.live(empty), "1", "{}", store.kind);
        }
    }
}

#[test]
fn a_column_that_cannot_be_empty_is_refused() {
    let tables = TABLES.replace("name varchar(60)", "name varchar(60) NOT NULL");
    for store in all(&tables, "require_masks = true") {
        for verb in ["plan", "--once"] {
            store
                .with(&[verb], TASK)
                .expect(3)
                .says(&["nobody has decided on name", "NULL cannot be put into it"]);
        }
        assert!(!store.has_live(), "{}", store.kind);
    }
}

#[test]
fn without_a_key_it_is_refused() {
    let store = &all("CREATE TABLE t (id int);", "")[2];
    store.bed.file(
        "envsyncd.toml",
        "[environments.production]\n[environments.staging]\nparent = \"production\"\n",
    );
    store
        .with(&["validate"], "unlisted = \"null\"")
        .expect(2)
        .says(&["there is no key for masks"]);
}

#[test]
fn what_another_tool_writes_is_not_emptied_and_is_refused() {
    let store = &all("CREATE TABLE t (id int);", "")[2];
    let archive = "{ url = \"file:///var/backups/t\", format = \"govuk\" }";
    let server = |kind: &str| format!("\"{kind}://somebody@localhost/a\"");
    for kind in ["postgresql", "mysql"] {
        let job = Job::new(kind, &server(kind), archive);
        store
            .run(&["validate"], &job.task("unlisted = \"null\""))
            .expect(2)
            .says(&["masks nothing"]);
    }
}
