//! The file: made, taken away, of another version, closed to others.

use super::*;

#[test]
fn a_store_that_is_taken_away_is_made_anew_by_who_works_and_missed_by_who_looks() {
    for what in ["state.db", "state.db*", "directory"] {
        let (dir, state) = store();
        begin(&state, "0199-a", "app", &Process::own());
        let reader = State::open_if_there(dir.path()).unwrap().unwrap();
        assert_eq!(reader.unfinished().unwrap().len(), 1);
        match what {
            "directory" => std::fs::remove_dir_all(dir.path()).unwrap(),
            "state.db" => std::fs::remove_file(dir.path().join("state.db")).unwrap(),
            _ => ["", "-wal", "-shm"].iter().for_each(|ending| {
                std::fs::remove_file(dir.path().join(format!("state.db{ending}"))).unwrap();
            }),
        }
        let error = reader.unfinished().unwrap_err();
        assert!(error.to_string().contains("removed"), "{error}");
        assert_eq!(state.renewed(), 0);
        assert_eq!(state.beat("0199-a").unwrap(), Beat::Unknown, "{what}");
        assert_eq!(state.renewed(), 1);
        begin(&state, "0199-a", "app", &Process::own());
        // It is where others find it, and whole.
        let other = State::open(dir.path()).unwrap();
        assert_eq!(other.beat("0199-a").unwrap(), Beat::Taken, "{what}");
        drop(reader);
        assert!(end(&other, "0199-a", RunState::Succeeded));
        let run = state.run("0199-a").unwrap().unwrap();
        assert_eq!(run.state, RunState::Succeeded, "{what}");
        let whole: String = state
            .connection()
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(whole, "ok");
        assert_eq!(state.renewed(), 1);
    }
}

#[test]
fn a_store_that_is_replaced_by_another_is_that_one_without_the_log_of_the_first() {
    let (dir, state) = store();
    begin(&state, "0199-a", "app", &Process::own());
    let (kept, other) = store();
    begin(&other, "0199-b", "web", &Process::own());
    drop(other);
    std::fs::rename(kept.path().join("state.db"), dir.path().join("state.db")).unwrap();
    let jobs: Vec<String> = state
        .unfinished()
        .unwrap()
        .into_iter()
        .map(|run| run.job)
        .collect();
    assert_eq!(jobs, ["web"]);
    assert_eq!(State::open(dir.path()).unwrap().jobs().unwrap(), ["web"]);
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_as_it_was() {
    let (dir, state) = store();
    let newer = 1 + state
        .connection()
        .pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))
        .unwrap();
    state
        .connection()
        .pragma_update(None, "user_version", newer)
        .unwrap();
    drop(state);
    for error in [
        State::open(dir.path()).err().unwrap(),
        State::open_if_there(dir.path()).err().unwrap(),
    ] {
        assert_eq!(error.kind(), Kind::State);
        assert!(error.to_string().contains("newer envsyncd"), "{error}");
    }
    let found = Connection::open(dir.path().join("state.db"))
        .unwrap()
        .pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))
        .unwrap();
    assert_eq!(found, newer);
}

#[test]
fn a_database_of_someone_else_is_refused() {
    let dir = TempDir::new().unwrap();
    Connection::open(dir.path().join("state.db"))
        .unwrap()
        .execute_batch("CREATE TABLE runs (a)")
        .unwrap();
    let error = State::open(dir.path()).err().unwrap();
    assert_eq!(error.kind(), Kind::State);
    assert!(error.to_string().contains("ENVSYNCD_STATE_DIR"), "{error}");
    std::fs::write(
        dir.path().join("state.db"),
        "not a database at all".repeat(99),
    )
    .unwrap();
    let error = State::open(dir.path()).err().unwrap();
    assert!(error.to_string().contains("move it away"), "{error}");
}

#[test]
fn looking_at_a_store_that_is_not_there_makes_nothing() {
    let dir = TempDir::new().unwrap();
    let inside = dir.path().join("state");
    assert!(State::open_if_there(&inside).unwrap().is_none());
    assert!(!inside.exists());
    State::open(&inside).unwrap();
    assert!(State::open_if_there(&inside).unwrap().is_some());
}

#[test]
fn the_store_and_its_directory_are_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new().unwrap();
    let inside = dir.path().join("made/state");
    let state = State::open(&inside).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o007;
    for path in [
        inside.clone(),
        inside.join("state.db"),
        inside.join("state.db-wal"),
    ] {
        assert_eq!(mode(&path), 0, "{}", path.display());
    }
    drop(state);
}

#[test]
fn a_directory_that_cannot_be_made_is_named_with_what_to_do() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = State::open(&file.join("state")).err().unwrap();
    assert_eq!(error.kind(), Kind::State);
    let said = error.to_string();
    assert!(
        said.contains("/file/state") && said.contains("ENVSYNCD_STATE_DIR"),
        "{said}"
    );
}

#[test]
fn a_store_that_cannot_grow_says_that_the_disk_is_full_and_keeps_what_it_had() {
    let (_dir, state) = store();
    begin(&state, "a", "app", &Process::own());
    {
        // SQLite's own answer to a file that may not grow is its answer to a full disk.
        let connection = state.connection();
        let pages: u32 = connection
            .pragma_query_value(None, "page_count", |row| row.get(0))
            .unwrap();
        connection
            .pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
            .unwrap();
    }
    let error = state
        .add_logs("a", &[line(&"x".repeat(100_000))])
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Full, "{error}");
    assert_eq!(state.last_log("a").unwrap(), 0);
    assert!(end(&state, "a", RunState::Failed));
}
