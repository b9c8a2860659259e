use super::*;

/// What a script removes has this in it.
const RAW: &[u8] = b"zqraw";

/// Values in all places where SQLite keeps some.
const SOURCE: &str = "
CREATE TABLE n (i INTEGER PRIMARY KEY);
INSERT INTO n WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) SELECT i FROM n;
CREATE TABLE earlier (line TEXT); INSERT INTO earlier SELECT 'zqraw earlier ' || i || hex(zeroblob(300)) FROM n;
CREATE TABLE people (id INTEGER PRIMARY KEY, email TEXT, note TEXT, upper TEXT AS (upper(email)) STORED);
INSERT INTO people (id, email, note) SELECT i, 'zqraw' || (i * 7919 % 1500) || '@example.org', hex(zeroblob(i % 90)) FROM n;
CREATE INDEX people_email ON people (email);
CREATE INDEX people_expression ON people (lower(email) || 'x') WHERE note <> '';
CREATE TABLE logs (line TEXT); INSERT INTO logs SELECT 'zqraw line ' || i || hex(zeroblob(40)) FROM n;
CREATE TABLE gone (line TEXT UNIQUE); INSERT INTO gone SELECT 'zqraw gone ' || i FROM n;
CREATE TABLE big (id INTEGER PRIMARY KEY, body); INSERT INTO big SELECT i, 'zqraw' || hex(zeroblob(9000)) || 'zqraw' FROM n WHERE i < 40;
CREATE TABLE keyed (k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID;
INSERT INTO keyed SELECT 'zqraw' || (i * 31 % 1500), 'zqraw value' FROM n;
CREATE TABLE hidden (v TEXT); INSERT INTO hidden (rowid, v) SELECT i * 3, 'zqraw' || i FROM n;
CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT); INSERT INTO counted (id, v) VALUES (77, 'zqraw');
CREATE VIRTUAL TABLE docs USING fts5 (title, body); INSERT INTO docs SELECT 'title', 'zqraw' || i || ' common' FROM n;
CREATE TABLE posts (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO posts SELECT i, 'zqraw' || i || ' common' FROM n WHERE i < 300;
CREATE VIRTUAL TABLE posts_search USING fts5 (body, content = 'posts', content_rowid = 'id');
INSERT INTO posts_search (posts_search) VALUES ('rebuild');
CREATE VIRTUAL TABLE bare USING fts5 (body, content = '', contentless_delete = 1);
INSERT INTO bare (rowid, body) SELECT i, 'zqraw' || i || ' common' FROM n WHERE i < 300;
CREATE VIRTUAL TABLE old USING fts4 (body); INSERT INTO old SELECT 'zqraw' || i || ' common' FROM n WHERE i < 300;
CREATE VIRTUAL TABLE boxes USING rtree (id, x0, x1, +label); INSERT INTO boxes SELECT i, i, i + 1, 'zqraw' || i FROM n WHERE i < 300;
ANALYZE;
DROP TABLE earlier;";

const SCRIPT: &str = "
UPDATE people SET email = 'user' || id;
DELETE FROM logs;
DROP TABLE gone;
UPDATE big SET body = 'short';
DELETE FROM keyed WHERE k < 'zqraw5'; UPDATE keyed SET k = substr(k, 6), v = 'v';
UPDATE hidden SET v = 'h';
DELETE FROM counted;
DELETE FROM docs WHERE rowid % 2 = 0; UPDATE docs SET body = 'replaced common';
UPDATE posts SET body = 'replaced common';
DELETE FROM bare WHERE rowid < 200; UPDATE bare SET body = 'replaced common' WHERE rowid >= 200;
UPDATE old SET body = 'replaced common' WHERE rowid < 200; DELETE FROM old WHERE rowid >= 200;
DELETE FROM boxes;";

/// The files of the directory that a value can still be seen in, but for the source's.
fn telling(bench: &Bench) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(bench.directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = std::fs::read(&path).unwrap();
        // Upper case, as in a generated column, too.
        let seen = bytes
            .windows(RAW.len())
            .filter(|window| window.eq_ignore_ascii_case(RAW))
            .count();
        if !name.starts_with("source.db") && seen > 0 {
            found.push(format!("{name}: {seen} times"));
        }
    }
    found
}

#[tokio::test]
async fn nothing_that_a_script_removed_is_in_a_file_beside_or_in_the_target() {
    let old = |mode: &str| {
        format!(
            "PRAGMA page_size = 1024; PRAGMA journal_mode = {mode}; {}",
            filler("t", 3_000, "old")
        )
    };
    for partial in [false, true] {
        for live in [None, Some("DELETE"), Some("WAL")] {
            let mut bench = Bench::new(&format!(
                "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA user_version = 7; PRAGMA application_id = 9; {SOURCE}"
            ));
            if partial {
                bench.task.exclude = vec!["nothing".to_owned()];
            }
            if let Some(mode) = live {
                make(&bench.live(), &old(mode));
            }
            // It goes on while the copy is published.
            let application = live.map(|_| Connection::open(bench.live()).unwrap());
            bench.run_with(SCRIPT).await.unwrap();
            let case = format!("partial: {partial}, live: {live:?}");
            assert_eq!(telling(&bench), [""; 0], "{case}");
            if let Some(application) = application {
                assert_eq!(ask(&application, "SELECT count(*) FROM people"), "1500");
            }
            let ask = |sql: &str| ask_file(&bench.live(), sql);
            assert_eq!(ask("PRAGMA integrity_check"), "ok", "{case}");
            for (sql, expected) in [
                (
                    "SELECT sum(rowid) || ' ' || min(rowid) || ' ' || max(rowid) FROM hidden",
                    "3377250 3 4500",
                ),
                (
                    "SELECT count(*) FROM docs WHERE docs MATCH 'replaced'",
                    "750",
                ),
                (
                    "SELECT count(*) FROM posts_search WHERE posts_search MATCH 'replaced'",
                    "299",
                ),
                (
                    "SELECT count(*) FROM bare WHERE bare MATCH 'replaced'",
                    "100",
                ),
                ("SELECT count(*) FROM bare WHERE bare MATCH 'common'", "100"),
                ("SELECT count(*) FROM old WHERE old MATCH 'replaced'", "199"),
                ("SELECT upper FROM people WHERE id = 3", "USER3"),
                ("SELECT seq FROM sqlite_sequence", "77"),
                (
                    "SELECT count(*) > 0 FROM sqlite_stat4 WHERE tbl = 'people'",
                    "1",
                ),
                (
                    "SELECT stat FROM sqlite_stat1 WHERE idx = 'people_email'",
                    "1500 1",
                ),
                (
                    "SELECT count(*) FROM sqlite_stat1 WHERE tbl IN ('logs', 'gone')",
                    "0",
                ),
                ("PRAGMA user_version", "7"),
                ("PRAGMA application_id", "9"),
                ("PRAGMA auto_vacuum", "2"),
                ("PRAGMA freelist_count", "0"),
            ] {
                assert_eq!(ask(sql), expected, "{case}: {sql}");
            }
            if live == Some("WAL") {
                assert_eq!(ask("PRAGMA page_size"), "1024", "{case}");
            }
        }
    }
}

#[tokio::test]
async fn statistics_are_gathered_anew_only_of_what_had_some() {
    for (source, script, tables) in [
        ("", "DELETE FROM a WHERE id > 10;", "NULL"),
        ("ANALYZE a;", "DELETE FROM a WHERE id > 10;", "a"),
        // Of a moment in the middle of a script.
        ("", "ANALYZE b; DELETE FROM b WHERE id > 10;", "b"),
        ("ANALYZE;", "DROP TABLE a;", "b"),
        ("ANALYZE; DROP TABLE sqlite_stat4;", "SELECT 1;", "a,b"),
    ] {
        let bench = Bench::new(&format!(
            "{} CREATE INDEX ai ON a (body); {} CREATE INDEX bi ON b (body); {source}",
            filler("a", 40, "x"),
            filler("b", 40, "y")
        ));
        bench.run_with(script).await.unwrap();
        let ask = |sql: &str| ask_file(&bench.live(), sql);
        let found = if ask("SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat1'") == "1"
        {
            ask(
                "SELECT group_concat(DISTINCT tbl) FROM (SELECT tbl FROM sqlite_stat1 ORDER BY tbl)",
            )
        } else {
            "NULL".to_owned()
        };
        assert_eq!(found, tables, "{source} {script}");
        let sampled = !source.is_empty() && !source.contains("DROP") || script.contains("ANALYZE");
        let there = ask("SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_stat4'");
        assert_eq!(there == "1", sampled, "{source} {script}");
        if script.starts_with("ANALYZE b") {
            assert_eq!(
                ask("SELECT stat FROM sqlite_stat1 WHERE idx = 'bi'"),
                "10 1"
            );
        }
    }
}

#[tokio::test]
async fn a_search_index_that_cannot_be_made_anew_fails_the_run_by_name() {
    let bench = Bench::new(
        "CREATE VIRTUAL TABLE s USING fts5 (body, content = 'not_there'); CREATE TABLE t (a);",
    );
    make(&bench.live(), "CREATE TABLE old (a)");
    let error = bench.run_with("DELETE FROM t;").await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("search index `s` cannot be made anew from `not_there`"),
        "{error}"
    );
    assert_eq!(bench.litter(), [""; 0]);
    assert_eq!(ask_file(&bench.live(), "SELECT count(*) FROM old"), "0");
    // Without scripts there is nothing to make anew.
    bench.run().await.unwrap();
}
