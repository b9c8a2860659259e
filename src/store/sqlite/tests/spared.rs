use super::*;
use crate::error::Kind;

const NEW: &str = "CREATE TABLE t (v); INSERT INTO t VALUES ('new');";
const OLD: &str = "CREATE TABLE t (v); INSERT INTO t VALUES ('old');";
const THEIRS: &str = "CREATE TABLE t (v); INSERT INTO t VALUES ('theirs');";

async fn rollback(bench: &Bench) -> Result<()> {
    let target = DRIVER.open_target(&bench.task, &bench.context()).await?;
    target.lock().await?;
    let done = target.rollback().await;
    target.close().await;
    done
}

#[tokio::test]
async fn a_source_that_a_run_would_replace_is_refused_by_whatever_name() {
    let mut bench = Bench::new(NEW);
    make(&bench.live(), OLD);
    bench.run().await.unwrap();
    let previous = bench.beside("previous");
    let incoming = bench.beside("incoming-0123456789ab");
    make(&incoming, THEIRS);
    let (hard, soft) = (
        bench.directory.path().join("hard.db"),
        bench.directory.path().join("soft.db"),
    );
    std::fs::hard_link(&previous, &hard).unwrap();
    std::os::unix::fs::symlink(&previous, &soft).unwrap();
    for source in [&previous, &incoming, &hard, &soft] {
        let before = std::fs::read(source).unwrap();
        bench.task.source = endpoint(source);
        let error = bench.run().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Policy, "{}: {error}", source.display());
        assert!(std::fs::read(source).unwrap() == before);
    }
    // A link in previous's place to the source is no way around it.
    std::fs::remove_file(&previous).unwrap();
    std::os::unix::fs::symlink(bench.source(), &previous).unwrap();
    bench.task.source = endpoint(&bench.source());
    assert_eq!(bench.run().await.unwrap_err().kind(), Kind::Policy);
    assert_eq!(ask_file(&bench.source(), "SELECT v FROM t"), "new");
}

#[tokio::test]
async fn a_previous_that_envsyncd_never_made_is_refused_by_plan_run_and_rollback_and_left() {
    for previous in [KeepPrevious::Keep, KeepPrevious::Drop] {
        let mut bench = Bench::new(NEW);
        bench.task.previous = previous;
        make(&bench.live(), OLD);
        make(&bench.beside("previous"), THEIRS);
        let before = std::fs::read(bench.beside("previous")).unwrap();
        // What `plan` asks for.
        let line = Line::open(&bench.task, &bench.context()).await.unwrap();
        let survey = line.survey().await.unwrap();
        let planned = line.target.check(&survey).await.unwrap_err();
        line.close().await;
        for error in [
            planned,
            bench.run().await.unwrap_err(),
            rollback(&bench).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), Kind::Policy, "{error}");
            assert!(
                error.to_string().contains("live.db.envsyncd-previous"),
                "{error}"
            );
        }
        assert!(std::fs::read(bench.beside("previous")).unwrap() == before);
        assert_eq!(ask_file(&bench.live(), "SELECT v FROM t"), "old");
        assert_eq!(bench.litter(), ["live.db.envsyncd-previous"]);
        // Once it is out of the way, all is well.
        std::fs::rename(
            bench.beside("previous"),
            bench.directory.path().join("mine.db"),
        )
        .unwrap();
        bench.run().await.unwrap();
        assert_eq!(ask_file(&bench.live(), "SELECT v FROM t"), "new");
    }
}

#[tokio::test]
async fn a_file_that_somebody_put_in_previouss_place_is_not_taken_for_ours() {
    let bench = Bench::new(NEW);
    make(&bench.live(), OLD);
    bench.run().await.unwrap();
    bench.run().await.unwrap();
    let previous = bench.beside("previous");
    let theirs = bench.directory.path().join("theirs.db");
    let put: [(&str, &dyn Fn()); 4] = [
        ("renamed", &|| std::fs::rename(&theirs, &previous).unwrap()),
        ("copied", &|| {
            std::fs::copy(&theirs, &previous).unwrap();
        }),
        ("removed first", &|| {
            std::fs::remove_file(&previous).unwrap();
            std::fs::copy(&theirs, &previous).unwrap();
        }),
        ("written to", &|| {
            make(&previous, "INSERT INTO t VALUES ('more')");
        }),
    ];
    for (how, put) in put {
        make(&theirs, THEIRS);
        put();
        let before = std::fs::read(&previous).unwrap();
        assert_eq!(bench.run().await.unwrap_err().kind(), Kind::Policy, "{how}");
        assert_eq!(rollback(&bench).await.unwrap_err().kind(), Kind::Policy);
        assert!(std::fs::read(&previous).unwrap() == before, "{how}");
        let _ = std::fs::remove_file(&theirs);
        std::fs::remove_file(&previous).unwrap();
        bench.run().await.unwrap();
    }
    // And what SQLite keeps beside it while somebody writes to it.
    let log = bench.beside("previous-journal");
    std::fs::write(&log, "theirs").unwrap();
    let error = bench.run().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Policy);
    assert!(error.to_string().contains("previous-journal"), "{error}");
    assert!(log.exists());
}

#[tokio::test]
async fn what_an_older_envsyncd_left_is_ours_once_somebody_says_so() {
    let bench = Bench::new(NEW);
    make(&bench.live(), OLD);
    make(
        &bench.beside("previous"),
        "CREATE TABLE t (v); INSERT INTO t VALUES ('older');",
    );
    std::fs::write(bench.beside("snapshot-0123456789ab"), "x").unwrap();
    let error = bench.run().await.unwrap_err();
    let marks = bench.beside("marks");
    assert!(
        error
            .to_string()
            .contains(&format!("touch {}", marks.display())),
        "{error}"
    );
    std::fs::write(&marks, "").unwrap();
    rollback(&bench).await.unwrap();
    assert_eq!(ask_file(&bench.live(), "SELECT v FROM t"), "older");
    bench.run().await.unwrap();
    assert_eq!(ask_file(&bench.live(), "SELECT v FROM t"), "new");
    assert_eq!(
        ask_file(&bench.beside("previous"), "SELECT v FROM t"),
        "older"
    );
    assert!(
        bench.beside("snapshot-0123456789ab").exists(),
        "it was there after the marks were written"
    );
}

#[tokio::test]
async fn a_file_in_the_locks_place_is_neither_written_nor_removed() {
    let bench = Bench::new(NEW);
    let notes = bench.directory.path().join("notes");
    std::fs::write(&notes, "my notes").unwrap();
    for link in [false, true] {
        if link {
            std::os::unix::fs::symlink(&notes, bench.beside("lock")).unwrap();
        } else {
            std::fs::copy(&notes, bench.beside("lock")).unwrap();
        }
        let error = bench.run().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Policy, "{error}");
        assert_eq!(
            std::fs::read_to_string(bench.beside("lock")).unwrap(),
            "my notes"
        );
        std::fs::remove_file(bench.beside("lock")).unwrap();
    }
    // What a killed run leaves of one is ours.
    std::fs::write(
        bench.beside("lock"),
        "job x, run y, process 1 on here, since then\n",
    )
    .unwrap();
    bench.run().await.unwrap();
}

#[tokio::test]
async fn a_target_that_is_a_databases_journal_is_refused() {
    let mut bench = Bench::new(NEW);
    for end in ["-journal", "-wal", "-shm"] {
        let target = bench.directory.path().join(format!("source.db{end}"));
        bench.task.target = endpoint(&target);
        let error = bench.run().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Policy, "{error}");
        assert!(!target.exists());
    }
}
