//! `scan`: what looks personal, what covers it, and what of it is still to be seen in the target.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::{settings, with};
use crate::support::job::{Bed, Job, Outcome, toml};
use crate::support::{mysql, postgres};

/// A source and a target of one store, with a bed around them.
pub(super) struct Store {
    pub(super) kind: &'static str,
    pub(super) bed: Bed,
    source: String,
    target: String,
    on_source: Box<dyn Fn(&str)>,
    on_target: Box<dyn Fn(&str) -> String>,
}

impl Store {
    /// One of each store, with what this SQL makes.
    pub(super) fn each(sql: &str) -> [Self; 3] {
        let stores = [Self::postgresql(), Self::mysql(), Self::sqlite()];
        for store in &stores {
            store.source(sql);
        }
        stores
    }

    fn postgresql() -> Self {
        let pair = postgres::shared();
        let (from, to) = (postgres::unique("scanned"), postgres::unique("live"));
        pair.source.create_db(&from);
        Self {
            kind: "postgresql",
            bed: Bed::new(),
            source: pair.source.url("postgres", &from),
            target: pair.target.url("postgres", &to),
            on_source: Box::new(move |sql| drop(pair.source.psql(&from, sql))),
            on_target: Box::new(move |sql| pair.target.psql(&to, sql)),
        }
    }

    fn mysql() -> Self {
        let pair = mysql::shared();
        let (from, to) = (postgres::unique("scanned"), postgres::unique("live"));
        pair.source.create_db(&from);
        Self {
            kind: "mysql",
            bed: Bed::new(),
            source: pair.source.url("root", &from),
            target: pair.target.url("root", &to),
            on_source: Box::new(move |sql| drop(pair.source.sql(&from, sql))),
            on_target: Box::new(move |sql| pair.target.sql(&to, sql)),
        }
    }

    pub(super) fn sqlite() -> Self {
        let bed = Bed::new();
        let (from, to) = (bed.path("source.db"), bed.path("live.db"));
        let url = |file: &Path| format!("sqlite://{}", file.display());
        Self {
            kind: "sqlite",
            source: url(&from),
            target: url(&to),
            bed,
            on_source: Box::new(move |sql| {
                let connection = Connection::open(&from).expect("a database");
                connection.execute_batch(sql).expect("our own SQL");
            }),
            on_target: Box::new(move |sql| {
                let connection = Connection::open(&to).expect("a database");
                let first = |row: &rusqlite::Row<'_>| row.get::<_, rusqlite::types::Value>(0);
                match connection.query_row(sql, [], first).expect("our own SQL") {
                    rusqlite::types::Value::Text(text) => text,
                    rusqlite::types::Value::Integer(number) => number.to_string(),
                    other => format!("{other:?}"),
                }
            }),
        }
    }

    pub(super) fn source(&self, sql: &str) {
        (self.on_source)(sql);
    }

    pub(super) fn target(&self, sql: &str) -> String {
        (self.on_target)(sql)
    }

    pub(super) fn job(&self) -> Job {
        Job::between(self.kind, &self.source, &self.target)
    }

    /// Runs a verb with the job; `staging` is what else is said of the target's environment.
    pub(super) fn run(&self, verb: &[&str], job: &Job, staging: &str) -> Outcome {
        with(&self.bed, &settings(&self.bed, staging), verb, job)
    }
}

/// People, letters to them, and a table of nobody.
const TABLES: &str = "
    CREATE TABLE users (id int PRIMARY KEY, email varchar(80) NOT NULL UNIQUE, name varchar(80), api_token varchar(40), state varchar(10));
    CREATE TABLE letters (id int PRIMARY KEY, remark varchar(200), account varchar(40), payload text);
    CREATE TABLE colours (code int PRIMARY KEY, shade varchar(20));
    INSERT INTO users VALUES (1, 'planted1@corp.example', 'Planted Person', 'secret-planted', 'new'), (2, 'planted2@corp.example', 'Someone Else', NULL, 'old');
    INSERT INTO letters VALUES (1, 'nothing to see', 'none', '{\"state\": \"sent\"}'),
        (2, 'write to planted2@corp.example, please', 'DE89370400440532013000', '{\"to\": {\"address\": \"planted1@corp.example\"}}');
    INSERT INTO colours VALUES (1, 'red'), (2, 'blue');";

const COVER: &str = r#"
[[task.mask]]
table = "users"
columns = { email = "email", name = "full_name", api_token = "null" }
[[task.mask]]
table = "letters"
columns = { remark = "text", account = "iban", payload = { kind = "json", paths = { "to.address" = "email" } } }
[[task.pass]]
table = "letters"
columns = ["payload"]
reason = "nothing else is in it"
"#;

#[test]
fn a_scan_says_what_looks_personal_and_what_covers_it_and_shows_no_value() {
    for store in Store::each(TABLES) {
        let bare = store.run(&["scan"], &store.job(), "").expect(1);
        let line = |column: &str| {
            let found = bare.stdout.lines().find(|line| line.contains(column));
            found
                .unwrap_or_else(|| panic!("{}: {column} is not in\n{}", store.kind, bare.stdout))
                .to_owned()
        };
        for (column, looks, fits) in [
            ("users.email", "e-mail", "fits: \"email\""),
            ("users.name", "name", "fits: \"full_name\""),
            ("users.api_token", "secret", "fits: \"null\""),
            ("letters.remark", "free text", "fits: \"redact\""),
            ("letters.account", "IBAN", "fits: \"iban\""),
            ("letters.payload", "document", "\"to.address\" = \"email\""),
        ] {
            let line = line(column);
            assert!(line.contains(looks), "{line}");
            // Wide tables are wrapped.
            let whole = bare.stdout.replace(['\n', ' '], "");
            assert!(whole.contains(&fits.replace(' ', "")), "{}", bare.stdout);
        }
        assert!(
            !bare.stdout.contains("users.state") && !bare.stdout.contains("colours"),
            "{}",
            bare.stdout
        );
        assert!(
            bare.stdout.contains(
                "11 columns of 3 tables looked at: 6 look personal, 6 of them are not covered"
            ),
            "{}",
            bare.stdout
        );
        for text in [&bare.stdout, &bare.stderr] {
            assert!(
                !text.contains("planted") && !text.contains("DE89"),
                "{text}"
            );
        }

        let covered = store
            .run(&["scan", "--json"], &store.job().task(COVER), "")
            .expect(0);
        let found: serde_json::Value = serde_json::from_str(&covered.stdout).expect("JSON");
        let tables = found["tasks"][0]["tables"].as_array().expect("tables");
        let columns: Vec<&serde_json::Value> = tables
            .iter()
            .flat_map(|table| table["columns"].as_array().expect("columns"))
            .collect();
        let of = |name: &str| {
            *columns
                .iter()
                .find(|column| column["name"] == name)
                .expect("a column")
        };
        assert_eq!(of("email")["covered"]["by"], "mask");
        assert_eq!(of("email")["found"]["confidence"], "certain");
        assert_eq!(of("payload")["covered"]["reason"], "nothing else is in it");
        assert_eq!(of("state")["covered"]["by"], "nothing");
        assert!(of("state").get("found").is_none());
        assert!(!covered.stdout.contains("planted"), "{}", covered.stdout);

        let half = store.job().task(&COVER.replace("account = \"iban\", ", ""));
        store
            .run(&["scan"], &half, "")
            .expect(1)
            .says(&["letters.account"]);
        let excluded = store.job().task("exclude = [\"letters\"]").task(
            &COVER[..COVER
                .find("[[task.mask]]\ntable = \"letters\"")
                .expect("ours")],
        );
        let excluded = store.run(&["scan"], &excluded, "").expect(0);
        assert!(
            excluded.stdout.contains("its rows are not copied"),
            "{}",
            excluded.stdout
        );
    }
}

#[test]
fn what_a_scan_writes_decides_on_every_column_and_the_next_one_adds_what_is_new() {
    for store in Store::each(TABLES) {
        let file = store.bed.path("masks.toml");
        let shown = file.display().to_string();
        let write = ["scan", "--write", &shown];
        store
            .run(&write, &store.job(), "")
            .expect(1)
            .says(&["masks and", "passes added; review them"]);
        let written = || fs::read_to_string(&file).expect("it was written");
        let first = written();
        assert!(!first.contains("planted"), "{first}");
        // As a part of the task.
        let own = |text: &str| {
            text.replace("[[", "[[task.")
                .replace("\n[mask.", "\n[task.mask.")
        };
        let job = |text: &str| store.job().task(&own(text));
        store.run(&["scan"], &job(&first), "").expect(0);
        store
            .run(&["--once"], &job(&first), "require_masks = true")
            .expect(0);
        assert_eq!(
            store.target(
                "SELECT count(*) FROM users WHERE email LIKE '%corp%' OR api_token IS NOT NULL"
            ),
            "0"
        );
        assert_eq!(store.target("SELECT count(*) FROM letters WHERE remark LIKE '%planted%' OR account LIKE 'DE8937%' OR payload LIKE '%planted%'"), "0");

        store
            .run(&write, &store.job(), "")
            .says(&["nothing to add"]);
        assert_eq!(written(), first);
        store.source("ALTER TABLE users ADD COLUMN phone varchar(30);");
        store
            .run(&write, &store.job(), "")
            .says(&["1 mask and 0 passes added"]);
        let second = written();
        assert!(
            second.starts_with(&first) && second[first.len()..].contains("phone = \"phone\""),
            "{second}"
        );
        store
            .run(&["--once"], &job(&second), "require_masks = true")
            .expect(0);
    }
}

#[test]
fn rows_are_looked_at_in_several_places_of_a_table() {
    let numbers = |from: &str| format!("SELECT a.n * 1000 + b.n * 100 + c.n * 10 + d.n {from}");
    for store in Store::each(
        "CREATE TABLE n (n int PRIMARY KEY); INSERT INTO n VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);",
    ) {
        let rows = numbers("AS id, 'plain' AS x FROM n a, n b, n c, n d");
        store.source("CREATE TABLE facts (id int PRIMARY KEY, x varchar(60));");
        store.source(&format!("INSERT INTO facts {rows};"));
        // In the middle of it, and nowhere near its beginning.
        let address = match store.kind {
            "mysql" => "CONCAT('planted', id, '@corp.example')",
            _ => "'planted' || id || '@corp.example'",
        };
        store.source(&format!(
            "UPDATE facts SET x = {address} WHERE id BETWEEN 4500 AND 6500;"
        ));
        if store.kind == "postgresql" {
            store.source("CLUSTER facts USING facts_pkey; ANALYZE facts;");
        }
        let found = store
            .run(&["scan", "--sample", "400"], &store.job(), "")
            .expect(1);
        assert!(
            found.stdout.contains("facts.x"),
            "{}: {}",
            store.kind,
            found.stdout
        );
    }
}

#[test]
fn comments_are_read() {
    let [postgresql, mysql, _] =
        Store::each("CREATE TABLE t (id int PRIMARY KEY, a varchar(9), b varchar(9));");
    postgresql.source("COMMENT ON COLUMN t.a IS 'PII'");
    mysql.source("ALTER TABLE t MODIFY a varchar(9) COMMENT 'personenbezogen, DSGVO'");
    for store in [postgresql, mysql] {
        let found = store.run(&["scan"], &store.job(), "").expect(1);
        assert!(
            found.stdout.contains("t.a") && found.stdout.contains("marked personal"),
            "{}",
            found.stdout
        );
        assert!(!found.stdout.contains("t.b"), "{}", found.stdout);
    }
}

const EMPTIED: &str = r#"unlisted = "null"
[[task.pass]]
table = "letters"
columns = ["id"]
reason = "a number"
[[task.pass]]
table = "[uc]*"
columns = ["*"]
reason = "invented here"
"#;

#[test]
fn a_target_is_searched_for_what_is_masked() {
    for store in Store::each(TABLES) {
        // As it was before anybody thought of masks.
        store.run(&["--once"], &store.job(), "").expect(0);
        let masked = store.job().task(COVER);
        let found = store.run(&["scan", "--target"], &masked, "").expect(1);
        for says in ["users.email", "letters.remark", "letters.payload"] {
            assert!(
                found.stdout.contains(says),
                "{}: {}",
                store.kind,
                found.stdout
            );
        }
        assert!(!found.stdout.contains("planted"), "{}", found.stdout);
        // What is emptied because nothing is said of it is looked for as well.
        let emptied = store.job().task(EMPTIED);
        let found = store.run(&["scan", "--target"], &emptied, "").expect(1);
        assert!(found.stdout.contains("letters.remark"), "{}", found.stdout);
        store.run(&["--once"], &masked, "").expect(0);
        let found = store.run(&["scan", "--target"], &masked, "").expect(0);
        assert!(found.stdout.contains("none was seen"), "{}", found.stdout);
        // What somebody wrote there by hand.
        let json = store
            .run(&["scan", "--target", "--json"], &masked, "")
            .expect(0);
        let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
        assert_eq!(json["tasks"][0]["seen"].as_array().map(Vec::len), Some(0));
        store
            .run(&["scan", "--target"], &store.job(), "")
            .expect(2)
            .says(&["there is nothing to look for"]);
    }
}

#[test]
fn an_environment_takes_nothing_that_looks_personal_and_of_which_nothing_is_said() {
    let detected = "require_masks = \"detected\"";
    for store in Store::each(TABLES) {
        for verb in ["plan", "--once"] {
            let refused = store.run(&[verb], &store.job(), detected).expect(3).says(&[
                "`staging` requires masks for what looks personal",
                "users.email (e-mail)",
                "letters.account (IBAN)",
                "[[task.pass]]",
            ]);
            assert!(
                !refused.stderr.contains("users.state") && !refused.stderr.contains("colours"),
                "{}",
                refused.stderr
            );
            assert!(!refused.stderr.contains("planted"), "{}", refused.stderr);
        }
        store
            .run(&["--once"], &store.job().task(COVER), detected)
            .expect(0);
        store.source("INSERT INTO colours VALUES (3, 'x@corp.example');");
        store
            .run(&["--once"], &store.job().task(COVER), detected)
            .expect(3)
            .says(&["colours.shade (e-mail)"]);
    }
}

#[test]
fn what_cannot_be_scanned_is_refused() {
    let store = Store::sqlite();
    store.source(TABLES);
    let bed = &store.bed;
    let archive = format!("file://{}", bed.path("archive").display());
    let push = Job::new(
        "sqlite",
        &toml(&store.source),
        &format!("{{ url = {} }}", toml(&archive)),
    );
    store.run(&["scan"], &push, "").expect(1);
    store.run(&["--once"], &push, "").expect(0);
    let pull = Job::new(
        "sqlite",
        &format!("{{ url = {} }}", toml(&archive)),
        &toml(&store.target),
    );
    store
        .run(&["scan"], &pull, "")
        .expect(2)
        .says(&["rows of an archive cannot be looked at"]);
    // Of a raw snapshot nobody can say what looks personal in it.
    store
        .run(&["--once"], &pull, "require_masks = \"detected\"")
        .expect(3)
        .says(&["nothing is said of", "users.email"]);
    store
        .run(&["scan", "--target"], &push, "")
        .expect(2)
        .says(&["rows of an archive cannot be looked at"]);
    store
        .run(&["scan"], &store.job().flow("staging", "production"), "")
        .expect(3);
    store
        .run(&["scan", "--only", "other"], &store.job(), "")
        .expect(2)
        .says(&["has no task `other`"]);
    let second = store.job().task(&format!(
        "[[task]]\nname = \"second\"\nkind = \"sqlite\"\nsource = {}\ntarget = {}",
        toml(&store.source),
        toml(&format!("sqlite://{}", bed.path("other.db").display()))
    ));
    let file = bed.path("masks.toml").display().to_string();
    store
        .run(&["scan", "--write", &file], &second, "")
        .expect(2)
        .says(&["--only TASK"]);
    fs::write(&file, "no TOML").expect("our file");
    store
        .run(&["scan", "--write", &file], &store.job(), "")
        .expect(2)
        .says(&["is no TOML"]);
    assert_eq!(fs::read_to_string(&file).expect("our file"), "no TOML");
}
