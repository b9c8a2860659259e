//! What lets a copy rest between source and target: definitions put away and taken out again, rows as plain files; and
//! both as people load them with the store's own client alone.

mod by_client;

use std::sync::Arc;

use bytes::BytesMut;
use envsyncd::config::job::Task;
use envsyncd::error::{Error, Result};
use envsyncd::store::{
    self, Checksum, Chunk, Claim, Context, Fate, Part, Script, Selection, Survey, Taker,
};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::Scene;
use crate::support::job::Job;
use crate::support::mysql::{Server, Version, shared};

/// Everything that MariaDB's CREATE makes, each in its odd forms.
pub(super) const EVERYTHING: &str = include_str!("../fixtures/mysql.sql");

/// The same of MySQL's, for its own kinds of columns and objects.
pub(super) const ORACLE: &str = r#"
CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, j json, g geometry SRID 4326, b bit(10), bl blob, f float, d double, ts timestamp(6) NULL,
  y year, e enum('a','é'), v int INVISIBLE DEFAULT 3, expr varchar(20) DEFAULT (concat('a', 'b')), n int DEFAULT 4, s int AS (n * 2) STORED,
  l varchar(20) CHARACTER SET latin1, KEY ((n + 1)), KEY (n) INVISIBLE, CHECK (n < 100)) AUTO_INCREMENT = 50;
INSERT INTO t (id, j, g, b, bl, f, d, ts, y, e, v, l) VALUES
  (1, '{"b": [1.0, 12345678901234567890, "🌍\\n\\\\"], "a": null}', ST_GeomFromText('POINT(10 20)', 4326), b'1001011100', X'00090A5C', 3.40282e38, 1.7976931348623157e308, '2038-01-19 03:14:07.999999', 1901, 'é', 8, 'é€'),
  (2, 'null', NULL, b'0', '', 0.1, -0e0, NULL, NULL, NULL, NULL, NULL);
CREATE TABLE child (id int PRIMARY KEY, t int, CONSTRAINT up FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE) DEFAULT CHARSET = latin1 COMMENT = 'it''s; größe';
INSERT INTO child VALUES (1, 1), (2, NULL);
CREATE TABLE parted (id int, at date) PARTITION BY RANGE (year(at)) (PARTITION p0 VALUES LESS THAN (2000), PARTITION p1 VALUES LESS THAN MAXVALUE);
INSERT INTO parted VALUES (1, '1999-01-01'), (2, '2024-01-01');
CREATE TABLE only_generated (w int AS (5) STORED); INSERT INTO only_generated () VALUES (), ();
CREATE VIEW w AS SELECT t.id, child.id AS child FROM t JOIN child ON child.t = t.id;
CREATE VIEW a_on_w AS SELECT id FROM w;
DELIMITER //
CREATE FUNCTION twice(n int) RETURNS int DETERMINISTIC COMMENT 'it''s 🌍' RETURN n * 2//
CREATE PROCEDURE p(IN a int) BEGIN
  -- A comment; with a ;; in it.
  SELECT count(*) + a FROM t;
END//
CREATE TRIGGER tr BEFORE INSERT ON child FOR EACH ROW BEGIN SET NEW.t = twice(1); END//
CREATE EVENT e ON SCHEDULE EVERY 1 DAY STARTS '2036-01-01 00:00:00' DO DELETE FROM t//
CREATE EVENT once_only ON SCHEDULE AT '2037-01-01 00:00:00' ON COMPLETION PRESERVE DISABLE DO SELECT 1//
DELIMITER ;
"#;

/// A database at rest: what an archive has of it.
struct Rest {
    kind: envsyncd::config::job::StoreKind,
    server: store::Server,
    definitions: Vec<u8>,
    scripts: Vec<Script>,
    left_out: Vec<(String, Fate)>,
    rows: Vec<Plain>,
}

/// A part as a file.
struct Plain {
    part: Part,
    rows: u64,
    bytes: Vec<u8>,
    statement: String,
    checksum: Checksum,
}

/// The only task of a job, and what it runs in.
pub(super) fn order(scene: &Scene<'_>, name: &str, job: &Job) -> (Task, Context) {
    let nothing = std::iter::empty::<(String, String)>;
    let (settings, _) =
        envsyncd::config::load_settings(None, nothing(), store::registry::formats())
            .expect("defaults");
    let file = scene.bed.job(name, job);
    let (job, _) = envsyncd::config::load_job(&file, &settings).expect("a job");
    let task = job.tasks.into_iter().next().expect("a task");
    let context = Context {
        claim: Claim {
            job: name.to_owned(),
            run: uuid::Uuid::now_v7().to_string(),
            host: "here".to_owned(),
        },
        cancel: tokio_util::sync::CancellationToken::new(),
        selection: Arc::new(Selection::of(&task, false).expect("globs")),
        workers: 4,
        lookup: Arc::new(|_| None),
    };
    (task, context)
}

/// As a push reads it.
async fn push(scene: &Scene<'_>, job: &Job) -> Result<Rest> {
    let (task, context) = order(scene, "push", job);
    let source = store::registry::open_source(&task, &context).await?;
    let survey = source.survey(&Taker::Archive).await?;
    let mut rows = Vec::new();
    for part in survey.parts.iter() {
        let codec = store::registry::codec(task.kind, part)?;
        let mut encoder = codec.encoder(part)?;
        assert_eq!(codec.file_ending(), "tsv");
        let mut chunks = source.read(part).await?;
        let (mut bytes, mut count) = (BytesMut::new(), 0);
        while let Some(chunk) = chunks.try_next().await? {
            encoder.feed(&chunk.data, &mut bytes)?;
            count += chunk.rows;
        }
        encoder.end(&mut bytes)?;
        drop(chunks);
        rows.push(Plain {
            rows: count,
            bytes: bytes.to_vec(),
            statement: survey.definitions.load_statement(part)?,
            checksum: source.checksum(part).await?,
            part: part.clone(),
        });
    }
    let definitions = survey.definitions.to_json()?;
    assert_eq!(definitions, survey.definitions.to_json()?);
    let rest = Rest {
        kind: task.kind,
        server: survey.server.clone(),
        scripts: survey.definitions.scripts()?,
        left_out: survey.left_out.clone(),
        definitions,
        rows,
    };
    source.close().await;
    Ok(rest)
}

/// What a source that was pulled from has a part's rows from: its file, cut into pieces of this length.
fn chunks(survey: &Survey, plain: &Plain, cut: usize) -> Result<Vec<Result<Chunk>>> {
    let codec = store::registry::codec(survey.server.kind, &plain.part)?;
    let mut decoder = codec.decoder(&plain.part)?;
    let mut chunks = Vec::new();
    for piece in plain.bytes.chunks(cut) {
        chunks.extend(decoder.feed(piece)?);
    }
    chunks.extend(decoder.end()?);
    let rows: u64 = chunks.iter().map(|chunk| chunk.rows).sum();
    assert_eq!(rows, plain.rows, "{}", plain.part.label());
    Ok(chunks.into_iter().map(Ok).collect())
}

impl Rest {
    /// What a pull finds.
    async fn survey(&self, context: &Context) -> Result<Survey> {
        let parts = self.rows.iter().map(|plain| plain.part.clone()).collect();
        let left_out = self.left_out.clone();
        let taken = store::registry::driver(self.kind)?
            .read_definitions(&self.definitions, parts, left_out, &context.selection)
            .await?;
        Ok(Survey {
            server: self.server.clone(),
            taken_at: chrono::Utc::now(),
            parts: taken.parts.into(),
            left_out: taken.left_out,
            definitions: taken.definitions,
        })
    }

    /// Pulls it, with files that come in pieces of this length.
    async fn pull(&self, scene: &Scene<'_>, job: &Job, cut: usize) -> Result<Survey> {
        let (task, context) = order(scene, "pull", job);
        let survey = self.survey(&context).await?;
        let target = store::registry::open_target(&task, &context).await?;
        target.lock().await?;
        target.sweep().await?;
        let pulled = async {
            target.check(&survey).await?;
            let incoming = target.prepare(&survey).await?;
            for plain in &self.rows {
                let Some(part) = survey.parts.iter().find(|part| part.id == plain.part.id) else {
                    continue;
                };
                let chunks = stream::iter(chunks(&survey, plain, cut)?).boxed();
                let taken = incoming.write(part, chunks).await?;
                assert_eq!(taken, plain.rows, "{}", part.label());
            }
            for part in survey.whole() {
                for step in incoming.steps_after(&part) {
                    incoming.build(&step).await?;
                }
            }
            let complete = incoming.complete().await?;
            let nothing = store::Catalogue::default();
            let catalogue = survey.definitions.catalogue(nothing, &task)?;
            let differences = catalogue.differences(&complete.catalogue().await?);
            assert!(differences.is_empty(), "{differences:?}");
            for plain in &self.rows {
                if let Some(part) = survey.parts.iter().find(|part| part.id == plain.part.id) {
                    let sum = complete.checksum(part).await?;
                    assert_eq!(sum, plain.checksum, "{}", part.label());
                }
            }
            complete.publish().await?.settle().await
        }
        .await;
        if pulled.is_err() {
            target.discard().await?;
        }
        target.close().await;
        pulled.map(|()| survey)
    }
}

pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

#[track_caller]
fn refused(outcome: Result<Survey>) -> Error {
    match outcome {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error,
    }
}

/// A job that copies exactly.
fn exact(scene: &Scene<'_>) -> Job {
    scene
        .job()
        .task("definer = \"keep\"")
        .task("events = \"keep\"")
        .task("verify = \"checksum\"")
}

#[test]
fn what_rested_in_files_is_what_it_was_however_they_are_cut() {
    let scene = Scene::empty();
    scene.source(EVERYTHING);
    run(async {
        let rest = push(&scene, &exact(&scene)).await.expect("a push");
        for cut in [1, 7, 1 << 20] {
            rest.pull(&scene, &exact(&scene), cut)
                .await
                .expect("a pull");
            scene.assert_same();
        }
    });
    assert!(scene.beside_live().len() <= 1, "{:?}", scene.beside_live());
}

#[test]
fn a_newer_mariadb_s_database_rests_as_well() {
    let start = || Server::builder().of(Version::Newer).start();
    let (source, target) = (start(), start());
    let scene = Scene::without_databases(&source, &target);
    source.create_db(&scene.from);
    scene.source(EVERYTHING);
    run(async {
        let rest = push(&scene, &exact(&scene)).await.expect("a push");
        rest.pull(&scene, &exact(&scene), 4096)
            .await
            .expect("a pull");
    });
    scene.assert_same();
}

#[test]
fn oracle_s_database_rests_and_goes_to_oracle_s_server_alone() {
    let start = || Server::builder().of(Version::Oracle).start();
    let (source, target) = (start(), start());
    let scene = Scene::without_databases(&source, &target);
    source.create_db(&scene.from);
    scene.source(ORACLE);
    run(async {
        let rest = push(&scene, &exact(&scene)).await.expect("a push");
        for cut in [1, 4096] {
            rest.pull(&scene, &exact(&scene), cut)
                .await
                .expect("a pull");
            scene.assert_same();
        }
        let other = Scene::without_databases(&source, &shared().target);
        let error = refused(rest.pull(&other, &exact(&other), 4096).await).to_string();
        assert!(
            error.contains("MySQL") && error.contains("MariaDB"),
            "{error}"
        );
        assert_eq!(other.beside_live(), Vec::<String>::new());
    });
}

#[test]
fn rows_at_rest_arrive_by_inserts_where_load_data_is_off() {
    let target = Server::with(&["--local-infile=0"]);
    let scene = Scene::on(&shared().source, &target);
    scene.source("CREATE TABLE v (id int AUTO_INCREMENT PRIMARY KEY, b blob, f double, g point, bits bit(12), n text); INSERT INTO v VALUES (1, X'005C270A0D1A', 0.1, POINT(1, 2), b'101', NULL), (2, '', -1e300, NULL, NULL, '''\\\\')");
    run(async {
        let rest = push(&scene, &scene.job()).await.expect("a push");
        rest.pull(&scene, &scene.job(), 3).await.expect("a pull");
    });
    scene.live_is_new();
    scene.assert_same();
}

#[test]
fn a_large_table_rests_in_slices_and_one_that_counts_does_not() {
    // What was committed is there after a crash.
    let source = Server::with(&["--innodb-flush-log-at-trx-commit=1"]);
    let scene = Scene::on(&source, &shared().target);
    for (table, counts) in [("large", ""), ("counted", "AUTO_INCREMENT")] {
        scene.source(&format!(
            "CREATE TABLE {table} (id bigint {counts} PRIMARY KEY, t text) STATS_PERSISTENT = 1 STATS_AUTO_RECALC = 0;
             INSERT INTO {table} SELECT seq, REPEAT('x', seq % 50) FROM seq_1_to_2000; ANALYZE TABLE {table};
             UPDATE mysql.innodb_table_stats SET clustered_index_size = 60000 WHERE database_name = DATABASE() AND table_name = '{table}';"
        ));
    }
    // Statistics are read when a table is opened for the first time.
    source.crash();
    source.start_again();
    run(async {
        let rest = push(&scene, &scene.job()).await.expect("a push");
        let slices = |name: &str| {
            rest.rows
                .iter()
                .filter(|plain| plain.part.name == name)
                .count()
        };
        assert!(slices("large") > 1);
        assert_eq!(slices("counted"), 1);
        rest.pull(&scene, &scene.job(), 100).await.expect("a pull");
    });
    assert_eq!(
        scene.live("SELECT count(*), sum(id) FROM large"),
        "2000|2001000"
    );
    assert_eq!(scene.target.rows(&scene.to), scene.source.rows(&scene.from));
}

/// Tables, a view, a trigger, a foreign key and a sequence for a selection to leave out.
const PARTS: &str = "CREATE TABLE cache_one (a int PRIMARY KEY); INSERT INTO cache_one VALUES (1);
    CREATE TABLE uses_cache (id int PRIMARY KEY, a int, CONSTRAINT uses FOREIGN KEY (a) REFERENCES cache_one (a)); INSERT INTO uses_cache VALUES (1, 1);
    CREATE TRIGGER on_cache BEFORE INSERT ON cache_one FOR EACH ROW SET NEW.a = 1;
    CREATE SEQUENCE cache_numbers;
    CREATE TABLE audit (id int AUTO_INCREMENT PRIMARY KEY, what text); INSERT INTO audit (what) VALUES ('a'), ('b');
    CREATE TABLE hooks (id int PRIMARY KEY, url text); INSERT INTO hooks VALUES (1, 'production');";

#[test]
fn a_pull_leaves_out_what_a_sync_would() {
    let scene = Scene::new();
    scene.source(PARTS);
    scene.live("CREATE TABLE hooks (id int PRIMARY KEY, url text); INSERT INTO hooks VALUES (9, 'staging')");
    let selected = |scene: &Scene<'_>| {
        scene
            .job()
            .task("exclude = [\"cache_*\"]")
            .task("schema_only = [\"audit\"]")
            .task("keep = [\"hooks\"]")
            .task("mode = \"overlay\"")
    };
    run(async {
        let rest = push(&scene, &scene.job()).await.expect("a push");
        let survey = rest
            .pull(&scene, &selected(&scene), 100)
            .await
            .expect("a pull");
        let mut left_out = survey.left_out.clone();
        left_out.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(
            left_out,
            [
                ("audit".to_owned(), Fate::SchemaOnly),
                ("cache_numbers".to_owned(), Fate::Exclude),
                ("cache_one".to_owned(), Fate::Exclude),
                ("hooks".to_owned(), Fate::Keep),
            ]
        );
    });
    scene.live_is_new();
    let there = scene.target.definitions(&scene.to);
    let rows = scene.target.rows(&scene.to);
    assert_eq!(scene.live("SELECT url FROM hooks"), "staging");
    assert_eq!(scene.live("SELECT count(*) FROM audit"), "0");
    assert_eq!(scene.live("SELECT a FROM only_live"), "mine");
    // What a sync makes of the same live.
    scene.live("DROP TABLE uses_cache, audit, orders, users");
    scene.copy(&selected(&scene));
    assert_eq!(there, scene.target.definitions(&scene.to));
    assert_eq!(rows, scene.target.rows(&scene.to));
}

#[test]
fn what_was_not_pushed_is_not_pulled() {
    let scene = Scene::new();
    scene.source(PARTS);
    let pushed = scene
        .job()
        .task("exclude = [\"cache_*\"]")
        .task("schema_only = [\"audit\"]");
    run(async {
        let rest = push(&scene, &pushed).await.expect("a push");
        let text = String::from_utf8(rest.definitions.clone()).expect("text");
        assert!(!text.contains("on_cache"), "{text}");
        let survey = rest.pull(&scene, &scene.job(), 100).await.expect("a pull");
        assert!(
            survey
                .left_out
                .contains(&("cache_one".to_owned(), Fate::Exclude)),
            "{:?}",
            survey.left_out
        );
    });
    assert_eq!(scene.live("SELECT count(*) FROM audit"), "0");
    assert_eq!(scene.live("SELECT count(*) FROM uses_cache"), "1");
    assert!(!scene.live("SHOW TABLES").contains("cache_one"));
}

#[test]
fn a_view_over_what_a_pull_excludes_is_refused_in_a_sync_s_words() {
    let scene = Scene::new();
    scene.source("CREATE VIEW buyers AS SELECT email FROM users");
    let selected = scene.job().task("exclude = [\"users\"]");
    run(async {
        let rest = push(&scene, &scene.job()).await.expect("a push");
        let error = refused(rest.pull(&scene, &selected, 100).await);
        let sync = scene.bed.once(&scene.write(&selected)).expect(1);
        assert!(
            sync.stderr
                .contains("view buyers is over `users`, which is excluded"),
            "{sync:?}"
        );
        assert!(
            error
                .to_string()
                .contains("view buyers is over `users`, which is excluded"),
            "{error}"
        );
    });
    scene.live_is_old();
    scene.nothing_is_left();
}

#[test]
fn rows_that_are_not_all_there_are_refused() {
    let scene = Scene::new();
    run(async {
        let mut rest = push(&scene, &scene.job()).await.expect("a push");
        let last = rest.rows[0].bytes.pop();
        let cut = refused(rest.pull(&scene, &scene.job(), 100).await).to_string();
        assert!(cut.contains("in the middle of one"), "{cut}");
        rest.rows[0].bytes.extend(last);
        let name = rest.rows.remove(0).part.name;
        let gone = refused(rest.pull(&scene, &scene.job(), 100).await).to_string();
        assert!(gone.contains(&format!("`{name}` are not there")), "{gone}");
    });
    scene.live_is_old();
    scene.nothing_is_left();
}
