//! The verbs that read and write the state store, as a person or a script meets them.

mod completions;
mod history;
mod holds;
mod tokens;

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
        self.command_of(BINARY, args)
    }

    /// The same with another copy of the binary.
    fn command_of(&self, program: &str, args: &[&str]) -> Command {
        let root = self.root.path();
        let mut command = self.host.command(program);
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
        masked: None,
        steps: Vec::new(),
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
    // The binary may be in a directory that is closed to others.
    let program = site.root.path().join("envsyncd");
    std::fs::copy(BINARY, &program).unwrap();
    // Once with a writer about, once without.
    let reader = |args: &[&str]| {
        let mut command = site.command_of(program.to_str().unwrap(), args);
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
