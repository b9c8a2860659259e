//! What plan, show and the status file say of masks, and host names of sites.

use std::fs;

use serde_json::Value;

use super::stores::{Store, all};

const TABLES: &str = "CREATE TABLE users (id int PRIMARY KEY, email varchar(60), born date, seen int, note varchar(99));
    INSERT INTO users VALUES (1, 'planted1@corp.example', '1970-01-01', 7, 'planted'), (2, 'planted2@corp.example', '1970-01-02', 8, NULL);
    CREATE TABLE plain (id int PRIMARY KEY);";

const MASKS: &str = r#"
[[task.mask]]
table = "users"
columns = { email = "email", born = "date_shift", note = { kind = "template", template = "of {email}" } }
[[task.mask]]
table = "users"
where = "seen = 7"
columns = { seen = { kind = "fixed", value = 0 } }
"#;

#[test]
fn plan_shows_what_becomes_of_invented_values() {
    for store in all(TABLES, "") {
        let plan = store.with(&["plan"], MASKS).expect(0);
        let plan = plan.says(&[
            "email (email)",
            "email, for example: ",
            "@example.com",
            "born, for example: 1984-05-17 -> ",
        ]);
        assert!(!plan.stdout.contains("planted"), "{}", plan.stdout);
        assert!(
            !plan.stdout.contains("note, for example"),
            "{}",
            plan.stdout
        );
        let json = store.with(&["plan", "--json"], MASKS).expect(0);
        let json: Value = serde_json::from_str(&json.stdout).expect("JSON");
        let parts = json["tasks"][0]["parts"].as_array().expect("parts");
        let users = parts.iter().find(|part| {
            part["name"]
                .as_str()
                .is_some_and(|name| name.ends_with("users"))
        });
        let masks = users.expect("the table")["masks"]
            .as_array()
            .expect("masks");
        let email = masks
            .iter()
            .find(|mask| mask["column"] == "email")
            .expect("the column");
        assert!(
            email["example"]["becomes"]
                .as_str()
                .is_some_and(|made| made.ends_with("@example.com")),
            "{email}"
        );
    }
}

#[test]
fn show_and_the_status_file_count_what_was_masked() {
    for store in all(TABLES, "") {
        store.with(&["--once"], MASKS).expect(0);
        let status = fs::read(store.bed.path("status/app.json")).expect("a status file");
        let status: Value = serde_json::from_slice(&status).expect("JSON");
        assert_eq!(status["tasks"][0]["masked_columns"], 4, "{status}");
        assert_eq!(status["tasks"][0]["masked_rows"], 2, "{status}");
        let show = |arguments: &[&str]| {
            let mut command = store.bed.command();
            command.arg("show").arg("app").args(arguments);
            store.bed.spawn(&mut command).end().expect(0)
        };
        show(&[]).says(&["masked     4 columns in 2 rows, key "]);
        let json: Value = serde_json::from_str(&show(&["--json"]).stdout).expect("JSON");
        let masked = &json["run"]["tasks"][0]["masked"];
        let tables = masked["tables"].as_object().expect("tables");
        let (_, users) = tables.iter().next().expect("a table");
        assert_eq!(tables.len(), 1, "{json}");
        assert_eq!(users["rows"], 2);
        assert_eq!(users["columns"]["born"], "date_shift");
    }
}

#[test]
fn a_run_without_masks_says_nothing_of_them() {
    let store = Store::new("sqlite", TABLES, "");
    store.with(&["--once"], "").expect(0);
    let mut command = store.bed.command();
    command.args(["show", "app"]);
    let show = store.bed.spawn(&mut command).end().expect(0);
    assert!(!show.stdout.contains("masked"), "{}", show.stdout);
}

const SITES: &str = r#"
[sites.main.hosts]
"www.example.org" = { staging = "www.staging.example.org" }
"api.example.org" = { staging = "api.staging.example.org" }
"#;

#[test]
fn host_names_of_a_site_become_those_of_the_environment() {
    let tables = "CREATE TABLE pages (id int PRIMARY KEY, body varchar(200), data varchar(200));
        INSERT INTO pages VALUES (1, 'see https://www.example.org/a and www.example.organic', '{\"url\": \"http://api.example.org\"}');";
    let masks = r#"
        [[task.mask]]
        table = "pages"
        columns = { body = { kind = "replace", hosts = "main" }, data = { kind = "json", default = { kind = "replace", hosts = "main", literal = { "http:" = "https:" } } } }
    "#;
    for store in all(tables, SITES) {
        store.with(&["--once"], masks).expect(0);
        let body = store.live("SELECT body FROM pages");
        assert!(
            body.starts_with("see https://www.staging.example.org/a and"),
            "{body}"
        );
        let data = store.live("SELECT data FROM pages");
        assert!(data.contains("https://api.staging.example.org"), "{data}");
    }
}

#[test]
fn host_names_that_nobody_knows_are_refused() {
    let mask = |site: &str| {
        format!(
            "[[task.mask]]\ntable = \"pages\"\ncolumns = {{ body = {{ kind = \"replace\", hosts = \"{site}\" }} }}"
        )
    };
    let store = Store::new("sqlite", "CREATE TABLE pages (id int, body text);", SITES);
    store
        .with(&["validate"], &mask("mian"))
        .expect(2)
        .says(&["there is no site `mian`", "app.toml:"]);
    let elsewhere = "[environments.integration]\nparent = \"staging\"\n[sites.main.hosts]\n\"www.example.org\" = { integration = \"www.integration.example.org\" }";
    let store = Store::new(
        "sqlite",
        "CREATE TABLE pages (id int, body text);",
        elsewhere,
    );
    store
        .with(&["validate"], &mask("main"))
        .expect(2)
        .says(&["the site `main` has no host names in `staging`"]);
    let unknown = "[sites.main.hosts]\n\"www.example.org\" = { stagign = \"x\" }";
    let store = Store::new("sqlite", "CREATE TABLE pages (id int, body text);", unknown);
    store.with(&["validate"], &mask("main")).expect(2).says(&[
        "environment `stagign` is not defined",
        "did you mean `staging`?",
        "envsyncd.toml:",
    ]);
}

#[test]
fn a_check_that_looks_at_a_masked_column_is_told_before_a_row_is_read() {
    let tables = "CREATE TABLE users (id int PRIMARY KEY, email varchar(60), age int CHECK (age > 0), CONSTRAINT is_mail CHECK (email LIKE '%@%'));
        INSERT INTO users VALUES (1, 'planted1@corp.example', 7);";
    let masks = "[[task.mask]]\ntable = \"users\"\ncolumns = { email = \"email\", age = \"null\" }";
    for store in all(tables, "") {
        let plan = store.with(&["plan"], masks).expect(0);
        let name = if store.kind == "sqlite" {
            "CHECK number 2"
        } else {
            "is_mail"
        };
        let plan = plan.says(&["a CHECK looks at masked columns", name, "columns=email"]);
        assert!(!plan.stderr.contains("columns=age"), "{}", plan.stderr);
        store.with(&["--once"], masks).expect(0);
    }
    // One that refuses what is made fails the run, and live is not there.
    let stars = "[[task.mask]]\ntable = \"users\"\ncolumns = { email = \"stars\" }";
    for store in all(tables, "") {
        store.with(&["--once"], stars).expect(1);
        assert!(!store.has_live(), "{}", store.kind);
    }
}

#[test]
fn domains_with_checks_are_told() {
    let store = Store::new(
        "postgresql",
        "CREATE DOMAIN mail AS text CHECK (value ~ '@'); CREATE DOMAIN corporate AS mail;
         CREATE TABLE users (id int, email corporate);",
        "",
    );
    store
        .with(
            &["plan"],
            "[[task.mask]]\ntable = \"users\"\ncolumns = { email = \"email\" }",
        )
        .expect(0)
        .says(&["a CHECK looks at masked columns", "mail_check"]);
}

#[test]
fn a_partition_key_is_masked_if_the_row_stays_in_its_partition() {
    let store = Store::new(
        "postgresql",
        "CREATE TABLE events (id int, who text, day date) PARTITION BY RANGE (day);
         CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
         CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2021-01-01') TO ('2022-01-01') PARTITION BY LIST (who);
         CREATE TABLE events_2_ann PARTITION OF events_2 FOR VALUES IN ('ann');
         CREATE TABLE events_2_other PARTITION OF events_2 DEFAULT;
         INSERT INTO events SELECT n, CASE n % 3 WHEN 0 THEN 'ann' ELSE 'bob' || n END, '2020-03-03'::date + n FROM generate_series(1, 600) AS n;
         CREATE TABLE words (word text) PARTITION BY LIST (lower(word));
         CREATE TABLE words_a PARTITION OF words FOR VALUES IN ('a'); INSERT INTO words VALUES ('A');
         CREATE TABLE spread (id int, email text) PARTITION BY HASH (email);
         CREATE TABLE spread_0 PARTITION OF spread FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE spread_1 PARTITION OF spread FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         INSERT INTO spread SELECT n, 'planted' || n || '@corp.example' FROM generate_series(1, 40) AS n;
         CREATE TABLE whole (id int, day date) PARTITION BY RANGE (day);
         CREATE TABLE whole_all PARTITION OF whole DEFAULT; INSERT INTO whole VALUES (1, '2020-05-05');",
        "",
    );
    let mask = |table: &str, column: &str, kind: &str| {
        format!("[[task.mask]]\ntable = \"{table}\"\ncolumns = {{ {column} = {kind} }}")
    };
    // What would leave its partition fails the run, before anybody sees it.
    let leaving = [
        ("events", "day", "\"null\""),
        (
            "events",
            "day",
            "{ kind = \"fixed\", value = \"2019-01-01\" }",
        ),
        ("events_2_ann", "who", "\"username\""),
        ("words", "word", "{ kind = \"fixed\", value = \"B\" }"),
        ("spread", "email", "\"email\""),
    ];
    for (table, column, kind) in leaving {
        let mask = mask(table, column, kind);
        let warning = "a partition's rows are in it by masked columns";
        store.with(&["plan"], &mask).expect(0).says(&[warning]);
        for verify in ["rows", "checksum"] {
            let mask = format!("verify = \"{verify}\"\n{mask}");
            store.with(&["--once"], &mask).expect(1).says(&[
                "violates partition constraint",
                "a row must not leave its partition",
            ]);
            assert!(!store.has_live(), "{mask}");
        }
    }
    // What stays is masked.
    let staying = "[[task.mask]]\ntable = \"events\"\ncolumns = { day = { kind = \"bucket\", size = \"month\" } }
        [[task.mask]]\ntable = \"events_2_other\"\ncolumns = { who = \"username\" }
        [[task.mask]]\ntable = \"whole\"\ncolumns = { day = \"date_shift\" }";
    store
        .with(&["--once"], &format!("verify = \"checksum\"\n{staying}"))
        .expect(0);
    let years = "SELECT tableoid::regclass, extract(year FROM day), count(*) FROM events GROUP BY 1, 2 ORDER BY 1, 2";
    assert_eq!(
        store.live(years),
        "events_1|2020|303 events_2_ann|2021|99 events_2_other|2021|198"
    );
    for raw in [
        "SELECT count(*) FROM whole WHERE day = '2020-05-05'",
        "SELECT count(*) FROM events WHERE day = '2020-03-03'::date + id AND extract(day FROM '2020-03-03'::date + id) <> 1",
        "SELECT count(*) FROM events_2 WHERE who LIKE 'bob%'",
    ] {
        assert_eq!(store.live(raw), "0", "{raw}");
    }
}

#[test]
fn what_a_scan_writes_is_a_file_that_a_task_includes() {
    let tables = "CREATE TABLE users (id int PRIMARY KEY, email varchar(60) NOT NULL, full_name varchar(60), api_token varchar(60), visits int);
        INSERT INTO users VALUES (1, 'planted1@corp.example', 'Jane Planted', 'sk_live_51H8planted00001', 3), (2, 'planted2@corp.example', 'Joe Planted', 'sk_live_51H8planted00002', 4);";
    for store in all(tables, "require_masks = true") {
        let file = store.bed.path("jobs/masks/all.toml");
        fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
        store.with(&["plan"], "").expect(3);
        let file = file.display().to_string();
        store.with(&["scan", "--write", &file], "").expect(1);
        let include = "include = [\"masks/all.toml\"]";
        store.with(&["validate"], include).expect(0);
        store.with(&["scan"], include).expect(0);
        store.with(&["--once"], include).expect(0);
        let raw = "SELECT count(*) FROM users WHERE email LIKE '%planted%' OR full_name LIKE '%Planted%' OR api_token LIKE '%planted%'";
        assert_eq!(store.live(raw), "0", "{}", store.kind);
        store.with(&["scan", "--target"], include).expect(0);
    }
}
