//! Rows that the target keeps are what live has, to the last bit, or the run fails.

use super::*;
use crate::error::Kind;

/// What a run that keeps `k` makes of it: all its columns, or the error.
async fn keeping(source: &str, live: &str, columns: &str) -> std::result::Result<String, String> {
    let mut bench = Bench::new(source);
    make(&bench.live(), live);
    bench.task.keep = vec!["k".to_owned()];
    let all = format!("SELECT group_concat(v, ';') FROM (SELECT {columns} v FROM k ORDER BY 1)");
    let before = ask_file(&bench.live(), &all);
    let done = bench.run().await;
    let after = ask_file(&bench.live(), &all);
    assert_eq!(after, before, "{source}");
    assert_eq!(
        ask_file(&bench.live(), "PRAGMA integrity_check"),
        "ok",
        "{source}"
    );
    let error = match done {
        Ok(()) => {
            let sql =
                "SELECT sql FROM sqlite_schema WHERE name = 'k' COLLATE NOCASE AND type = 'table'";
            return Ok(ask_file(&bench.live(), sql));
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(bench.litter(), [""; 0]);
    Err(error)
}

const QUOTED: &str = "id || quote(x)";

#[tokio::test]
async fn a_source_that_cannot_hold_kept_rows_leaves_them_their_own_definition() {
    for (source, live) in [
        (
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x, UNIQUE (x) ON CONFLICT REPLACE)",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (5, 1), (6, 1)",
        ),
        (
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x NOT NULL ON CONFLICT IGNORE)",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (5, 1), (6, NULL)",
        ),
        (
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x NOT NULL ON CONFLICT REPLACE DEFAULT 'd')",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (5, NULL)",
        ),
        (
            "CREATE TABLE k (id INTEGER PRIMARY KEY ON CONFLICT IGNORE, x COLLATE NOCASE UNIQUE)",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (5, 'a'), (6, 'A')",
        ),
        (
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x INTEGER)",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x TEXT); INSERT INTO k VALUES (5, '007')",
        ),
        (
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x REAL)",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (5, 9007199254740993), (6, 1)",
        ),
        (
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x TEXT)",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (5, 1.50), (6, x'00')",
        ),
        (
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x CHECK (x > 1))",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (5, 1), (6, 2)",
        ),
        (
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x INT) STRICT",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (5, 'text')",
        ),
        (
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x); CREATE UNIQUE INDEX i ON k (x)",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (5, 1), (6, 1); CREATE INDEX own ON k (x)",
        ),
        (
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x); CREATE INDEX i ON k (json_extract(x, '$.a'))",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (5, '{')",
        ),
        (
            "CREATE TABLE k (id INTEGER PRIMARY KEY, a, x AS (lower(a)))",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, a, x AS (upper(a)) STORED); INSERT INTO k (id, a) VALUES (5, 'a')",
        ),
        (
            "CREATE TABLE k (id INTEGER PRIMARY KEY, a, x)",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, a, x AS (upper(a))); INSERT INTO k (id, a) VALUES (5, 'a')",
        ),
        (
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x, more NOT NULL)",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (5, 1)",
        ),
        (
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x)",
            "CREATE TABLE k (id TEXT PRIMARY KEY, x); INSERT INTO k VALUES ('five', 1)",
        ),
    ] {
        let own = live.split(';').next().unwrap();
        let made = keeping(source, live, QUOTED).await.unwrap();
        assert_eq!(made, own, "{source}");
    }
}

#[tokio::test]
async fn what_the_sources_definition_can_hold_is_kept_in_it() {
    for (source, live, columns) in [
        (
            "CREATE TABLE K (id INTEGER PRIMARY KEY, x); INSERT INTO K VALUES (1, 'production')",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (5, 'staging')",
            QUOTED,
        ),
        (
            "CREATE TABLE k (a, b UNIQUE ON CONFLICT IGNORE)",
            "CREATE TABLE k (b, a); INSERT INTO k (rowid, a, b) VALUES (-4, 1, 2), (77, 3, 4)",
            "rowid || quote(a) || quote(b)",
        ),
        (
            "CREATE TABLE k (rowid TEXT, v)",
            "CREATE TABLE k (v, rowid TEXT); INSERT INTO k (_rowid_, rowid) VALUES (-4, 'x'), (77, 'y')",
            "_rowid_ || quote(rowid)",
        ),
        (
            "CREATE TABLE k (id INT, x)",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (9, 1)",
            "rowid || id || x",
        ),
        (
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x) WITHOUT ROWID",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (9, 1)",
            QUOTED,
        ),
        (
            "CREATE TABLE k (id INTEGER PRIMARY KEY AUTOINCREMENT, x)",
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x) ; INSERT INTO k VALUES (9, x'0061'), (10, CAST(x'610062' AS TEXT)), (11, CAST(x'ff' AS TEXT)), (12, 1e999)",
            "id || typeof(x) || hex(x)",
        ),
    ] {
        let expected = source.split(';').next().unwrap();
        let made = keeping(source, live, columns).await.unwrap();
        assert_eq!(made, expected);
    }
}

#[tokio::test]
async fn rowids_are_kept_where_the_source_has_none() {
    let made = keeping(
        "CREATE TABLE k (a PRIMARY KEY, x) WITHOUT ROWID",
        "CREATE TABLE k (a PRIMARY KEY, x); INSERT INTO k (rowid, a) VALUES (40, 'a'), (7, 'b')",
        "rowid || a",
    )
    .await
    .unwrap();
    assert_eq!(made, "CREATE TABLE k (a PRIMARY KEY, x)");
}

#[tokio::test]
async fn the_next_row_of_a_kept_table_gets_the_number_that_it_would_have_got() {
    let counted = "CREATE TABLE k (id INTEGER PRIMARY KEY AUTOINCREMENT, x)";
    let plain = "CREATE TABLE k (id INTEGER PRIMARY KEY, x)";
    for (source, live, more, next) in [
        (plain, counted, "", "4"),
        (
            plain,
            counted,
            "INSERT INTO k VALUES (9, 1); DELETE FROM k WHERE id = 9",
            "10",
        ),
        (
            counted,
            counted,
            "INSERT INTO k VALUES (9, 1); DELETE FROM k WHERE id = 9",
            "10",
        ),
        (counted, plain, "INSERT INTO k VALUES (9, 1)", "10"),
        ("CREATE TABLE other (x)", counted, "DELETE FROM k", "4"),
        (
            "CREATE TABLE K (ID INTEGER PRIMARY KEY AUTOINCREMENT, X); INSERT INTO K VALUES (50, 1)",
            counted,
            "DELETE FROM k",
            "4",
        ),
    ] {
        for late in [false, true] {
            let mut bench = Bench::new(source);
            make(
                &bench.live(),
                &format!("{live}; INSERT INTO k VALUES (3, 1)"),
            );
            bench.task.keep = vec!["k".to_owned()];
            if !late {
                make(&bench.live(), more);
            }
            let line = bench.ready().await.unwrap();
            if late {
                make(&bench.live(), more);
            }
            let published = line.publish().await;
            if published.is_err() {
                line.discard().await.unwrap();
            }
            line.close().await;
            // Live as it was counts on as well.
            assert!(published.is_ok() || (late && source == plain), "{source}");
            make(&bench.live(), "INSERT INTO k (x) VALUES ('next')");
            let sql = "SELECT id FROM k WHERE x = 'next'";
            assert_eq!(ask_file(&bench.live(), sql), next, "{source} {more} {late}");
        }
    }
}

#[tokio::test]
async fn a_name_that_is_a_table_on_one_side_and_a_view_on_the_other_cannot_be_kept() {
    for (source, live) in [
        ("CREATE VIEW k AS SELECT 1 AS id", "CREATE TABLE k (id)"),
        (
            "CREATE TABLE K (id)",
            "CREATE TABLE b (id); CREATE VIEW k AS SELECT * FROM b",
        ),
        (
            "CREATE VIRTUAL TABLE k USING fts5 (id)",
            "CREATE TABLE k (id)",
        ),
        (
            "CREATE TABLE k (id)",
            "CREATE VIRTUAL TABLE k USING fts5 (id)",
        ),
        (
            "CREATE TABLE t (a); CREATE INDEX k ON t (a)",
            "CREATE TABLE k (id)",
        ),
    ] {
        for mode in [Mode::Replace, Mode::Overlay] {
            let mut bench = Bench::new(source);
            make(&bench.live(), live);
            bench.task.keep = vec!["k".to_owned()];
            bench.task.mode = mode;
            let line = Line::open(&bench.task, &bench.context()).await.unwrap();
            let survey = line.survey().await.unwrap();
            let error = line.target.check(&survey).await.unwrap_err();
            line.close().await;
            assert_eq!(error.kind(), Kind::Verify);
            assert!(error.to_string().contains("`k`"), "{error}");
            assert!(error.to_string().contains("cannot be kept"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_definition_of_its_own_that_breaks_the_sources_triggers_is_refused() {
    let mut bench = Bench::new(
        "CREATE TABLE k (id INTEGER PRIMARY KEY, x UNIQUE, more DEFAULT 1);
         CREATE TABLE t (a); CREATE TRIGGER tt AFTER INSERT ON t BEGIN UPDATE k SET more = 2; END;",
    );
    make(
        &bench.live(),
        "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (5, 1), (6, 1)",
    );
    bench.task.keep = vec!["k".to_owned()];
    let error = bench.run().await.unwrap_err();
    assert!(error.to_string().contains("trigger `tt`"), "{error}");
    assert_eq!(ask_file(&bench.live(), "SELECT count(*) FROM k"), "2");
    assert_eq!(bench.litter(), [""; 0]);
}

#[tokio::test]
async fn a_foreign_key_of_a_kept_table_to_one_that_goes_is_named() {
    for (source, exclude) in [
        ("CREATE TABLE t (a)", ""),
        (
            "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE k (x UNIQUE, p REFERENCES p)",
            "p",
        ),
    ] {
        let mut bench = Bench::new(source);
        make(
            &bench.live(),
            "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE k (x, p REFERENCES P); INSERT INTO k VALUES (1, NULL), (1, NULL)",
        );
        bench.task.keep = vec!["k".to_owned()];
        bench.task.exclude = vec![exclude.to_owned(); usize::from(!exclude.is_empty())];
        let error = bench.run().await.unwrap_err();
        assert!(
            error.to_string().contains("foreign key of `k` to `P`"),
            "{error}"
        );
        assert_eq!(bench.litter(), [""; 0]);
        bench.task.keep.push("p".to_owned());
        bench.run().await.unwrap();
        make(
            &bench.live(),
            "PRAGMA foreign_keys = ON; INSERT INTO k VALUES (2, NULL)",
        );
    }
}

#[tokio::test]
async fn a_full_text_table_of_another_definition_keeps_its_own() {
    let mut bench =
        Bench::new("CREATE VIRTUAL TABLE s USING fts5 (t, u); INSERT INTO s VALUES ('source', 1);");
    make(
        &bench.live(),
        "CREATE VIRTUAL TABLE S USING fts5 (t); INSERT INTO s VALUES ('target'), ('other');",
    );
    bench.task.keep = vec!["s".to_owned()];
    bench.run().await.unwrap();
    let live = Connection::open(bench.live()).unwrap();
    let found = |word: &str| {
        ask(
            &live,
            &format!("SELECT count(*) FROM s WHERE s MATCH '{word}'"),
        )
    };
    assert_eq!(
        (found("target"), found("source")),
        ("1".to_owned(), "0".to_owned())
    );
    live.execute_batch("INSERT INTO s (s) VALUES ('integrity-check')")
        .unwrap();
}

#[tokio::test]
async fn a_script_that_changes_kept_rows_fails_the_run_and_names_the_table() {
    let source = "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (1, 'production');
        CREATE TABLE t (a); INSERT INTO t VALUES (1); CREATE VIRTUAL TABLE s USING fts5 (x);
        CREATE TRIGGER tt AFTER UPDATE ON t BEGIN UPDATE k SET x = x; UPDATE k SET x = 'fired' WHERE new.a = 2; END;";
    let live = "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (5, 'a'), (6, 'b');
        CREATE TABLE own (x); INSERT INTO own VALUES ('mine'); CREATE VIRTUAL TABLE s USING fts5 (x); INSERT INTO s VALUES ('word');";
    for (script, changed) in [
        ("UPDATE k SET x = 'script' WHERE id = 5", "k"),
        ("UPDATE k SET id = 7 WHERE id = 5", "k"),
        ("DELETE FROM k WHERE id = 5", "k"),
        ("INSERT INTO k VALUES (1, 1)", "k"),
        ("UPDATE t SET a = 2", "k"),
        ("DROP TRIGGER tt; ALTER TABLE k DROP COLUMN x", "k"),
        ("DROP TRIGGER tt; ALTER TABLE k RENAME TO other", "k"),
        ("UPDATE own SET x = NULL", "own"),
        ("DROP TABLE own", "own"),
        ("INSERT INTO s VALUES ('script')", "s"),
        (
            "UPDATE t SET a = 3; UPDATE k SET x = x; DELETE FROM own WHERE x = 'nobody'",
            "",
        ),
        (
            "UPDATE k SET x = 'script'; UPDATE k SET x = char(92 + id)",
            "",
        ),
    ] {
        let mut bench = Bench::new(source);
        make(&bench.live(), live);
        let before = std::fs::read(bench.live()).unwrap();
        bench.task.keep = vec!["k".to_owned(), "s".to_owned()];
        bench.task.mode = Mode::Overlay;
        let done = bench.run_with(script).await;
        if changed.is_empty() {
            done.unwrap();
            assert_eq!(
                ask_file(&bench.live(), "SELECT group_concat(x) FROM k"),
                "a,b"
            );
            continue;
        }
        let error = done.unwrap_err();
        assert_eq!(error.kind(), Kind::Verify);
        assert_eq!(
            error.to_string(),
            format!(
                "the rows of {changed}, which the target keeps, were changed in the copy; let no script write to a table that is kept"
            ),
            "{script}"
        );
        assert!(std::fs::read(bench.live()).unwrap() == before, "{script}");
        assert_eq!(bench.litter(), [""; 0]);
    }
}

/// Publishes after something was written to live meanwhile.
async fn publishing(source: &str, live: &str, keep: &str, late: &str) -> (Bench, Result<()>) {
    let mut bench = Bench::new(source);
    make(&bench.live(), live);
    bench.task.keep = vec![keep.to_owned()];
    let line = bench.ready().await.unwrap();
    make(&bench.live(), late);
    let published = line.publish().await;
    if published.is_err() {
        line.discard().await.unwrap();
    }
    line.close().await;
    (bench, published)
}

#[tokio::test]
async fn rows_that_come_late_may_not_refer_to_nothing() {
    let both = "CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE k (id INTEGER PRIMARY KEY, p REFERENCES p (id));";
    for (keep, more, late) in [
        (
            "k",
            "INSERT INTO p VALUES (1), (2); INSERT INTO k VALUES (1, 1)",
            "INSERT INTO k VALUES (9, 2)",
        ),
        (
            "p",
            "INSERT INTO p VALUES (1), (2)",
            "DELETE FROM p WHERE id = 1",
        ),
    ] {
        let (bench, published) = publishing(
            &format!("{both} INSERT INTO p VALUES (1); INSERT INTO k VALUES (1, 1)"),
            &format!("{both} {more}"),
            keep,
            late,
        )
        .await;
        let error = published.unwrap_err();
        assert_eq!(error.kind(), Kind::Verify);
        assert!(error.to_string().contains("from `k` to `p`"), "{error}");
        let broken = "SELECT count(*) FROM pragma_foreign_key_check";
        assert_eq!(ask_file(&bench.live(), broken), "0");
        assert_eq!(bench.litter(), [""; 0]);
    }
    let (bench, published) = publishing(
        &format!("{both} INSERT INTO p VALUES (1); INSERT INTO k VALUES (1, 1)"),
        &format!("{both} INSERT INTO p VALUES (1); INSERT INTO k VALUES (1, 1)"),
        "k",
        "INSERT INTO k VALUES (9, 1)",
    )
    .await;
    published.unwrap();
    assert_eq!(ask_file(&bench.live(), "SELECT count(*) FROM k"), "2");
}

#[tokio::test]
async fn a_late_change_that_sql_calls_none_is_one() {
    let table = "CREATE TABLE k (id INTEGER PRIMARY KEY, x COLLATE NOCASE);";
    let (bench, published) = publishing(
        table,
        &format!("{table} INSERT INTO k VALUES (1, 1), (2, 'a'), (3, 0.0)"),
        "k",
        "UPDATE k SET x = 1.0 WHERE id = 1; UPDATE k SET x = 'A' WHERE id = 2",
    )
    .await;
    published.unwrap();
    assert_eq!(
        ask_file(&bench.live(), "SELECT group_concat(quote(x)) FROM k"),
        "1.0,'A',0.0"
    );
}

#[tokio::test]
async fn late_rows_that_the_sources_definition_cannot_hold_fail_the_run() {
    for (column, late) in [
        (
            "x UNIQUE ON CONFLICT REPLACE",
            "INSERT INTO k VALUES (2, 1)",
        ),
        (
            "x NOT NULL ON CONFLICT IGNORE",
            "INSERT INTO k VALUES (2, NULL)",
        ),
        ("x INTEGER", "INSERT INTO k VALUES (2, '007')"),
        ("x CHECK (x < 5)", "INSERT INTO k VALUES (2, 5)"),
    ] {
        let (bench, published) = publishing(
            &format!("CREATE TABLE k (id INTEGER PRIMARY KEY, {column})"),
            "CREATE TABLE k (id INTEGER PRIMARY KEY, x); INSERT INTO k VALUES (1, 1)",
            "k",
            late,
        )
        .await;
        assert!(published.is_err(), "{column}");
        assert_eq!(ask_file(&bench.live(), "SELECT count(*) FROM k"), "2");
        assert_eq!(bench.litter(), [""; 0]);
        // The next run sees them.
        bench.run().await.unwrap();
        assert_eq!(ask_file(&bench.live(), "SELECT count(*) FROM k"), "2");
    }
}
