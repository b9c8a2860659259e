//! Metrics for Prometheus, as a file for node_exporter's textfile collector, in the text exposition format
//! (prometheus.io/docs/instrumenting/exposition_formats). No sample has a timestamp: the collector takes none.
//!
//! A job's label is `name`, as in node_exporter's own `node_systemd_unit_state`. `job` is what Prometheus calls a group
//! of targets: it would be renamed to `exported_job` on its way.

use std::collections::{HashMap, HashSet};
use std::fmt::{Display, Write};
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::replace::replace;
use super::status_file;
use crate::error::{Error, Kind, Result, io};
use crate::state::{self, JobOverview, Pause, Run, RunState, State, Verb};

/// A job as its file has it. What else is said of it is in the state store.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether its file, as it is now, is right.
    pub valid: bool,
    /// The environment that its data goes to, if that is known.
    pub to: Option<&'a str>,
    /// When it is due next.
    pub next_run_at: Option<DateTime<Utc>>,
}

/// The daemon itself.
#[derive(Debug, Clone, Copy)]
pub struct Daemon {
    /// When it started.
    pub started_at: DateTime<Utc>,
    /// How many runs wait for their turn.
    pub queued: usize,
    /// How many runs it supervises.
    pub running: usize,
}

impl Daemon {
    /// The daemon as others see it; `None`: there is none.
    pub fn seen(state: &State) -> Result<Option<Self>> {
        let Some(daemon) = state.daemon()?.filter(state::Daemon::is_alive) else {
            return Ok(None);
        };
        let unfinished = state.unfinished()?;
        let count = |state| unfinished.iter().filter(|run| run.state == state).count();
        Ok(Some(Self {
            started_at: daemon.since,
            queued: count(RunState::Pending),
            running: count(RunState::Running),
        }))
    }
}

/// The states of `envsyncd_job_state`: the status file's.
const STATES: [status_file::State; 8] = {
    use status_file::State::{
        Busy, Cancelled, Failed, Never, Pending, Refused, Running, Succeeded,
    };
    [
        Never, Pending, Running, Succeeded, Failed, Refused, Busy, Cancelled,
    ]
};

/// How a run can end, or not begin.
const ENDS: [&str; 6] = [
    "succeeded",
    "failed",
    "refused",
    "busy",
    "cancelled",
    "skipped",
];

/// All that is written of one job.
struct Facts<'a> {
    job: Job<'a>,
    /// Whether its schedule is paused.
    paused: bool,
    /// Whether a run of it waits for its turn.
    pending: bool,
    label: String,
    history: Option<JobOverview>,
    last_ended: Option<Run>,
    totals: Totals,
}

/// The totals of a job's runs.
#[derive(Default)]
struct Totals {
    runs: [u64; ENDS.len()],
    duration: Duration,
    rows: u64,
    bytes: u64,
    rollbacks: u64,
}

/// The metrics of these jobs, and of the daemon unless there is none any more. Jobs that the history has and `jobs`
/// lacks are left out: their series end.
pub fn render(state: &State, jobs: &[Job<'_>], daemon: Option<&Daemon>) -> Result<String> {
    let facts = gather(state, jobs)?;
    let mut text = Text {
        written: String::with_capacity(2048 * (facts.len() + 2)),
        name: "",
    };
    of_daemon(&mut text, jobs, daemon);
    of_jobs(&mut text, &facts);
    of_last_runs(&mut text, &facts);
    of_all_runs(&mut text, &facts);
    Ok(text.written)
}

/// Writes the file, mode 0644, in one step, and so that the collector never reads a half of it.
pub fn write(file: &Path, text: &str) -> Result<()> {
    replace(file, text.as_bytes()).map_err(|error| {
        let directory = file.parent().unwrap_or(file).display().to_string();
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => Some(format!(
                "make the directory {directory}, or set `textfile` under [metrics] to a file where node_exporter's \
                 --collector.textfile.directory is"
            )),
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                Some(format!(
                    "make {directory} writable for the user that envsyncd runs as"
                ))
            }
            _ => None,
        };
        let error = io(format!("metrics file {} cannot be written", file.display()))(error);
        let error = match error.kind() {
            Kind::Full => error,
            _ => error.with_kind(Kind::State),
        };
        hint.into_iter().fold(error, Error::hint)
    })
}

fn gather<'a>(state: &State, jobs: &[Job<'a>]) -> Result<Vec<Facts<'a>>> {
    let mut histories: HashMap<String, JobOverview> = state
        .overview()?
        .into_iter()
        .map(|history| (history.job.clone(), history))
        .collect();
    let mut totals: HashMap<String, Totals> = HashMap::new();
    for total in state.totals()? {
        let sum = totals.entry(total.job).or_default();
        if total.verb == Verb::Rollback {
            if total.state == RunState::Succeeded {
                sum.rollbacks += total.runs;
            }
            continue;
        }
        if let Some(end) = ENDS.iter().position(|end| *end == total.state.as_str()) {
            sum.runs[end] += total.runs;
        }
        sum.duration += total.duration;
        sum.rows += total.rows;
        sum.bytes += total.bytes;
    }
    let (pauses, unfinished) = (state.pauses()?, state.unfinished()?);
    let pending: HashSet<&str> = unfinished
        .iter()
        .filter(|run| run.state == RunState::Pending)
        .map(|run| run.job.as_str())
        .collect();
    jobs.iter()
        .map(|job| {
            let history = histories.remove(job.name);
            let last = history.as_ref().and_then(|h| h.last_run.as_ref());
            let last_ended = match last {
                Some(run) if run.verb == Verb::Run && run.finished_at.is_some() => {
                    Some(run.clone())
                }
                Some(_) => state.last_ended(job.name)?,
                None => None,
            };
            Ok(Facts {
                job: *job,
                paused: Pause::holding(&pauses, job.name, job.to).is_some(),
                pending: pending.contains(job.name),
                label: format!("name=\"{}\"", escaped(job.name)),
                history,
                last_ended,
                totals: totals.remove(job.name).unwrap_or_default(),
            })
        })
        .collect()
}

fn of_daemon(text: &mut Text, jobs: &[Job<'_>], daemon: Option<&Daemon>) {
    text.family(
        "envsyncd_build_info",
        GAUGE,
        "The version that wrote this, in a label; always 1.",
    );
    let version = format!("version=\"{}\"", escaped(env!("CARGO_PKG_VERSION")));
    text.sample(&version, 1);
    let mut one = |name, help, value: f64| {
        text.family(name, GAUGE, help);
        text.sample("", value);
    };
    one(
        "envsyncd_daemon_up",
        "1 while the daemon runs, 0 once it was stopped. A daemon that was killed leaves the 1 behind: see the file's age.",
        flag(daemon.is_some()),
    );
    one(
        "envsyncd_daemon_start_timestamp_seconds",
        "When the daemon started; 0 if it does not run.",
        daemon.map_or(0.0, |daemon| seconds(Some(daemon.started_at))),
    );
    one(
        "envsyncd_jobs",
        "Jobs that the daemon knows, invalid ones included.",
        jobs.len() as f64,
    );
    one(
        "envsyncd_jobs_invalid",
        "Jobs whose file is wrong as it is now.",
        jobs.iter().filter(|job| !job.valid).count() as f64,
    );
    one(
        "envsyncd_runs_queued",
        "Runs that wait for their turn.",
        daemon.map_or(0.0, |daemon| daemon.queued as f64),
    );
    one(
        "envsyncd_runs_running",
        "Runs that the daemon supervises.",
        daemon.map_or(0.0, |daemon| daemon.running as f64),
    );
}

fn of_jobs(text: &mut Text, all: &[Facts<'_>]) {
    text.each(
        "envsyncd_job_valid",
        GAUGE,
        "1 if the job's file is right as it is now, 0 if it is not.",
        all,
        |job| flag(job.job.valid),
    );
    text.each(
        "envsyncd_job_paused",
        GAUGE,
        "1 while the job's schedule is paused.",
        all,
        |job| flag(job.paused),
    );
    text.family(
        "envsyncd_job_state",
        GAUGE,
        "1 for the state that the job is in, 0 for the others.",
    );
    for job in all {
        let current = job.state();
        for state in STATES {
            let labels = format!("{},state=\"{}\"", job.label, state.as_str());
            text.sample(&labels, u8::from(state == current));
        }
    }
    text.each(
        "envsyncd_job_consecutive_failures",
        GAUGE,
        "Runs that failed or were refused since the last that succeeded.",
        all,
        |job| {
            job.history
                .as_ref()
                .map_or(0.0, |h| f64::from(h.consecutive_failures))
        },
    );
    text.each(
        "envsyncd_job_last_success_timestamp_seconds",
        GAUGE,
        "When a run of the job last ended well; 0 if none ever did.",
        all,
        |job| seconds(job.history.as_ref().and_then(|h| h.last_success_at)),
    );
    text.each(
        "envsyncd_job_last_run_timestamp_seconds",
        GAUGE,
        "When the job's last run began, the current one included; 0 if there was none.",
        all,
        |job| seconds(job.last_run().map(|run| run.started_at)),
    );
    text.each(
        "envsyncd_job_next_run_timestamp_seconds",
        GAUGE,
        "When the job is due next; 0 if it has no schedule.",
        all,
        |job| seconds(job.job.next_run_at),
    );
}

fn of_last_runs(text: &mut Text, all: &[Facts<'_>]) {
    text.each(
        "envsyncd_job_progress_ratio",
        GAUGE,
        "How much of the current run is done, 0 to 1; of the last one, if none runs.",
        all,
        |job| {
            job.last_run()
                .map_or(0.0, |run| run.progress_percent() / 100.0)
        },
    );
    text.each(
        "envsyncd_run_timeout_seconds",
        GAUGE,
        "The time limit of the job's last run, the current one included; 0 if it has none.",
        all,
        |job| {
            job.last_run()
                .and_then(|run| run.timeout)
                .map_or(0.0, |timeout| timeout.as_secs_f64())
        },
    );
    text.each(
        "envsyncd_run_duration_seconds",
        GAUGE,
        "How long the job's last run that ended took.",
        all,
        |job| {
            job.last_ended
                .as_ref()
                .map_or(0.0, |run| run.duration(run.started_at).as_secs_f64())
        },
    );
    text.each(
        "envsyncd_run_bytes",
        GAUGE,
        "Bytes that the job's last run that ended copied.",
        all,
        |job| {
            job.last_ended
                .as_ref()
                .map_or(0.0, |run| run.bytes() as f64)
        },
    );
    text.each(
        "envsyncd_run_rows",
        GAUGE,
        "Rows that the job's last run that ended copied.",
        all,
        |job| job.last_ended.as_ref().map_or(0.0, |run| run.rows() as f64),
    );
}

fn of_all_runs(text: &mut Text, all: &[Facts<'_>]) {
    text.family(
        "envsyncd_runs_total",
        COUNTER,
        "Runs that ended, by how they ended; skipped ones were not started because the job still ran.",
    );
    for job in all {
        for (end, runs) in ENDS.iter().zip(job.totals.runs) {
            text.sample(&format!("{},state=\"{end}\"", job.label), runs);
        }
    }
    text.each(
        "envsyncd_run_seconds_total",
        COUNTER,
        "How long the job's runs took, together.",
        all,
        |job| job.totals.duration.as_secs_f64(),
    );
    text.each(
        "envsyncd_run_bytes_total",
        COUNTER,
        "Bytes that the job's runs copied, together.",
        all,
        |job| job.totals.bytes as f64,
    );
    text.each(
        "envsyncd_run_rows_total",
        COUNTER,
        "Rows that the job's runs copied, together.",
        all,
        |job| job.totals.rows as f64,
    );
    text.each(
        "envsyncd_rollbacks_total",
        COUNTER,
        "Rollbacks of the job that succeeded.",
        all,
        |job| job.totals.rollbacks as f64,
    );
}

impl Facts<'_> {
    fn last_run(&self) -> Option<&Run> {
        self.history.as_ref()?.last_run.as_ref()
    }

    fn state(&self) -> status_file::State {
        let last = self.last_run();
        if let Some(run) = last
            && run.state == RunState::Running
        {
            return status_file::State::Running;
        }
        if self.pending {
            return status_file::State::Pending;
        }
        let Some(run) = last else {
            return status_file::State::Never;
        };
        STATES
            .into_iter()
            .find(|state| state.as_str() == run.state.as_str())
            .unwrap_or(status_file::State::Never)
    }
}

const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";

/// The text, and the family that samples are being written of.
struct Text {
    written: String,
    name: &'static str,
}

impl Text {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.written
            .push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        self.name = name;
    }

    fn sample(&mut self, labels: &str, value: impl Display) {
        self.written.push_str(self.name);
        if !labels.is_empty() {
            self.written.push('{');
            self.written.push_str(labels);
            self.written.push('}');
        }
        // Writing to a String cannot fail.
        let _ = writeln!(self.written, " {value}");
    }

    /// A family with one sample a job.
    fn each(
        &mut self,
        name: &'static str,
        kind: &str,
        help: &str,
        all: &[Facts<'_>],
        value: impl Fn(&Facts<'_>) -> f64,
    ) {
        self.family(name, kind, help);
        for job in all {
            self.sample(&job.label, value(job));
        }
    }
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

fn seconds(at: Option<DateTime<Utc>>) -> f64 {
    at.map_or(0.0, |at| at.timestamp_millis() as f64 / 1000.0)
}

/// A label's value: backslash, quote and line feed are escaped.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
