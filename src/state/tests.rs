//! Against real files and real processes.

mod file;
mod holds;

use std::path::Path;
use std::process::{Child, Command};
use std::sync::Barrier;
use std::time::Duration;

use chrono::Utc;
use rusqlite::Connection;
use tempfile::TempDir;

use super::example::new_run;
use super::*;
use crate::error::Kind;
use crate::guard::lease::Lease;
use crate::guard::process::{Process, host_name};

fn store() -> (TempDir, State) {
    let dir = TempDir::new().unwrap();
    let state = State::open(dir.path()).unwrap();
    (dir, state)
}

fn begin(state: &State, id: &str, job: &str, process: &Process) {
    state
        .begin(&NewRun {
            job,
            by: "ada",
            process,
            timeout: Some(Duration::from_secs(60)),
            tasks: &[
                ("database".into(), "postgresql".into()),
                ("files".into(), "sqlite".into()),
            ],
            ..new_run(id)
        })
        .unwrap();
}

fn end(state: &State, id: &str, how: RunState) -> bool {
    state
        .finish(
            id,
            &Outcome {
                state: how,
                message: "the disk is full".into(),
                errors: 1,
                warnings: 2,
                exit_code: 1,
            },
        )
        .unwrap()
}

fn line(message: &str) -> LogLine {
    LogLine {
        at: loaded(stored(Utc::now())),
        level: "info".into(),
        task: "database".into(),
        message: message.into(),
    }
}

fn sleeper() -> (Child, Process) {
    let child = Command::new("sleep").arg("600").spawn().unwrap();
    let process = Process::of(child.id()).unwrap();
    (child, process)
}

fn end_process(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn hold(environment: &str, process: Option<Process>) -> Hold {
    Hold {
        environment: environment.into(),
        reason: "release 42".into(),
        by: "deploy".into(),
        host: host_name(),
        since: loaded(stored(Utc::now())),
        process,
    }
}

fn step(name: &str) -> StepTime {
    StepTime {
        name: name.to_owned(),
        started: DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap(),
        seconds: 0.125,
    }
}

#[test]
fn a_run_is_read_back_as_it_was_written() {
    let (dir, state) = store();
    begin(&state, "0199-a", "app", &Process::own());
    state.set_step("0199-a", "copy").unwrap();
    let progress = TaskProgress {
        state: RunState::Running,
        progress_percent: 50.0,
        rows: 7,
        bytes: u64::from(u32::MAX) * 9,
        duration_seconds: 1.5,
        surveyed_at: DateTime::from_timestamp_millis(1_700_000_000_123),
        message: String::new(),
        masked: None,
        steps: ["survey", "in place: copy"].map(step).to_vec(),
    };
    state.set_task("0199-a", "database", &progress).unwrap();
    let tables = CopiedTables {
        tables: vec![CopiedTable {
            name: "public.\"odd\u{1b}\"".to_owned(),
            rows: 7,
            bytes: 9,
            seconds: Some(0.25),
        }],
        more: 3,
        more_rows: 4,
        more_bytes: 5,
    };
    for rows in [6, 7] {
        let mut tables = tables.clone();
        tables.tables[0].rows = rows;
        state.set_tables("0199-a", "database", &tables).unwrap();
    }
    assert!(state.set_tables("0199-z", "database", &tables).is_err());
    state
        .add_logs("0199-a", &[line("one"), line("two")])
        .unwrap();
    drop(state);

    let state = State::open(dir.path()).unwrap();
    let run = state.run("0199-a").unwrap().unwrap();
    assert_eq!((run.state, run.step.as_str()), (RunState::Running, "copy"));
    assert_eq!(run.process, Some(Process::own()));
    assert_eq!(run.timeout, Some(Duration::from_secs(60)));
    assert_eq!(run.tasks[0].progress, progress);
    assert_eq!(
        state.tables("0199-a").unwrap(),
        [("database".to_owned(), tables)]
    );
    assert_eq!(run.tasks[1].name, "files");
    assert_eq!(run.tasks[1].progress.state, RunState::Pending);
    assert!((run.progress_percent() - 25.0).abs() < f64::EPSILON);

    assert!(end(&state, "0199-a", RunState::Failed));
    let run = state.run("0199-a").unwrap().unwrap();
    assert_eq!((run.state, run.exit_code), (RunState::Failed, Some(1)));
    assert_eq!((run.errors, run.warnings), (1, 2));
    assert_eq!(run.process, None);
    assert!(run.finished_at.unwrap() >= run.started_at);
    assert_eq!(run.tasks[0].progress.state, RunState::Failed);
    assert_eq!(run.tasks[1].progress.state, RunState::Pending);
    assert_eq!(run.message, "the disk is full");
}

#[test]
fn a_run_ends_once() {
    let (_dir, state) = store();
    begin(&state, "a", "app", &Process::own());
    assert!(end(&state, "a", RunState::Succeeded));
    assert!(!end(&state, "a", RunState::Failed));
    assert_eq!(state.run("a").unwrap().unwrap().state, RunState::Succeeded);
}

#[test]
fn what_is_written_of_a_run_that_is_not_there_is_an_error() {
    let (_dir, state) = store();
    assert!(state.set_step("nobody", "copy").is_err());
    assert!(state.add_logs("nobody", &[line("one")]).is_err());
    begin(&state, "a", "app", &Process::own());
    let progress = state.run("a").unwrap().unwrap().tasks[0].progress.clone();
    assert!(state.set_task("a", "nothing", &progress).is_err());
    assert!(state.set_task("a", "files", &progress).is_ok());
}

#[test]
fn log_lines_are_numbered_from_one_and_asked_for_from_any() {
    let (_dir, state) = store();
    for run in ["a", "b"] {
        begin(&state, run, "app", &Process::own());
        state.add_logs(run, &[line("one"), line("two")]).unwrap();
    }
    state.add_logs("a", &[line("three")]).unwrap();
    let all = state.logs("a", 0, 100).unwrap();
    let said: Vec<_> = all.iter().map(|(n, l)| (*n, l.message.as_str())).collect();
    assert_eq!(said, [(1, "one"), (2, "two"), (3, "three")]);
    assert_eq!(state.logs("a", 2, 100).unwrap().len(), 1);
    assert_eq!(state.logs("a", 0, 1).unwrap().len(), 1);
    assert_eq!(state.last_log("b").unwrap(), 2);
    assert!(state.logs("nobody", 0, 100).unwrap().is_empty());
}

#[test]
fn an_id_is_found_by_its_begin_and_by_its_end_and_never_guessed() {
    let (_dir, state) = store();
    for id in ["0199aa-1111", "0199ab-2222", "02-0199aa"] {
        begin(&state, id, "app", &Process::own());
    }
    let found = |id: &str| state.run(id).unwrap().map(|run| run.id);
    assert_eq!(found("0199ab").as_deref(), Some("0199ab-2222"));
    assert_eq!(found("0199AB-2222").as_deref(), Some("0199ab-2222"));
    assert_eq!(found("1111").as_deref(), Some("0199aa-1111"));
    // A begin is stronger than an end.
    assert_eq!(found("0199aa").as_deref(), Some("0199aa-1111"));
    assert_eq!(found("03"), None);
    assert_eq!(found(""), None);
    let error = state.run("0199a").unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    let said = error.to_string();
    assert!(
        said.contains("0199aa-1111") && said.contains("0199ab-2222"),
        "{said}"
    );
    assert!(!said.contains("02-0199aa"), "{said}");
}

#[test]
fn failures_count_since_the_last_success_and_neither_busy_nor_cancelled_resets_them() {
    let (_dir, state) = store();
    let endings = [
        RunState::Failed,
        RunState::Succeeded,
        RunState::Failed,
        RunState::Busy,
        RunState::Refused,
        RunState::Cancelled,
        RunState::Failed,
    ];
    for (number, ending) in endings.into_iter().enumerate() {
        let id = number.to_string();
        begin(&state, &id, "app", &Process::own());
        end(&state, &id, ending);
    }
    begin(&state, "other", "other", &Process::own());
    end(&state, "other", RunState::Succeeded);
    assert_eq!(state.consecutive_failures("app").unwrap(), 3);
    assert_eq!(state.consecutive_failures("other").unwrap(), 0);
    assert_eq!(state.consecutive_failures("nothing").unwrap(), 0);
    assert_eq!(
        state.last_success_at("app").unwrap(),
        state.run("1").unwrap().unwrap().finished_at
    );
    assert_eq!(state.last_success_at("nothing").unwrap(), None);
    assert_eq!(state.jobs().unwrap(), ["app", "other"]);
    assert_eq!(state.environments().unwrap(), ["production", "staging"]);
    assert_eq!(state.last_run("app").unwrap().unwrap().id, "6");
    let newest: Vec<_> = state
        .runs(None, 2)
        .unwrap()
        .into_iter()
        .map(|run| run.id)
        .collect();
    assert_eq!(newest, ["other", "6"]);
}

#[test]
fn a_rollback_is_neither_a_success_nor_a_failure_of_the_copy() {
    let (_dir, state) = store();
    for (id, how) in [("a", RunState::Succeeded), ("b", RunState::Failed)] {
        state
            .begin(&NewRun {
                verb: Verb::Rollback,
                ..new_run(id)
            })
            .unwrap();
        end(&state, id, how);
    }
    assert_eq!(state.last_success_at("app").unwrap(), None);
    assert_eq!(state.consecutive_failures("app").unwrap(), 0);
    assert_eq!(state.last_run("app").unwrap().unwrap().id, "b");
}

#[test]
fn a_run_whose_process_was_killed_is_dead_and_one_that_lives_here_or_elsewhere_is_not() {
    let (dir, state) = store();
    let (child, process) = sleeper();
    begin(&state, "living", "app", &Process::own());
    begin(&state, "killed", "app", &process);
    state
        .begin(&NewRun {
            process: &Process {
                namespace: 1,
                ..process.clone()
            },
            ..new_run("elsewhere")
        })
        .unwrap();
    let dead = || -> Vec<String> {
        state
            .dead_runs()
            .unwrap()
            .into_iter()
            .map(|run| run.id)
            .collect()
    };
    assert!(dead().is_empty());
    end_process(child);
    assert_eq!(dead(), ["killed"]);
    end(&state, "killed", RunState::Failed);
    assert!(dead().is_empty());
    assert_eq!(state.unfinished().unwrap().len(), 2);
    // In another container, under whatever name: it lives as long as it says so, or has its lease.
    assert_eq!(state.beat("elsewhere").unwrap(), Beat::Taken);
    let silent =
        "UPDATE runs SET host = 'renamed', beat_at = beat_at - 121000000 WHERE id = 'elsewhere'";
    state.connection().execute(silent, []).unwrap();
    let lease = Lease::take(dir.path(), &presence::lease_of_run("elsewhere")).unwrap();
    assert!(dead().is_empty());
    drop(lease);
    assert_eq!(dead(), ["elsewhere"]);
    assert_eq!(state.beat("elsewhere").unwrap(), Beat::Taken);
    assert!(dead().is_empty());
}

#[test]
fn a_run_that_was_taken_for_dead_records_its_own_end_all_the_same() {
    let (_dir, state) = store();
    begin(&state, "0199-a", "app", &Process::own());
    end(&state, "0199-a", RunState::Failed);
    assert_eq!(
        state.beat("0199-a").unwrap(),
        Beat::Ended("the disk is full".to_owned())
    );
    let outcome = Outcome {
        state: RunState::Succeeded,
        message: String::new(),
        errors: 0,
        warnings: 1,
        exit_code: 0,
    };
    assert!(!state.finish_own("0199-a", &outcome).unwrap());
    let run = state.run("0199-a").unwrap().unwrap();
    assert_eq!((run.state, run.message.as_str()), (RunState::Succeeded, ""));
    assert_eq!(state.beat("0199-b").unwrap(), Beat::Unknown);
}

#[test]
fn what_a_killed_process_wrote_is_there() {
    if let Some(dir) = std::env::var_os("ENVSYNCD_TEST_WRITER") {
        // The other process of this test: writes until it is killed.
        let state = State::open(Path::new(&dir)).unwrap();
        begin(&state, "killed", "app", &Process::own());
        loop {
            state.add_logs("killed", &[line("one more")]).unwrap();
        }
    }
    let (dir, state) = store();
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "state::tests::what_a_killed_process_wrote_is_there",
        ])
        .env("ENVSYNCD_TEST_WRITER", dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while state.last_log("killed").unwrap() < 50 {
        assert!(writer.try_wait().unwrap().is_none(), "the writer ended");
        std::thread::yield_now();
    }
    writer.kill().unwrap();
    writer.wait().unwrap();
    let state = State::open(dir.path()).unwrap();
    let lines = state.logs("killed", 0, usize::MAX).unwrap();
    assert!(lines.len() >= 50);
    assert!((1..).zip(&lines).all(|(number, (seq, _))| *seq == number));
    assert_eq!(state.dead_runs().unwrap()[0].id, "killed");
    assert!(end(&state, "killed", RunState::Failed));
}

#[test]
fn every_question_about_a_job_is_answered_from_an_index() {
    let (_dir, state) = store();
    let connection = state.connection();
    for query in [
        "SELECT * FROM runs WHERE job = 'a' ORDER BY seq DESC LIMIT 20",
        "SELECT * FROM runs WHERE id >= 'a' AND id < 'a' || '~' ORDER BY seq DESC LIMIT 6",
        "SELECT finished_at FROM runs WHERE job = 'a' AND verb = 'run' AND state = 'succeeded' ORDER BY seq DESC LIMIT 1",
        "SELECT count(*) FROM runs WHERE job = 'a' AND verb = 'run' AND state IN ('failed', 'refused') AND seq > 7",
        "SELECT * FROM runs WHERE finished_at IS NULL ORDER BY seq",
        "SELECT min(job) FROM runs WHERE job > 'a'",
        "SELECT * FROM logs WHERE run = 1 AND seq > 7 ORDER BY seq LIMIT 9",
    ] {
        let plan: Vec<String> = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {query}"))
            .unwrap()
            .query_map([], |row| row.get(3))
            .unwrap()
            .collect::<rusqlite::Result<_>>()
            .unwrap();
        assert!(
            plan.iter()
                .all(|step| !step.starts_with("SCAN") || step.contains("INDEX")),
            "{query}: {plan:?}"
        );
    }
}

#[test]
fn live_is_broken_from_a_load_that_failed_until_a_run_is_known_to_have_published() {
    let (_directory, state) = store();
    let run = |id: &str, step: &str, how: RunState| {
        begin(&state, id, "app", &Process::own());
        state.set_step(id, step).unwrap();
        end(&state, id, how);
        state.is_broken("app").unwrap()
    };
    assert!(!state.is_broken("app").unwrap());
    assert!(!run("0199-a", "copy", RunState::Failed));
    assert!(run("0199-b", "in place: copy", RunState::Failed));
    // What does not come as far changes nothing.
    assert!(run("0199-c", "survey", RunState::Failed));
    assert!(run("0199-d", "locks", RunState::Busy));
    assert!(!run("0199-e", "hooks", RunState::Failed));
    assert!(run("0199-f", "in place: empty", RunState::Failed));
    assert!(!run("0199-g", "record", RunState::Succeeded));
    assert!(!state.is_broken("another").unwrap());
}
