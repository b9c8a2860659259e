//! The state store with 100,000 runs in it: what people and Prometheus ask of it, and pruning.
//!
//! `cargo bench --bench state`, with `-- --quick` for a tenth of the runs. Verbs are timed as whole processes, as people
//! wait for them; medians. Once with the runs of 1,000 jobs, once with those of 10.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use envsyncd::config::reporting::Retention;
use envsyncd::guard::process::{Process, host_name};
use envsyncd::report::metrics::{self, Daemon, Job};
use envsyncd::state::{NewRun, State, Trigger, Verb};
use rusqlite::{Connection, params};

/// What nobody should have to wait longer for.
const GOAL: Duration = Duration::from_millis(100);
const ROUNDS: usize = 11;
const LINES_A_RUN: i64 = 5;

fn main() {
    let is_quick = std::env::args().any(|argument| argument == "--quick");
    let runs = if is_quick { 10_000 } else { 100_000 };
    for jobs in [1000, 10] {
        let site = Site::with(runs, jobs);
        let size = fs::metadata(site.path("state/state.db")).map_or(0, |file| file.len());
        println!(
            "\n{runs} runs of {jobs} jobs, {} lines of log, {:.0} MB",
            runs * LINES_A_RUN,
            size as f64 / 1e6
        );
        println!("{:<34}{:>12}{:>12}", "", "median", "goal");
        site.verbs();
        site.inside(jobs);
        site.prune(runs);
    }
}

struct Site(tempfile::TempDir);

fn name(job: i64) -> String {
    format!("job-{job:04}")
}

impl Site {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn state(&self) -> State {
        State::open(&self.path("state")).expect("the store")
    }

    /// Job after job takes its turn, one run an hour of each; every tenth fails, and `job-0001` always does.
    fn with(runs: i64, jobs: i64) -> Self {
        let site = Self(tempfile::tempdir().expect("a temporary directory"));
        for directory in ["jobs", "status", "lock"] {
            fs::create_dir(site.path(directory)).expect("a directory");
        }
        for job in 0..jobs {
            let (name, next) = (name(job), Utc::now() + TimeDelta::hours(1));
            fs::write(site.path("jobs").join(format!("{name}.toml")), "").expect("a job's file");
            fs::write(
                site.path("status").join(format!("{name}.json")),
                format!(
                    "{{\"version\": 1, \"next_run_at\": \"{}\"}}",
                    next.to_rfc3339()
                ),
            )
            .expect("a status file");
        }
        drop(site.state());
        let mut connection =
            Connection::open(site.path("state/state.db")).expect("the store's file");
        let transaction = connection.transaction().expect("a transaction");
        {
            let mut run = transaction
                .prepare(
                    "INSERT INTO runs (id, job, file, verb, from_environment, to_environment, trigger, by, host, state,
                         step, started_at, finished_at, message, exit_code)
                     VALUES (?1, ?2, CAST('/etc/envsyncd/config.d/job.toml' AS BLOB), 'run', 'production', 'staging', 'schedule', '',
                         'db2.example', ?3, 'record', ?4, ?4 + 60000000, ?5, 0)",
                )
                .expect("a statement");
            let mut task = transaction
                .prepare(
                    "INSERT INTO tasks VALUES (?1, 0, 'database', 'postgresql', ?2, 100, 1234567, 987654321, 59.5, '')",
                )
                .expect("a statement");
            let mut line = transaction
                .prepare("INSERT INTO logs VALUES (?1, ?2, ?3, 'info', 'database', 'a table of 123456 rows was copied')")
                .expect("a statement");
            let first = Utc::now() - TimeDelta::hours(runs / jobs);
            for number in 0..runs {
                let job = number % jobs;
                let (state, message) = if job == 1 || number / jobs % 10 == 9 {
                    (
                        "failed",
                        "the server db1.example cannot be reached: connection refused",
                    )
                } else {
                    ("succeeded", "")
                };
                let started = stored(first + TimeDelta::hours(number / jobs));
                let id = format!("{:012x}-7000-8000-{number:012x}", started / 1000);
                run.execute(params![id, name(job), state, started, message])
                    .expect("a run");
                let seq = transaction.last_insert_rowid();
                task.execute(params![seq, state]).expect("a task");
                for number in 1..=LINES_A_RUN {
                    line.execute(params![seq, number, started]).expect("a line");
                }
            }
        }
        transaction.commit().expect("all runs");
        site
    }

    fn verbs(&self) {
        for (code, arguments) in [
            (0, &["--version"][..]),
            (0, &["status"]),
            (0, &["status", "--json"]),
            (0, &["history"]),
            (0, &["history", "job-0001"]),
            // One that is not there is looked for everywhere.
            (2, &["show", "no-such-run"]),
        ] {
            let time = median(|| {
                let status = Command::new(env!("CARGO_BIN_EXE_envsyncd"))
                    .args(arguments)
                    .env("ENVSYNCD_STATE_DIR", self.path("state"))
                    .env("ENVSYNCD_STATUS_DIR", self.path("status"))
                    .env("ENVSYNCD_JOB_DIR", self.path("jobs"))
                    .env("ENVSYNCD_LOCK_DIR", self.path("lock"))
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status()
                    .expect("the binary");
                assert_eq!(status.code(), Some(code), "{arguments:?}");
            });
            line(&format!("envsyncd {}", arguments.join(" ")), time);
        }
    }

    fn inside(&self, jobs: i64) {
        let state = self.state();
        line(
            "all jobs at once",
            median(|| drop(state.overview().expect("the history"))),
        );
        let names: Vec<String> = (0..jobs).map(name).collect();
        let known: Vec<Job<'_>> = names
            .iter()
            .map(|name| Job {
                name,
                valid: true,
                to: Some("staging"),
                next_run_at: Some(Utc::now()),
            })
            .collect();
        let daemon = Daemon {
            started_at: Utc::now(),
            queued: 0,
            running: 0,
        };
        let mut length = 0;
        let time = median(|| {
            let text = metrics::render(&state, &known, Some(&daemon)).expect("metrics");
            length = text.len();
        });
        line(&format!("metrics, {} KiB", length / 1024), time);
        let file = self.path("envsyncd.prom");
        let text = metrics::render(&state, &known, Some(&daemon)).expect("metrics");
        line(
            "metrics, written",
            median(|| metrics::write(&file, &text).expect("a file")),
        );
        let keep = Retention {
            max_age: Duration::from_secs(1 << 40),
            max_runs: 1_000_000,
            log_max_age: Duration::from_secs(1 << 40),
        };
        line(
            "prune, nothing to do",
            median(|| {
                state.prune(&keep, Utc::now()).expect("the history");
            }),
        );
    }

    /// Half of the runs go while a run writes its progress.
    fn prune(&self, runs: i64) {
        let state = self.state();
        let begin: i64 = Connection::open(state.file())
            .and_then(|connection| {
                connection.query_row(
                    "SELECT finished_at FROM runs ORDER BY seq LIMIT 1 OFFSET ?1",
                    [runs / 2],
                    |row| row.get(0),
                )
            })
            .expect("a run in the middle");
        let age = (Utc::now() - DateTime::from_timestamp_micros(begin).expect("a time"))
            .to_std()
            .expect("the past");
        let retention = Retention {
            max_age: age,
            max_runs: 1_000_000,
            log_max_age: age,
        };
        let done = AtomicBool::new(false);
        let (took, pruned, waits) = std::thread::scope(|scope| {
            let writer = scope.spawn(|| self.waits(&done));
            let start = Instant::now();
            let pruned = state.prune(&retention, Utc::now()).expect("the history");
            let took = start.elapsed();
            done.store(true, Ordering::SeqCst);
            (took, pruned, writer.join().expect("the writer"))
        });
        println!(
            "prune of {} runs and {} lines: {:.1} s; a run that wrote {} times meanwhile waited {:.1} ms at the median, \
             {:.0} ms at the most",
            pruned.runs,
            pruned.log_lines,
            took.as_secs_f64(),
            waits.len(),
            waits[waits.len() / 2].as_secs_f64() * 1e3,
            waits[waits.len() - 1].as_secs_f64() * 1e3,
        );
    }

    /// How long each change of a run that goes on took, shortest first.
    fn waits(&self, done: &AtomicBool) -> Vec<Duration> {
        let state = self.state();
        let process = Process::own();
        state
            .begin(&NewRun {
                id: "going-on",
                job: "going-on",
                file: Path::new("/going-on.toml"),
                verb: Verb::Run,
                from: "production",
                to: "staging",
                trigger: Trigger::Manual,
                by: "",
                host: &host_name(),
                process: &process,
                timeout: None,
                tasks: &[],
                only: &[],
            })
            .expect("a run");
        let mut waits = Vec::new();
        while !done.load(Ordering::SeqCst) || waits.is_empty() {
            let start = Instant::now();
            state.set_step("going-on", "copy").expect("a step");
            waits.push(start.elapsed());
            std::thread::sleep(Duration::from_millis(5));
        }
        waits.sort();
        waits
    }
}

fn stored(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

fn median(mut work: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[ROUNDS / 2]
}

fn line(what: &str, time: Duration) {
    let milliseconds = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
    let over = if time > GOAL { "   OVER" } else { "" };
    println!(
        "{what:<34}{:>12}{:>12}{over}",
        milliseconds(time),
        milliseconds(GOAL)
    );
}
