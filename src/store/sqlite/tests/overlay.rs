//! In overlay, what only the target has stays, with all that hangs on it; what both have is the source's.

use super::*;

#[tokio::test]
async fn all_that_only_the_target_has_stays() {
    let mut bench = Bench::new(
        "CREATE TABLE both (a, b); INSERT INTO both VALUES (1, 'production');
         CREATE VIEW both_view AS SELECT a FROM both; CREATE INDEX both_index ON both (a);",
    );
    make(
        &bench.live(),
        "CREATE TABLE both (a); CREATE VIEW both_view AS SELECT 'old'; CREATE INDEX both_index ON both (a, a);
         CREATE TABLE own (id INTEGER PRIMARY KEY AUTOINCREMENT, a UNIQUE CHECK (a <> 2), shout AS (upper(a)));
         INSERT INTO own (id, a) VALUES (3, 'x'), (9, 'y'); DELETE FROM own WHERE id = 9;
         CREATE TABLE own_pairs (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID; INSERT INTO own_pairs VALUES (1, 2);
         CREATE TABLE own_child (o REFERENCES own (id)); INSERT INTO own_child VALUES (3);
         CREATE TABLE own_log (x);
         CREATE INDEX own_index ON own (a) WHERE a IS NOT NULL; CREATE INDEX own_of_both ON both (a);
         CREATE VIEW own_view AS SELECT * FROM own; CREATE VIEW own_view_of_both AS SELECT a FROM both;
         CREATE TRIGGER own_on_view INSTEAD OF INSERT ON own_view BEGIN INSERT INTO own (a) VALUES (new.a); END;
         CREATE TRIGGER own_on_both AFTER INSERT ON both BEGIN INSERT INTO own_log VALUES (new.a); END;
         CREATE VIRTUAL TABLE own_search USING fts5 (a, content = both);
         CREATE VIRTUAL TABLE own_words USING fts5 (a); INSERT INTO own_words VALUES ('needle');",
    );
    bench.task.mode = Mode::Overlay;
    for _ in 0..2 {
        bench.run().await.unwrap();
        let live = Connection::open(bench.live()).unwrap();
        for (sql, expected) in [
            ("SELECT group_concat(id || a || shout) FROM own", "3xX"),
            ("SELECT seq FROM sqlite_sequence WHERE name = 'own'", "9"),
            ("SELECT a || b FROM own_pairs", "12"),
            ("SELECT count(*) FROM own_log", "0"),
            ("SELECT a FROM own_view_of_both", "1"),
            ("SELECT a FROM both_view", "1"),
            (
                "SELECT sql FROM sqlite_schema WHERE name = 'both_index'",
                "CREATE INDEX both_index ON both (a)",
            ),
            (
                "SELECT count(*) FROM sqlite_schema WHERE name IN ('own_index', 'own_of_both', 'own_on_view', 'own_on_both')",
                "4",
            ),
            (
                "SELECT count(*) FROM own_search WHERE own_search MATCH '1'",
                "1",
            ),
            (
                "SELECT count(*) FROM own_words WHERE own_words MATCH 'needle'",
                "1",
            ),
            ("SELECT count(*) FROM pragma_foreign_key_check", "0"),
            ("PRAGMA integrity_check", "ok"),
        ] {
            assert_eq!(ask(&live, sql), expected, "{sql}");
        }
    }
    make(
        &bench.live(),
        "INSERT INTO both VALUES (5, 'own'); INSERT INTO own_view (a) VALUES ('z')",
    );
    assert_eq!(ask_file(&bench.live(), "SELECT x FROM own_log"), "5");
    assert_eq!(ask_file(&bench.live(), "SELECT max(id) FROM own"), "10");
}

#[tokio::test]
async fn what_cannot_stay_fails_the_run_by_name() {
    for (live, named) in [
        (
            "CREATE TABLE t (gone); CREATE VIEW v AS SELECT gone FROM t",
            "view `v`",
        ),
        (
            "CREATE TABLE t (gone); CREATE INDEX i ON t (gone)",
            "index `i`",
        ),
        (
            "CREATE TABLE t (gone); CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT new.gone; END",
            "trigger `g`",
        ),
        ("CREATE TABLE t (a); CREATE VIEW s AS SELECT 1", "view `s`"),
        ("CREATE TABLE t (a); CREATE TABLE x (b)", "table `x`"),
        ("CREATE TABLE t (a); CREATE TABLE y (b)", "table `y`"),
        (
            "CREATE TABLE t (gone); CREATE VIRTUAL TABLE f USING fts5 (gone, content = t)",
            "`f`",
        ),
        (
            "CREATE TABLE t (a); INSERT INTO t VALUES (1); CREATE UNIQUE INDEX u ON t (a)",
            "`u`",
        ),
    ] {
        let mut bench = Bench::new(
            "CREATE TABLE t (a); INSERT INTO t VALUES (1), (1); CREATE TABLE s (a); CREATE VIEW x AS SELECT 1; CREATE INDEX y ON t (a)",
        );
        make(&bench.live(), live);
        bench.task.mode = Mode::Overlay;
        let error = bench.run().await.unwrap_err();
        assert!(error.to_string().contains(named), "{named}: {error}");
        assert_eq!(bench.litter(), [""; 0]);
        let objects = "SELECT count(*) FROM sqlite_schema WHERE name IN ('v', 'i', 'g', 's', 'x', 'y', 'f', 'u')";
        assert_eq!(ask_file(&bench.live(), objects), "1", "{named}");
        // Replaced, it is gone.
        bench.task.mode = Mode::Replace;
        bench.run().await.unwrap();
    }
}
