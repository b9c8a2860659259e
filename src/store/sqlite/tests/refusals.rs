use super::*;
use crate::error::Kind;

async fn fails(bench: &Bench) -> crate::error::Error {
    bench.run().await.unwrap_err()
}

#[tokio::test]
async fn a_source_that_is_missing_or_no_database_or_damaged_is_told_apart() {
    let bench = Bench::new("CREATE TABLE t (a);");
    std::fs::remove_file(bench.source()).unwrap();
    assert_eq!(fails(&bench).await.kind(), Kind::Connection);
    assert!(!bench.source().exists(), "a source is never made");
    std::fs::write(bench.source(), vec![7; 8192]).unwrap();
    let error = fails(&bench).await;
    assert_eq!(error.kind(), Kind::Verify);
    assert!(
        error.to_string().contains("not an SQLite database"),
        "{error}"
    );
    assert!(!bench.live().exists());

    let bench = Bench::new(&format!(
        "{} CREATE INDEX i ON t (body);",
        filler("t", 5_000, "x")
    ));
    let mut bytes = std::fs::read(bench.source()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xee);
    std::fs::write(bench.source(), bytes).unwrap();
    let error = fails(&bench).await;
    assert_eq!(error.kind(), Kind::Verify, "{error}");
    assert!(!bench.live().exists());
    assert_eq!(bench.litter(), [""; 0]);
}

#[tokio::test]
async fn the_lock_says_who_has_it_and_goes_with_its_holder() {
    let bench = Bench::new("CREATE TABLE t (a);");
    let first = bench.ready().await.unwrap();
    let error = bench.run().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Busy);
    for part in [
        "live.db",
        "job nightly",
        "000000000001",
        &std::process::id().to_string(),
        "since 20",
    ] {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
    first.target.discard().await.unwrap();
    first.close().await;
    bench.run().await.unwrap();
    assert_eq!(bench.litter(), [""; 0]);
}

#[tokio::test]
async fn sweep_removes_dead_runs_files_of_this_target_and_no_others() {
    let bench = Bench::new("CREATE TABLE t (a);");
    let dead = [
        "live.db.envsyncd-incoming-0123456789ab",
        "live.db.envsyncd-incoming-0123456789ab-journal",
        "live.db.envsyncd-snapshot-0123456789ab.again",
    ];
    let others = [
        // Bears no mark.
        "live.db.envsyncd-incoming-fedcba987654",
        "live.db.envsyncd-incoming-notes",
        "live.db2.envsyncd-incoming-0123456789ab",
        "my-live.db.envsyncd-incoming-0123456789ab",
    ];
    for name in dead.iter().chain(&others) {
        std::fs::write(bench.directory.path().join(name), "x").unwrap();
    }
    let marks = r#"{"envsyncd_marks":1,"runs":[{"job":"nightly","run":"01990000-0000-7000-8000-0123456789ab","at":"2026-01-01T00:00:00Z"}]}"#;
    std::fs::write(bench.beside("marks"), marks).unwrap();
    let target = DRIVER
        .open_target(&bench.task, &bench.context())
        .await
        .unwrap();
    target.lock().await.unwrap();
    let removed = target.sweep().await.unwrap();
    target.close().await;
    assert_eq!(removed.len(), 3, "{removed:?}");
    assert!(
        removed
            .iter()
            .zip(dead)
            .all(|(path, name)| path.ends_with(name))
    );
    assert_eq!(bench.litter(), others);
}

#[tokio::test]
async fn a_failing_script_names_file_line_and_statement_and_nothing_is_live() {
    let bench = Bench::new(
        "CREATE TABLE t (a); CREATE TABLE log (x); CREATE TRIGGER g AFTER INSERT ON t BEGIN INSERT INTO log VALUES (1); END;",
    );
    let line = bench.ready().await.unwrap();
    let run = |text: &'static str| line.run_script(Path::new("/etc/after.sql"), text);
    run("-- nothing here\n;;\nINSERT INTO t VALUES (';');\nSELECT * FROM t;\nCREATE TRIGGER h AFTER DELETE ON t BEGIN SELECT 1; SELECT 2; END;\nBEGIN; DELETE FROM t; COMMIT; -- end")
        .await
        .unwrap();
    let error = run("INSERT INTO t VALUES (1);\n\n-- a comment; with that\nINSERT INTO t\n  VALUES (1);\n  INSERT  INTO\n nowhere VALUES ('x');\nSELECT 1;")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Statement);
    assert!(
        error
            .to_string()
            .contains("/etc/after.sql:6: `INSERT INTO nowhere VALUES (?)"),
        "{error}"
    );
    assert!(
        error.to_string().contains("no such table: nowhere"),
        "{error}"
    );
    let error = run("SELECT 1;\nCREATE UNIQUE INDEX u ON t (a);")
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("/etc/after.sql:2: `CREATE UNIQUE INDEX u ON t (a);`"),
        "{error}"
    );
    let error = run("BEGIN;\nDELETE FROM t;").await.unwrap_err();
    assert!(
        error.to_string().contains("leaves a transaction open"),
        "{error}"
    );
    line.go_live().await.unwrap();
    line.close().await;
    assert_eq!(
        ask_file(&bench.live(), "SELECT count(*) FROM t"),
        "2",
        "what was left open is rolled back"
    );
    assert_eq!(
        ask_file(&bench.live(), "SELECT count(*) FROM log"),
        "3",
        "triggers work for scripts"
    );
}

/// Cancels the run as soon as something has arrived.
struct Cancels(CancellationToken);

impl Meter for Cancels {
    fn add(&self, _: &Part, _: u64, _: u64) {
        self.0.cancel();
    }
}

#[tokio::test]
async fn a_cancelled_copy_ends_and_leaves_nothing() {
    let mut bench = Bench::new(&filler("t", 30_000, "x"));
    for rows in [false, true] {
        bench.task.exclude = if rows {
            vec!["nothing".to_owned()]
        } else {
            Vec::new()
        };
        let context = bench.context();
        let line = Line::open(&bench.task, &context).await.unwrap();
        let survey = line.survey().await.unwrap();
        let incoming = line.target.prepare(&survey).await.unwrap();
        if rows {
            use futures_util::StreamExt;
            let cancel = context.cancel.clone();
            let chunks = line
                .source
                .read(&survey.parts[0])
                .await
                .unwrap()
                .inspect(move |_| cancel.cancel())
                .boxed();
            incoming.write(&survey.parts[0], chunks).await.unwrap_err();
        } else {
            line.transfer(&*incoming, &survey, &Cancels(context.cancel.clone()))
                .await
                .unwrap_err();
        }
        line.discard().await.unwrap();
        line.close().await;
        assert_eq!(bench.litter(), [""; 0]);
        assert!(!bench.live().exists());
    }
}

#[tokio::test]
async fn a_long_statement_of_a_script_is_interrupted() {
    let bench = Bench::new("CREATE TABLE t (a);");
    let context = bench.context();
    let line = Line::open(&bench.task, &context).await.unwrap();
    line.build().await.unwrap();
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;";
    let (done, ()) = tokio::join!(line.run_script(Path::new("/x.sql"), endless), async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        context.cancel.cancel();
    });
    done.unwrap_err();
    line.discard().await.unwrap();
    line.close().await;
}

#[tokio::test]
async fn a_target_of_another_encoding_is_refused_before_anything_is_made() {
    let bench = Bench::new("CREATE TABLE t (a);");
    make(
        &bench.live(),
        "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (a);",
    );
    let error = fails(&bench).await;
    assert_eq!(error.kind(), Kind::Verify);
    assert!(error.to_string().contains("UTF-16le"), "{error}");
}

#[test]
fn more_than_one_worker_is_refused() {
    let mut bench = Bench::new("CREATE TABLE t (a);");
    assert_eq!(crate::store::registry::refusals(&bench.task), []);
    bench.task.jobs = Some(1);
    assert_eq!(crate::store::registry::refusals(&bench.task), []);
    bench.task.jobs = Some(2);
    let refusals = crate::store::registry::refusals(&bench.task);
    assert_eq!(
        refusals
            .iter()
            .map(|refusal| refusal.key)
            .collect::<Vec<_>>(),
        ["jobs"]
    );
}

#[tokio::test]
async fn fates_are_listed_and_shadows_go_with_their_table() {
    let mut bench = Bench::new(ZOO);
    bench.task.exclude = vec!["docs".to_owned()];
    bench.task.schema_only = vec!["posts".to_owned()];
    bench.task.keep = vec!["users".to_owned()];
    let line = Line::open(&bench.task, &bench.context()).await.unwrap();
    let survey = line.survey().await.unwrap();
    let mut left_out = survey.left_out.clone();
    left_out.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        left_out,
        [
            ("docs".to_owned(), Fate::Exclude),
            ("posts".to_owned(), Fate::SchemaOnly),
            ("users".to_owned(), Fate::Keep)
        ]
    );
    assert!(
        survey
            .parts
            .iter()
            .all(|part| !part.name.starts_with("docs") && part.name != "posts")
    );
    assert!(survey.parts.iter().any(|part| part.name == "boxes_node"));
    line.close().await;
}

#[test]
fn what_needs_a_server_is_refused_by_the_name_of_its_key() {
    let mut bench = Bench::new("CREATE TABLE t (a);");
    bench.task.publish = Publish::InPlace;
    bench.task.throttle = Some(1_000_000);
    bench.task.max_replication_lag = Some(std::time::Duration::from_secs(30));
    let keys: Vec<&str> = DRIVER
        .refusals(&bench.task)
        .iter()
        .map(|refusal| refusal.key)
        .collect();
    assert_eq!(keys, ["publish", "throttle", "max_replication_lag"]);
}
