//! Metrics as Prometheus's own tools read them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use envsyncd::config::reporting::Retention;
use envsyncd::error::Kind;
use envsyncd::guard::process::{Process, host_name};
use envsyncd::report::metrics::{self, Daemon, Job};
use envsyncd::state::{
    NewRun, Outcome, Pause, Paused, Queued, RunState, State, TaskProgress, Trigger, Verb,
};

use super::support::postgres::free_port;
use super::support::wait_until;

fn run(state: &State, id: &str, job: &str, verb: Verb, end: Option<RunState>) {
    state
        .begin(&NewRun {
            id,
            job,
            file: Path::new("/app.toml"),
            verb,
            from: "production",
            to: "staging",
            trigger: Trigger::Schedule,
            by: "",
            host: &host_name(),
            process: &Process::own(),
            timeout: Some(Duration::from_secs(90)),
            tasks: &[("database".into(), "sqlite".into())],
            only: &[],
        })
        .unwrap();
    let progress = TaskProgress {
        state: RunState::Running,
        progress_percent: 25.0,
        rows: 7,
        bytes: 5_000_000_000,
        duration_seconds: 1.0,
        surveyed_at: None,
        message: String::new(),
        masked: None,
        steps: Vec::new(),
    };
    state.set_task(id, "database", &progress).unwrap();
    if let Some(how) = end {
        let outcome = Outcome {
            state: how,
            message: String::new(),
            errors: 0,
            warnings: 0,
            exit_code: 0,
        };
        assert!(state.finish(id, &outcome).unwrap());
    }
}

fn job(name: &str) -> Job<'_> {
    Job {
        name,
        valid: true,
        to: Some("staging"),
        next_run_at: None,
    }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn daemon() -> Daemon {
    Daemon {
        started_at: at("2026-01-01T00:00:00.5Z"),
        queued: 2,
        running: 1,
    }
}

/// A job of each sort, and one with a name that no file can have.
fn everything() -> (State, Vec<Job<'static>>) {
    let state = State::in_memory().unwrap();
    run(&state, "1", "good", Verb::Run, Some(RunState::Succeeded));
    run(&state, "2", "bad", Verb::Run, Some(RunState::Succeeded));
    run(&state, "3", "bad", Verb::Run, Some(RunState::Failed));
    run(&state, "4", "bad", Verb::Run, Some(RunState::Refused));
    run(&state, "5", "back", Verb::Run, Some(RunState::Failed));
    run(
        &state,
        "6",
        "back",
        Verb::Rollback,
        Some(RunState::Succeeded),
    );
    run(&state, "7", "runs", Verb::Run, Some(RunState::Busy));
    run(&state, "8", "runs", Verb::Run, None);
    run(&state, "9", "gone", Verb::Run, Some(RunState::Succeeded));
    let pause = Pause {
        what: Paused::Job("bad".to_owned()),
        reason: "load test".to_owned(),
        by: "ada".to_owned(),
        since: chrono::Utc::now(),
        until: None,
    };
    state.pause(&pause).unwrap();
    let waits = Queued {
        id: "10",
        job: "waits",
        file: Path::new("/app.toml"),
        verb: Verb::Run,
        from: "production",
        to: "staging",
        trigger: Trigger::Manual,
        by: "ada",
        only: &[],
    };
    state.ask(&waits, false).unwrap();
    let jobs = vec![
        Job {
            next_run_at: Some(at("2026-01-02T00:18:00Z")),
            ..job("good")
        },
        job("bad"),
        job("back"),
        job("runs"),
        Job {
            valid: false,
            ..job("new")
        },
        job("waits"),
        job("odd \"name\"\\\n"),
    ];
    (state, jobs)
}

/// Samples by their series, in Prometheus's own order of labels: as they are written.
fn samples(text: &str) -> BTreeMap<&str, f64> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        let known = samples.insert(series, value.parse().unwrap());
        assert!(known.is_none(), "{series} is there twice");
    }
    samples
}

/// What a program says when all is well; panics with what it says otherwise.
fn promtool(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool, of Debian's package prometheus");
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("packaging/prometheus")
        .join(name)
}

#[test]
fn promtool_finds_nothing_to_complain_about() {
    let (state, jobs) = everything();
    for (jobs, daemon) in [(&jobs[..], Some(&daemon())), (&jobs[..0], None)] {
        let text = metrics::render(&state, jobs, daemon).unwrap();
        assert_eq!(promtool(&["check", "metrics"], &text), "", "{text}");
    }
}

#[test]
fn each_sample_says_what_the_history_and_the_daemon_know() {
    let (state, jobs) = everything();
    let text = metrics::render(&state, &jobs, Some(&daemon())).unwrap();
    let samples = samples(&text);
    let last_success = state.last_success_at("good").unwrap().unwrap();
    for (series, value) in [
        ("envsyncd_daemon_up", 1.0),
        ("envsyncd_daemon_start_timestamp_seconds", 1_767_225_600.5),
        ("envsyncd_jobs", 7.0),
        ("envsyncd_jobs_invalid", 1.0),
        ("envsyncd_runs_queued", 2.0),
        ("envsyncd_runs_running", 1.0),
        ("envsyncd_job_valid{name=\"good\"}", 1.0),
        ("envsyncd_job_valid{name=\"new\"}", 0.0),
        ("envsyncd_job_paused{name=\"bad\"}", 1.0),
        (
            "envsyncd_job_next_run_timestamp_seconds{name=\"good\"}",
            1_767_313_080.0,
        ),
        (
            "envsyncd_job_last_success_timestamp_seconds{name=\"good\"}",
            last_success.timestamp_millis() as f64 / 1000.0,
        ),
        (
            "envsyncd_job_last_success_timestamp_seconds{name=\"back\"}",
            0.0,
        ),
        ("envsyncd_job_consecutive_failures{name=\"bad\"}", 2.0),
        ("envsyncd_job_progress_ratio{name=\"runs\"}", 0.25),
        ("envsyncd_run_timeout_seconds{name=\"runs\"}", 90.0),
        ("envsyncd_run_bytes{name=\"runs\"}", 5_000_000_000.0),
        ("envsyncd_run_rows{name=\"back\"}", 7.0),
        ("envsyncd_runs_total{name=\"bad\",state=\"failed\"}", 1.0),
        ("envsyncd_runs_total{name=\"bad\",state=\"succeeded\"}", 1.0),
        (
            "envsyncd_runs_total{name=\"back\",state=\"succeeded\"}",
            0.0,
        ),
        ("envsyncd_rollbacks_total{name=\"back\"}", 1.0),
        ("envsyncd_run_bytes_total{name=\"bad\"}", 15_000_000_000.0),
        ("envsyncd_run_rows_total{name=\"bad\"}", 21.0),
        ("envsyncd_job_valid{name=\"odd \\\"name\\\"\\\\\\n\"}", 1.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series} in\n{text}");
    }
    for (name, state) in [
        ("good", "succeeded"),
        ("bad", "refused"),
        ("back", "succeeded"),
        ("runs", "running"),
        ("new", "never"),
        ("waits", "pending"),
    ] {
        let prefix = format!("envsyncd_job_state{{name=\"{name}\",");
        let set: Vec<_> = samples
            .iter()
            .filter(|(series, _)| series.starts_with(&prefix))
            .collect();
        assert_eq!(set.len(), 8);
        for (series, value) in set {
            let is = series.ends_with(&format!("state=\"{state}\"}}"));
            assert_eq!(Some(value), Some(&f64::from(u8::from(is))), "{series}");
        }
    }
    // A job whose file is gone ends its series.
    assert!(!text.contains("\"gone\""), "{text}");
    // No sample has a timestamp, and each family is in one piece.
    let mut families = BTreeSet::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let name = help.split(' ').next().unwrap();
            assert!(families.insert(name), "{name} is there twice");
        } else if !line.starts_with('#') {
            let value = line.rsplit('}').next().unwrap().trim();
            let words = value.split(' ').count() - usize::from(!line.contains('}'));
            assert_eq!(words, 1, "{line}");
        }
    }
}

#[test]
fn a_job_that_never_ran_has_every_series_of_one_that_did_with_zeros() {
    let (state, jobs) = everything();
    let text = metrics::render(&state, &jobs, None).unwrap();
    let samples = samples(&text);
    let series = |name: &str| -> BTreeSet<String> {
        let label = format!("name=\"{name}\"");
        samples
            .keys()
            .filter(|series| series.contains(&label))
            .map(|series| series.replace(&label, ""))
            .collect()
    };
    assert_eq!(series("new"), series("bad"));
    assert!(series("new").len() > 20);
    for (series, value) in &samples {
        if series.contains("name=\"new\"") && !series.contains("state=\"never\"") {
            assert!(*value == 0.0, "{series} {value}");
        }
    }
    for series in [
        "envsyncd_daemon_up",
        "envsyncd_daemon_start_timestamp_seconds",
    ] {
        assert_eq!(samples.get(series), Some(&0.0), "{series}");
    }
}

#[test]
fn no_counter_goes_down_when_the_history_is_pruned() {
    let (state, jobs) = everything();
    let before = metrics::render(&state, &jobs, None).unwrap();
    let retention = Retention {
        max_age: Duration::from_secs(1),
        max_runs: 1,
        log_max_age: Duration::from_secs(1),
    };
    let pruned = state
        .prune(&retention, Utc::now() + TimeDelta::days(1))
        .unwrap();
    assert!(pruned.runs > 0);
    let after = metrics::render(&state, &jobs, None).unwrap();
    let (before, after) = (samples(&before), samples(&after));
    let counters = |samples: &BTreeMap<&str, f64>| -> Vec<(String, f64)> {
        samples
            .iter()
            .filter(|(series, _)| series.contains("_total{"))
            .map(|(series, value)| ((*series).to_owned(), *value))
            .collect()
    };
    assert_eq!(counters(&before), counters(&after));
    let success = "envsyncd_job_last_success_timestamp_seconds{name=\"bad\"}";
    assert!(after[success] > 0.0);
    assert_eq!(before.get(success), after.get(success));
}

#[test]
fn the_file_is_replaced_in_one_step_and_nothing_else_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("envsyncd.prom");
    fs::write(&file, "old").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let old = fs::File::open(&file).unwrap();
    metrics::write(&file, "envsyncd_jobs 1\n").unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "envsyncd_jobs 1\n");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    // Who was reading the old one reads it to its end.
    assert_eq!(std::io::read_to_string(old).unwrap(), "old");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_directory_that_is_missing_or_no_directory_is_named_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("missing/envsyncd.prom");
    let error = metrics::write(&file, "").unwrap_err();
    assert_eq!(error.kind(), Kind::State, "{error}");
    let said = error.to_string();
    assert!(
        said.contains("missing/envsyncd.prom") && said.contains("[metrics]"),
        "{said}"
    );
    // Nobody, root included, writes into /proc.
    let error = metrics::write(Path::new("/proc/envsyncd.prom"), "").unwrap_err();
    assert!(error.to_string().contains("/proc/envsyncd.prom"), "{error}");
    // A file that cannot be replaced leaves nothing beside it.
    fs::create_dir(directory.path().join("envsyncd.prom")).unwrap();
    assert!(metrics::write(&directory.path().join("envsyncd.prom"), "").is_err());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn the_rules_are_sound_and_each_alert_fires_where_its_test_says() {
    let rules = packaged("envsyncd.rules.yml");
    let said = promtool(&["check", "rules", rules.to_str().unwrap()], "");
    assert!(said.contains("SUCCESS"), "{said}");
    let tests = packaged("envsyncd.rules.test.yml");
    let said = promtool(&["test", "rules", tests.to_str().unwrap()], "");
    assert!(said.contains("SUCCESS"), "{said}");
    let (rules, tests) = (
        fs::read_to_string(rules).unwrap(),
        fs::read_to_string(tests).unwrap(),
    );
    let readme = fs::read_to_string(packaged("README.md")).unwrap();
    for line in rules.lines() {
        let Some(alert) = line.trim().strip_prefix("- alert: ") else {
            continue;
        };
        let checks: Vec<&str> = tests
            .split("- eval_time:")
            .filter(|check| check.contains(&format!("alertname: {alert}\n")))
            .collect();
        let fires = checks.iter().filter(|c| c.contains("exp_alerts:")).count();
        assert!(fires > 0 && fires < checks.len(), "{alert}");
        assert!(readme.contains(&format!("`{alert}`")), "{alert}");
    }
}

#[test]
fn rules_and_reference_name_no_metric_that_is_not_written_and_the_reference_names_all() {
    let (state, jobs) = everything();
    let text = metrics::render(&state, &jobs, None).unwrap();
    let written: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .collect();
    let named = |text: &str| -> BTreeSet<String> {
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|word| word.starts_with("envsyncd_"))
            .map(str::to_owned)
            .collect()
    };
    let rules = fs::read_to_string(packaged("envsyncd.rules.yml")).unwrap();
    for name in named(&rules) {
        assert!(written.contains(name.as_str()), "{name}");
    }
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/metrics.md");
    let reference = named(&fs::read_to_string(reference).unwrap());
    assert_eq!(
        reference
            .iter()
            .map(String::as_str)
            .collect::<BTreeSet<_>>(),
        written
    );
}

/// Killed when dropped.
struct Exporter(Child);

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn node_exporter_serves_what_was_written_and_looks_at_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let (state, jobs) = everything();
    let text = metrics::render(&state, &jobs, Some(&daemon())).unwrap();
    metrics::write(&directory.path().join("envsyncd.prom"), &text).unwrap();
    // What a writer that was killed leaves.
    fs::write(directory.path().join(".envsyncd.prom.7-0"), "envsyncd_jobs").unwrap();
    let port = free_port();
    let mut exporter = Exporter(
        Command::new("prometheus-node-exporter")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .args(["--collector.disable-defaults", "--collector.textfile"])
            .arg(format!(
                "--collector.textfile.directory={}",
                directory.path().display()
            ))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("node_exporter, of Debian's package prometheus-node-exporter"),
    );
    let mut served = String::new();
    wait_until("node_exporter answered", || {
        assert!(exporter.0.try_wait().unwrap().is_none(), "it ended");
        get(port).is_ok_and(|text| {
            served = text;
            served.contains("node_textfile_scrape_error")
        })
    });
    assert!(
        served.contains("\nnode_textfile_scrape_error 0\n"),
        "{served}"
    );
    let mut mtime = String::new();
    write!(
        mtime,
        "node_textfile_mtime_seconds{{file=\"{}\"}} ",
        directory.path().join("envsyncd.prom").display()
    )
    .unwrap();
    assert!(served.contains(&mtime), "{served}");
    let (written, body) = (
        samples(&text),
        served.split_once("\r\n\r\n").expect("a body").1,
    );
    let served = samples(body);
    for (series, value) in written {
        assert_eq!(served.get(series), Some(&value), "{series}");
    }
    assert!(served.keys().all(|series| !series.contains(".7-0")));
}
