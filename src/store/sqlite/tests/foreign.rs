//! Databases of applications that bring along what SQLite has not got; and empty, wide or held ones.

use std::time::Duration;

use rusqlite::functions::FunctionFlags;

use super::*;
use crate::error::Kind;

/// With what an application knows and nobody else.
fn application(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    knows(&connection);
    connection.execute_batch(sql).unwrap();
}

fn knows(connection: &Connection) {
    connection
        .create_collation("unicase", |a: &str, b: &str| {
            b.to_lowercase().cmp(&a.to_lowercase())
        })
        .unwrap();
    connection
        .create_scalar_function("shout", 1, FunctionFlags::SQLITE_DETERMINISTIC, |call| {
            Ok(call.get::<String>(0)?.to_uppercase())
        })
        .unwrap();
}

const DECKS: &str =
    "CREATE TABLE decks (id INTEGER PRIMARY KEY, name TEXT NOT NULL COLLATE unicase);
    CREATE UNIQUE INDEX by_name ON decks (name);
    INSERT INTO decks VALUES (1, 'A'), (2, 'b'), (3, 'C');
    CREATE TABLE tags (tag TEXT PRIMARY KEY COLLATE unicase, usn INT) WITHOUT ROWID;
    INSERT INTO tags VALUES ('x', 1), ('Y', 2), ('z', 3);
    CREATE TABLE plain (a); INSERT INTO plain VALUES (1);";

fn foreign() -> Bench {
    let bench = Bench::new("CREATE TABLE other (a)");
    application(&bench.source(), DECKS);
    bench
}

#[tokio::test]
async fn a_database_in_the_order_of_its_applications_collation_is_copied_page_by_page() {
    for verify in [Verify::Checksum, Verify::Rows, Verify::None] {
        for mode in ["DELETE", "WAL"] {
            let mut bench = foreign();
            bench.task.verify = verify;
            make(&bench.source(), &format!("PRAGMA journal_mode = {mode}"));
            make(&bench.live(), "CREATE TABLE old (a)");
            for _ in 0..2 {
                bench.run().await.unwrap();
            }
            let live = Connection::open(bench.live()).unwrap();
            live.create_collation("unicase", |a: &str, b: &str| {
                b.to_lowercase().cmp(&a.to_lowercase())
            })
            .unwrap();
            assert_eq!(ask(&live, "PRAGMA integrity_check"), "ok");
            assert_eq!(
                ask(
                    &live,
                    "SELECT group_concat(name) FROM (SELECT name FROM decks ORDER BY name)"
                ),
                "C,b,A"
            );
            assert_eq!(ask(&live, "SELECT group_concat(tag) FROM tags"), "z,Y,x");
            assert_eq!(ask(&live, "SELECT usn FROM tags WHERE tag = 'y'"), "2");
        }
    }
}

#[tokio::test]
async fn a_database_with_its_applications_functions_is_copied_page_by_page() {
    for sql in [
        "CREATE TABLE t (a); CREATE INDEX i ON t (shout(a)); INSERT INTO t VALUES ('x'), ('y')",
        "CREATE TABLE t (a CHECK (shout(a) <> 'Q')); INSERT INTO t VALUES ('x'), ('y')",
        "CREATE TABLE t (a, b AS (shout(a)) STORED, c AS (shout(a))); INSERT INTO t VALUES ('x'), ('y')",
        "CREATE TABLE t (a); CREATE INDEX i ON t (a) WHERE shout(a) = 'X'; INSERT INTO t VALUES ('x'), ('y')",
        "CREATE TABLE t (a); CREATE VIEW v AS SELECT shout(a) FROM t; INSERT INTO t VALUES ('x'), ('y');
         CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT shout(new.a); END",
    ] {
        for verify in [Verify::Checksum, Verify::Rows, Verify::None] {
            let mut bench = Bench::new("CREATE TABLE other (a)");
            application(&bench.source(), sql);
            bench.task.verify = verify;
            for _ in 0..2 {
                if let Err(error) = bench.run().await {
                    panic!("{sql} {verify:?}: {error}");
                }
            }
            let live = Connection::open(bench.live()).unwrap();
            knows(&live);
            assert_eq!(ask(&live, "PRAGMA integrity_check"), "ok", "{sql}");
            assert_eq!(ask(&live, "SELECT group_concat(a) FROM t"), "x,y", "{sql}");
        }
    }
}

#[tokio::test]
async fn what_needs_an_applications_collation_is_refused_by_name_where_it_would_be_made_anew() {
    let refused = |bench: Bench| async move {
        let error = bench.run().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Verify, "{error}");
        assert!(!bench.live().exists());
        assert_eq!(bench.litter(), [""; 0]);
        error.to_string()
    };
    let mut parts = foreign();
    parts.task.exclude = vec!["plain".to_owned()];
    let mut emptied = foreign();
    emptied.task.schema_only = vec!["decks".to_owned()];
    let mut scripted = foreign();
    scripted.task.scripts = vec!["/x.sql".into()];
    for (bench, hint) in [
        (parts, "copy the whole file"),
        (emptied, "copy the whole file"),
        (scripted, "without `scripts`"),
    ] {
        let message = refused(bench).await;
        assert!(
            message.contains("`decks` (no such collation sequence: unicase)")
                && message.contains(hint),
            "{message}"
        );
    }
    let mut without = foreign();
    without.task.exclude = vec!["decks".to_owned(), "tags".to_owned()];
    without.run().await.unwrap();
    assert_eq!(ask_file(&without.live(), "SELECT a FROM plain"), "1");
    let pages = foreign();
    make(
        &pages.live(),
        "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; CREATE TABLE old (a)",
    );
    let error = pages.run().await.unwrap_err();
    assert!(error.to_string().contains("unicase"), "{error}");
    assert_eq!(ask_file(&pages.live(), "SELECT count(*) FROM old"), "0");
}

#[tokio::test]
async fn an_empty_file_is_no_source_and_a_database_without_tables_is() {
    let bench = Bench::new("CREATE TABLE t (a)");
    make(
        &bench.live(),
        "CREATE TABLE t (a); INSERT INTO t VALUES (1)",
    );
    std::fs::write(bench.source(), "").unwrap();
    let error = bench.run().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Verify);
    assert!(error.to_string().contains("empty file"), "{error}");
    assert_eq!(ask_file(&bench.live(), "SELECT a FROM t"), "1");
    // As the error says.
    make(&bench.source(), "VACUUM");
    bench.run().await.unwrap();
    assert_eq!(
        ask_file(&bench.live(), "SELECT count(*) FROM sqlite_schema"),
        "0"
    );
}

#[tokio::test]
async fn a_table_of_as_many_columns_as_there_can_be_is_copied_whole_and_in_part() {
    let columns = |from: u32| {
        let names: Vec<String> = (from..=2000).map(|number| format!("c{number}")).collect();
        names.join(", ")
    };
    let wide = format!(
        "CREATE TABLE w ({}); INSERT INTO w (rowid, c1, c2000) VALUES (7, 1, 2), (9, 3, 4);
         CREATE TABLE k (c1 INTEGER PRIMARY KEY, {}); INSERT INTO k (c1, c2000) VALUES (5, 6);
         CREATE TABLE g ({}, g AS (c2) STORED); INSERT INTO g (c2) VALUES (8);
         CREATE TABLE gone (a);",
        columns(1),
        columns(2),
        columns(2),
    );
    let mut bench = Bench::new(&wide);
    for (exclude, rowids) in [(None, "7,9"), (Some("gone".to_owned()), "1,2")] {
        bench.task.exclude = exclude.into_iter().collect();
        bench.run().await.unwrap();
        for (sql, expected) in [
            ("SELECT group_concat(c1 || c2000) FROM w", "12,34"),
            ("SELECT group_concat(rowid) FROM w", rowids),
            ("SELECT c1 || c2000 FROM k", "56"),
            ("SELECT g FROM g", "8"),
        ] {
            assert_eq!(ask_file(&bench.live(), sql), expected, "{sql}");
        }
    }
}

#[tokio::test]
async fn what_is_left_of_a_deleted_target_is_not_read_as_the_new_ones() {
    // What SQLite leaves when nobody closes the file: a log and a journal with the old rows in them.
    let left = |mode: &str| {
        let old = tempfile::tempdir().unwrap();
        let file = old.path().join("old.db");
        make(
            &file,
            &format!(
                "PRAGMA journal_mode = {mode}; CREATE TABLE t (a); INSERT INTO t VALUES ('old');"
            ),
        );
        let open = Connection::open(&file).unwrap();
        open.execute_batch("PRAGMA cache_size = 1; BEGIN; UPDATE t SET a = 'older'; CREATE TABLE u (a); INSERT INTO u SELECT randomblob(90000);")
            .unwrap();
        if mode == "WAL" {
            open.execute_batch("COMMIT").unwrap();
        }
        let mut found = Vec::new();
        for end in ["-wal", "-shm", "-journal"] {
            let path = old.path().join(format!("old.db{end}"));
            if let Ok(bytes) = std::fs::read(path) {
                found.push((end, bytes));
            }
        }
        assert!(!found.is_empty());
        found
    };
    let bytes: Vec<_> = left("WAL").into_iter().chain(left("DELETE")).collect();
    for mode in ["DELETE", "WAL"] {
        let bench = Bench::new(&format!(
            "PRAGMA journal_mode = {mode}; CREATE TABLE t (a); INSERT INTO t VALUES ('new');"
        ));
        for (end, bytes) in &bytes {
            let beside = bench.directory.path().join(format!("live.db{end}"));
            std::fs::write(beside, bytes).unwrap();
        }
        bench.run().await.unwrap();
        assert_eq!(ask_file(&bench.live(), "SELECT a FROM t"), "new", "{mode}");
        assert_eq!(ask_file(&bench.live(), "PRAGMA integrity_check"), "ok");
        assert_eq!(bench.litter(), [""; 0]);

        // Beside previous they are somebody's who has it open, and the run is refused before it has done anything.
        make(&bench.source(), "UPDATE t SET a = 'newer'");
        bench.run().await.unwrap();
        for (end, bytes) in &bytes {
            let beside = bench.beside(&format!("previous{end}"));
            std::fs::write(&beside, bytes).unwrap();
            let error = bench.run().await.unwrap_err();
            assert_eq!(error.kind(), Kind::Policy, "{error}");
            std::fs::remove_file(beside).unwrap();
        }
        let previous = bench.beside("previous");
        assert_eq!(ask_file(&previous, "SELECT a FROM t"), "new", "{mode}");
    }
}

#[tokio::test]
async fn a_target_that_is_moved_or_replaced_before_publish_is_refused_and_left_as_it_is() {
    for mode in ["DELETE", "WAL"] {
        let bench = Bench::new("CREATE TABLE t (a); INSERT INTO t VALUES ('new');");
        let old = format!(
            "PRAGMA journal_mode = {mode}; CREATE TABLE t (a); INSERT INTO t VALUES ('old');"
        );
        let away = bench.directory.path().join("away.db");
        for other in [true, false] {
            make(&bench.live(), &old);
            let line = bench.ready().await.unwrap();
            std::fs::rename(bench.live(), &away).unwrap();
            if other {
                make(
                    &bench.live(),
                    "CREATE TABLE theirs (a); INSERT INTO theirs VALUES ('theirs')",
                );
            }
            let error = line.publish().await.unwrap_err();
            assert!(error.to_string().contains("moved or replaced"), "{error}");
            line.discard().await.unwrap();
            line.close().await;
            if other {
                assert_eq!(ask_file(&bench.live(), "SELECT a FROM theirs"), "theirs");
                std::fs::remove_file(bench.live()).unwrap();
            }
            assert!(!bench.live().exists());
            assert_eq!(ask_file(&away, "SELECT a FROM t"), "old");
            super::super::connection::files::remove(&away).unwrap();
            super::super::connection::files::remove(&bench.live()).unwrap();
            assert_eq!(bench.litter(), [""; 0]);
        }
    }
}

#[tokio::test]
async fn a_copy_that_is_not_sound_leaves_nothing_of_live_behind() {
    let bench =
        Bench::new("CREATE TABLE t (id INTEGER PRIMARY KEY, a); INSERT INTO t VALUES (1, 1);");
    // More free pages than there are.
    let mut bytes = std::fs::read(bench.source()).unwrap();
    bytes[36..40].copy_from_slice(&99_u32.to_be_bytes());
    std::fs::write(bench.source(), bytes).unwrap();
    make(
        &bench.live(),
        "CREATE TABLE big (a); INSERT INTO big SELECT zeroblob(60000000);",
    );
    for _ in 0..3 {
        let error = bench.run().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Verify, "{error}");
        // A thread that goes on would make its file now.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(bench.litter(), [""; 0]);
    }
}

#[tokio::test]
async fn a_run_that_is_dropped_half_way_leaves_nothing_once_it_is_discarded() {
    let bench = Bench::new(&filler("t", 20_000, "x"));
    make(&bench.live(), &filler("big", 20_000, "y"));
    for wait in 0..8 {
        let context = bench.context();
        let line = Line::open(&bench.task, &context).await.unwrap();
        tokio::select! {
            _ = line.build() => {}
            () = tokio::time::sleep(Duration::from_millis(wait * 4)) => {}
        }
        context.cancel.cancel();
        line.discard().await.unwrap();
        line.close().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(bench.litter(), [""; 0], "{wait}");
    }
}

#[tokio::test]
async fn a_target_or_source_that_somebody_keeps_for_himself_is_busy() {
    let busy = async |held: &str| {
        let bench = Bench::new("CREATE TABLE t (a)");
        make(&bench.live(), "CREATE TABLE o (a)");
        let file = bench.directory.path().join(format!("{held}.db"));
        let application = Connection::open(&file).unwrap();
        application.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let error = bench.run().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Busy, "{held}: {error}");
        assert_eq!(error.kind().exit_code(), 75);
    };
    tokio::join!(busy("live"), busy("source"));
}
