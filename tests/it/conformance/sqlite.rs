//! The suite over SQLite, with and without a write-ahead log.

use std::fs;

use rusqlite::Connection;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::types::ValueRef;

use super::Lab;
use crate::support::postgres::encode;
use crate::support::sqlite::Files;

pub(super) struct Sqlite {
    files: Files,
    directory: tempfile::TempDir,
}

/// The same, both sides in WAL mode.
struct SqliteWithWal(Sqlite);

impl Sqlite {
    fn url(&self, file: &str) -> String {
        let path = self.directory.path().join(file);
        let path = path.to_str().expect("our paths are text");
        let encoded: Vec<String> = path.split('/').map(encode).collect();
        format!("sqlite://{}", encoded.join("/"))
    }

    fn run(&self, file: &str, sql: &str) -> String {
        let connection = Connection::open(self.directory.path().join(file)).expect("a database");
        connection
            .busy_timeout(std::time::Duration::from_secs(20))
            .expect("a timeout");
        rows_of(&connection, sql)
    }
}

/// Runs statements; rows as lines, columns between `|`.
pub(super) fn rows_of(connection: &Connection, sql: &str) -> String {
    let mut lines = Vec::new();
    let mut batch = rusqlite::Batch::new(connection, sql);
    while let Some(mut statement) = batch.next().expect("our own SQL") {
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("our own SQL");
        while let Some(row) = rows.next().expect("our own SQL") {
            let values: Vec<String> = (0..columns)
                .map(|column| show(row.get_ref(column).expect("a column")))
                .collect();
            lines.push(values.join("|"));
        }
    }
    lines.join("\n")
}

fn show(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
    }
}

impl Lab for Sqlite {
    const KIND: &'static str = "sqlite";

    fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("envsyncd sqlite 100% ")
            .tempdir()
            .expect("a temporary directory");
        for name in ["source", "target"] {
            fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        let file = |name: &str| directory.path().join(name);
        let files = Files::new(file("source/app.db"), file("target/app.db"));
        Self { files, directory }
    }

    fn source_url(&self) -> String {
        self.url("source/app.db")
    }

    fn target_url(&self) -> String {
        self.url("target/app.db")
    }

    fn computed() -> &'static str {
        crate::profiles::sqlite::COMPUTED
    }

    fn source(&self, sql: &str) -> String {
        self.run("source/app.db", sql)
    }

    fn live(&self, sql: &str) -> String {
        self.files.make_live();
        self.run("target/app.db", sql)
    }

    fn beside(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.directory.path().join("target"))
            .expect("a directory")
            .map(|entry| {
                entry
                    .expect("readable")
                    .file_name()
                    .into_string()
                    .expect("text")
            })
            .filter(|name| {
                !matches!(
                    name.as_str(),
                    "app.db" | "app.db-wal" | "app.db-shm" | "app.db-journal"
                )
            })
            .collect();
        names.sort();
        // Says whose previous is.
        if names.iter().any(|name| name == "app.db.envsyncd-previous") {
            names.retain(|name| name != "app.db.envsyncd-marks");
        }
        names
    }

    fn tables(&self) -> Vec<String> {
        let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
        let all = self.live(sql);
        let ours = all.lines().filter(|name| !Files::is_of_others(name));
        ours.map(str::to_owned).collect()
    }

    fn rows_of_others(&self) -> u64 {
        self.files.rows_of_others()
    }

    fn assert_published(&self) {
        self.files.assert_published();
    }

    fn missing(&self) -> (String, String) {
        (self.url("source/missing.db"), "missing.db".to_owned())
    }
}

impl Lab for SqliteWithWal {
    const KIND: &'static str = "sqlite";

    fn new() -> Self {
        let lab = Self(Sqlite::new());
        lab.0.run("source/app.db", "PRAGMA journal_mode = wal");
        lab
    }

    fn source_url(&self) -> String {
        self.0.source_url()
    }

    fn target_url(&self) -> String {
        self.0.target_url()
    }

    fn computed() -> &'static str {
        crate::profiles::sqlite::COMPUTED
    }

    fn source(&self, sql: &str) -> String {
        self.0.source(sql)
    }

    fn live(&self, sql: &str) -> String {
        let first = !self.0.directory.path().join("target/app.db").exists();
        if first {
            self.0.live("PRAGMA journal_mode = wal");
        }
        self.0.live(sql)
    }

    fn beside(&self) -> Vec<String> {
        self.0.beside()
    }

    fn tables(&self) -> Vec<String> {
        self.0.tables()
    }

    fn rows_of_others(&self) -> u64 {
        self.0.rows_of_others()
    }

    fn assert_published(&self) {
        self.0.assert_published();
    }

    fn missing(&self) -> (String, String) {
        self.0.missing()
    }
}

super::conforms!(Sqlite);

mod with_wal {
    super::super::conforms!(super::SqliteWithWal);
}
