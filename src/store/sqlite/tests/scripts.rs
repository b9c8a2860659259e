use super::*;
use crate::error::Kind;

async fn refused(bench: &Bench, script: &str) -> String {
    let error = bench.run_with(script).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Statement, "{error}");
    assert_eq!(bench.litter(), [""; 0]);
    assert!(!bench.live().exists(), "{script}");
    error.to_string()
}

#[tokio::test]
async fn what_a_script_leaves_open_is_an_error_and_never_a_success_that_was_rolled_back() {
    let bench = Bench::new("CREATE TABLE t (a); INSERT INTO t VALUES ('raw');");
    for open in [
        "BEGIN",
        "BEGIN IMMEDIATE",
        "BEGIN EXCLUSIVE",
        "SAVEPOINT s",
        "BEGIN; SAVEPOINT s",
        "PRAGMA foreign_keys = OFF; BEGIN",
        "SAVEPOINT s; SAVEPOINT t; RELEASE t",
        "BEGIN; COMMIT; BEGIN",
    ] {
        let error = refused(&bench, &format!("{open}; UPDATE t SET a = 'masked';")).await;
        assert!(
            error.contains("leaves a transaction open"),
            "{open}: {error}"
        );
    }
    let error = refused(
        &bench,
        "PRAGMA journal_mode = OFF; BEGIN; UPDATE t SET a = 'x'; ROLLBACK;",
    )
    .await;
    assert!(error.contains("turns the rollback journal off"), "{error}");
    for closed in ["BEGIN; {} COMMIT;", "SAVEPOINT s; {} RELEASE s;"] {
        let bench = Bench::new("CREATE TABLE t (a); INSERT INTO t VALUES ('raw');");
        let script = closed.replace("{}", "UPDATE t SET a = 'masked';");
        bench.run_with(&script).await.unwrap();
        assert_eq!(ask_file(&bench.live(), "SELECT a FROM t"), "masked");
    }
}

#[tokio::test]
async fn nothing_of_a_scripts_session_is_there_for_the_next_script_or_for_the_copy() {
    let bench = Bench::new(
        "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p (id), CHECK (p < 9));
         INSERT INTO p VALUES (1); INSERT INTO c VALUES (1);",
    );
    let line = bench.ready().await.unwrap();
    let run = |text: String| {
        let line = &line;
        async move { line.run_script(Path::new("/x.sql"), &text).await }
    };
    run("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; \
         PRAGMA case_sensitive_like = ON; PRAGMA recursive_triggers = ON; PRAGMA locking_mode = EXCLUSIVE; \
         PRAGMA journal_mode = WAL; PRAGMA analysis_limit = 1; PRAGMA temp_store = MEMORY; \
         CREATE TEMP TABLE mine (a); CREATE TEMP VIEW p AS SELECT 7 AS id; ATTACH ':memory:' AS other; CREATE TABLE other.t (a); ATTACH '' AS more; PRAGMA query_only = ON;"
        .to_owned())
    .await
    .unwrap();
    for (sql, problem) in [
        ("DELETE FROM p;", "FOREIGN KEY constraint failed"),
        ("INSERT INTO c VALUES (10);", "CHECK constraint failed"),
        ("SELECT * FROM mine;", "no such table"),
        ("SELECT * FROM other.t;", "no such table"),
        ("DELETE FROM sqlite_schema;", "may not be modified"),
    ] {
        let error = run(sql.to_owned()).await.unwrap_err();
        assert!(error.to_string().contains(problem), "{sql}: {error}");
    }
    run("UPDATE c SET p = 2 WHERE 'ABC' NOT LIKE 'abc'; INSERT INTO p VALUES (5);".to_owned())
        .await
        .unwrap();
    line.derive().await.unwrap();
    line.publish().await.unwrap();
    line.close().await;
    let live = Connection::open(bench.live()).unwrap();
    assert_eq!(ask(&live, "SELECT group_concat(id) FROM main.p"), "1,5");
    assert_eq!(ask(&live, "SELECT p FROM c"), "1");
    assert_eq!(ask(&live, "PRAGMA journal_mode"), "delete");
    assert_eq!(bench.litter(), [""; 0]);
}

#[tokio::test]
async fn a_script_that_changes_the_page_size_is_published_into_a_live_file_in_wal_mode() {
    let bench = Bench::new("CREATE TABLE t (a); INSERT INTO t VALUES ('new');");
    make(
        &bench.live(),
        "PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES ('old');",
    );
    bench
        .run_with("PRAGMA page_size = 16384; VACUUM;")
        .await
        .unwrap();
    assert_eq!(ask_file(&bench.live(), "SELECT a FROM t"), "new");
    assert_eq!(ask_file(&bench.live(), "PRAGMA page_size"), "4096");
}

#[tokio::test]
async fn what_was_published_is_held_against_what_was_verified() {
    let bench = Bench::new("CREATE TABLE t (a); INSERT INTO t VALUES ('new');");
    make(
        &bench.live(),
        "CREATE TABLE t (a); INSERT INTO t VALUES ('old');",
    );
    // The first run of this bench is called so.
    let naming = "CREATE VIEW v AS SELECT 'live.db.envsyncd-incoming-000000000001' AS a;";
    let line = bench.ready().await.unwrap();
    line.run_script(Path::new("/x.sql"), naming).await.unwrap();
    line.derive().await.unwrap();
    line.go_live().await.unwrap();
    let error = line.confirm().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Verify);
    assert!(error.to_string().contains("view `v`"), "{error}");
    line.revert().await.unwrap();
    line.close().await;
    assert_eq!(ask_file(&bench.live(), "SELECT a FROM t"), "old");
    assert_eq!(bench.litter(), [""; 0]);

    // An application that goes on at once, and changes what it wants, is no error.
    for exists in [true, false] {
        let line = bench.ready().await.unwrap();
        line.go_live().await.unwrap();
        make(&bench.live(), "CREATE TABLE migrated (a)");
        line.confirm().await.unwrap();
        line.close().await;
        if exists {
            std::fs::remove_file(bench.live()).unwrap();
        }
    }
}

#[tokio::test]
async fn a_live_file_that_differs_from_what_was_verified_is_told_by_name() {
    use super::super::publish::confirm::{PublishedCopy, Shape, Untouched};
    let bench = Bench::new("CREATE TABLE t (a); CREATE VIEW v AS SELECT 1;");
    let verified = bench.directory.path().join("verified.db");
    make(
        &verified,
        "CREATE TABLE t (a, b); CREATE INDEX i ON t (a); PRAGMA user_version = 3;",
    );
    let published = PublishedCopy {
        shape: Shape::of(&Connection::open(&verified).unwrap()).unwrap(),
        untouched: Untouched::new_file(&bench.source()),
    };
    let error = published
        .confirm(&bench.source(), Path::new("/incoming"))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("index `i`, table `t`, view `v`, ..."),
        "{error}"
    );
}

#[tokio::test]
async fn definitions_and_scripts_may_call_what_the_shell_has() {
    for partial in [false, true] {
        let mut bench = Bench::new(
            "CREATE TABLE t (a, b AS (sqrt(a)) STORED); CREATE INDEX i ON t (log(a)); INSERT INTO t (a) VALUES (16);",
        );
        if partial {
            bench.task.exclude = vec!["nothing".to_owned()];
        }
        bench
            .run_with("UPDATE t SET a = pow(ceil(a / 5.0), 2) WHERE log(a) > 1;")
            .await
            .unwrap();
        assert_eq!(ask_file(&bench.live(), "SELECT b FROM t"), "4");
    }
}

#[tokio::test]
async fn a_script_reaches_nothing_but_its_copy() {
    let bench = Bench::new("CREATE TABLE t (a); INSERT INTO t VALUES ('raw');");
    let source = bench.source().display().to_string();
    let fresh = bench.directory.path().join("fresh.db");
    let before = std::fs::read(&source).unwrap();
    for (reach, what) in [
        (
            format!("ATTACH '{source}' AS s; UPDATE s.t SET a = 'changed'"),
            "another file",
        ),
        (format!("ATTACH '{source}' || '' AS s"), "another file"),
        (
            format!("ATTACH 'file:{source}?mode=rw' AS s"),
            "another file",
        ),
        (format!("ATTACH (SELECT '{source}') AS s"), "another file"),
        (format!("ATTACH '{}' AS s", fresh.display()), "another file"),
        (format!("VACUUM INTO '{}'", fresh.display()), "another file"),
        (
            format!("VACUUM main INTO '{}' || ''", fresh.display()),
            "another file",
        ),
        (
            "SELECT load_extension('/nonexistent')".to_owned(),
            "load_extension",
        ),
        (
            "PRAGMA writable_schema = ON".to_owned(),
            "PRAGMA writable_schema",
        ),
        (
            "PRAGMA main.Writable_Schema(1)".to_owned(),
            "PRAGMA writable_schema",
        ),
        (
            "PRAGMA temp_store_directory = '/'".to_owned(),
            "PRAGMA temp_store_directory",
        ),
        (
            "PRAGMA hard_heap_limit = 1000".to_owned(),
            "PRAGMA hard_heap_limit",
        ),
    ] {
        let error = refused(&bench, &format!("SELECT 1;\n{reach};")).await;
        assert!(
            error.contains(&format!("{what} is beyond the copy"))
                && error.contains("/etc/after.sql:2"),
            "{reach}: {error}"
        );
    }
    for missing in [
        "writefile('/tmp/x', a)",
        "readfile('/etc/passwd')",
        "edit(a)",
    ] {
        let error = refused(&bench, &format!("SELECT {missing} FROM t;")).await;
        assert!(error.contains("no such function"), "{error}");
    }
    assert_eq!(std::fs::read(&source).unwrap(), before);
    assert!(!fresh.exists());
    // What is of the copy, and of the session, is the script's.
    bench
        .run_with(
            "CREATE TEMP TABLE map AS SELECT 'raw' AS a, 'masked' AS b; UPDATE main.t SET a = (SELECT b FROM temp.map WHERE a = t.a); \
             PRAGMA writable_schema; VACUUM; PRAGMA user_version = 5; \
             CREATE TRIGGER g AFTER INSERT ON t BEGIN UPDATE t SET a = 'by trigger; END' WHERE a = new.a; END; INSERT INTO t VALUES ('x');",
        )
        .await
        .unwrap();
    assert_eq!(
        ask_file(&bench.live(), "SELECT group_concat(a) FROM t"),
        "masked,by trigger; END"
    );
}

#[tokio::test]
async fn a_script_of_very_many_statements_is_read_once() {
    let bench = Bench::new("CREATE TABLE t (a);");
    // Each statement used to cost a copy of all the rest: this was 40 GB.
    let mut script = "BEGIN;\n".to_owned();
    for number in 0..30_000 {
        script.push_str(&format!("INSERT INTO t VALUES ('{number:060}');\n"));
    }
    script.push_str("COMMIT;");
    bench.run_with(&script).await.unwrap();
    assert_eq!(ask_file(&bench.live(), "SELECT count(*) FROM t"), "30000");
    let error = bench
        .run_with(&format!("{script}\nSELEKT 1;"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("/etc/after.sql:30003"),
        "{error}"
    );
}
