//! Dumps of `mariadb-dump` and `mysqldump`: read, with their definitions beside live, and written by those tools.

mod refused;
mod values;
mod written;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use envsyncd::error::{Error, Result};
use envsyncd::store::dump::{Dump, DumpFile};
use envsyncd::store::registry::dumps;
use envsyncd::store::{self, Complete, Source, Taker, Target};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::Scene;
use super::portable::{EVERYTHING, ORACLE, order, run};
use crate::support::job::Job;
use crate::support::mysql::{Server, Version, shared};
use crate::support::postgres::{Must, tools};

const FILE: &str = "2026-01-01T01:02:03-app.gz";

/// What the real tool writes of production, with GOV.UK's options and these.
fn dumped(scene: &Scene<'_>, options: &[&str]) -> Vec<u8> {
    dumped_by("mariadb-dump", scene, options)
}

fn dumped_by(program: impl AsRef<std::ffi::OsStr>, scene: &Scene<'_>, options: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(["--no-defaults", "--user=root", "--single-transaction"])
        .arg(format!("--socket={}", scene.source.socket().display()))
        .args(options)
        .arg(&scene.from)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("the tool");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    output.stdout
}

/// A file of this content.
struct File<M>(M);

#[async_trait]
impl<M: Fn() -> Dump + Send + Sync> DumpFile for File<M> {
    fn name(&self) -> &str {
        FILE
    }

    async fn open(&self) -> Result<Dump> {
        Ok((self.0)())
    }
}

fn file(content: impl Fn() -> Dump + Send + Sync + 'static) -> Arc<dyn DumpFile> {
    Arc::new(File(content))
}

/// In pieces of this length.
fn pieces(dump: Vec<u8>, cut: usize) -> Arc<dyn DumpFile> {
    let pieces: Vec<Bytes> = dump.chunks(cut).map(Bytes::copy_from_slice).collect();
    file(move || stream::iter(pieces.clone()).map(Ok).boxed())
}

/// Pulls a dump as a run does.
async fn pull(scene: &Scene<'_>, job: &Job, dump: Arc<dyn DumpFile>) -> Result<()> {
    let (task, context) = order(scene, "pull", job);
    let target = store::registry::open_target(&task, &context).await?;
    target.lock().await?;
    target.sweep().await?;
    let pulled = async {
        let source = dumps(task.kind)?.restore(&task, &context, dump).await?;
        let copied = copy(&*source, &*target).await;
        source.close().await;
        let complete = copied?;
        // It is asked whether it is lost, and closed again.
        source.close().await;
        complete.publish().await?.settle().await
    }
    .await;
    if pulled.is_err() {
        target.discard().await?;
    }
    target.close().await;
    pulled
}

async fn copy(source: &dyn Source, target: &dyn Target) -> Result<Box<dyn Complete>> {
    let survey = source.survey(&target.taker().await?).await?;
    target.check(&survey).await?;
    let incoming = target.prepare(&survey).await?;
    for part in survey.parts.iter() {
        incoming.write(part, source.read(part).await?).await?;
    }
    let in_order = source.in_order().expect("a dump has an order");
    in_order.finish().await?;
    for part in survey.whole() {
        for step in incoming.steps_after(&part) {
            incoming.build(&step).await?;
        }
    }
    let complete = incoming.complete().await?;
    let differences = source
        .catalogue()
        .await?
        .differences(&complete.catalogue().await?);
    assert!(differences.is_empty(), "{differences:?}");
    for part in survey.whole() {
        let taken = complete.checksum(&part).await?;
        assert_eq!(source.count(&part).await?, taken.rows, "{}", part.label());
    }
    Ok(complete)
}

/// What the store's own tool writes for us of production.
async fn push(scene: &Scene<'_>, job: &Job) -> Result<(Vec<u8>, u64)> {
    let (task, context) = order(scene, "push", job);
    let source = store::registry::open_source(&task, &context).await?;
    let survey = source.survey(&Taker::Archive).await?;
    let dumping = dumps(task.kind)?
        .dump(&task, &context, &*source, &survey)
        .await?;
    let bytes: Vec<Bytes> = dumping.bytes.try_collect().await?;
    source.close().await;
    let rows = dumping.rows.lock().values().sum();
    Ok((bytes.concat(), rows))
}

/// A job that copies exactly.
fn exact(scene: &Scene<'_>) -> Job {
    scene
        .job()
        .task("definer = \"keep\"")
        .task("events = \"keep\"")
}

#[track_caller]
fn refused<T>(outcome: Result<T>) -> Error {
    match outcome {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error,
    }
}

/// All but the views whose tables are gone: the tool stops at those.
fn everything(scene: &Scene<'_>) {
    scene.source(EVERYTHING);
    scene.source("DROP VIEW broken, on_broken");
}

#[test]
fn a_dump_of_everything_is_restored_to_what_it_was_however_it_is_cut() {
    let scene = Scene::empty();
    everything(&scene);
    let options = [
        "--routines",
        "--triggers",
        "--events",
        "--hex-blob",
        "--dump-history",
    ];
    let dump = dumped(&scene, &options);
    for cut in [5, 1 << 16] {
        run(pull(&scene, &exact(&scene), pieces(dump.clone(), cut))).expect("a pull");
        scene.assert_same();
    }
    assert!(scene.beside_live().len() <= 1, "{:?}", scene.beside_live());
}

#[test]
fn a_dump_with_bytes_as_they_are_is_restored_to_what_it_was() {
    let scene = Scene::empty();
    scene.source(
        "CREATE TABLE b (id int PRIMARY KEY, b longblob, v varbinary(300), p point, bits bit(12), t text, l varchar(20) CHARACTER SET latin1);
         INSERT INTO b SELECT seq, REPEAT(CHAR(seq), 3), CONCAT('''\\\\', CHAR(seq USING binary), ';'), POINT(seq, 2), seq, 'größe;\n''\"\\\\', 'é' FROM seq_0_to_255;",
    );
    for options in [
        &[][..],
        &["--default-character-set=latin1"],
        &["--skip-extended-insert", "--complete-insert"],
    ] {
        let dump = dumped(&scene, options);
        run(pull(&scene, &exact(&scene), pieces(dump, 1000))).expect("a pull");
        scene.assert_same();
    }
}

#[test]
fn a_dump_that_names_its_database_and_drops_it_touches_neither_that_nor_live() {
    let scene = Scene::new();
    // Of the same name, where it is restored.
    scene.target.create_db(&scene.from);
    scene
        .target
        .sql(&scene.from, "CREATE TABLE users (mine int)");
    let dump = dumped(&scene, &["--add-drop-database", "--databases"]);
    run(pull(&scene, &scene.job(), pieces(dump, 4096))).expect("a pull");
    scene.live_is_new();
    assert_eq!(scene.target.tables(&scene.from), ["users"]);
}

#[test]
fn an_error_of_the_stream_ends_the_run_with_live_as_it_was() {
    let scene = Scene::new();
    let dump = dumped(&scene, &[]);
    let half = Bytes::copy_from_slice(&dump[..dump.len() / 2]);
    let broken = file(move || {
        let away = Error::new(envsyncd::error::Kind::Connection, "the bucket is away");
        stream::iter([Ok(half.clone()), Err(away)]).boxed()
    });
    let error = refused(run(pull(&scene, &scene.job(), broken)));
    assert!(error.to_string().contains("the bucket is away"), "{error}");
    scene.live_is_old();
    scene.nothing_is_left();
}

/// Lets an endless dump be restored until it has begun, and for a while.
async fn half_way<T>(scene: &Scene<'_>, restoring: impl Future<Output = T>) {
    let begun = async {
        while scene.beside_live().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    };
    tokio::select! {
        _ = restoring => panic!("it came to an end"),
        begun = tokio::time::timeout(Duration::from_secs(120), begun) => begun.expect("it begins"),
    }
}

#[test]
fn what_a_killed_run_had_restored_is_swept_by_the_next_one() {
    let scene = Scene::new();
    let dump = dumped(&scene, &[]);
    let half = Bytes::copy_from_slice(&dump[..dump.len() / 2]);
    run(async {
        let (task, context) = order(&scene, "pull", &scene.job());
        let target = store::registry::open_target(&task, &context)
            .await
            .expect("a target");
        target.lock().await.expect("the lock");
        let endless = file(move || {
            let half = stream::iter([Ok(half.clone())]);
            half.chain(stream::pending()).boxed()
        });
        let dumps = dumps(task.kind).expect("dumps");
        half_way(&scene, dumps.restore(&task, &context, endless.clone())).await;
        assert_eq!(scene.beside_live().len(), 1);
        // What was ended half-way, but not killed, is dropped by its own run.
        target.discard().await.expect("nothing to keep it");
        assert_eq!(scene.beside_live(), Vec::<String>::new());
        half_way(&scene, dumps.restore(&task, &context, endless)).await;
        target.close().await;
    });
    assert_eq!(scene.beside_live().len(), 1);
    run(pull(&scene, &scene.job(), pieces(dump, 4096))).expect("a pull");
    scene.live_is_new();
    assert!(
        !scene
            .beside_live()
            .iter()
            .any(|name| name.contains("_staging_")),
        "{:?}",
        scene.beside_live()
    );
}

#[test]
fn a_pull_s_options_hold_for_a_dump_as_for_a_sync() {
    let scene = Scene::new();
    scene.source(
        "CREATE TABLE cache_one (a int PRIMARY KEY); INSERT INTO cache_one VALUES (1);
         CREATE TABLE audit (id int AUTO_INCREMENT PRIMARY KEY, what text); INSERT INTO audit (what) VALUES ('a'), ('b');
         CREATE TABLE hooks (id int PRIMARY KEY, url text); INSERT INTO hooks VALUES (1, 'production');
         CREATE DEFINER = 'nobody'@'nowhere' SQL SECURITY DEFINER VIEW v AS SELECT id FROM users;
         CREATE DEFINER = 'nobody'@'nowhere' TRIGGER tr BEFORE INSERT ON audit FOR EACH ROW SET NEW.what = 'fired';
         CREATE DEFINER = 'nobody'@'nowhere' EVENT e ON SCHEDULE EVERY 1 SECOND DO DELETE FROM users;",
    );
    scene.live("CREATE TABLE hooks (id int PRIMARY KEY, url text); INSERT INTO hooks VALUES (9, 'staging')");
    let dump = dumped(&scene, &["--routines", "--events"]);
    let job = scene
        .modest_job()
        .task("exclude = [\"cache_*\"]")
        .task("schema_only = [\"audit\"]")
        .task("keep = [\"hooks\"]")
        .task("mode = \"overlay\"");
    run(pull(&scene, &job, pieces(dump, 4096))).expect("a pull");
    scene.live_is_new();
    assert_eq!(
        scene.target.tables(&scene.to),
        ["audit", "hooks", "only_live", "orders", "users"]
    );
    assert_eq!(
        scene.live(
            "SELECT (SELECT count(*) FROM audit), (SELECT url FROM hooks), (SELECT count(*) FROM v)"
        ),
        "0|staging|200"
    );
    assert_eq!(
        scene.live(
            "SELECT status, definer FROM information_schema.events WHERE event_schema = DATABASE()"
        ),
        "DISABLED|owner@%"
    );
}

#[test]
fn a_trigger_of_a_dump_that_needs_what_is_excluded_is_left_out_or_refused_as_in_a_sync() {
    let scene = Scene::new();
    scene.source(
        "DELIMITER //
         CREATE TABLE banned (id int)//
         CREATE TABLE log (id int)//
         CREATE TRIGGER guard BEFORE INSERT ON users FOR EACH ROW BEGIN IF EXISTS (SELECT 1 FROM banned WHERE id = NEW.id) THEN SIGNAL SQLSTATE '45000'; END IF; END//
         CREATE TRIGGER logs AFTER INSERT ON users FOR EACH ROW INSERT INTO log VALUES (NEW.id)//",
    );
    let ignored = ["banned", "log"].map(|table| format!("--ignore-table={}.{table}", scene.from));
    // With the tables in it, and made without them.
    for options in [&[][..], &[ignored[0].as_str(), &ignored[1]]] {
        let dump = dumped(&scene, options);
        let job = || scene.job().task("exclude = [\"banned\", \"log\"]");
        let error = refused(run(pull(&scene, &job(), pieces(dump.clone(), 4096)))).to_string();
        assert!(error.contains("users.guard (`banned`)"), "{error}");
        scene.live_is_old();
        let job = job().task("leave_out = [\"users.guard\"]");
        run(pull(&scene, &job, pieces(dump, 4096))).expect("a pull");
        scene.live_is_new();
        scene.live("INSERT INTO users VALUES (9999, 'staging')");
        scene.live("DROP TABLE orders, users; CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL); INSERT INTO users VALUES (1, 'old');
             CREATE TABLE only_live (a text); INSERT INTO only_live VALUES ('mine')");
    }
}

#[test]
fn oracle_s_dump_is_restored_on_oracle_s_server() {
    let start = || Server::builder().of(Version::Oracle).start();
    let (source, target) = (start(), start());
    let scene = Scene::without_databases(&source, &target);
    source.create_db(&scene.from);
    scene.source(ORACLE);
    // What mysqldump writes of a table of computed columns alone is no SQL.
    scene.source("DROP TABLE only_generated");
    let dump = dumped_by(
        tools("mysql").join("bin/mysqldump"),
        &scene,
        &["--routines", "--triggers", "--events"],
    );
    run(pull(&scene, &exact(&scene), pieces(dump, 4096))).expect("a pull");
    scene.assert_same();
}

#[test]
fn dates_that_no_calendar_has_are_restored_from_a_dump_and_so_are_error_values() {
    let scene = Scene::empty();
    scene.source("SET sql_mode = 'ALLOW_INVALID_DATES'; CREATE TABLE odd (id int PRIMARY KEY, d date, e enum('a','b')); INSERT INTO odd VALUES (1, '2021-02-31', 'z'), (2, '0000-00-00', 'b')");
    run(pull(
        &scene,
        &scene.job(),
        pieces(dumped(&scene, &[]), 4096),
    ))
    .expect("a pull");
    assert_eq!(
        scene.live("SELECT d, e + 0 FROM odd ORDER BY id"),
        "2021-02-31|0\n0000-00-00|2"
    );
}
