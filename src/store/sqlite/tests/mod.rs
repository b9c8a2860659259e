//! Real files in directories that go away, and an application that has them open.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::driver::DRIVER;
use crate::config::endpoint_at;
use crate::config::job::{Endpoint, KeepPrevious, Mode, Publish, Task, Unlisted, Verify};
use crate::error::Result;
use crate::store::registry::formats;
use crate::store::{
    Claim, Complete, Context, Driver, Fate, Incoming, Meter, Part, Published, Selection, Source,
    Survey, Target,
};

mod foreign;
mod hostile;
mod left_out;
mod overlay;
mod partial;
mod portable;
mod preserved;
mod publish;
mod refusals;
mod remains;
mod scripts;
mod spared;
mod whole;

/// A directory with a source and a place for a target, and the options of the task between them.
pub(super) struct Bench {
    pub(super) directory: TempDir,
    pub(super) task: Task,
    runs: AtomicU64,
}

fn endpoint(path: &Path) -> Endpoint {
    endpoint_at(&format!("sqlite://{}", path.display()), formats()).unwrap()
}

impl Bench {
    pub(super) fn new(source_sql: &str) -> Self {
        Self::at(tempfile::tempdir().unwrap(), source_sql)
    }

    fn at(directory: TempDir, source_sql: &str) -> Self {
        let (source, target) = (
            directory.path().join("source.db"),
            directory.path().join("live.db"),
        );
        make(&source, source_sql);
        Self {
            task: Task {
                name: "database".to_owned(),
                kind: crate::store::sqlite::KIND,
                source: endpoint(&source),
                target: endpoint(&target),
                mode: Mode::Replace,
                jobs: None,
                exclude: Vec::new(),
                leave_out: Vec::new(),
                schema_only: Vec::new(),
                keep: Vec::new(),
                scripts: Vec::new(),
                publish: Publish::Swap,
                verify: Verify::Checksum,
                throttle: None,
                max_replication_lag: None,
                previous: KeepPrevious::Keep,
                roles: crate::config::job::Roles::Map,
                definer: crate::config::job::Definer::Map,
                events: crate::config::job::Events::Disabled,
                trust_source: false,
                masks: Vec::new(),
                passes: Vec::new(),
                path_passes: Vec::new(),
                rows: Vec::new(),
                references: Vec::new(),
                unlisted: Unlisted::default(),
                included: Vec::new(),
                canary: None,
                options: crate::config::OwnOptions::default(),
                places: BTreeMap::new(),
            },
            runs: AtomicU64::new(1),
            directory,
        }
    }

    pub(super) fn source(&self) -> PathBuf {
        self.directory.path().join("source.db")
    }

    pub(super) fn live(&self) -> PathBuf {
        self.directory.path().join("live.db")
    }

    pub(super) fn beside(&self, what: &str) -> PathBuf {
        self.directory
            .path()
            .join(format!("live.db.envsyncd-{what}"))
    }

    pub(super) fn context(&self) -> Context {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        Context {
            claim: Claim {
                job: "nightly".to_owned(),
                run: format!("01990000-0000-7000-8000-{run:012x}"),
                host: "here".to_owned(),
            },
            cancel: CancellationToken::new(),
            selection: Arc::new(Selection::of(&self.task, true).unwrap()),
            workers: 1,
            lookup: std::sync::Arc::new(|_| None),
        }
    }

    /// The names in the directory that are not the two databases, nor the marks of a previous that is there.
    pub(super) fn litter(&self) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "source.db" && name != "live.db")
            .collect();
        names.sort();
        if names.iter().any(|name| name == "live.db.envsyncd-previous") {
            names.retain(|name| name != "live.db.envsyncd-marks");
        }
        names
    }

    /// A whole run with a script.
    pub(super) async fn run_with(&self, script: &str) -> Result<()> {
        let line = self.ready().await?;
        let done = async {
            line.run_script(Path::new("/etc/after.sql"), script).await?;
            line.derive().await?;
            line.publish().await
        }
        .await;
        if done.is_err() {
            line.discard().await?;
        }
        line.close().await;
        done
    }

    /// A run up to where it would be published.
    pub(super) async fn ready(&self) -> Result<Line> {
        let line = Line::open(&self.task, &self.context()).await?;
        match line.build().await {
            Ok(()) => Ok(line),
            Err(error) => {
                line.discard().await.unwrap();
                line.close().await;
                Err(error)
            }
        }
    }

    /// A whole run.
    pub(super) async fn run(&self) -> Result<()> {
        let line = self.ready().await?;
        let done = line.publish().await;
        if done.is_err() {
            line.discard().await?;
        }
        line.close().await;
        done
    }
}

/// Source and target of one run.
pub(super) struct Line {
    pub(super) source: Box<dyn Source>,
    pub(super) target: Box<dyn Target>,
    complete: Mutex<Option<Box<dyn Complete>>>,
    published: Mutex<Option<Box<dyn Published>>>,
}

#[derive(Default)]
pub(super) struct Counter {
    pub(super) rows: AtomicU64,
    pub(super) bytes: AtomicU64,
}

impl Meter for Counter {
    fn add(&self, _part: &Part, rows: u64, bytes: u64) {
        self.rows.fetch_add(rows, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Line {
    pub(super) async fn open(task: &Task, context: &Context) -> Result<Self> {
        Ok(Self {
            source: DRIVER.open_source(task, context).await?,
            target: DRIVER.open_target(task, context).await?,
            complete: Mutex::new(None),
            published: Mutex::new(None),
        })
    }

    /// Everything before publish, as the engine does it, with checksums and catalogues compared.
    pub(super) async fn build(&self) -> Result<()> {
        crate::policy::distinct(
            &self.source.identity().await?,
            &self.target.identity().await?,
        )?;
        for displaced in self.target.displaced().await? {
            crate::policy::spared(&self.source.identity().await?, &displaced)?;
        }
        self.target.lock().await?;
        self.target.sweep().await?;
        let survey = self.survey().await?;
        self.target.check(&survey).await?;
        let incoming = self.target.prepare(&survey).await?;
        let counter = Counter::default();
        if !self.transfer(&*incoming, &survey, &counter).await? {
            for part in survey.parts.iter() {
                let taken = incoming.write(part, self.source.read(part).await?).await?;
                assert_eq!(
                    taken,
                    self.source.checksum(part).await?.rows,
                    "{}",
                    part.name
                );
            }
        }
        let complete = incoming.complete().await?;
        self.compare(&survey, &*complete).await;
        *self.complete.lock().await = Some(complete);
        Ok(())
    }

    /// What the source has, for this target.
    pub(super) async fn survey(&self) -> Result<Survey> {
        self.source.survey(&self.target.taker().await?).await
    }

    /// Takes the whole source by SQLite's own means, if that can be.
    pub(super) async fn transfer(
        &self,
        incoming: &dyn Incoming,
        survey: &Survey,
        meter: &dyn Meter,
    ) -> Result<bool> {
        let transfer = incoming.transfer().unwrap();
        transfer.transfer(&*self.source, survey, meter).await
    }

    pub(super) async fn run_script(&self, file: &Path, text: &str) -> Result<()> {
        let complete = self.complete.lock().await;
        complete.as_ref().unwrap().run_script(file, text).await
    }

    pub(super) async fn derive(&self) -> Result<()> {
        self.complete.lock().await.as_ref().unwrap().derive().await
    }

    /// Publishes, and nothing that comes after.
    pub(super) async fn go_live(&self) -> Result<()> {
        let complete = self.complete.lock().await.take().unwrap();
        *self.published.lock().await = Some(complete.publish().await?);
        Ok(())
    }

    pub(super) async fn confirm(&self) -> Result<()> {
        let published = self.published.lock().await;
        published.as_ref().unwrap().confirm().await
    }

    pub(super) async fn revert(&self) -> Result<()> {
        self.published.lock().await.as_ref().unwrap().revert().await
    }

    pub(super) async fn settle(&self) -> Result<()> {
        self.published.lock().await.as_ref().unwrap().settle().await
    }

    pub(super) async fn discard(&self) -> Result<()> {
        self.target.discard().await
    }

    /// Everything from publish on.
    pub(super) async fn publish(&self) -> Result<()> {
        self.go_live().await?;
        self.confirm().await?;
        self.settle().await
    }

    async fn compare(&self, survey: &Survey, complete: &dyn Complete) {
        let differences = self
            .source
            .catalogue()
            .await
            .unwrap()
            .differences(&complete.catalogue().await.unwrap());
        assert!(differences.is_empty(), "{differences:?}");
        for part in survey.parts.iter() {
            assert_eq!(
                self.source.checksum(part).await.unwrap(),
                complete.checksum(part).await.unwrap(),
                "{}",
                part.name
            );
        }
        assert!(survey.left_out.iter().all(|(_, fate)| *fate != Fate::Copy));
    }

    pub(super) async fn close(&self) {
        self.source.close().await;
        self.target.close().await;
    }
}

/// Makes a database, or changes one.
pub(super) fn make(path: &Path, sql: &str) {
    let connection = Connection::open(path).unwrap();
    // As the sqlite3 shell does it.
    connection
        .execute_batch("PRAGMA foreign_keys = OFF")
        .unwrap();
    connection.execute_batch(sql).unwrap();
}

/// One value, as text.
pub(super) fn ask(connection: &Connection, sql: &str) -> String {
    connection
        .query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0))
        .map(|value| match value {
            rusqlite::types::Value::Null => "NULL".to_owned(),
            rusqlite::types::Value::Integer(value) => value.to_string(),
            rusqlite::types::Value::Real(value) => value.to_string(),
            rusqlite::types::Value::Text(value) => value,
            rusqlite::types::Value::Blob(value) => format!("{value:?}"),
        })
        .unwrap()
}

/// The same, of a file.
pub(super) fn ask_file(path: &Path, sql: &str) -> String {
    ask(&Connection::open(path).unwrap(), sql)
}

/// So many rows of filler, so that a copy takes more than one step.
pub(super) fn filler(table: &str, rows: u32, text: &str) -> String {
    format!(
        "CREATE TABLE {table} (id INTEGER PRIMARY KEY, body TEXT); \
         INSERT INTO {table} WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
         SELECT i, '{text}' || i || hex(zeroblob(200)) FROM n;"
    )
}

/// Something of everything.
pub(super) const ZOO: &str = r#"
PRAGMA user_version = 7;
PRAGMA application_id = 4711;
CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL COLLATE NOCASE, name TEXT,
    shout TEXT GENERATED ALWAYS AS (upper(name)) STORED, quiet TEXT AS (lower(name)) VIRTUAL);
INSERT INTO users (id, email, name) VALUES (1, 'a@example.org', 'Ann'), (9000000000, 'b@example.org', 'Bob');
DELETE FROM users WHERE id = 9000000000;
CREATE UNIQUE INDEX users_email ON users (email);
CREATE INDEX users_some ON users (name) WHERE name IS NOT NULL;
CREATE INDEX users_expression ON users (length(name), lower(email));
CREATE TABLE posts (id INTEGER PRIMARY KEY, user INTEGER REFERENCES users (id) ON DELETE CASCADE, body TEXT);
INSERT INTO posts VALUES (5, 1, 'hello world'), (7, 1, 'good night');
CREATE TABLE tags (post INTEGER, tag TEXT, PRIMARY KEY (post, tag)) WITHOUT ROWID;
INSERT INTO tags VALUES (5, 'x'), (5, 'y'), (7, 'x');
CREATE TABLE hidden (value ANY);
INSERT INTO hidden (rowid, value) VALUES (-3, 1.5), (17, x'00ff'), (18, NULL), (40, 'text'), (41, 9223372036854775807);
INSERT INTO hidden (rowid, value) VALUES (50, CAST(x'610062' AS TEXT)), (51, CAST(x'fffe' AS TEXT)), (52, 1e308 * 10);
CREATE TABLE descending (id INTEGER PRIMARY KEY DESC, v TEXT);
INSERT INTO descending VALUES (3, 'c'), (1, 'a');
CREATE TABLE obscured (rowid TEXT, _rowid_ TEXT, oid TEXT);
INSERT INTO obscured VALUES ('a', 'b', 'c');
CREATE TABLE half (rowid TEXT, v);
INSERT INTO half (_rowid_, rowid, v) VALUES (99, 'mine', 1);
CREATE TABLE strict_one (a INT, b ANY) STRICT;
INSERT INTO strict_one VALUES (1, '1'), (2, 2);
CREATE TABLE "odd ""name"" with.dot é%'[]" ("a ""column"" é" TEXT, "select" INT);
INSERT INTO "odd ""name"" with.dot é%'[]" VALUES ('v', 1);
CREATE INDEX "odd index" ON "odd ""name"" with.dot é%'[]" ("select");
CREATE TABLE empty (a);
CREATE VIEW loud AS SELECT shout FROM users;
CREATE VIEW broken AS SELECT * FROM not_there;
CREATE VIRTUAL TABLE search USING fts5 (body, content = '');
CREATE VIRTUAL TABLE docs USING fts5 (title, body);
INSERT INTO docs VALUES ('one', 'the quick brown fox'), ('two', 'jumps over');
CREATE VIRTUAL TABLE boxes USING rtree (id, x0, x1);
INSERT INTO boxes VALUES (1, 0, 10), (2, 5, 6);
CREATE TABLE audit (what TEXT);
CREATE TRIGGER users_added AFTER INSERT ON users BEGIN INSERT INTO audit VALUES ('added ' || new.id); END;
CREATE TRIGGER loud_added INSTEAD OF INSERT ON loud BEGIN INSERT INTO users (email, name) VALUES ('new', new.shout); END;
ANALYZE;
"#;
