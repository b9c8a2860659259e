//! Files, snapshots and directories of people who want more than to be copied. A test a threat.

use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::portable::push;
use super::*;
use crate::error::Kind;
use crate::store::Server;

#[allow(dead_code)] // the tests of the binary have more of it
#[path = "../../../../tests/it/support/hostile/sqlite.rs"]
mod files;

const PLAIN: &str = "CREATE TABLE t (a); INSERT INTO t VALUES (1); CREATE INDEX i ON t (a); CREATE VIEW v AS SELECT a FROM t;
    CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END; CREATE VIRTUAL TABLE f USING fts5 (a);";

/// A bench whose source's object has something behind its text, and the file that this would write to.
fn with_tail(object: &str) -> (Bench, PathBuf) {
    let bench = Bench::new("");
    let victim = bench.directory.path().join("victim.db");
    make(&victim, files::VICTIM);
    std::fs::remove_file(bench.source()).unwrap();
    files::with_tail(&bench.source(), PLAIN, object, &files::tail(&victim));
    (bench, victim)
}

fn wins(victim: &Path) -> String {
    ask_file(victim, "SELECT count(*) FROM wins")
}

#[tokio::test]
async fn what_stands_behind_a_definition_is_run_by_nobody_and_refuses_the_source_by_name() {
    for (object, label) in [
        ("t", "table `t`"),
        ("i", "index `i`"),
        ("v", "view `v`"),
        ("r", "trigger `r`"),
        ("f", "table `f`"),
    ] {
        let (mut bench, victim) = with_tail(object);
        // To SQLite the file is sound.
        assert_eq!(ask_file(&bench.source(), "PRAGMA integrity_check"), "ok");
        for exclude in [Vec::new(), vec!["nothing".to_owned()]] {
            bench.task.exclude = exclude;
            let error = bench.run().await.unwrap_err();
            let said = error.to_string();
            assert_eq!(error.kind(), Kind::Verify, "{said}");
            assert!(
                said.contains(label) && said.contains("more than one statement"),
                "{said}"
            );
            // `plan` asks the same, and so does a push.
            let source = super::super::open_source(&bench.task.source, &bench.context())
                .await
                .unwrap();
            for server in [
                super::super::server(),
                Server::archive(crate::store::sqlite::KIND),
            ] {
                assert_eq!(source.survey(&server).await.unwrap_err().to_string(), said);
            }
            source.close().await;
        }
        assert_eq!(wins(&victim), "0");
        assert!(!bench.live().exists());
        assert_eq!(bench.litter(), ["victim.db"]);
    }
}

#[tokio::test]
async fn what_stands_behind_a_definition_of_the_target_is_not_kept_and_goes_with_it() {
    for (object, label) in [("own", "table `own`"), ("own_v", "view `own_v`")] {
        let mut bench = Bench::new("CREATE TABLE t (a); INSERT INTO t VALUES ('new');");
        let victim = bench.directory.path().join("victim.db");
        make(&victim, files::VICTIM);
        files::with_tail(
            &bench.live(),
            "CREATE TABLE t (a); CREATE TABLE own (a); CREATE VIEW own_v AS SELECT 1 AS a;",
            object,
            &files::tail(&victim),
        );
        bench.task.mode = Mode::Overlay;
        let error = bench.run().await.unwrap_err().to_string();
        assert!(
            error.contains(label) && error.contains("more than one statement"),
            "{error}"
        );
        bench.task.mode = Mode::Replace;
        bench.run().await.unwrap();
        assert_eq!(ask_file(&bench.live(), "SELECT a FROM t"), "new");
        assert_eq!(wins(&victim), "0");
    }
}

#[tokio::test]
async fn a_row_that_says_another_kind_name_or_table_than_its_text_is_refused() {
    for change in [
        "UPDATE sqlite_schema SET name = 'w' WHERE name = 'v'",
        "UPDATE sqlite_schema SET type = 'view' WHERE name = 'r'",
        "UPDATE sqlite_schema SET tbl_name = 'u' WHERE name = 'i'",
        "UPDATE sqlite_schema SET sql = 'CREATE TEMP TABLE t (a)' WHERE name = 't'",
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE t AS SELECT 1 AS a' WHERE name = 't'",
        "UPDATE sqlite_schema SET sql = 'CREATE VIEW v AS SELECT 1 /* open' WHERE name = 'v'",
        "UPDATE sqlite_schema SET sql = replace(sql, 'SELECT 1', 'SELECT $a(;'')') WHERE name = 'r'",
        "UPDATE sqlite_schema SET sql = sql || char(0) || '; DROP TABLE t' WHERE name = 'v'",
        "UPDATE sqlite_schema SET sql = 'ATTACH ''/tmp/x'' AS v' WHERE name = 'v'",
    ] {
        for partial in [false, true] {
            let mut bench = Bench::new("");
            std::fs::remove_file(bench.source()).unwrap();
            files::tampered(&bench.source(), PLAIN, change);
            bench.task.exclude = vec!["nothing".to_owned(); usize::from(partial)];
            let error = bench.run().await.unwrap_err();
            assert_eq!(error.kind(), Kind::Verify, "{change}: {error}");
            assert!(!bench.live().exists(), "{change}");
            assert_eq!(bench.litter(), [""; 0], "{change}");
        }
    }
}

#[tokio::test]
async fn a_snapshot_whose_definitions_nobody_pushed_is_refused() {
    let bench = Bench::new(PLAIN);
    let victim = bench.directory.path().join("victim.db");
    make(&victim, files::VICTIM);
    let tail = files::tail(&victim);
    let rest = push(&bench).await;
    let text = String::from_utf8(rest.definitions.clone()).unwrap();
    for (from, to) in [
        ("CREATE TABLE t (a)", format!("CREATE TABLE t (a){tail}")),
        (
            "CREATE VIEW v AS SELECT a FROM t",
            format!("CREATE VIEW v AS SELECT a FROM t{tail}"),
        ),
        (
            "CREATE INDEX i ON t (a)",
            format!("CREATE INDEX i ON t (a){tail}"),
        ),
        ("SELECT 1; END", format!("SELECT 1; END{tail}")),
        ("CREATE TABLE t (a)", tail[2..].to_owned()),
        (
            "CREATE TABLE t (a)",
            "CREATE TABLE t AS SELECT 1".to_owned(),
        ),
        (
            "CREATE TABLE t (a)",
            "CREATE VIRTUAL TABLE t USING fts5 (a)".to_owned(),
        ),
        ("UTF-8", format!("UTF-8'{tail}")),
        (
            "\"page_size\":4096",
            "\"page_size\":9223372036854775807".to_owned(),
        ),
        ("\"kind\":\"view\"", "\"kind\":\"table\"".to_owned()),
    ] {
        assert!(text.contains(from), "{from}: {text}");
        let mut other = push(&bench).await;
        other.definitions = text.replacen(from, &to, 1).into_bytes();
        let refused = other.pull(&bench, 100).await.unwrap_err();
        assert!(!bench.live().exists(), "{to}: {refused}");
    }
    assert_eq!(wins(&victim), "0");
    rest.pull(&bench, 100).await.unwrap();
    assert_eq!(ask_file(&bench.live(), "SELECT a FROM t"), "1");
}

#[tokio::test]
async fn views_that_grow_or_never_end_do_not_hold_up_a_run() {
    for (sql, exclude) in [
        (files::endless("fts5"), ""),
        (files::endless("fts5"), "u"),
        (files::endless("fts4"), "u"),
    ] {
        let mut bench = Bench::new(&format!(
            "CREATE TABLE t (a); CREATE TABLE u (a); {sql} INSERT INTO t VALUES (1);"
        ));
        bench.task.verify = Verify::None;
        bench.task.exclude = vec![exclude.to_owned(); usize::from(!exclude.is_empty())];
        bench.run().await.unwrap();
    }
}

#[tokio::test]
async fn what_never_ends_ends_with_its_run() {
    let bench = Bench::new(&files::endless("fts4"));
    let stop = CancellationToken::new();
    for connection in [
        super::super::connection::open_read(&bench.source()).unwrap(),
        super::super::copy::open_building(&bench.source()).unwrap(),
    ] {
        super::super::connection::watched(&connection, &stop).unwrap();
        stop.cancel();
        let ended = connection.query_row("SELECT max(body) FROM endless", [], |_| Ok(()));
        assert_eq!(
            ended.unwrap_err().sqlite_error_code(),
            Some(rusqlite::ErrorCode::OperationInterrupted)
        );
    }
    let stop = CancellationToken::new();
    let session = super::super::connection::Session::new(
        super::super::connection::open_read(&bench.source()).unwrap(),
        &stop,
    );
    let (began, begun) = tokio::sync::oneshot::channel();
    let working = session.run(move |connection, _| {
        began.send(()).unwrap();
        connection
            .query_row("SELECT max(body) FROM endless", [], |_| Ok(()))
            .map_err(|error| super::super::connection::explain(error, "a view"))
    });
    let (ended, ()) = tokio::join!(working, async {
        begun.await.unwrap();
        stop.cancel();
    });
    assert_eq!(ended.unwrap_err().kind(), Kind::Cancelled(15));
    // The check of such an index reads what it is over.
    let context = bench.context();
    let line = Line::open(&bench.task, &context).await.unwrap();
    let incoming = bench.beside("incoming-000000000001");
    let (ended, ()) = tokio::join!(line.build(), async {
        while !incoming.exists() {
            tokio::task::yield_now().await;
        }
        context.cancel.cancel();
    });
    assert_eq!(ended.unwrap_err().kind(), Kind::Cancelled(15));
    line.target.discard().await.unwrap();
    line.close().await;
    assert_eq!(bench.litter(), [""; 0]);
}

#[tokio::test]
async fn a_file_that_lies_about_its_lengths_is_refused_or_copied_and_nothing_else() {
    let sql = "PRAGMA page_size = 4096; CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(9000));
        CREATE TABLE u (a PRIMARY KEY); INSERT INTO u WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) SELECT i FROM n;";
    // https://sqlite.org/fileformat2.html, sections 1.3 and 1.6; the second page is t's.
    for (at, bytes) in [
        (16, &[0, 3][..]),
        (20, &[255]),
        (28, &[255, 255, 255, 255]),
        (32, &[0, 0, 0, 2, 0, 0, 255, 255]),
        (56, &[0, 0, 0, 9]),
        // A page of all cells there can be, in places where there are none.
        (4096 + 3, &[255, 255]),
        (4096 + 5, &[0, 0]),
        // An inner page that is its own child.
        (4096, &[5, 0, 0, 0, 0, 15, 255, 0, 0, 0, 0, 2]),
        // A row of nearly all bytes that SQLite can say.
        (4096 + 8, &[15, 240]),
        (
            4096 + 0xff0,
            &[
                255, 255, 255, 255, 255, 255, 255, 255, 127, 1, 255, 255, 255, 127,
            ],
        ),
    ] {
        for partial in [false, true] {
            let mut bench = Bench::new(sql);
            files::patched(&bench.source(), at, bytes);
            bench.task.exclude = vec!["nothing".to_owned(); usize::from(partial)];
            match bench.run().await {
                Ok(()) => {
                    let sound = ask_file(&bench.live(), "PRAGMA integrity_check");
                    assert_eq!(sound, "ok", "{at}");
                }
                Err(error) => {
                    assert!(!bench.live().exists(), "{at}: {error}");
                    assert_eq!(bench.litter(), [""; 0], "{at}: {error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_connection_to_a_file_does_not_trust_it() {
    let bench = Bench::new(
        "CREATE TABLE t (a); CREATE VIRTUAL TABLE f USING fts5 (a); CREATE VIEW v AS SELECT * FROM pragma_user_version;",
    );
    let connection = super::super::connection::open_write(&bench.source()).unwrap();
    for refused in [
        "SELECT * FROM v",
        "ATTACH ':memory:' AS other",
        "VACUUM INTO '/tmp/envsyncd-never'",
        "DELETE FROM f_content",
        "SELECT load_extension('x')",
        "SELECT zeroblob(600000000)",
    ] {
        assert!(
            connection
                .prepare(refused)
                .and_then(|mut statement| statement.query([])?.next().map(drop))
                .is_err(),
            "{refused}"
        );
    }
    connection
        .execute_batch("PRAGMA writable_schema = ON")
        .unwrap();
    assert!(
        connection
            .execute_batch("DELETE FROM sqlite_schema")
            .is_err()
    );
}

/// A run, with a script or without, that may fail anywhere.
async fn tried(bench: &Bench, script: bool) -> Result<()> {
    let line = Line::open(&bench.task, &bench.context()).await?;
    let done = async {
        line.build().await?;
        if script {
            let text = "UPDATE t SET a = a || '!'";
            line.target.run_script(Path::new("/x.sql"), text).await?;
            line.target.derive().await?;
        }
        line.publish().await
    }
    .await;
    if done.is_err() {
        let _ = line.target.discard().await;
    }
    line.close().await;
    done
}

/// A file with a link at each name that a run uses leaves what the links lead to as it was.
#[tokio::test]
async fn a_link_at_any_name_beside_the_target_leads_nowhere() {
    let id = "000000000001";
    let names = [
        "live.db.envsyncd-lock".to_owned(),
        "live.db.envsyncd-marks".to_owned(),
        "live.db.envsyncd-marks-new".to_owned(),
        "live.db.envsyncd-previous".to_owned(),
        "live.db.envsyncd-previous-wal".to_owned(),
        "live.db-journal".to_owned(),
        "live.db-wal".to_owned(),
        "live.db-shm".to_owned(),
    ];
    let built = ["incoming", "snapshot"].into_iter().flat_map(|what| {
        [
            "",
            "-journal",
            "-wal",
            "-shm",
            ".rewritten",
            ".rewritten-journal",
            ".again",
            ".again-journal",
        ]
        .map(|end| format!("live.db.envsyncd-{what}-{id}{end}"))
    });
    for name in names.into_iter().chain(built) {
        for (wal, script) in [(false, false), (true, true)] {
            let bench = Bench::new("CREATE TABLE t (a); INSERT INTO t VALUES ('new');");
            let mode = if wal { "WAL" } else { "DELETE" };
            let victim = bench.directory.path().join("victim");
            std::fs::write(&victim, "job of somebody else").unwrap();
            std::fs::set_permissions(&victim, std::fs::Permissions::from_mode(0o600)).unwrap();
            let before = victim.metadata().unwrap();
            let old = "CREATE TABLE t (a); INSERT INTO t VALUES ('old');";
            make(
                &bench.live(),
                &format!("PRAGMA journal_mode = {mode}; {old}"),
            );
            std::fs::set_permissions(bench.live(), std::fs::Permissions::from_mode(0o666)).unwrap();
            symlink(&victim, bench.directory.path().join(&name)).unwrap();
            let done = tried(&bench, script).await;
            let after = victim.symlink_metadata().unwrap();
            assert_eq!(
                std::fs::read(&victim).unwrap(),
                b"job of somebody else",
                "{name}"
            );
            assert_eq!(
                (after.mode(), after.uid(), after.ino(), after.len()),
                (before.mode(), before.uid(), before.ino(), before.len()),
                "{name}"
            );
            let _ = std::fs::remove_file(bench.directory.path().join(&name));
            let rows = ask_file(&bench.live(), "SELECT a FROM t");
            let expected = match done {
                Ok(()) if script => "new!",
                Ok(()) => "new",
                Err(_) => "old",
            };
            assert_eq!(rows, expected, "{name}");
        }
    }
}

/// What is put at incoming's or the target's name while a run is under way is neither published nor dressed.
#[tokio::test]
async fn a_file_that_takes_incomings_place_is_refused() {
    for (exists, link) in [(false, true), (false, false), (true, true), (true, false)] {
        let bench = Bench::new("CREATE TABLE t (a); INSERT INTO t VALUES ('new');");
        let victim = bench.directory.path().join("victim.db");
        make(
            &victim,
            "CREATE TABLE t (a); INSERT INTO t VALUES ('theirs');",
        );
        std::fs::set_permissions(&victim, std::fs::Permissions::from_mode(0o600)).unwrap();
        let before = std::fs::read(&victim).unwrap();
        if exists {
            make(
                &bench.live(),
                "CREATE TABLE t (a); INSERT INTO t VALUES ('old');",
            );
        }
        let line = bench.ready().await.unwrap();
        let incoming = bench.beside("incoming-000000000001");
        std::fs::remove_file(&incoming).unwrap();
        if link {
            symlink(&victim, &incoming).unwrap();
        } else {
            std::fs::hard_link(&victim, &incoming).unwrap();
        }
        let error = line.target.publish().await.unwrap_err();
        assert!(
            error.to_string().contains("incoming-000000000001"),
            "{error}"
        );
        line.target.discard().await.unwrap();
        line.close().await;
        assert!(std::fs::read(&victim).unwrap() == before);
        assert_eq!(victim.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(bench.live().exists(), exists);
        if exists {
            assert_eq!(ask_file(&bench.live(), "SELECT a FROM t"), "old");
        }
    }
    // The target's own name.
    let bench = Bench::new("CREATE TABLE t (a); INSERT INTO t VALUES ('new');");
    let victim = bench.directory.path().join("victim.db");
    make(
        &victim,
        "CREATE TABLE t (a); INSERT INTO t VALUES ('theirs');",
    );
    make(
        &bench.live(),
        "CREATE TABLE t (a); INSERT INTO t VALUES ('old');",
    );
    let before = std::fs::read(&victim).unwrap();
    let line = bench.ready().await.unwrap();
    std::fs::remove_file(bench.live()).unwrap();
    symlink(&victim, bench.live()).unwrap();
    line.target.publish().await.unwrap_err();
    line.target.discard().await.unwrap();
    line.close().await;
    assert!(std::fs::read(&victim).unwrap() == before);
}

#[tokio::test]
async fn views_and_queries_in_one_another_are_refused_before_the_stack_ends() {
    let chain: Vec<String> = (1..400)
        .map(|at| format!("CREATE VIEW v{at} AS SELECT a FROM v{};", at - 1))
        .collect();
    let views = format!(
        "CREATE TABLE t (a); CREATE VIEW v0 AS SELECT a FROM t; {}",
        chain.concat()
    );
    let doubling = files::doubling(60);
    let query = format!("{}t{}", "(SELECT*FROM ".repeat(70_000), ")".repeat(70_000));
    let text = format!(
        "UPDATE sqlite_schema SET sql = 'CREATE VIEW v AS SELECT * FROM {query}' WHERE name = 'v'"
    );
    for (sql, tampering, what) in [
        (views.as_str(), "", "puts more views into one another"),
        (&doubling, "", "puts more views into one another"),
        (PLAIN, text.as_str(), "is nested too deeply"),
    ] {
        for exclude in [Vec::new(), vec!["nothing".to_owned()]] {
            let mut bench = Bench::new("");
            std::fs::remove_file(bench.source()).unwrap();
            files::tampered(&bench.source(), sql, tampering);
            bench.task.exclude = exclude;
            let error = bench.run().await.unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
            // As a target it is replaced.
            std::fs::rename(bench.source(), bench.live()).unwrap();
            make(
                &bench.source(),
                "CREATE TABLE t (a); INSERT INTO t VALUES ('new');",
            );
            bench.run().await.unwrap();
            assert_eq!(ask_file(&bench.live(), "SELECT a FROM t"), "new");
        }
    }
}
