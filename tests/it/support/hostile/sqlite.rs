//! SQLite files as somebody makes them who can write to them, and wants more than to be read.

use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::Connection;

/// What a tail does where somebody runs it: this table of another file has a row more.
pub(crate) const VICTIM: &str = "CREATE TABLE wins (a); CREATE TABLE other (a);";

/// Statements that would write into the victim.
pub(crate) fn tail(victim: &Path) -> String {
    format!(
        "; ATTACH '{}' AS victim; INSERT INTO victim.wins VALUES (1); --",
        victim.display()
    )
}

/// A file made by one piece of SQL, whose list of objects another one then changes.
pub(crate) fn tampered(file: &Path, sql: &str, tampering: &str) {
    let made = Connection::open(file).expect("a database");
    made.execute_batch(sql).expect("our own SQL");
    made.execute_batch(&format!("PRAGMA writable_schema = ON; {tampering}"))
        .expect("our own SQL");
}

/// Puts something behind the text of one object.
pub(crate) fn with_tail(file: &Path, sql: &str, object: &str, tail: &str) {
    let tail = tail.replace('\'', "''");
    let tampering =
        format!("UPDATE sqlite_schema SET sql = sql || '{tail}' WHERE name = '{object}'");
    tampered(file, sql, &tampering);
}

/// Puts these bytes over what a file has at a place.
pub(crate) fn patched(file: &Path, at: u64, bytes: &[u8]) {
    let file = std::fs::File::options()
        .write(true)
        .open(file)
        .expect("our file");
    file.write_all_at(bytes, at).expect("our file");
}

/// Views that are each twice the one before: expanded, the last has 2 to the power of `depth` tables.
pub(crate) fn doubling(depth: u32) -> String {
    let mut sql = "CREATE VIEW v0 AS SELECT 1 AS a;".to_owned();
    for number in 1..=depth {
        let one = number - 1;
        sql += &format!(
            "CREATE VIEW v{number} AS SELECT x.a + y.a AS a FROM v{one} AS x JOIN v{one} AS y USING (a);"
        );
    }
    sql
}

/// A view that has rows without end, and a search index over it.
pub(crate) fn endless(module: &str) -> String {
    format!(
        "CREATE VIEW endless AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS rowid, i AS body FROM n;
         CREATE VIRTUAL TABLE search USING {module} (body, content=endless);"
    )
}
