//! The canary: a copy that has what is masked elsewhere is not published.

use super::scan::Store;

const TABLES: &str = "
    CREATE TABLE users (id int PRIMARY KEY, email varchar(80), phone varchar(30), name varchar(80));
    CREATE TABLE notes (id int PRIMARY KEY, body text);
    INSERT INTO users VALUES (1, 'planted1@corp.example', '+44 20 7946 0001', 'Planted Person'), (2, 'planted2@corp.example', '+44 20 7946 0002', 'Anna Somebody'),
        (3, NULL, NULL, NULL), (4, '', '', '');
    INSERT INTO notes VALUES (1, 'nothing at all'), (2, 'Anna was here'), (3, NULL);";

const MASKS: &str = r#"
[[task.mask]]
table = "users"
columns = { email = "email", phone = "phone", name = "full_name" }
"#;

#[test]
fn a_copy_with_values_that_are_masked_elsewhere_is_not_published() {
    for store in Store::each(TABLES) {
        let job = store.job().task("canary = true").task(MASKS);
        store.run(&["--once"], &job, "").expect(0);
        assert_eq!(store.target("SELECT count(*) FROM notes"), "3");
        for (leak, of) in [
            ("she is planted2@corp.example, they say", "users.email"),
            (
                "{\"who\": {\"mail\": \"planted1@corp.example\"}}",
                "users.email",
            ),
            ("+44 20 7946 0002", "users.phone"),
            ("call Planted Person (again)", "users.name"),
        ] {
            store.source(&format!("UPDATE notes SET body = '{leak}' WHERE id = 1;"));
            let failed = store.run(&["--once"], &job, "").expect(1).says(&[
                "notes.body has values of",
                of,
                "(1 of 3 rows)",
                "canary = false",
            ]);
            for text in [&failed.stdout, &failed.stderr] {
                assert!(
                    !text.contains("planted")
                        && !text.contains("7946")
                        && !text.contains("Planted"),
                    "{text}"
                );
            }
            // Live is what it was.
            assert_eq!(
                store.target("SELECT body FROM notes WHERE id = 1"),
                "nothing at all"
            );
        }
        store
            .run(
                &["--once"],
                &store.job().task("canary = false").task(MASKS),
                "",
            )
            .expect(0);
        assert_eq!(
            store.target("SELECT count(*) FROM notes WHERE body LIKE '%Planted%'"),
            "1"
        );
    }
}

#[test]
fn it_is_the_default_where_masks_are_required() {
    let store = Store::sqlite();
    store.source(TABLES);
    store.source("UPDATE notes SET body = 'planted1@corp.example' WHERE id = 1");
    let passed = "[[task.pass]]\ntable = \"notes\"\ncolumns = [\"*\"]\nreason = \"somebody was wrong\"\n[[task.pass]]\ntable = \"users\"\ncolumns = [\"id\"]\nreason = \"a number\"\n";
    let job = || store.job().task(MASKS).task(passed);
    store
        .run(&["--once"], &job(), "require_masks = true")
        .expect(1)
        .says(&["notes.body has values of users.email"]);
    store
        .run(&["--once"], &job(), "require_masks = \"detected\"")
        .expect(1)
        .says(&["notes.body has values of users.email"]);
    store.run(&["--once"], &job(), "").expect(0);
    let off = store.job().task("canary = false").task(MASKS).task(passed);
    store
        .run(&["--once"], &off, "require_masks = true")
        .expect(0);
}

/// Scripts run before it: what they take out is not there any more.
#[test]
fn what_scripts_remove_is_gone() {
    let store = Store::sqlite();
    store.source(TABLES);
    store.source("UPDATE notes SET body = 'planted1@corp.example' WHERE id = 1");
    store
        .bed
        .file("after.sql", "UPDATE notes SET body = 'gone' WHERE id = 1;");
    let job = store
        .job()
        .task("canary = true\nscripts = [\"after.sql\"]")
        .task(MASKS);
    store.run(&["--once"], &job, "").expect(0);
    assert_eq!(store.target("SELECT body FROM notes WHERE id = 1"), "gone");
}

#[test]
fn names_that_masks_themselves_give_and_values_that_stay_are_no_alarm() {
    let store = Store::sqlite();
    store.source(
        "CREATE TABLE people (id integer PRIMARY KEY, name text, email text, born date, city text, role text);
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 6000)
           INSERT INTO people SELECT n, 'Somebody Number' || n, 'person' || n || '@corp.example', date('1970-01-01', n % 900 || ' days'), 'New York City', iif(n % 3, 'staff', 'guest') FROM n;",
    );
    // Staff stays as it is, and so does one domain.
    let masks = r#"
[[task.mask]]
table = "people"
where = "role = 'guest'"
columns = { email = "email" }
[[task.mask]]
table = "people"
columns = { name = "full_name", born = "date_shift", city = "city" }
"#;
    let job = store.job().task("canary = true").task(masks);
    store.run(&["--once"], &job, "").expect(0);
    // Now the source itself has names that masks give, and the same key gives others' names to some.
    let names = store.bed.path("live.db");
    let again = store.bed.path("again.db");
    let url = |file: &std::path::Path| format!("sqlite://{}", file.display());
    let second = crate::support::job::Job::between("sqlite", &url(&names), &url(&again))
        .task("canary = true")
        .task(masks);
    store.run(&["--once"], &second, "").expect(0);
    let both = rusqlite::Connection::open(&again).expect("a database");
    both.execute("ATTACH ?1 AS before", [names.display().to_string()])
        .expect("our own SQL");
    let same: i64 = both
        .query_row(
            "SELECT count(*) FROM main.people WHERE name IN (SELECT name FROM before.people)",
            [],
            |row| row.get(0),
        )
        .expect("our own SQL");
    assert!(same > 0, "no name is both, and the test shows nothing");
}

#[test]
fn a_canary_that_could_not_sing_is_refused() {
    let store = Store::sqlite();
    store.source(TABLES);
    for (job, says) in [
        (store.job().task("canary = true"), "the task masks none"),
        (
            store.job().task("canary = \"yes\"").task(MASKS),
            "expected true or false",
        ),
    ] {
        store.run(&["validate"], &job, "").expect(2).says(&[says]);
    }
    let archive = format!(
        "{{ url = \"file://{}\" }}",
        store.bed.path("archive").display()
    );
    let source = crate::support::job::toml(&format!(
        "sqlite://{}",
        store.bed.path("source.db").display()
    ));
    let push = crate::support::job::Job::new("sqlite", &source, &archive)
        .task("canary = true")
        .task(MASKS);
    store
        .run(&["validate"], &push, "")
        .expect(2)
        .says(&["there is no server that could be asked"]);
}
