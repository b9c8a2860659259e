//! A store of an older version, and one whose writers are killed.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use chrono::Utc;
use tempfile::TempDir;

use super::*;
use crate::config::reporting::Retention;
use crate::state::example::new_run;
use crate::state::schema::{APPLICATION, VERSION, version};
use crate::state::{LogLine, NewRun, Outcome, RunState, State};

#[test]
fn a_store_of_the_first_version_is_brought_up_to_date_with_all_that_it_has() {
    let dir = TempDir::new().unwrap();
    let first = Connection::open(dir.path().join("state.db")).unwrap();
    first.execute_batch(MIGRATIONS[0]).unwrap();
    first
        .execute_batch(
            "INSERT INTO runs (id, job, file, verb, from_environment, to_environment, trigger, by, host, state,
                 started_at, finished_at) VALUES
             ('1', 'app', x'2f61', 'run', 'production', 'staging', 'manual', 'ada', 'here', 'succeeded', 1000000, 3000000),
             ('2', 'app', x'2f61', 'run', 'production', 'staging', 'manual', 'ada', 'here', 'succeeded', 4000000, 4500000),
             ('3', 'app', x'2f61', 'run', 'production', 'staging', 'manual', 'ada', 'here', 'failed', 5000000, 4000000),
             ('4', 'app', x'2f61', 'run', 'production', 'staging', 'manual', 'ada', 'here', 'running', 6000000, NULL);
             INSERT INTO tasks (run, position, name, kind, state, rows, bytes) VALUES
             (1, 0, 'a', 'sqlite', 'succeeded', 10, 100), (1, 1, 'b', 'sqlite', 'succeeded', 5, 50),
             (2, 0, 'a', 'sqlite', 'succeeded', 1, 1);
             INSERT INTO logs VALUES (1, 1, 0, 'info', '', 'one');
             PRAGMA user_version = 1;",
        )
        .unwrap();
    first
        .pragma_update(None, "application_id", APPLICATION)
        .unwrap();
    drop(first);

    let state = State::open(dir.path()).unwrap();
    assert_eq!(version(&state.connection()).unwrap(), VERSION);
    assert_eq!(state.runs(None, 10).unwrap().len(), 4);
    assert_eq!(state.last_log("1").unwrap(), 1);
    let totals: Vec<_> = state
        .totals()
        .unwrap()
        .into_iter()
        .map(|t| (t.state, t.runs, t.duration.as_millis(), t.rows, t.bytes))
        .collect();
    assert_eq!(
        totals,
        [
            // It ended before it began: the clock was set back.
            (RunState::Failed, 1, 0, 0, 0),
            (RunState::Succeeded, 2, 2500, 16, 151)
        ]
    );
    // A run that began under the old version ends under the new one.
    end(&state, "4");
    assert_eq!(state.totals().unwrap()[1].runs, 3);
    assert_eq!(
        state.overview().unwrap()[0].last_run.as_ref().unwrap().id,
        "4"
    );
}

fn end(state: &State, id: &str) {
    let outcome = Outcome {
        state: RunState::Succeeded,
        message: String::new(),
        errors: 0,
        warnings: 0,
        exit_code: 0,
    };
    assert!(state.finish(id, &outcome).unwrap());
}

/// Writes all that runs write, again and again, and says each thing once it is written.
fn write_forever(dir: &Path) -> ! {
    let state = State::open(dir).unwrap();
    let mut said = io::stdout().lock();
    let mut say = |what: &str, id: &str| {
        writeln!(said, "{what} {id}").unwrap();
        said.flush().unwrap();
    };
    for number in 0u64.. {
        let id = format!("{}-{number}", std::process::id());
        state
            .begin(&NewRun {
                tasks: &[("database".into(), "sqlite".into())],
                ..new_run(&id)
            })
            .unwrap();
        say("began", &id);
        state.set_step(&id, "copy").unwrap();
        for _ in 0..3 {
            let line = LogLine {
                at: Utc::now(),
                level: "info".into(),
                task: String::new(),
                message: "x".repeat(500),
            };
            state.add_logs(&id, &[line]).unwrap();
            say("logged", &id);
        }
        end(&state, &id);
        say("ended", &id);
        if number % 5 == 4 {
            let retention = Retention {
                max_age: Duration::from_secs(1_000_000),
                max_runs: 20,
                log_max_age: Duration::from_secs(1_000_000),
            };
            state.prune(&retention, Utc::now()).unwrap();
        }
    }
    unreachable!("numbers do not end")
}

/// Starts a writer, kills it when `is_over` says so of what it has said, and returns all that it said.
fn killed(dir: &Path, mut is_over: impl FnMut(usize) -> bool, after: Duration) -> Vec<String> {
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--nocapture",
            "state::open::tests::a_store_outlives_thirty_writers_that_are_killed_at_any_moment",
        ])
        .env("ENVSYNCD_TEST_KILLED", dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    if after.is_zero() {
        while !is_over(said.len()) {
            said.push(lines.next().expect("the writer goes on").unwrap());
        }
    } else {
        std::thread::sleep(after);
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    said.extend(lines.map_while(std::result::Result::ok));
    // The harness's own lines, and one that was cut in the middle, are no acknowledgement.
    said.retain(|line| {
        let mut words = line.split(' ');
        matches!(words.next(), Some("began" | "logged" | "ended"))
            && words.next().is_some_and(|id| id.contains('-'))
    });
    said
}

#[test]
fn a_store_outlives_thirty_writers_that_are_killed_at_any_moment() {
    if let Some(dir) = std::env::var_os("ENVSYNCD_TEST_KILLED") {
        write_forever(Path::new(&dir));
    }
    let random = |below: u64| RandomState::new().build_hasher().finish() % below;
    let shared = TempDir::new().unwrap();
    let mut counted = 0;
    let mut acknowledged = 0;
    for round in 0..30 {
        // A third of them is killed while it makes a store, or soon after; the others go on with one store.
        let fresh = TempDir::new().unwrap();
        let (dir, said) = if round % 3 == 0 {
            let after = Duration::from_micros(1 + random(60_000));
            (fresh.path(), killed(fresh.path(), |_| true, after))
        } else {
            let enough = 3 + random(120) as usize;
            let said = killed(shared.path(), |lines| lines >= enough, Duration::ZERO);
            (shared.path(), said)
        };
        acknowledged += said.len();

        let state = State::open(dir).unwrap();
        let sound: String = state
            .connection()
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .unwrap();
        assert_eq!(sound, "ok", "round {round}");
        let broken: i64 = state
            .connection()
            .query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| {
                row.get(0)
            })
            .unwrap();
        assert_eq!(broken, 0, "round {round}");

        let ended = said.iter().filter(|line| line.starts_with("ended")).count() as u64;
        let total: u64 = state.totals().unwrap().iter().map(|total| total.runs).sum();
        let before = if round % 3 == 0 { 0 } else { counted };
        // One more may have been written that the writer could not say any more.
        assert!(
            total == before + ended || total == before + ended + 1,
            "round {round}: {total} runs are counted, {before} were, and {ended} ended since"
        );
        if round % 3 != 0 {
            counted = total;
        }
        // The last ten runs cannot have been pruned.
        let mut ids: Vec<&str> = said
            .iter()
            .filter_map(|line| line.split(' ').nth(1))
            .collect();
        ids.dedup();
        for id in ids.iter().rev().take(10) {
            let run = state.run(id).unwrap().expect("a run that began is there");
            let of_run = |what: &str| {
                said.iter()
                    .filter(|l| **l == format!("{what} {id}"))
                    .count()
            };
            assert!(state.last_log(id).unwrap() >= of_run("logged") as i64);
            if of_run("ended") == 1 {
                assert_eq!(run.state, RunState::Succeeded, "round {round}");
            } else {
                // What the next start does about it.
                let dead = state.dead_runs().unwrap();
                assert!(run.finished_at.is_some() || dead.iter().any(|other| other.id == run.id));
            }
        }
        // And the store goes on.
        for run in state.dead_runs().unwrap() {
            end(&state, &run.id);
            if round % 3 != 0 {
                counted += 1;
            }
        }
    }
    assert!(acknowledged > 300, "{acknowledged}");
}

#[test]
fn a_view_or_a_trigger_of_somebody_elses_is_refused() {
    for sql in [
        "ALTER TABLE holds RENAME TO hidden; CREATE VIEW holds AS SELECT * FROM hidden",
        "CREATE TRIGGER more AFTER INSERT ON runs BEGIN DELETE FROM holds; END",
        "DROP TRIGGER runs_end; CREATE TRIGGER runs_end AFTER INSERT ON runs BEGIN DELETE FROM holds; END",
        "CREATE VIRTUAL TABLE words USING fts5(a)",
    ] {
        let dir = TempDir::new().unwrap();
        drop(State::open(dir.path()).unwrap());
        let file = dir.path().join("state.db");
        Connection::open(&file)
            .and_then(|store| store.execute_batch(sql))
            .unwrap();
        for error in [
            State::open(dir.path()).map(drop).unwrap_err(),
            State::open_if_there(dir.path()).map(drop).unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(text.contains("that envsyncd has not made"), "{sql}: {text}");
        }
    }
}
