use super::*;

/// What the sqlite3 shell would print, row by row, so that equality needs none of our own code.
fn everything(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    let tables: Vec<String> = connection
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    let mut all = Vec::new();
    for table in tables {
        let name = table.replace('"', "\"\"");
        for list in ["rowid, *", "*"] {
            let Ok(mut statement) = connection.prepare(&format!("SELECT {list} FROM \"{name}\""))
            else {
                continue;
            };
            let columns = statement.column_count();
            let mut rows = statement.query([]).unwrap();
            // A contentless FTS5 table cannot be read.
            while let Ok(Some(row)) = rows.next() {
                let values: Vec<_> = (0..columns)
                    .map(|at| format!("{:?}", row.get_ref(at).unwrap()))
                    .collect();
                all.push(format!("{table}: {}", values.join("|")));
            }
            break;
        }
    }
    let mut schema = connection
        .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2")
        .unwrap();
    let mut rows = schema.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        all.push(format!(
            "{:?} {:?} {:?} {:?}",
            row.get_ref(0),
            row.get_ref(1),
            row.get_ref(2),
            row.get_ref(3)
        ));
    }
    for setting in [
        "user_version",
        "application_id",
        "encoding",
        "page_size",
        "auto_vacuum",
    ] {
        all.push(format!(
            "{setting} = {}",
            ask(&connection, &format!("PRAGMA {setting}"))
        ));
    }
    all.sort();
    all
}

#[tokio::test]
async fn a_first_copy_equals_its_source_in_either_journal_mode() {
    for mode in ["DELETE", "WAL"] {
        let bench = Bench::new(&format!(
            "PRAGMA page_size = 8192; PRAGMA journal_mode = {mode}; {ZOO}"
        ));
        bench.run().await.unwrap();
        assert_eq!(everything(&bench.source()), everything(&bench.live()));
        assert_eq!(
            ask_file(&bench.live(), "PRAGMA journal_mode"),
            mode.to_lowercase()
        );
        assert_eq!(
            ask_file(
                &bench.live(),
                "SELECT count(*) FROM docs WHERE docs MATCH 'fox'"
            ),
            "1"
        );
        assert_eq!(bench.litter(), [""; 0], "{mode}");
    }
}

#[tokio::test]
async fn a_row_by_row_copy_equals_its_source() {
    for encoding in ["UTF-8", "UTF-16le"] {
        let mut bench = Bench::new(&format!(
            "PRAGMA page_size = 1024; PRAGMA auto_vacuum = FULL; PRAGMA encoding = '{encoding}'; {ZOO}"
        ));
        // Matches nothing, but takes the other way.
        bench.task.exclude = vec!["nothing_at_all".to_owned()];
        bench.run().await.unwrap();
        assert_eq!(
            everything(&bench.source()),
            everything(&bench.live()),
            "{encoding}"
        );
        assert_eq!(
            ask_file(
                &bench.live(),
                "SELECT count(*) FROM docs WHERE docs MATCH 'fox'"
            ),
            "1"
        );
        assert_eq!(
            ask_file(&bench.live(), "SELECT count(*) FROM boxes WHERE x0 > 1"),
            "1"
        );
        assert_eq!(
            ask_file(&bench.live(), "SELECT count(*) FROM audit"),
            "0",
            "no trigger fired"
        );
    }
}

#[tokio::test]
async fn the_point_in_time_holds_while_the_source_goes_on() {
    let bench = Bench::new(&format!(
        "PRAGMA journal_mode = WAL; {}",
        filler("t", 20_000, "x")
    ));
    let context = bench.context();
    let line = Line::open(&bench.task, &context).await.unwrap();
    let survey = line.survey().await.unwrap();
    make(
        &bench.source(),
        "DELETE FROM t WHERE id > 10; INSERT INTO t VALUES (-1, 'late')",
    );
    let incoming = line.target.prepare(&survey).await.unwrap();
    let counter = Counter::default();
    assert!(line.transfer(&*incoming, &survey, &counter).await.unwrap());
    let complete = incoming.complete().await.unwrap();
    let sum = complete.checksum(&survey.parts[0]).await.unwrap();
    assert_eq!(sum, line.source.checksum(&survey.parts[0]).await.unwrap());
    assert_eq!(sum.rows, 20_000);
    assert_eq!(counter.rows.into_inner(), 20_000);
    assert_eq!(counter.bytes.into_inner(), survey.parts[0].bytes);
    line.discard().await.unwrap();
    line.close().await;
    assert_eq!(
        ask_file(&bench.source(), "SELECT count(*) FROM t"),
        "11",
        "the writer was not held up"
    );
    assert_eq!(bench.litter(), [""; 0]);
}

#[tokio::test]
async fn chunks_are_whole_rows_of_a_modest_size() {
    use futures_util::StreamExt;
    let bench = Bench::new(&filler("t", 10_000, "x"));
    let line = Line::open(&bench.task, &bench.context()).await.unwrap();
    let survey = line.survey().await.unwrap();
    let chunks: Vec<_> = line
        .source
        .read(&survey.parts[0])
        .await
        .unwrap()
        .map(Result::unwrap)
        .collect()
        .await;
    assert!(chunks.len() > 10);
    assert!(chunks.iter().all(|chunk| chunk.data.len() < 300 * 1024));
    assert_eq!(chunks.iter().map(|chunk| chunk.rows).sum::<u64>(), 10_000);
    line.close().await;
}

#[tokio::test]
async fn two_parts_can_be_written_at_once() {
    let mut bench = Bench::new(&format!(
        "{}{}",
        filler("a", 5_000, "x"),
        filler("b", 5_000, "y")
    ));
    bench.task.exclude = vec!["nothing".to_owned()];
    let line = Line::open(&bench.task, &bench.context()).await.unwrap();
    let survey = line.survey().await.unwrap();
    let incoming = line.target.prepare(&survey).await.unwrap();
    let (a, b) = (&survey.parts[0], &survey.parts[1]);
    // Both readers are there before either writer.
    let (from_a, from_b) = (
        line.source.read(a).await.unwrap(),
        line.source.read(b).await.unwrap(),
    );
    let (a, b) = tokio::join!(incoming.write(a, from_a), incoming.write(b, from_b));
    assert_eq!((a.unwrap(), b.unwrap()), (5_000, 5_000));
    line.discard().await.unwrap();
    line.close().await;
}

#[tokio::test]
async fn a_part_whose_rows_end_in_an_error_leaves_none_behind() {
    use futures_util::StreamExt;
    let mut bench = Bench::new(&filler("t", 10_000, "x"));
    bench.task.exclude = vec!["nothing".to_owned()];
    let line = Line::open(&bench.task, &bench.context()).await.unwrap();
    let survey = line.survey().await.unwrap();
    let incoming = line.target.prepare(&survey).await.unwrap();
    let part = &survey.parts[0];
    let cut = line
        .source
        .read(part)
        .await
        .unwrap()
        .take(3)
        .chain(futures_util::stream::once(async {
            Err(crate::error::Error::new(
                crate::error::Kind::Connection,
                "gone",
            ))
        }));
    let error = incoming.write(part, cut.boxed()).await.unwrap_err();
    assert_eq!(error.to_string(), "gone");
    let complete = incoming.complete().await.unwrap();
    assert_eq!(complete.checksum(part).await.unwrap().rows, 0);
    line.discard().await.unwrap();
    line.close().await;
    assert_eq!(bench.litter(), [""; 0]);
}

#[tokio::test]
async fn reading_an_idle_source_in_wal_mode_leaves_nothing_beside_it() {
    let bench = Bench::new(&format!("PRAGMA journal_mode = WAL; {ZOO}"));
    assert_eq!(bench.litter(), [""; 0]);
    let before = std::fs::read(bench.source()).unwrap();
    bench.run().await.unwrap();
    assert_eq!(bench.litter(), [""; 0]);
    assert!(
        before == std::fs::read(bench.source()).unwrap(),
        "the source's file was written"
    );
}

/// Puts a virtual table into a file as SQLite with more modules or tokenizers would have.
fn enter(path: &Path, sql: &str) {
    let name = sql.split_whitespace().nth(3).unwrap();
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch("PRAGMA writable_schema = ON")
        .unwrap();
    connection
        .execute(
            "INSERT INTO sqlite_schema (type, name, tbl_name, rootpage, sql) VALUES ('table', ?1, ?1, 0, ?2)",
            [name, sql],
        )
        .unwrap();
}

#[tokio::test]
async fn what_other_builds_of_sqlite_have_left_does_not_stop_a_copy() {
    for partial in [false, true] {
        let mut bench = Bench::new(
            "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a); INSERT INTO t (a) VALUES ('x'), ('y');
             CREATE INDEX i ON t (a); ANALYZE;
             INSERT INTO sqlite_sequence VALUES (NULL, 7), (x'ff', 8); INSERT INTO sqlite_stat1 VALUES (NULL, NULL, 'x'), (5, 'i', NULL);
             CREATE VIEW broken AS SELECT no_such_function(a) FROM not_there;
             CREATE TABLE spelling_vocab (id INTEGER PRIMARY KEY, word); INSERT INTO spelling_vocab VALUES (1, 'w');
             CREATE TABLE words_data (id INTEGER PRIMARY KEY, block BLOB);",
        );
        enter(
            &bench.source(),
            "CREATE VIRTUAL TABLE spelling USING spellfix1",
        );
        enter(
            &bench.source(),
            "CREATE VIRTUAL TABLE words USING fts5(a, tokenize = 'of_an_application')",
        );
        if partial {
            bench.task.exclude = vec!["nothing".to_owned()];
        }
        bench.run().await.unwrap();
        let live = Connection::open(bench.live()).unwrap();
        assert_eq!(
            ask(
                &live,
                "SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema WHERE sql LIKE 'CREATE V%' ORDER BY 1)"
            ),
            "broken,spelling,words"
        );
        assert_eq!(ask(&live, "SELECT word FROM spelling_vocab"), "w");
        assert_eq!(
            ask(
                &live,
                "SELECT stat FROM sqlite_stat1 WHERE idx = 'i' AND tbl = 't'"
            ),
            "2 1"
        );
        assert_eq!(
            ask(&live, "SELECT seq FROM sqlite_sequence WHERE name = 't'"),
            "2"
        );
    }
}

#[tokio::test]
async fn a_definition_that_is_no_utf_8_goes_with_its_page_or_is_refused_by_name() {
    let mut bench = Bench::new("CREATE TABLE t (a); INSERT INTO t VALUES (1); PRAGMA writable_schema = ON;
        UPDATE sqlite_schema SET sql = CAST(CAST('CREATE TABLE t (a /* caf' AS BLOB) || x'e9' || CAST(' */)' AS BLOB) AS TEXT);");
    bench.run().await.unwrap();
    let hex = "SELECT hex(sql) FROM sqlite_schema";
    assert_eq!(ask_file(&bench.live(), hex), ask_file(&bench.source(), hex));
    assert_eq!(ask_file(&bench.live(), "SELECT a FROM t"), "1");
    bench.task.exclude = vec!["nothing".to_owned()];
    let error = bench.run().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the definition of table `t` is not valid UTF-8"),
        "{error}"
    );
}

#[tokio::test]
async fn a_checksum_holds_stored_columns_against_what_the_source_has_computed() {
    let mut bench = Bench::new(
        "CREATE TABLE t (a TEXT, b TEXT AS (upper(a)) STORED, c TEXT AS (lower(a)) VIRTUAL); INSERT INTO t (a) VALUES ('x');",
    );
    // Of an application whose upper() is another.
    make(
        &bench.source(),
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'upper(a)', 'a || ''!''') WHERE name = 't';",
    );
    bench.run().await.unwrap();
    assert_eq!(ask_file(&bench.live(), "SELECT b FROM t"), "X");
    bench.task.exclude = vec!["nothing".to_owned()];
    let line = Line::open(&bench.task, &bench.context()).await.unwrap();
    let survey = line.survey().await.unwrap();
    let incoming = line.target.prepare(&survey).await.unwrap();
    let part = &survey.parts[0];
    incoming
        .write(part, line.source.read(part).await.unwrap())
        .await
        .unwrap();
    let complete = incoming.complete().await.unwrap();
    assert_ne!(
        line.source.checksum(part).await.unwrap(),
        complete.checksum(part).await.unwrap()
    );
    line.discard().await.unwrap();
    line.close().await;
}
