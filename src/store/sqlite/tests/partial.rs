use super::*;
use crate::error::Kind;

const LIVE: &str = "CREATE TABLE hooks (id INTEGER PRIMARY KEY, url TEXT); INSERT INTO hooks VALUES (10, 'staging'), (11, 'too');
    CREATE TABLE own (a TEXT); INSERT INTO own (rowid, a) VALUES (77, 'kept');
    CREATE INDEX own_a ON own (a);
    CREATE TABLE own_log (x); CREATE TRIGGER own_added AFTER INSERT ON own BEGIN INSERT INTO own_log VALUES (new.a); END;
    CREATE VIEW own_view AS SELECT a FROM own;
    CREATE VIRTUAL TABLE own_search USING fts5 (t); INSERT INTO own_search VALUES ('needle');
    CREATE TABLE t (old);";

const SOURCE: &str = "CREATE TABLE hooks (id INTEGER PRIMARY KEY AUTOINCREMENT, extra TEXT DEFAULT 'd', url TEXT);
    INSERT INTO hooks VALUES (1, 'e', 'production');
    CREATE UNIQUE INDEX hooks_url ON hooks (url);
    CREATE TABLE t (new); INSERT INTO t VALUES (1), (2);
    CREATE TABLE cache_one (secret); INSERT INTO cache_one VALUES ('SECRET-ROW');
    CREATE INDEX cache_index ON cache_one (secret);
    CREATE TRIGGER cache_trigger AFTER INSERT ON cache_one BEGIN SELECT 1; END;
    CREATE TABLE events (what); INSERT INTO events VALUES ('SECRET-EVENT');
    CREATE INDEX events_what ON events (what);
    CREATE VIRTUAL TABLE cache_search USING fts5 (b); INSERT INTO cache_search VALUES ('SECRET-SEARCH');
    CREATE VIRTUAL TABLE empty_search USING fts5 (b); INSERT INTO empty_search VALUES ('SECRET-EMPTY');
    ANALYZE;";

fn contains(path: &Path, text: &str) -> bool {
    std::fs::read(path)
        .unwrap()
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn rows_that_are_left_out_never_reach_the_targets_disk() {
    let mut bench = Bench::new(SOURCE);
    bench.task.exclude = vec!["cache_*".to_owned()];
    bench.task.schema_only = vec!["events".to_owned(), "empty_search".to_owned()];
    let line = bench.ready().await.unwrap();
    let incoming = std::fs::read_dir(bench.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().contains("incoming"))
        .collect::<Vec<_>>();
    assert!(!incoming.is_empty());
    for path in &incoming {
        assert!(!contains(path, "SECRET"), "{}", path.display());
    }
    line.go_live().await.unwrap();
    line.close().await;
    let live = Connection::open(bench.live()).unwrap();
    assert_eq!(
        ask(
            &live,
            "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'cache%'"
        ),
        "0"
    );
    assert_eq!(ask(&live, "SELECT count(*) FROM events"), "0");
    assert_eq!(
        ask(
            &live,
            "SELECT count(*) FROM sqlite_schema WHERE name = 'events_what'"
        ),
        "1"
    );
    assert_eq!(
        ask(
            &live,
            "SELECT count(*) FROM empty_search WHERE b MATCH 'secret'"
        ),
        "0"
    );
    live.execute_batch("INSERT INTO empty_search VALUES ('works')")
        .unwrap();
    assert_eq!(
        ask(
            &live,
            "SELECT count(*) FROM empty_search WHERE b MATCH 'works'"
        ),
        "1"
    );
    assert_eq!(ask(&live, "SELECT count(*) FROM t"), "2");
    assert_eq!(
        ask(
            &live,
            "SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'events'"
        ),
        "0"
    );
}

#[tokio::test]
async fn kept_rows_survive_in_the_sources_definition() {
    let mut bench = Bench::new(SOURCE);
    make(&bench.live(), LIVE);
    bench.task.keep = vec!["hooks".to_owned(), "own*".to_owned()];
    bench.run().await.unwrap();
    let live = Connection::open(bench.live()).unwrap();
    assert_eq!(
        ask(&live, "SELECT group_concat(id || extra || url) FROM hooks"),
        "10dstaging,11dtoo"
    );
    live.execute_batch("INSERT INTO hooks (url) VALUES ('next')")
        .unwrap();
    assert_eq!(ask(&live, "SELECT max(id) FROM hooks"), "12");
    assert_eq!(ask(&live, "SELECT rowid FROM own"), "77");
    assert_eq!(
        ask(&live, "SELECT count(*) FROM own_log"),
        "0",
        "no trigger fired"
    );
    assert_eq!(
        ask(
            &live,
            "SELECT count(*) FROM own_search WHERE t MATCH 'needle'"
        ),
        "1"
    );
    assert_eq!(ask(&live, "SELECT new FROM t LIMIT 1"), "1");
}

#[tokio::test]
async fn a_trigger_of_a_kept_table_that_needs_what_goes_is_named() {
    let mut bench = Bench::new(SOURCE);
    make(&bench.live(), LIVE);
    bench.task.keep = vec!["own".to_owned()];
    let error = bench.run().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Verify);
    assert!(error.to_string().contains("trigger `own_added`"), "{error}");
    assert_eq!(bench.litter(), [""; 0]);
}

#[tokio::test]
async fn a_kept_full_text_table_keeps_its_own_rows() {
    let mut bench =
        Bench::new("CREATE VIRTUAL TABLE s USING fts5 (t); INSERT INTO s VALUES ('source');");
    make(
        &bench.live(),
        "CREATE VIRTUAL TABLE s USING fts5 (t); INSERT INTO s VALUES ('target'), ('other');",
    );
    bench.task.keep = vec!["s".to_owned()];
    bench.run().await.unwrap();
    let live = Connection::open(bench.live()).unwrap();
    assert_eq!(
        ask(&live, "SELECT count(*) FROM s WHERE s MATCH 'target'"),
        "1"
    );
    assert_eq!(
        ask(&live, "SELECT count(*) FROM s WHERE s MATCH 'source'"),
        "0"
    );
    live.execute_batch("INSERT INTO s (s) VALUES ('integrity-check')")
        .unwrap();
}

#[tokio::test]
async fn a_column_that_the_source_lacks_is_named_before_anything_is_made() {
    let mut bench = Bench::new("CREATE TABLE hooks (id INTEGER PRIMARY KEY);");
    make(&bench.live(), LIVE);
    bench.task.keep = vec!["hooks".to_owned()];
    let error = bench.run().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Verify);
    assert!(
        error.to_string().contains("`hooks`") && error.to_string().contains("`url`"),
        "{error}"
    );
    assert_eq!(bench.litter(), [""; 0]);
    assert_eq!(ask_file(&bench.live(), "SELECT count(*) FROM hooks"), "2");
}

#[tokio::test]
async fn tables_that_only_the_target_has_stay_in_overlay_and_go_in_replace() {
    let mut bench = Bench::new(SOURCE);
    make(&bench.live(), LIVE);
    bench.task.mode = Mode::Overlay;
    bench.run().await.unwrap();
    let live = Connection::open(bench.live()).unwrap();
    assert_eq!(ask(&live, "SELECT url FROM hooks"), "production");
    assert_eq!(ask(&live, "SELECT a FROM own_view"), "kept");
    assert_eq!(ask(&live, "SELECT count(*) FROM own_log"), "0");
    live.execute_batch("INSERT INTO own VALUES ('new')")
        .unwrap();
    assert_eq!(ask(&live, "SELECT count(*) FROM own_log"), "1");
    assert_eq!(
        ask(
            &live,
            "SELECT count(*) FROM sqlite_schema WHERE name = 'own_a'"
        ),
        "1"
    );
    assert_eq!(
        ask(
            &live,
            "SELECT count(*) FROM own_search WHERE t MATCH 'needle'"
        ),
        "1"
    );
    bench.task.mode = Mode::Replace;
    bench.run().await.unwrap();
    assert_eq!(
        ask(
            &live,
            "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'own%'"
        ),
        "0"
    );
}

#[tokio::test]
async fn kept_rows_that_change_before_publish_are_not_lost() {
    for mode in ["DELETE", "WAL"] {
        let mut bench = Bench::new(SOURCE);
        make(
            &bench.live(),
            &format!("PRAGMA journal_mode = {mode}; {LIVE}"),
        );
        bench.task.keep = ["hooks", "own", "own_log"].map(str::to_owned).to_vec();
        let line = bench.ready().await.unwrap();
        line.run_script(Path::new("/x.sql"), "UPDATE t SET new = 7;")
            .await
            .unwrap();
        line.derive().await.unwrap();
        make(
            &bench.live(),
            "INSERT INTO hooks VALUES (12, 'late'); UPDATE hooks SET url = 'STAGING' WHERE id = 10; DELETE FROM own;",
        );
        line.go_live().await.unwrap();
        line.close().await;
        let live = Connection::open(bench.live()).unwrap();
        assert_eq!(
            ask(&live, "SELECT group_concat(id || extra || url) FROM hooks"),
            "10dSTAGING,11dtoo,12dlate",
            "{mode}"
        );
        assert_eq!(ask(&live, "SELECT count(*) FROM own"), "0");
        assert_eq!(
            ask_file(&bench.beside("previous"), "SELECT count(*) FROM hooks"),
            "3",
            "previous is what was live"
        );
        assert_eq!(ask(&live, "PRAGMA journal_mode"), mode.to_lowercase());
    }
}

#[tokio::test]
async fn a_target_table_altered_during_the_run_is_an_error_and_not_a_loss() {
    let mut bench = Bench::new(SOURCE);
    make(&bench.live(), LIVE);
    bench.task.keep = vec!["own*".to_owned()];
    let line = bench.ready().await.unwrap();
    make(&bench.live(), "ALTER TABLE own ADD COLUMN b");
    let error = line.go_live().await.unwrap_err();
    assert!(error.to_string().contains("altered"), "{error}");
    line.discard().await.unwrap();
    line.close().await;
    assert_eq!(
        ask_file(
            &bench.live(),
            "SELECT count(*) FROM pragma_table_info('own')"
        ),
        "2"
    );
    assert_eq!(bench.litter(), [""; 0]);
}

#[tokio::test]
async fn a_copy_without_the_rows_that_others_refer_to_is_refused_and_old_breaks_are_not() {
    let sql = "CREATE TABLE a (id INTEGER PRIMARY KEY); INSERT INTO a VALUES (1);
        CREATE TABLE b (a REFERENCES a (id)); INSERT INTO b VALUES (1);
        CREATE TABLE c (b REFERENCES a (id)); INSERT INTO c VALUES (404);";
    let mut bench = Bench::new(sql);
    bench.task.exclude = vec!["nothing".to_owned()];
    bench.run().await.unwrap();
    bench.task.schema_only = vec!["a".to_owned()];
    let error = bench.run().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Verify);
    assert!(
        error.to_string().contains("`b`") && error.to_string().contains("`a`"),
        "{error}"
    );
    assert!(!error.to_string().contains("`c`"), "{error}");
    bench.task.verify = Verify::None;
    bench.run().await.unwrap();
}

#[tokio::test]
async fn a_row_that_does_not_fit_into_memory_is_refused_by_its_tables_name() {
    let mut bench = Bench::new(
        "CREATE TABLE other (a); CREATE TABLE big (a); INSERT INTO big SELECT zeroblob(70000000);",
    );
    // Whole databases go by pages, whatever is in them.
    bench.run().await.unwrap();
    bench.task.exclude = vec!["other".to_owned()];
    let error = bench.run().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Full, "{error}");
    let error = error.to_string();
    assert!(
        error.contains("`big` has a row of more than 67108864 bytes")
            && error.contains("memory_max"),
        "{error}"
    );
}
