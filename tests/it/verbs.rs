//! The verbs that read and write the state store, as a person or a script meets them.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use chrono::Utc;
use envsyncd::guard::process::{Process, host_name};
use envsyncd::state::{
    Daemon, Hold, KnownJob, LogLine, NewRun, Outcome, RunState, State, TaskProgress, Trigger, Verb,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::host::Host;
use crate::support::job::BINARY;
use crate::support::profile;

/// Directories of one test's own.
struct Site {
    root: TempDir,
    /// The machine of the running test's profile, with our clock.
    host: &'static Host,
    variables: Vec<(String, String)>,
}

impl Site {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        std::fs::create_dir(root.path().join("jobs")).unwrap();
        let host: &Host = profile::among(Host::has_our_clock);
        let variables = host.variables(root.path());
        Self {
            root,
            host,
            variables,
        }
    }

    fn state(&self) -> State {
        State::open(&self.root.path().join("state")).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let root = self.root.path();
        let mut command = self.host.command(BINARY);
        command
            .args(args)
            .envs(self.variables.iter().map(|(key, value)| (key, value)))
            .env_remove("ENVSYNCD_CONFIG")
            .env_remove("SUDO_USER")
            .env("TZ", "UTC")
            .env("ENVSYNCD_STATE_DIR", root.join("state"))
            .env("ENVSYNCD_STATUS_DIR", root.join("status"))
            .env("ENVSYNCD_JOB_DIR", root.join("jobs"))
            .env("ENVSYNCD_LOCK_DIR", root.join("lock"))
            .stdin(Stdio::null());
        command
    }

    fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// What a verb that succeeds prints.
    fn says(&self, args: &[&str]) -> String {
        let output = self.output(args);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        text(&output.stdout)
    }

    fn json(&self, args: &[&str]) -> Value {
        let value: Value = serde_json::from_str(&self.says(args)).unwrap();
        assert_eq!(value["version"], 1);
        value
    }

    /// The one line that a verb that fails says, with its exit code.
    fn fails(&self, args: &[&str]) -> (i32, String) {
        let output = self.output(args);
        let said = text(&output.stderr);
        assert_eq!(said.lines().count(), 1, "{output:?}");
        assert!(said.starts_with("envsyncd: "), "{said}");
        (output.status.code().unwrap(), said)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn begin(state: &State, id: &str, job: &str, process: &Process) {
    state
        .begin(&NewRun {
            id,
            job,
            file: Path::new("/etc/envsyncd/config.d/app.toml"),
            verb: Verb::Run,
            from: "production",
            to: "staging",
            trigger: Trigger::Manual,
            by: "ada",
            host: &host_name(),
            process,
            timeout: None,
            tasks: &[("database".into(), "postgresql".into())],
            only: &[],
        })
        .unwrap();
}

fn end(state: &State, id: &str, how: RunState, message: &str) {
    let ended = state
        .finish(
            id,
            &Outcome {
                state: how,
                message: message.into(),
                errors: 0,
                warnings: 3,
                exit_code: u8::from(how != RunState::Succeeded),
            },
        )
        .unwrap();
    assert!(ended);
}

fn log(state: &State, id: &str, message: &str) {
    let line = LogLine {
        at: Utc::now(),
        level: "info".into(),
        task: "database".into(),
        message: message.into(),
    };
    state.add_logs(id, &[line]).unwrap();
}

fn progress(state: &State, id: &str, percent: f64) {
    let progress = TaskProgress {
        state: RunState::Running,
        progress_percent: percent,
        rows: 1_234_567,
        bytes: 987_654_321,
        duration_seconds: 12.0,
        surveyed_at: None,
        message: "users".into(),
    };
    state.set_task(id, "database", &progress).unwrap();
}

fn dead() -> Process {
    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    let process = Process::of(child.id()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    process
}

#[test]
fn before_the_first_run_status_knows_the_jobs_and_makes_no_files() {
    let site = Site::new();
    std::fs::write(site.root.path().join("jobs/app.toml"), "").unwrap();
    std::fs::write(site.root.path().join("jobs/README"), "").unwrap();
    let said = site.says(&["status"]);
    assert!(said.contains("app") && said.contains("never"), "{said}");
    assert!(!said.contains("README"), "{said}");
    let json = site.json(&["status", "app", "--json"]);
    assert_eq!(json["jobs"][0]["state"], "never");
    assert_eq!(json["jobs"][0]["last_run"], Value::Null);
    assert!(!site.root.path().join("state").exists());
}

#[test]
fn status_shows_progress_success_failures_and_holds() {
    let site = Site::new();
    let state = site.state();
    begin(&state, "0199-1", "app", &Process::own());
    end(&state, "0199-1", RunState::Succeeded, "");
    for id in ["0199-2", "0199-3"] {
        begin(&state, id, "web", &Process::own());
        end(&state, id, RunState::Failed, "disk full");
    }
    begin(&state, "0199-4", "app", &Process::own());
    state.set_step("0199-4", "copy").unwrap();
    progress(&state, "0199-4", 42.0);
    state
        .hold(&Hold {
            environment: "qa".into(),
            reason: "load test".into(),
            by: "bob".into(),
            host: host_name(),
            since: Utc::now(),
            process: None,
        })
        .unwrap();
    let known = KnownJob {
        job: "app".into(),
        timetable: String::new(),
        handled_until: Utc::now(),
        next_run_at: Some("2100-01-02T00:18:00Z".parse().unwrap()),
        problem: String::new(),
    };
    state.set_jobs(&[known]).unwrap();
    state.set_daemon(&daemon(Some(Process::own()))).unwrap();

    let said = site.says(&["status"]);
    assert!(
        said.contains("running 42 %") && said.contains("copy"),
        "{said}"
    );
    assert!(said.contains("disk full (2 failures in a row)"), "{said}");
    assert!(said.contains("2100-01-02 00:18:00 (in "), "{said}");
    assert!(said.contains("`qa` is held by bob"), "{said}");

    let json = site.json(&["status", "--json"]);
    let (app, web) = (&json["jobs"][0], &json["jobs"][1]);
    assert_eq!(
        (&app["job"], &app["state"]),
        (&"app".into(), &"running".into())
    );
    assert_eq!(app["last_run"]["run_id"], "0199-4");
    assert_eq!(app["last_run"]["pid"], std::process::id());
    assert_eq!(app["last_run"]["progress_percent"], 42.0);
    assert_eq!(app["last_run"]["dead"], false);
    assert_eq!(app["last_run"]["tasks"][0]["rows"], 1_234_567);
    assert!(app["last_success_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(app["next_run_at"], "2100-01-02T00:18:00Z");
    assert_eq!(json["daemon"]["alive"], true);
    assert_eq!(web["consecutive_failures"], 2);
    assert_eq!(web["last_run"]["message"], "disk full");
    assert_eq!(json["holds"][0]["environment"], "qa");

    // Nobody keeps a schedule whose daemon is gone.
    state.set_daemon(&daemon(None)).unwrap();
    let said = site.says(&["status"]);
    assert!(said.contains("no daemon keeps the schedules"), "{said}");
    let json = site.json(&["status", "--json"]);
    assert_eq!(json["jobs"][0]["next_run_at"], serde_json::Value::Null);
}

fn daemon(process: Option<Process>) -> Daemon {
    Daemon {
        version: "0".into(),
        host: host_name(),
        process,
        since: Utc::now(),
        seen_at: Utc::now(),
        problem: String::new(),
        leased: false,
    }
}

#[test]
fn a_run_whose_process_is_gone_is_recorded_as_failed_by_whoever_looks_first() {
    let site = Site::new();
    begin(&site.state(), "0199-1", "app", &dead());
    let status = site.says(&["status"]);
    assert!(
        status.contains("failed") && status.contains("process died"),
        "{status}"
    );
    assert!(site.says(&["show", "0199-1"]).contains("process died"));
    assert_eq!(
        site.json(&["show", "0199-1", "--json"])["run"]["state"],
        "failed"
    );
    assert_eq!(site.state().consecutive_failures("app").unwrap(), 1);
}

#[test]
fn history_is_newest_first_and_of_one_job_if_asked() {
    let site = Site::new();
    let state = site.state();
    for (id, job) in [("0199-1", "app"), ("0199-2", "web"), ("0199-3", "app")] {
        begin(&state, id, job, &Process::own());
        end(&state, id, RunState::Succeeded, "");
    }
    let ids = |args: &[&str]| -> Vec<String> {
        let json = site.json(args);
        let runs = json["runs"].as_array().unwrap();
        runs.iter()
            .map(|run| run["run_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&["history", "--json"]), ["0199-3", "0199-2", "0199-1"]);
    assert_eq!(ids(&["history", "app", "--json"]), ["0199-3", "0199-1"]);
    assert_eq!(ids(&["history", "--limit", "1", "--json"]), ["0199-3"]);
    let said = site.says(&["history"]);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    assert!(
        lines[1].starts_with("0199-3") && lines[1].contains("manual (ada)"),
        "{said}"
    );
}

#[test]
fn show_takes_the_beginning_of_an_id_and_tells_all_of_a_run() {
    let site = Site::new();
    let state = site.state();
    begin(&state, "0199aa-1", "app", &Process::own());
    progress(&state, "0199aa-1", 100.0);
    end(&state, "0199aa-1", RunState::Succeeded, "all well");
    begin(&state, "0199ab-2", "app", &Process::own());
    let said = site.says(&["show", "0199aa"]);
    for part in [
        "0199aa-1",
        "production -> staging",
        "succeeded",
        "0 errors, 3 warnings",
        "1,234,567",
        "987.7 MB",
        "all well",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(
        site.json(&["show", "0199aa", "--json"])["run"]["exit_code"],
        0
    );

    let (code, said) = site.fails(&["show", "0199"]);
    assert_eq!(code, 2);
    assert!(
        said.contains("0199aa-1 (app), ") || said.contains("0199ab-2 (app), "),
        "{said}"
    );
    // A job's name means its last run.
    assert!(site.says(&["show", "app"]).contains("0199ab-2"));
    log(&state, "0199ab-2", "of the last run");
    assert!(site.says(&["logs", "app"]).contains("of the last run"));
    let (code, said) = site.fails(&["show", "web"]);
    assert_eq!(code, 2);
    assert!(said.contains("no run or job `web`"), "{said}");
}

#[test]
fn an_unknown_job_is_answered_with_near_names() {
    let site = Site::new();
    begin(&site.state(), "0199-1", "publishing-api", &Process::own());
    for verb in ["status", "history"] {
        let (code, said) = site.fails(&[verb, "publising-api"]);
        assert_eq!(code, 2);
        assert!(said.contains("did you mean `publishing-api`?"), "{said}");
    }
}

#[test]
fn logs_are_printed_in_order_and_as_one_document_a_line() {
    let site = Site::new();
    let state = site.state();
    begin(&state, "0199-1", "app", &Process::own());
    for number in 0..1200 {
        log(&state, "0199-1", &format!("line {number}"));
    }
    let said = site.says(&["logs", "0199-1"]);
    assert_eq!(said.lines().count(), 1200);
    assert!(
        said.lines()
            .nth(7)
            .unwrap()
            .ends_with("info  [database] line 7"),
        "{said}"
    );
    let said = site.says(&["logs", "0199-1", "--json"]);
    for (number, line) in said.lines().enumerate() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["seq"], number + 1);
        assert_eq!(line["version"], 1);
        assert_eq!(line["message"], format!("line {number}"));
    }
}

#[test]
fn follow_prints_what_comes_and_stops_when_the_run_ends() {
    let site = Site::new();
    let state = site.state();
    begin(&state, "0199-1", "app", &Process::own());
    log(&state, "0199-1", "first");
    let mut child = site
        .command(&["logs", "0199-1", "--follow"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().ends_with("first"));
    assert!(
        child.try_wait().unwrap().is_none(),
        "it stopped before the run"
    );
    log(&state, "0199-1", "second");
    assert!(lines.next().unwrap().unwrap().ends_with("second"));
    log(&state, "0199-1", "last");
    end(&state, "0199-1", RunState::Succeeded, "");
    assert!(lines.next().unwrap().unwrap().ends_with("last"));
    assert!(lines.next().is_none());
    assert!(child.wait().unwrap().success());
}

#[test]
fn follow_stops_where_the_process_of_the_run_is_gone() {
    let site = Site::new();
    begin(&site.state(), "0199-1", "app", &dead());
    let output = site.output(&["logs", "0199-1", "--follow"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        site.json(&["show", "0199-1", "--json"])["run"]["state"],
        "failed"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let site = Site::new();
    let state = site.state();
    begin(&state, "0199-1", "app", &Process::own());
    let long = "x".repeat(4000);
    for _ in 0..100 {
        log(&state, "0199-1", &long);
    }
    for args in [
        &["logs", "0199-1"][..],
        &["completions", "bash"],
        &["--help"],
    ] {
        let mut child = site
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let mut said = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}: {said}");
        assert_eq!(said, "", "{args:?}");
    }
}

#[test]
fn a_hold_stays_until_it_is_released_and_a_second_one_is_told_who_has_it() {
    let site = Site::new();
    let said = site.says(&["hold", "staging", "--reason", "release\n42"]);
    assert!(said.contains("envsyncd release staging"), "{said}");
    let (code, said) = site.fails(&["hold", "staging", "--reason", "mine", "-q"]);
    assert_eq!(code, 75);
    assert!(
        said.contains("release 42") && said.contains(&host_name()),
        "{said}"
    );
    assert!(site.says(&["release", "staging"]).contains("release 42"));
    let output = site.output(&["release", "staging"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("nobody holds `staging`"));
    assert_eq!(
        site.output(&["hold", "staging", "--reason", " "])
            .status
            .code(),
        Some(2)
    );
}

#[test]
fn an_environment_cannot_be_held_while_a_run_writes_into_it() {
    let site = Site::new();
    begin(&site.state(), "0199-1", "app", &Process::own());
    let (code, said) = site.fails(&["hold", "staging", "--reason", "r", "--", "touch", "ran"]);
    assert_eq!(code, 75);
    assert!(said.contains("0199-1") && said.contains("`app`"), "{said}");
    assert_eq!(site.state().hold_on("staging").unwrap(), None);
}

#[test]
fn the_release_of_an_environment_that_there_is_not_is_no_release() {
    let site = Site::new();
    std::fs::write(
        site.root.path().join("envsyncd.toml"),
        "[environments.production]\n[environments.staging]\nparent = \"production\"\n",
    )
    .unwrap();
    let config = site.root.path().join("envsyncd.toml");
    let config = ["--config", config.to_str().unwrap()];
    site.says(&[&config[..], &["hold", "staging", "--reason", "deploy"]].concat());
    let (code, said) = site.fails(&[&config[..], &["release", "stagin"]].concat());
    assert_eq!(code, 2);
    assert!(
        said.contains("`stagin` is not defined") && said.contains("did you mean `staging`?"),
        "{said}"
    );
    assert!(site.state().hold_on("staging").unwrap().is_some());
    site.says(&[&config[..], &["release", "staging"]].concat());
}

#[test]
fn what_others_wrote_does_not_steer_the_terminal() {
    const EVIL: &str = "\u{1b}]0;title\u{7}\u{9b}2J\u{202e}\u{1b}[31m\nsecond\rline";
    let site = Site::new();
    let state = site.state();
    begin(&state, "0199-1", "app", &Process::own());
    log(&state, "0199-1", EVIL);
    end(&state, "0199-1", RunState::Failed, EVIL);
    state
        .hold(&Hold {
            environment: "staging".into(),
            reason: EVIL.into(),
            by: EVIL.into(),
            host: EVIL.into(),
            since: Utc::now(),
            process: None,
        })
        .unwrap();
    let steers =
        |text: &str| text.contains(|c: char| c != '\n' && (c.is_control() || c == '\u{202e}'));
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["history"],
        &["history", "--json"],
        &["show", "0199-1"],
        &["show", "0199-1", "--json"],
        &["logs", "0199-1"],
        &["logs", "0199-1", "--json"],
        &["hold", "staging", "--reason", "mine"],
        &["release", "staging"],
        &["show", "\u{1b}[31m"],
    ] {
        let output = site.output(args);
        for said in [text(&output.stdout), text(&output.stderr)] {
            assert!(!steers(&said), "{args:?}: {said:?}");
        }
    }
    // It is there all the same.
    let said = site.says(&["history"]);
    assert!(
        said.contains("\\u{1b}]0;title") && said.lines().count() == 2,
        "{said}"
    );
    let shown = site.json(&["show", "0199-1", "--json"]);
    assert_eq!(shown["run"]["message"], EVIL);
    let refused = site.output(&["hold", "qa", "--reason", "a\u{1b}[2Jb"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(!steers(&text(&refused.stderr)), "{refused:?}");
}

#[test]
fn an_id_that_history_prints_is_enough_for_show_whatever_else_the_history_has() {
    let site = Site::new();
    let state = site.state();
    let id = |last: u8| format!("0199d3a4-7c21-7000-8000-00000000000{last}");
    for last in 1..=6 {
        begin(&state, &id(last), "app", &Process::own());
        end(&state, &id(last), RunState::Succeeded, "");
    }
    let said = site.says(&["history", "-n", "1"]);
    let shown = said
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    assert!(site.says(&["show", shown]).contains(&id(6)), "{said}");
    begin(
        &state,
        "0299d3a4-7c21-7000-8000-000000000001",
        "web",
        &Process::own(),
    );
    let said = site.says(&["history", "web"]);
    assert!(
        said.lines().nth(1).unwrap().starts_with("0299d3a4-7c21 "),
        "{said}"
    );
}

#[test]
fn what_went_wrong_comes_first_and_then_what_runs() {
    let site = Site::new();
    let state = site.state();
    for (number, (job, how)) in [
        ("a", Some(RunState::Succeeded)),
        ("b", None),
        ("c", Some(RunState::Failed)),
        ("d", Some(RunState::Refused)),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("0199-{number}");
        begin(&state, &id, job, &Process::own());
        if let Some(how) = how {
            end(&state, &id, how, "");
        }
    }
    let said = site.says(&["status"]);
    let jobs: String = said
        .lines()
        .skip(1)
        .filter_map(|line| line.chars().next())
        .collect();
    assert_eq!(jobs, "cdba", "{said}");
    // A document's order is no matter of taste.
    let json = site.json(&["status", "--json"]);
    let jobs: Vec<&str> = (json["jobs"].as_array().unwrap().iter())
        .map(|job| job["job"].as_str().unwrap())
        .collect();
    assert_eq!(jobs, ["a", "b", "c", "d"]);
}

#[test]
fn a_state_store_that_is_a_link_is_not_followed() {
    let site = Site::new();
    let victim = site.root.path().join("victim");
    std::fs::create_dir(site.root.path().join("state")).unwrap();
    for (name, content) in [("state.db", "x"), ("state.db", ""), ("state.db-wal", "x")] {
        std::fs::write(&victim, content).unwrap();
        let link = site.root.path().join("state").join(name);
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        for args in [&["hold", "staging", "--reason", "r"][..], &["status"]] {
            let (code, said) = site.fails(args);
            assert_eq!(code, 1, "{said}");
            assert!(said.contains("is a symbolic link"), "{said}");
        }
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), content);
        std::fs::remove_file(link).unwrap();
    }
    // One on the way to it is the operator's own.
    let elsewhere = site.root.path().join("elsewhere");
    std::os::unix::fs::symlink(site.root.path().join("state"), &elsewhere).unwrap();
    let output = site
        .command(&["hold", "staging", "--reason", "r"])
        .env("ENVSYNCD_STATE_DIR", &elsewhere)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// `hold staging -- sh -c SCRIPT`, once the script has said `ready`.
fn held(site: &Site, script: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = site
        .command(&[
            "hold", "staging", "--reason", "deploy", "--", "sh", "-c", script,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, out)
}

#[test]
fn a_hold_around_a_command_lasts_as_long_as_it_and_forwards_its_exit_code() {
    let site = Site::new();
    let state = site.state();
    let (mut child, _out) = held(&site, "echo ready; read line; exit 7");
    let hold = state.hold_on("staging").unwrap().unwrap();
    assert_eq!(
        (hold.reason.as_str(), hold.process.is_some()),
        ("deploy", true)
    );
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(7));
    assert_eq!(state.hold_on("staging").unwrap(), None);
    assert!(
        site.says(&["hold", "staging", "--reason", "next"])
            .contains("is held")
    );
}

#[test]
fn a_signal_reaches_the_command_and_the_hold_ends_however_the_command_does() {
    let site = Site::new();
    let state = site.state();
    let (mut child, mut out) = held(
        &site,
        "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.1; done",
    );
    let signal = |child: &Child, name: &str| {
        let status = Command::new("kill")
            .args(["-s", name, &child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    };
    signal(&child, "TERM");
    let mut said = String::new();
    out.read_to_string(&mut said).unwrap();
    assert_eq!(said, "caught\n");
    assert_eq!(child.wait().unwrap().code(), Some(9));
    assert_eq!(state.hold_on("staging").unwrap(), None);

    let (mut child, _out) = held(&site, "echo ready; read line");
    assert!(state.hold_on("staging").unwrap().is_some());
    signal(&child, "KILL");
    assert_eq!(child.wait().unwrap().code(), None);
    assert_eq!(state.hold_on("staging").unwrap(), None);
}

#[test]
fn a_hold_on_a_name_that_no_run_ever_had_says_so() {
    let site = Site::new();
    begin(&site.state(), "0199-1", "app", &dead());
    let output = site.output(&["hold", "stagign", "--reason", "r"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("`stagign`"), "{output:?}");
    let output = site.output(&["hold", "staging", "--reason", "r"]);
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_command_that_cannot_be_started_leaves_no_hold() {
    let site = Site::new();
    let (code, said) = site.fails(&[
        "hold",
        "production",
        "--reason",
        "r",
        "--",
        "/no/such/program",
    ]);
    assert_eq!(code, 127);
    assert!(said.contains("/no/such/program"), "{said}");
    let file = site.root.path().join("jobs/no-program");
    std::fs::write(&file, "").unwrap();
    let (code, _) = site.fails(&[
        "hold",
        "production",
        "--reason",
        "r",
        "--",
        file.to_str().unwrap(),
    ]);
    assert_eq!(code, 126);
    assert_eq!(site.state().holds().unwrap(), []);
}

#[test]
fn what_the_command_line_does_not_know_is_exit_code_2() {
    let site = Site::new();
    for args in [
        &["frobnicate"][..],
        &["status", "--frobnicate"],
        &["show"],
        &[],
    ] {
        let output = site.output(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
        assert_eq!(text(&output.stdout), "", "{args:?}");
    }
    assert!(site.says(&["--version"]).starts_with("envsyncd 0."));
    assert!(site.says(&["hold", "--help"]).contains("Exit codes"));
}

#[test]
fn each_shell_gets_completions_with_the_verbs_in_them() {
    let site = Site::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let said = site.says(&["completions", shell]);
        assert!(
            said.contains("history") && said.contains("release"),
            "{shell}"
        );
    }
}

#[test]
fn bash_completes_the_names_of_jobs_and_environments() {
    let site = Site::new();
    for job in ["accounts", "accounting", "web"] {
        std::fs::write(site.root.path().join(format!("jobs/{job}.toml")), "").unwrap();
    }
    begin(&site.state(), "0199-1", "app", &Process::own());
    let script = site.root.path().join("completions.bash");
    std::fs::write(&script, site.says(&["completions", "bash"])).unwrap();
    let completed = |words: &[&str]| -> Vec<String> {
        let line = format!(
            "source {}; COMP_WORDS=({BINARY} {}); COMP_CWORD={}; _envsyncd_with_names {BINARY} {} {}; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.join(" "),
            words.len(),
            words[1],
            words[0]
        );
        let mut bash = Command::new("bash");
        let of_site = site.command(&[]);
        for (key, value) in of_site.get_envs() {
            match value {
                Some(value) => bash.env(key, value),
                None => bash.env_remove(key),
            };
        }
        let output = bash.args(["--norc", "-c", &line]).output().unwrap();
        text(&output.stdout).lines().map(str::to_owned).collect()
    };
    assert_eq!(completed(&["show", "acc"]), ["accounting", "accounts"]);
    assert_eq!(completed(&["logs", "a"]), ["accounting", "accounts", "app"]);
    assert_eq!(completed(&["hold", "st"]), ["staging"]);
    assert!(completed(&["show", "--js"]).contains(&"--json".to_owned()));
}

#[test]
fn a_state_directory_that_cannot_be_made_is_named_with_what_to_do() {
    let site = Site::new();
    let file = site.root.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = site
        .command(&["hold", "staging", "--reason", "r"])
        .env("ENVSYNCD_STATE_DIR", file.join("state"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains("file/state") && said.contains("run this as root"),
        "{said}"
    );
    // A hold in a state_dir of one's own would hold nothing.
    assert!(!said.contains("ENVSYNCD_STATE_DIR"), "{said}");
}

#[test]
fn one_who_may_only_read_sees_the_history_and_is_told_why_nothing_can_be_held() {
    let site = Site::new();
    let state = site.state();
    begin(&state, "0199-1", "app", &Process::own());
    // Once with a writer about, once without.
    let reader = |args: &[&str]| {
        let mut command = site.command(args);
        if nix::unistd::geteuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
        command.output().unwrap()
    };
    let modes = |mode: u32, dir: u32| {
        for name in ["state.db", "state.db-wal", "state.db-shm"] {
            let file = site.root.path().join("state").join(name);
            if file.exists() {
                std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            }
        }
        for dir_path in [site.root.path().join("state"), site.root.path().to_owned()] {
            std::fs::set_permissions(dir_path, PermissionsExt::from_mode(dir)).unwrap();
        }
    };
    modes(0o444, 0o555);
    let output = reader(&["history"]);
    assert!(text(&output.stdout).contains("0199-1"), "{output:?}");
    modes(0o644, 0o755);
    drop(state);
    assert!(!site.root.path().join("state/state.db-wal").exists());
    modes(0o444, 0o555);
    let output = reader(&["history"]);
    assert!(text(&output.stdout).contains("0199-1"), "{output:?}");
    let output = reader(&["hold", "staging", "--reason", "r"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        text(&output.stderr).contains("run this as root, or as "),
        "{output:?}"
    );
    modes(0o644, 0o755);
}
