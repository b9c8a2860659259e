use std::time::Duration;

use chrono::Utc;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::config::reporting::Retention;
use crate::guard::process::host_name;
use crate::state::example::new_run;
use crate::state::{Hold, KnownJob, LogLine, NewRun, Outcome, Pause, Paused, RunState, State};

/// A store with two runs, `app` and `web`, and one of everything else for each.
struct Scene {
    directory: TempDir,
    state: State,
}

impl Scene {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let state = State::open(directory.path()).unwrap();
        for (id, job) in [("0199-a", "app"), ("0199-b", "web")] {
            state
                .begin(&NewRun {
                    job,
                    to: job,
                    by: "ada",
                    timeout: Some(Duration::from_secs(60)),
                    tasks: &[("database".into(), "sqlite".into())],
                    ..new_run(id)
                })
                .unwrap();
            let line = LogLine {
                at: Utc::now(),
                level: "info".into(),
                task: String::new(),
                message: "hello".into(),
            };
            state.add_logs(id, &[line]).unwrap();
            let now = Utc::now();
            state
                .restore_hold(&Hold {
                    environment: job.into(),
                    reason: "release 42".into(),
                    by: "deploy".into(),
                    host: host_name(),
                    since: now,
                    process: None,
                })
                .unwrap();
            let (job, reason, by) = (job.to_owned(), String::new(), String::new());
            let what = Paused::Job(job.clone());
            state
                .set_jobs(&[KnownJob {
                    job,
                    timetable: String::new(),
                    handled_until: now,
                    next_run_at: None,
                    problem: String::new(),
                }])
                .unwrap();
            let pause = Pause {
                what,
                reason,
                by,
                since: now,
                until: None,
            };
            state.pause(&pause).unwrap();
        }
        Self { directory, state }
    }

    fn sql(&self, text: &str) {
        let file = self.directory.path().join("state.db");
        Connection::open(file)
            .and_then(|store| store.execute_batch(text))
            .unwrap_or_else(|error| panic!("{text}: {error}"));
    }

    /// What was warned of.
    fn said(&self) -> Vec<String> {
        let said = SAID.lock();
        let said = said.get(self.state.file()).into_iter().flatten();
        said.cloned().collect()
    }

    fn jobs(&self) -> Vec<String> {
        let runs = self.state.unfinished().unwrap();
        runs.into_iter().map(|run| run.job).collect()
    }
}

#[test]
fn a_malformed_row_is_passed_over_and_named_and_holds_up_nothing() {
    for (column, value, why) in [
        ("job", "'../../etc/daemon'", "job is no name"),
        ("job", "x'ff'", "job is no text"),
        ("job", "''", "job is no name"),
        ("id", "'../../tmp/x'", "id is no run's id"),
        ("id", "'--config'", "id is no run's id"),
        ("file", "'/etc/x'", "file is no path"),
        ("file", "x'2e2e'", "file is no absolute path"),
        ("verb", "'drop'", "verb is none of ours"),
        ("state", "'undead'", "state is none of ours"),
        (
            "from_environment",
            "char(27) || '[2J'",
            "from_environment is no environment's name",
        ),
        ("started_at", "-1", "started_at is no time"),
        ("started_at", "9000000000000000000", "started_at is no time"),
        ("started_at", "'soon'", "started_at is none of ours"),
        ("timeout_ms", "-1", "timeout_ms is below zero"),
        ("pid", "0", "pid is no process's id"),
        ("pid", "-1", "a number is out of range"),
        ("pid", "3000000000", "pid is no process's id"),
        ("exit_code", "300", "a number is out of range"),
        ("errors", "-1", "errors is below zero"),
        ("step", "'$(id)'", "step is no word of ours"),
        ("message", "printf('%1048577d', 1)", "message is too long"),
        ("only_tasks", "'a,../b'", "only_tasks is no list of names"),
    ] {
        let scene = Scene::new();
        scene.sql(&format!("UPDATE runs SET {column} = {value} WHERE seq = 1"));
        assert_eq!(scene.jobs(), ["web"], "{column} = {value}");
        let state = &scene.state;
        assert_eq!(state.runs(None, 9).unwrap().len(), 1, "{column}");
        state.dead_runs().unwrap();
        state.overview().unwrap();
        state.jobs().unwrap();
        state.environments().unwrap();
        state.totals().unwrap();
        for job in ["app", "web"] {
            state.last_run(job).unwrap();
            state.last_success_at(job).unwrap();
            state.consecutive_failures(job).unwrap();
            state.is_broken(job).unwrap();
        }
        state.beat("0199-b").unwrap();
        state.telling_length(["0199-b"].into_iter()).unwrap();
        assert!(state.ask_cancel("0199-b", "bob").unwrap());
        let outcome = Outcome {
            state: RunState::Succeeded,
            message: String::new(),
            errors: 0,
            warnings: 0,
            exit_code: 0,
        };
        assert!(state.finish("0199-b", &outcome).unwrap());
        let retention = Retention {
            max_age: Duration::ZERO,
            max_runs: 1,
            log_max_age: Duration::ZERO,
        };
        state.prune(&retention, Utc::now()).unwrap();
        let said = scene.said();
        assert!(
            said.contains(&format!("run 1: {why}")),
            "{column} = {value}: {said:?}"
        );
        assert!(!said.iter().any(|line| line.contains('\u{1b}')), "{said:?}");
    }
}

#[test]
fn a_malformed_row_of_any_table_is_passed_over_and_the_others_are_read() {
    for (sql, named) in [
        (
            "UPDATE tasks SET name = '../x' WHERE run = 1",
            "run 1, its task `../x`: name is no name",
        ),
        (
            "UPDATE tasks SET rows = -1 WHERE run = 1",
            "run 1, its task `database`: rows is below zero",
        ),
        (
            "UPDATE tasks SET duration_seconds = 9e999 WHERE run = 1",
            "run 1, its task `database`: duration_seconds is out of range",
        ),
        (
            "UPDATE tasks SET progress_percent = -3 WHERE run = 1",
            "run 1, its task `database`: progress_percent is out of range",
        ),
        (
            "UPDATE tasks SET steps = '[{\"name\":\"copy\",\"started\":-1,\"seconds\":1}]' WHERE run = 1",
            "run 1, its task `database`: steps has no time",
        ),
        (
            "UPDATE tasks SET steps = '[{\"name\":\"\\u001b\",\"started\":1,\"seconds\":1}]' WHERE run = 1",
            "run 1, its task `database`: steps is no list of steps",
        ),
        (
            "INSERT INTO task_tables SELECT seq, 'database', '{}' FROM runs WHERE id = '0199-a'",
            "run 0199-a, tables of task `database`: tables is no JSON of ours",
        ),
        (
            "UPDATE logs SET at = -1 WHERE run = 1",
            "run 0199-a, its log's line 1: at is no time",
        ),
        (
            "UPDATE holds SET since = 'x' WHERE environment = 'app'",
            "hold on `app`: since is none of ours",
        ),
        (
            "UPDATE holds SET environment = char(10, 27) WHERE environment = 'app'",
            "hold on `\\n\\u{1b}`: environment is no environment's name",
        ),
        (
            "UPDATE pauses SET job = '../x' WHERE job = 'app'",
            "pause of `../x`: job is no name",
        ),
        (
            "INSERT INTO wide_pauses VALUES (char(27), 'r', 'ada', 1, NULL)",
            "pause of `\\u{1b}`: environment is no environment's name",
        ),
        (
            "INSERT INTO tokens VALUES (x'00', 'token', 'ci', 'root', NULL, NULL, 'ada', 1, NULL, NULL)",
            "token `ci`: scope is none of ours",
        ),
        (
            "INSERT INTO audit VALUES (7, -1, 'ada', 'cli', '', 'hold', 'staging', 'ok')",
            "entry of the audit list 7: at is no time",
        ),
        (
            "INSERT INTO answers VALUES ('ci', 'k', x'ff', 'a', 9000000000000000)",
            "answer to `k`: fingerprint is no text",
        ),
        (
            "UPDATE jobs SET handled_until = -5 WHERE job = 'app'",
            "job `app`: handled_until is no time",
        ),
        (
            "INSERT INTO totals VALUES ('app', 'run', 'failed', -1, 0, 0, 0)",
            "totals of job `app`: runs is below zero",
        ),
        (
            "INSERT INTO daemon (one, version, host, since, seen_at, problem) VALUES (1, '1', 'h', -1, 0, '')",
            "daemon 1: since is no time",
        ),
    ] {
        let scene = Scene::new();
        scene.sql(sql);
        assert_eq!(scene.jobs(), ["app", "web"], "{sql}");
        let state = &scene.state;
        assert_eq!(state.logs("0199-b", 0, 9).unwrap().len(), 1);
        state.logs("0199-a", 0, 9).unwrap();
        assert!(state.tables("0199-a").unwrap().is_empty());
        let jobs = |all: Vec<String>| assert!(all.contains(&"web".to_owned()), "{sql}: {all:?}");
        jobs(
            state
                .holds()
                .unwrap()
                .into_iter()
                .map(|it| it.environment)
                .collect(),
        );
        jobs(
            state
                .pauses()
                .unwrap()
                .into_iter()
                .filter_map(|it| match it.what {
                    Paused::Job(job) => Some(job),
                    _ => None,
                })
                .collect(),
        );
        jobs(
            state
                .known_jobs()
                .unwrap()
                .into_iter()
                .map(|it| it.job)
                .collect(),
        );
        state.totals().unwrap();
        assert!(state.tokens().unwrap().is_empty());
        assert!(state.audits(None, 9).unwrap().is_empty());
        assert!(state.answer("ci", "k").unwrap().is_none());
        assert!(state.daemon().unwrap().is_none());
        let said = scene.said();
        assert!(said.iter().any(|line| line == named), "{sql}: {said:?}");
    }
}

#[test]
fn a_malformed_row_is_named_once() {
    let scene = Scene::new();
    scene.sql("UPDATE runs SET job = '/' WHERE seq = 1");
    for _ in 0..3 {
        assert_eq!(scene.jobs(), ["web"]);
    }
    assert_eq!(scene.said(), ["run 1: job is no name"]);
}

#[test]
fn a_run_id_is_fit_for_the_name_of_a_file_a_unit_and_an_argument() {
    assert!(is_run_id("019aa3f0-7d2c-7e11-8a35-1f2e3d4c5b6a"));
    for id in [
        "",
        "-f",
        "--once",
        "../../etc/x",
        "019aa3f0-7D2C-7e11-8a35-1f2e3d4c5b6a",
        "019aa3f0 ",
        "019aa3f0\n",
        "019aa3f0-7d2c-7e11-8a35-1f2e3d4c5b6a0",
        "019aa3f0_7d2c",
        "019aa3f0/7d2c",
        "019aa3f0.7d2c",
    ] {
        assert!(!is_run_id(id), "{id:?}");
    }
}

#[test]
fn an_environments_name_is_one_that_a_file_may_have() {
    assert!(is_environment("production") && is_environment("\u{e9}t\u{e9} 2"));
    for name in ["", "  ", "a\nb", "\u{1b}[2J"] {
        assert!(!is_environment(name), "{name:?}");
    }
}
