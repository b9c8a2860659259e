use super::*;
use crate::error::Kind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

fn old(mode: &str) -> String {
    format!(
        "PRAGMA journal_mode = {mode}; CREATE TABLE t (v); INSERT INTO t VALUES ('old'); CREATE TABLE gone (a);"
    )
}

const NEW: &str = "CREATE TABLE t (v, w); INSERT INTO t VALUES ('new', 1);";

#[tokio::test]
async fn an_application_with_the_file_open_sees_the_new_content_at_its_next_transaction() {
    for mode in ["DELETE", "WAL"] {
        for from in ["DELETE", "WAL"] {
            let bench = Bench::new(&format!("PRAGMA journal_mode = {from}; {NEW}"));
            make(&bench.live(), &old(mode));
            std::fs::set_permissions(bench.live(), std::fs::Permissions::from_mode(0o640)).unwrap();
            let inode = bench.live().metadata().unwrap().ino();
            let application = Connection::open(bench.live()).unwrap();
            let mut prepared = application.prepare("SELECT v FROM t").unwrap();
            let mut see = || {
                prepared
                    .query_row([], |row| row.get::<_, String>(0))
                    .unwrap()
            };
            assert_eq!(see(), "old");
            let line = bench.ready().await.unwrap();
            assert_eq!(see(), "old");
            line.go_live().await.unwrap();
            assert_eq!(see(), "new");
            line.settle().await.unwrap();
            line.close().await;
            application
                .execute_batch("INSERT INTO t VALUES ('more', 2)")
                .unwrap();
            assert_eq!(ask(&application, "SELECT count(*) FROM t"), "2");
            assert_eq!(ask(&application, "PRAGMA integrity_check"), "ok");
            assert_eq!(
                ask(&application, "PRAGMA journal_mode"),
                mode.to_lowercase()
            );
            assert_eq!(bench.live().metadata().unwrap().ino(), inode);
            let previous = bench.beside("previous");
            assert_eq!(ask_file(&previous, "SELECT v FROM t"), "old");
            assert_eq!(previous.metadata().unwrap().mode() & 0o777, 0o640);
        }
    }
}

#[tokio::test]
async fn a_reader_in_the_middle_of_a_transaction_goes_on_with_the_old_content_in_wal_mode() {
    let bench = Bench::new(NEW);
    make(&bench.live(), &old("WAL"));
    let application = Connection::open(bench.live()).unwrap();
    application.execute_batch("BEGIN").unwrap();
    assert_eq!(ask(&application, "SELECT v FROM t"), "old");
    bench.run().await.unwrap();
    assert_eq!(ask(&application, "SELECT v FROM t"), "old");
    assert_eq!(ask(&application, "SELECT count(*) FROM gone"), "0");
    application.execute_batch("COMMIT").unwrap();
    assert_eq!(ask(&application, "SELECT v FROM t"), "new");
}

#[tokio::test]
async fn page_sizes_and_auto_vacuum_may_differ() {
    for mode in ["DELETE", "WAL"] {
        for (source, live) in [(1024, 8192), (8192, 1024), (65536, 512)] {
            let bench = Bench::new(&format!(
                "PRAGMA page_size = {source}; PRAGMA auto_vacuum = INCREMENTAL; {} {NEW} CREATE TABLE h (a); INSERT INTO h (rowid, a) VALUES (7, 1);",
                filler("f", 3_000, "x")
            ));
            make(
                &bench.live(),
                &format!(
                    "PRAGMA page_size = {live}; {} {}",
                    old(mode),
                    filler("f", 9_000, "y")
                ),
            );
            let application = Connection::open(bench.live()).unwrap();
            assert_eq!(ask(&application, "SELECT v FROM t"), "old");
            bench.run().await.unwrap();
            assert_eq!(
                ask(&application, "SELECT v FROM t"),
                "new",
                "{mode} {source} {live}"
            );
            assert_eq!(ask(&application, "SELECT rowid FROM h"), "7");
            assert_eq!(
                ask(&application, "SELECT count(*) FROM f WHERE body LIKE 'x%'"),
                "3000"
            );
            assert_eq!(
                ask(&application, "PRAGMA integrity_check"),
                "ok",
                "{mode} {source} {live}"
            );
            let size = if mode == "WAL" { live } else { source };
            assert_eq!(
                ask_file(&bench.live(), "PRAGMA page_size"),
                size.to_string()
            );
        }
    }
}

#[tokio::test]
async fn revert_makes_live_what_it_was_and_removes_a_file_that_was_new() {
    let bench = Bench::new(NEW);
    make(&bench.live(), &old("WAL"));
    let line = bench.ready().await.unwrap();
    line.go_live().await.unwrap();
    line.discard().await.unwrap();
    assert_eq!(
        ask_file(&bench.live(), "SELECT v FROM t"),
        "new",
        "discard does nothing after publish"
    );
    line.revert().await.unwrap();
    line.close().await;
    assert_eq!(ask_file(&bench.live(), "SELECT v FROM t"), "old");
    assert_eq!(bench.litter(), [""; 0]);

    std::fs::remove_file(bench.live()).unwrap();
    let line = bench.ready().await.unwrap();
    line.go_live().await.unwrap();
    line.revert().await.unwrap();
    line.close().await;
    assert!(!bench.live().exists());
    assert_eq!(bench.litter(), [""; 0]);
}

#[tokio::test]
async fn rollback_swaps_live_and_previous_both_ways() {
    for mode in ["DELETE", "WAL"] {
        let bench = Bench::new(NEW);
        make(&bench.live(), &old(mode));
        bench.run().await.unwrap();
        for (live, previous) in [("old", "new"), ("new", "old")] {
            let target = DRIVER
                .open_target(&bench.task, &bench.context())
                .await
                .unwrap();
            target.lock().await.unwrap();
            target.rollback().await.unwrap();
            target.close().await;
            assert_eq!(ask_file(&bench.live(), "SELECT v FROM t"), live);
            assert_eq!(
                ask_file(&bench.beside("previous"), "SELECT v FROM t"),
                previous
            );
            assert_eq!(bench.litter(), ["live.db.envsyncd-previous"]);
        }
    }
}

#[tokio::test]
async fn rollback_without_a_previous_says_so_and_settle_drops_one_if_asked() {
    let mut bench = Bench::new(NEW);
    make(&bench.live(), &old("DELETE"));
    bench.task.previous = KeepPrevious::Drop;
    bench.run().await.unwrap();
    assert_eq!(bench.litter(), [""; 0]);
    let target = DRIVER
        .open_target(&bench.task, &bench.context())
        .await
        .unwrap();
    let error = target.rollback().await.unwrap_err();
    assert!(error.to_string().contains("no previous"), "{error}");
    assert_eq!(ask_file(&bench.live(), "SELECT v FROM t"), "new");
}

#[tokio::test]
async fn a_file_that_appears_during_a_first_copy_is_not_replaced() {
    let bench = Bench::new(NEW);
    let line = bench.ready().await.unwrap();
    make(&bench.live(), &old("DELETE"));
    line.go_live().await.unwrap_err();
    line.discard().await.unwrap();
    line.close().await;
    assert_eq!(ask_file(&bench.live(), "SELECT v FROM t"), "old");
    assert_eq!(bench.litter(), [""; 0]);
}

#[tokio::test]
async fn a_writer_that_does_not_let_go_stops_publish_and_a_cancelled_one_ends_at_once() {
    for mode in ["DELETE", "WAL"] {
        let bench = Bench::new(NEW);
        make(&bench.live(), &old(mode));
        let context = bench.context();
        let line = Line::open(&bench.task, &context).await.unwrap();
        line.build().await.unwrap();
        let application = Connection::open(bench.live()).unwrap();
        application
            .execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES ('mine')")
            .unwrap();
        let cancel = context.cancel.clone();
        let (published, ()) = tokio::join!(line.go_live(), async {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            cancel.cancel();
        });
        published.unwrap_err();
        line.discard().await.unwrap();
        line.close().await;
        application.execute_batch("COMMIT").unwrap();
        assert_eq!(
            ask(&application, "SELECT group_concat(v) FROM t"),
            "old,mine"
        );
        assert_eq!(ask(&application, "PRAGMA integrity_check"), "ok");
    }
}

#[tokio::test]
async fn a_link_leads_to_the_file_behind_it() {
    let mut bench = Bench::new(NEW);
    make(&bench.live(), &old("DELETE"));
    let link = bench.directory.path().join("a link%");
    std::os::unix::fs::symlink("live.db", &link).unwrap();
    bench.task.target = endpoint(&bench.directory.path().join("a%20link%25"));
    bench.run().await.unwrap();
    assert!(link.is_symlink());
    assert_eq!(ask_file(&bench.live(), "SELECT v FROM t"), "new");
    bench.task.source = bench.task.target.clone();
    bench.task.target = endpoint(&bench.live());
    assert_eq!(
        bench.run().await.unwrap_err().kind(),
        Kind::Policy,
        "one file by two names"
    );
}

/// Also run in a process of its own, in a directory that it is given, and killed there: see the next test.
#[tokio::test]
async fn a_publish_into_a_big_file_ends_well() {
    let given = std::env::var_os("ENVSYNCD_TEST_KILLED_IN").map(PathBuf::from);
    let mut bench = Bench::new(NEW);
    if let Some(directory) = &given {
        bench.task.source = endpoint(&directory.join("source.db"));
        bench.task.target = endpoint(&directory.join("live.db"));
    } else {
        make(
            &bench.live(),
            &format!("{} {}", old("DELETE"), filler("f", 30_000, "old")),
        );
    }
    let line = Line::open(&bench.task, &bench.context()).await.unwrap();
    line.build().await.unwrap();
    if let Some(directory) = &given {
        std::fs::write(directory.join("ready"), "").unwrap();
    }
    line.go_live().await.unwrap();
    if let Some(directory) = &given {
        std::fs::write(directory.join("done"), "").unwrap();
        std::thread::sleep(std::time::Duration::from_secs(60));
    }
    assert_eq!(ask_file(&bench.live(), "SELECT v FROM t"), "new");
}

/// Starts a publish in another process and kills it once its journal has so many bytes; says whether that was in time.
fn kill_at(directory: &Path, companion: &str, bytes: u64) -> bool {
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store::sqlite::tests::publish::a_publish_into_a_big_file_ends_well",
        ])
        .env("ENVSYNCD_TEST_KILLED_IN", directory)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let there = |name: &str| directory.join(name).exists();
    loop {
        assert!(child.try_wait().unwrap().is_none(), "the child ended early");
        let length = directory
            .join(companion)
            .metadata()
            .map_or(0, |found| found.len());
        if there("done") || (there("ready") && length >= bytes) {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    !there("done")
}

#[tokio::test]
async fn a_publish_that_is_killed_leaves_old_or_new_and_whole() {
    for (mode, companion) in [("DELETE", "live.db-journal"), ("WAL", "live.db-wal")] {
        let mut cut_short = 0;
        // On a busy machine the publish may have ended before who looks at it gets its turn: then once more.
        let once_more = std::iter::repeat_n(4 << 20, 20);
        let moments = [0, 1, 4 << 20, 12 << 20, u64::MAX].into_iter();
        for (number, bytes) in moments.chain(once_more).enumerate() {
            if number >= 5 && cut_short > 0 {
                break;
            }
            let bench = Bench::new(&format!("{NEW} {}", filler("f", 60_000, "new")));
            make(
                &bench.live(),
                &format!("{} {}", old(mode), filler("f", 60_000, "old")),
            );
            let early = kill_at(bench.directory.path(), companion, bytes);
            cut_short += u32::from(early && bytes > 0);

            let live = Connection::open(bench.live()).unwrap();
            assert_eq!(ask(&live, "PRAGMA integrity_check"), "ok", "{mode} {bytes}");
            let (small, big) = (
                ask(&live, "SELECT v FROM t"),
                ask(&live, "SELECT min(substr(body, 1, 3)) FROM f"),
            );
            assert_eq!(small, big, "{mode} {bytes}");
            assert!(
                small == "new" || (small == "old" && early),
                "{mode} {bytes}: {small}"
            );
            drop(live);
            for name in ["ready", "done"] {
                let _ = std::fs::remove_file(bench.directory.path().join(name));
            }
            // The next run clears what the dead one left, and its lock is free.
            bench.run().await.unwrap();
            assert_eq!(ask_file(&bench.live(), "SELECT v FROM t"), "new");
            assert_eq!(
                bench.litter(),
                ["live.db.envsyncd-previous"],
                "{mode} {bytes}"
            );
        }
        assert!(
            cut_short > 0,
            "no kill came in the middle of the transaction: {mode}"
        );
    }
}
