//! What lets a copy rest between source and target: definitions put away and taken out again, rows as INSERT statements; and
//! both as people load them with `sqlite3` alone.

use std::path::Path;
use std::process::{Command, Stdio};

use bytes::BytesMut;
use futures_util::{StreamExt, TryStreamExt, stream};
use rusqlite::Connection;

use super::super::connection::library::{KIND, server};
use super::super::driver::DRIVER;
use super::{Bench, ZOO, ask, ask_file, filler, make};
use crate::error::Result;
use crate::store::registry::codec;
use crate::store::{Catalogue, Checksum, Driver, Fate, Part, Restored, Script, Survey, Taker};

/// A database at rest: what an archive has of it.
pub(super) struct Rest {
    pub(super) definitions: Vec<u8>,
    pub(super) scripts: Vec<Script>,
    left_out: Vec<(String, Fate)>,
    pub(super) rows: Vec<Plain>,
    catalogue: Catalogue,
}

/// A part as a file.
pub(super) struct Plain {
    part: Part,
    rows: u64,
    pub(super) bytes: Vec<u8>,
    checksum: Checksum,
}

/// As a push reads it.
pub(super) async fn push(bench: &Bench) -> Rest {
    let context = bench.context();
    let source = DRIVER.open_source(&bench.task, &context).await.unwrap();
    let survey = source.survey(&Taker::Archive).await.unwrap();
    let mut rows = Vec::new();
    for part in survey.parts.iter() {
        let codec = codec(KIND, part).unwrap();
        assert_eq!(codec.file_ending(), "sql");
        assert_eq!(survey.definitions.load_statement(part).unwrap(), "");
        let mut encoder = codec.encoder(part).unwrap();
        let mut chunks = source.read(part).await.unwrap();
        let (mut bytes, mut count) = (BytesMut::new(), 0);
        while let Some(chunk) = chunks.try_next().await.unwrap() {
            encoder.feed(&chunk.data, &mut bytes).unwrap();
            count += chunk.rows;
        }
        encoder.end(&mut bytes).unwrap();
        drop(chunks);
        rows.push(Plain {
            part: part.clone(),
            rows: count,
            bytes: bytes.to_vec(),
            checksum: source.checksum(part).await.unwrap(),
        });
    }
    let definitions = survey.definitions.to_json().unwrap();
    assert_eq!(definitions, survey.definitions.to_json().unwrap());
    let rest = Rest {
        definitions,
        scripts: survey.definitions.scripts().unwrap(),
        left_out: survey.left_out.clone(),
        rows,
        catalogue: source.catalogue().await.unwrap(),
    };
    source.close().await;
    rest
}

impl Rest {
    /// Pulls it into the bench's target, with files that come in pieces of this length.
    pub(super) async fn pull(&self, bench: &Bench, cut: usize) -> Result<Restored> {
        let context = bench.context();
        let parts = self.rows.iter().map(|plain| plain.part.clone()).collect();
        let left_out = self.left_out.clone();
        let taken = DRIVER
            .read_definitions(&self.definitions, parts, left_out, &context.selection)
            .await?;
        let survey = Survey {
            server: server(),
            taken_at: chrono::Utc::now(),
            parts: taken.parts.clone().into(),
            left_out: taken.left_out.clone(),
            definitions: taken.definitions.clone(),
        };
        let target = DRIVER.open_target(&bench.task, &context).await?;
        target.lock().await?;
        target.sweep().await?;
        target.check(&survey).await?;
        let incoming = target.prepare(&survey).await?;
        let wanted = |plain: &&Plain| taken.parts.contains(&plain.part);
        for plain in self.rows.iter().filter(wanted) {
            let mut decoder = codec(KIND, &plain.part)?.decoder(&plain.part)?;
            let mut chunks = Vec::new();
            for piece in plain.bytes.chunks(cut) {
                chunks.extend(decoder.feed(piece)?);
            }
            chunks.extend(decoder.end()?);
            let rows: u64 = chunks.iter().map(|chunk| chunk.rows).sum();
            assert_eq!(rows, plain.rows, "{}", plain.part.name);
            let chunks = stream::iter(chunks.into_iter().map(Ok)).boxed();
            assert_eq!(incoming.write(&plain.part, chunks).await?, rows);
        }
        let complete = incoming.complete().await?;
        let definitions = &taken.definitions;
        let catalogue = definitions.catalogue(self.catalogue.clone(), &bench.task)?;
        let differences = catalogue.differences(&complete.catalogue().await?);
        assert!(differences.is_empty(), "{differences:?}");
        for plain in self.rows.iter().filter(wanted) {
            let sum = complete.checksum(&plain.part).await?;
            assert_eq!(sum, plain.checksum, "{}", plain.part.name);
        }
        complete.publish().await?.settle().await?;
        target.close().await;
        Ok(taken)
    }
}

const MUCH: u32 = 5_000;

#[tokio::test]
async fn what_rested_in_files_is_what_it_was_however_they_are_cut() {
    let bench = Bench::new(ZOO);
    make(&bench.source(), &filler("big", MUCH, "it''s \r\n \\n"));
    let rest = push(&bench).await;
    for cut in [1, 7, 1 << 20] {
        rest.pull(&bench, cut).await.unwrap();
        let live = Connection::open(bench.live()).unwrap();
        let found = |sql: &str| ask(&live, sql);
        assert_eq!(
            found("SELECT group_concat(rowid) FROM hidden"),
            "-3,17,18,40,41,50,51,52"
        );
        assert_eq!(
            found("SELECT count(*) FROM docs WHERE docs MATCH 'fox'"),
            "1"
        );
        assert_eq!(found("SELECT count(*) FROM boxes WHERE x0 > 1"), "1");
        assert_eq!(found("SELECT seq FROM sqlite_sequence"), "9000000000");
        assert_eq!(found("SELECT count(*) > 0 FROM sqlite_stat1"), "1");
        assert_eq!(found("SELECT count(*) FROM audit"), "0");
        assert_eq!(found("PRAGMA integrity_check"), "ok");
    }
}

#[tokio::test]
async fn a_database_in_utf_16_rests_as_well() {
    let sql = "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (a TEXT); \
        INSERT INTO t VALUES ('größe 🌍'), ('a' || char(0) || char(10) || 'b'), ('');";
    let bench = Bench::new(sql);
    push(&bench).await.pull(&bench, 3).await.unwrap();
    let live = Connection::open(bench.live()).unwrap();
    assert_eq!(ask(&live, "PRAGMA encoding"), "UTF-16le");
}

#[tokio::test]
async fn a_pull_leaves_out_what_a_sync_would() {
    let mut bench = Bench::new(ZOO);
    make(
        &bench.live(),
        "CREATE TABLE posts (id INTEGER PRIMARY KEY, body TEXT); INSERT INTO posts VALUES (1, 'mine')",
    );
    let rest = push(&bench).await;
    bench.task.exclude = vec!["docs".to_owned(), "hidden".to_owned()];
    bench.task.schema_only = vec!["tags".to_owned(), "boxes".to_owned()];
    bench.task.keep = vec!["posts".to_owned()];
    let taken = rest.pull(&bench, 100).await.unwrap();
    let mut left_out = taken.left_out.clone();
    left_out.sort_by(|a, b| a.0.cmp(&b.0));
    let fates = [
        ("boxes", Fate::SchemaOnly),
        ("docs", Fate::Exclude),
        ("hidden", Fate::Exclude),
        ("posts", Fate::Keep),
        ("tags", Fate::SchemaOnly),
    ];
    assert_eq!(left_out, fates.map(|(name, fate)| (name.to_owned(), fate)));
    let live = Connection::open(bench.live()).unwrap();
    let names = "SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema ORDER BY name)";
    let there = ask(&live, names);
    let has = |name: &str| there.split(',').any(|other| other == name);
    for gone in ["docs", "docs_data", "docs_content", "hidden"] {
        assert!(!has(gone), "{gone}: {there}");
    }
    assert_eq!(ask(&live, "SELECT body FROM posts"), "mine");
    assert_eq!(ask(&live, "SELECT count(*) FROM tags"), "0");
    assert_eq!(ask(&live, "SELECT count(*) FROM boxes"), "0");
    drop(live);
    // What a sync makes of the same.
    bench.run().await.unwrap();
    let live = Connection::open(bench.live()).unwrap();
    assert_eq!(ask(&live, names), there);
}

#[tokio::test]
async fn what_was_not_pushed_is_not_pulled() {
    let mut bench = Bench::new(ZOO);
    make(
        &bench.live(),
        "CREATE TABLE hidden (mine); INSERT INTO hidden VALUES ('mine')",
    );
    bench.task.exclude = ["hidden", "users", "posts"].map(str::to_owned).to_vec();
    bench.task.schema_only = vec!["docs".to_owned()];
    let rest = push(&bench).await;
    let text = String::from_utf8(rest.definitions.clone()).unwrap();
    assert!(
        !text.contains("users_email") && !text.contains("value ANY"),
        "{text}"
    );
    bench.task.exclude.clear();
    bench.task.schema_only.clear();
    bench.task.keep = vec!["hidden".to_owned()];
    rest.pull(&bench, 100).await.unwrap();
    let live = Connection::open(bench.live()).unwrap();
    assert_eq!(ask(&live, "SELECT count(*) FROM docs"), "0");
    assert_eq!(ask(&live, "SELECT mine FROM hidden"), "mine");
    assert_eq!(
        ask(
            &live,
            "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'users%'"
        ),
        "0"
    );
}

#[tokio::test]
async fn a_trigger_that_refuses_rows_is_asked_for_where_it_would_be_lost() {
    let mut bench = Bench::new(
        "CREATE TABLE blocked (who, why); CREATE TABLE t (a); CREATE VIEW v AS SELECT who FROM blocked;
         CREATE TRIGGER guard BEFORE INSERT ON t WHEN new.a IN (SELECT who FROM blocked) BEGIN SELECT RAISE(ABORT, 'no'); END;
         CREATE VIRTUAL TABLE f USING fts5 (who, content = blocked); INSERT INTO blocked VALUES ('rawsecretword', 1);
         INSERT INTO f (f) VALUES ('rebuild');",
    );
    bench.task.exclude = vec!["blocked".to_owned()];
    let rest = push(&bench).await;
    for plain in &rest.rows {
        assert_eq!(plain.part.name, "t", "the words of an index are not pushed");
    }
    bench.task.exclude.clear();
    let error = rest.pull(&bench, 100).await.unwrap_err();
    assert!(error.to_string().contains("`t.guard`"), "{error}");
    bench.task.leave_out = vec!["T.guard".to_owned()];
    rest.pull(&bench, 100).await.unwrap();
    let names = "SELECT group_concat(name) FROM sqlite_schema";
    assert_eq!(ask_file(&bench.live(), names), "t");
}

#[tokio::test]
async fn rows_that_are_not_all_there_are_refused() {
    let bench = Bench::new(ZOO);
    let mut rest = push(&bench).await;
    let cut = rest.rows[0].bytes.len() - 1;
    rest.rows[0].bytes.truncate(cut);
    let error = rest.pull(&bench, 100).await.unwrap_err();
    assert!(
        error.to_string().contains("end before their end"),
        "{error}"
    );
    let name = rest.rows.remove(0).part.name;
    let error = rest.pull(&bench, 100).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("`{name}` are not there")),
        "{error}"
    );
    assert!(!bench.live().exists());
}

/// Feeds a shell, as a person would.
pub(super) fn shell(file: &Path, sql: &[u8]) {
    let mut child = Command::new("sqlite3")
        .arg("-bail")
        .arg(file)
        .current_dir(file.parent().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("script/install-test-deps installs sqlite3");
    let mut stdin = child.stdin.take().unwrap();
    let sql = sql.to_owned();
    let writer = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &sql));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{error}");
}

#[tokio::test]
async fn nothing_that_a_database_has_is_a_command_to_whoever_restores_it() {
    let pwned = "\n.shell touch pwned\n";
    let name = format!("t; $(touch pwned) `touch pwned` ' \"\" ;{pwned}go\n/\n");
    let source = format!(
        "CREATE TABLE \"{name}\" (\"a;{pwned}\" DEFAULT ';{pwned}', b CHECK (b <> '; {pwned}'));
         INSERT INTO \"{name}\" VALUES (';{pwned}', x'00'), ('$(touch pwned) `touch pwned`', '{quoted}');
         CREATE VIEW v AS SELECT 8\n/\n2 AS a,\n'\ngo\n/\n{pwned}' AS b, 1\ngo /*{pwned}*/ -- {pwned}.5 AS x
         ;
         CREATE INDEX \"i;{pwned}\" ON \"{name}\" (b) WHERE b <> ';{pwned}';
         CREATE VIRTUAL TABLE \"f;{pwned}\" USING fts5 (\"x;{pwned}\");
         CREATE TRIGGER \"r;{pwned}\" AFTER INSERT ON \"{name}\" BEGIN SELECT ';{pwned}';\nSELECT 1\n/\n.5; END;",
        quoted = "''"
    )
    .replace(", 1\ngo /*\n.shell touch pwned\n*/ -- \n.shell touch pwned\n.5 AS x", ", 1\ngo /*\n.shell touch pwned\n*/ -- x");
    let mut bench = Bench::new(&source);
    let rest = push(&bench).await;
    let folder = bench.directory.path().join("by hand");
    std::fs::create_dir(&folder).unwrap();
    let restored = folder.join("restored.db");
    let pieces = std::iter::once(rest.scripts[0].text.as_bytes())
        .chain(rest.rows.iter().map(|plain| &plain.bytes[..]))
        .chain(std::iter::once(rest.scripts[1].text.as_bytes()));
    for piece in pieces {
        shell(&restored, piece);
    }
    let names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["restored.db"]);
    let there = Connection::open(&restored).unwrap();
    assert_eq!(
        ask(&there, "SELECT a || b || go FROM v"),
        format!("4\ngo\n/\n{pwned}1")
    );
    bench.task.source = super::endpoint(&restored);
    let again = push(&bench).await;
    let shielded = |catalogue: &Catalogue| -> Vec<(String, String)> {
        let text = |sql: &String| sql.replace("/**/", "");
        catalogue
            .0
            .iter()
            .map(|(name, sql)| (name.clone(), text(sql)))
            .collect()
    };
    assert_eq!(shielded(&again.catalogue), shielded(&rest.catalogue));
    for (one, other) in rest.rows.iter().zip(&again.rows) {
        assert_eq!(one.checksum, other.checksum);
    }
}

#[tokio::test]
async fn a_database_at_rest_is_restored_by_the_shell_alone() {
    let mut bench = Bench::new(ZOO);
    make(
        &bench.source(),
        "CREATE TABLE odd (a, b); INSERT INTO odd VALUES (0.1, 1.0 / 3), (-0.0, 5e-324), (1.7976931348623157e308, 9e999),
           ('a' || char(13) || char(10) || '\\n', 'it''s; ' || char(10) || 'COMMIT;'), (char(0), x''), (-9223372036854775808, NULL);",
    );
    let rest = push(&bench).await;
    let names: Vec<&str> = rest.scripts.iter().map(|script| &*script.name).collect();
    assert_eq!(names, ["1-before-rows", "3-after-rows"]);
    let restored = bench.directory.path().join("restored.db");
    shell(&restored, rest.scripts[0].text.as_bytes());
    for plain in &rest.rows {
        shell(&restored, &plain.bytes);
    }
    shell(&restored, rest.scripts[1].text.as_bytes());
    // Read as a source again, it is the same in all that counts.
    bench.task.source = super::endpoint(&restored);
    let again = push(&bench).await;
    assert_eq!(again.catalogue, rest.catalogue);
    assert_eq!(again.rows.len(), rest.rows.len());
    for plain in &rest.rows {
        let other = again
            .rows
            .iter()
            .find(|other| other.part.name == plain.part.name);
        assert_eq!(
            other.unwrap().checksum,
            plain.checksum,
            "{}",
            plain.part.name
        );
    }
    let there = Connection::open(&restored).unwrap();
    assert_eq!(
        ask(&there, "SELECT count(*) FROM docs WHERE docs MATCH 'fox'"),
        "1"
    );
    assert_eq!(ask(&there, "SELECT seq FROM sqlite_sequence"), "9000000000");
    assert_eq!(ask(&there, "PRAGMA integrity_check"), "ok");
}
