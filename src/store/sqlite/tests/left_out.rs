//! What needs something that is left out goes with it, by name; and no word of rows that are not copied arrives.

use super::super::schema::definitions::Definitions;
use super::super::schema::requirements::{self, LeftOut, Why};
use super::*;
use crate::error::Kind;

/// What is left out of a source, as it is told.
fn left_out(bench: &Bench) -> Result<Vec<String>> {
    let selection = Selection::of(&bench.task, true)?;
    let connection = Connection::open(bench.source()).unwrap();
    let mut definitions = Definitions::read(&connection, &selection).unwrap();
    let told = |gone: &LeftOut| match &gone.why {
        Why::Requires(needs) => format!("{} {}: {needs}", gone.kind, gone.name),
        Why::Emptied(of) => format!("{} {} empty: {of}", gone.kind, gone.name),
        Why::Unknown => format!("{} {} unknown", gone.kind, gone.name),
    };
    let mut all: Vec<String> = requirements::settle(&mut definitions, &selection, false)?
        .iter()
        .map(told)
        .collect();
    all.sort();
    Ok(all)
}

fn names(path: &Path) -> String {
    ask_file(
        path,
        "SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT GLOB 'f_*' ORDER BY name)",
    )
}

const AUDITED: &str = "CREATE TABLE Audit (x);
    CREATE TABLE t (a, audit_note, audit TEXT);
    CREATE TRIGGER ti AFTER INSERT ON t BEGIN INSERT INTO audit VALUES (new.a); END;
    CREATE TRIGGER tu AFTER UPDATE OF a ON t WHEN EXISTS (SELECT 1 FROM \"AUDIT\") BEGIN SELECT 1; END;
    CREATE TRIGGER td BEFORE DELETE ON t BEGIN UPDATE v SET x = 1; END;
    CREATE TRIGGER fine AFTER INSERT ON t BEGIN UPDATE t SET audit = 'audit' WHERE a = new.a; END;
    CREATE VIEW v AS SELECT * FROM audit;
    CREATE TRIGGER vi INSTEAD OF INSERT ON v BEGIN SELECT RAISE(ABORT, 'no'); END;
    CREATE TRIGGER vu INSTEAD OF UPDATE ON v BEGIN SELECT 1; END;
    CREATE VIEW w AS SELECT count(*) FROM v;
    CREATE VIEW fine_view AS SELECT audit FROM t;
    CREATE VIEW broken AS SELECT * FROM not_there;
    INSERT INTO t (a) VALUES (1);";

#[tokio::test]
async fn views_and_triggers_that_need_an_excluded_table_are_left_out_each_by_name() {
    let mut bench = Bench::new(AUDITED);
    bench.task.exclude = vec!["audit".to_owned()];
    assert_eq!(
        left_out(&bench).unwrap(),
        [
            "trigger td: v",
            "trigger ti: audit",
            "trigger tu: AUDIT",
            "trigger vi: v",
            "trigger vu: v",
            "view v: audit",
            "view w: audit",
        ]
    );
    bench.run().await.unwrap();
    assert_eq!(names(&bench.live()), "broken,fine,fine_view,t");
    make(
        &bench.live(),
        "DROP VIEW broken; INSERT INTO t (a) VALUES (2); UPDATE t SET a = 3; DELETE FROM t; ALTER TABLE t RENAME TO t9",
    );
}

#[tokio::test]
async fn what_cannot_be_tried_here_is_told_by_its_words() {
    let mut bench = Bench::new(
        "CREATE TABLE audit (x); CREATE TABLE t (a, note);
         CREATE TRIGGER lost AFTER INSERT ON t BEGIN SELECT an_application_has_it(new.a); INSERT INTO audit VALUES (1); END;
         CREATE TRIGGER stays AFTER INSERT ON t BEGIN SELECT an_application_has_it('audit'); END;
         CREATE VIEW lost_view AS SELECT an_application_has_it(x) FROM audit;
         CREATE VIEW stays_view AS SELECT an_application_has_it(a) FROM t;",
    );
    bench.task.exclude = vec!["audit".to_owned()];
    assert_eq!(
        left_out(&bench).unwrap(),
        ["trigger lost: audit", "view lost_view: audit"]
    );
}

#[tokio::test]
async fn a_view_can_be_excluded_and_takes_along_what_needs_it() {
    let mut bench = Bench::new(AUDITED);
    bench.task.exclude = vec!["V".to_owned()];
    assert_eq!(
        left_out(&bench).unwrap(),
        [
            "trigger td: v",
            "trigger vi: v",
            "trigger vu: v",
            "view w: v"
        ]
    );
    bench.run().await.unwrap();
    assert_eq!(names(&bench.live()), "Audit,broken,fine,fine_view,t,ti,tu");
}

#[tokio::test]
async fn a_trigger_that_refuses_rows_is_left_out_only_where_the_task_says_so() {
    let mut bench = Bench::new(
        "CREATE TABLE blocked (who); CREATE TABLE t (a);
         CREATE TRIGGER guard BEFORE INSERT ON t WHEN new.a IN (SELECT who FROM blocked) BEGIN SELECT RAISE (IGNORE); END;",
    );
    bench.task.exclude = vec!["blocked".to_owned()];
    let error = bench.run().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Verify);
    assert!(error.to_string().contains("`t.guard`"), "{error}");
    assert!(error.to_string().contains("`blocked`"), "{error}");
    assert!(!bench.live().exists());
    bench.task.leave_out = vec!["t.g*".to_owned()];
    assert_eq!(left_out(&bench).unwrap(), ["trigger guard: blocked"]);
    bench.run().await.unwrap();
    make(&bench.live(), "INSERT INTO t VALUES (1)");
    bench.task.exclude = vec![];
    bench.task.schema_only = vec!["blocked".to_owned()];
    bench.task.leave_out = vec![];
    bench.run().await.unwrap();
    assert_eq!(names(&bench.live()), "blocked,guard,t");
}

#[tokio::test]
async fn foreign_keys_to_an_excluded_table_are_left_out_and_nothing_else_of_the_table() {
    let mut bench = Bench::new(
        "CREATE TABLE Users (id INTEGER PRIMARY KEY); INSERT INTO users VALUES (1);
         CREATE TABLE o (id INTEGER PRIMARY KEY); INSERT INTO o VALUES (1);
         CREATE TABLE posts (id INTEGER PRIMARY KEY, u INT NOT NULL CONSTRAINT f REFERENCES \"users\" ON DELETE CASCADE DEFAULT 7 CHECK (u > 0),
             o REFERENCES o (id), UNIQUE (u, o), FOREIGN KEY (u) REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED);
         INSERT INTO posts VALUES (1, 1, 1); CREATE INDEX i ON posts (u);",
    );
    bench.task.exclude = vec!["USERS".to_owned()];
    assert_eq!(left_out(&bench).unwrap(), ["foreign key posts: users"]);
    bench.run().await.unwrap();
    let live = Connection::open(bench.live()).unwrap();
    live.execute_batch("PRAGMA foreign_keys = ON; INSERT INTO posts (id) VALUES (2)")
        .unwrap();
    assert_eq!(ask(&live, "SELECT u FROM posts WHERE id = 2"), "7");
    live.execute_batch("INSERT INTO posts (o) VALUES (404)")
        .unwrap_err();
    live.execute_batch("INSERT INTO posts (u) VALUES (0)")
        .unwrap_err();
}

const SEARCHED: &str = "CREATE TABLE d (id INTEGER PRIMARY KEY, b TEXT);
    INSERT INTO d VALUES (1, 'rawsecretword and more');
    CREATE VIEW dv AS SELECT id, b FROM d;
    CREATE VIRTUAL TABLE f_of USING fts5 (b, content = 'D', content_rowid = id);
    CREATE VIRTUAL TABLE f_view USING fts5 (b, content = dv, content_rowid = id);
    CREATE VIRTUAL TABLE f_4 USING fts4 (content=\"d\", b);
    CREATE VIRTUAL TABLE f_own USING fts5 (b);
    CREATE VIRTUAL TABLE f_none USING fts5 (b, content = '');
    CREATE VIRTUAL TABLE f_3 USING fts3 (b);
    CREATE VIRTUAL TABLE f_box USING rtree (id, x0, x1, +label TEXT);
    CREATE VIRTUAL TABLE f_words USING fts5vocab (f_of, row);
    CREATE VIRTUAL TABLE f_other USING fts5 (b, content = '');
    CREATE TRIGGER da AFTER INSERT ON d BEGIN
        INSERT INTO f_of (rowid, b) VALUES (new.id, new.b); INSERT INTO f_own (rowid, b) VALUES (new.id, new.b);
        INSERT INTO f_none (rowid, b) VALUES (new.id, new.b); INSERT INTO f_3 (rowid, b) VALUES (new.id, new.b);
        INSERT INTO f_box VALUES (new.id, 1, 2, new.b); END;
    INSERT INTO d VALUES (2, 'rawsecretword again');
    INSERT INTO f_4 (f_4) VALUES ('rebuild'); INSERT INTO f_view (f_view) VALUES ('rebuild');
    CREATE TABLE e (b); CREATE INDEX ei ON e (b); INSERT INTO e VALUES (1);
    ANALYZE;";

fn contains(path: &Path, text: &str) -> bool {
    std::fs::read(path)
        .unwrap()
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn no_word_of_rows_that_are_not_copied_arrives_in_an_index() {
    for is_excluded in [true, false] {
        let mut bench = Bench::new(SEARCHED);
        let all = vec!["d".to_owned()];
        let told: &[&str] = if is_excluded {
            bench.task.exclude = all;
            &[
                "view dv: d",
                "virtual table f_3 empty: d",
                "virtual table f_4: d",
                "virtual table f_box empty: d",
                "virtual table f_none empty: d",
                "virtual table f_of: D",
                "virtual table f_other unknown",
                "virtual table f_own empty: d",
                "virtual table f_view: d",
                "virtual table f_words: f_of",
            ]
        } else {
            bench.task.schema_only = all;
            &[
                "virtual table f_3 empty: d",
                "virtual table f_box empty: d",
                "virtual table f_none empty: d",
                "virtual table f_other unknown",
                "virtual table f_own empty: d",
            ]
        };
        assert_eq!(left_out(&bench).unwrap(), told);
        bench.run().await.unwrap();
        // Words lie in an index without what they begin with in common.
        for word in ["rawsecret", "secretword", "awsecretword"] {
            assert!(!contains(&bench.live(), word), "{word}");
        }
        assert_eq!(ask_file(&bench.live(), "PRAGMA integrity_check"), "ok");
        if is_excluded {
            continue;
        }
        make(&bench.live(), "INSERT INTO d VALUES (3, 'works')");
        for index in ["f_of", "f_own", "f_none", "f_3"] {
            let sql = format!("SELECT count(*) FROM {index} WHERE {index} MATCH 'works'");
            assert_eq!(ask_file(&bench.live(), &sql), "1", "{index}");
        }
    }
}

#[tokio::test]
async fn an_index_over_kept_rows_finds_those_and_late_ones() {
    let schema = "CREATE TABLE d (id INTEGER PRIMARY KEY, b TEXT); CREATE VIEW dv AS SELECT id, b FROM d;
        CREATE VIRTUAL TABLE f_of USING fts5 (b, content = d, content_rowid = id);
        CREATE VIRTUAL TABLE f_view USING fts5 (b, content = dv, content_rowid = id);
        CREATE VIRTUAL TABLE f_own USING fts5 (b);
        CREATE TRIGGER da AFTER INSERT ON d BEGIN INSERT INTO f_of (rowid, b) VALUES (new.id, new.b);
            INSERT INTO f_own (rowid, b) VALUES (new.id, new.b); END;";
    let mut bench = Bench::new(&format!("{schema} INSERT INTO d VALUES (1, 'production')"));
    make(
        &bench.live(),
        &format!("{schema} INSERT INTO d VALUES (1, 'staging')"),
    );
    bench.task.keep = vec!["d".to_owned()];
    let line = bench.ready().await.unwrap();
    make(&bench.live(), "INSERT INTO d VALUES (2, 'late')");
    line.publish().await.unwrap();
    line.close().await;
    for index in ["f_of", "f_view", "f_own"] {
        for (word, count) in [("production", "0"), ("staging", "1"), ("late", "1")] {
            let sql = format!("SELECT count(*) FROM {index} WHERE {index} MATCH '{word}'");
            assert_eq!(ask_file(&bench.live(), &sql), count, "{index} {word}");
        }
    }
    assert!(!contains(&bench.live(), "production"));
    assert_eq!(ask_file(&bench.live(), "PRAGMA integrity_check"), "ok");
}

#[tokio::test]
async fn a_virtual_table_of_an_unknown_module_goes_with_all_that_is_called_like_it() {
    let mut bench = Bench::new(
        "CREATE TABLE words_vocab (word); INSERT INTO words_vocab VALUES ('rawsecretword'); CREATE TABLE t (a);
         PRAGMA writable_schema = ON;
         INSERT INTO sqlite_schema VALUES ('table', 'words', 'words', 0, 'CREATE VIRTUAL TABLE words USING spellfix1');",
    );
    bench.task.exclude = vec!["words".to_owned()];
    bench.run().await.unwrap();
    assert_eq!(names(&bench.live()), "t");
    assert!(!contains(&bench.live(), "rawsecretword"));
}

#[tokio::test]
async fn statistics_of_rows_that_are_not_copied_do_not_arrive() {
    let mut bench = Bench::new(
        "CREATE TABLE s (a TEXT); CREATE INDEX si ON s (a); CREATE INDEX se ON s (upper(a)); INSERT INTO s VALUES ('rawsecretword');
         CREATE TABLE t (a); CREATE INDEX ti ON t (a); INSERT INTO t VALUES (1); ANALYZE;",
    );
    for (exclude, schema_only, keep) in [("s", "", ""), ("", "S", ""), ("", "", "s")] {
        let globs = |glob: &str| vec![glob.to_owned(); usize::from(!glob.is_empty())];
        bench.task.exclude = globs(exclude);
        bench.task.schema_only = globs(schema_only);
        bench.task.keep = globs(keep);
        bench.run().await.unwrap();
        for word in ["rawsecretword", "RAWSECRETWORD"] {
            assert!(
                !contains(&bench.live(), word),
                "{exclude}{schema_only}{keep}"
            );
        }
        let sql = "SELECT group_concat(DISTINCT tbl) FROM sqlite_stat1";
        assert_eq!(ask_file(&bench.live(), sql), "t");
    }
}
