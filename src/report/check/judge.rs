//! Judges one job by its status file.

use std::fmt::Write as _;

use chrono::{DateTime, Duration, Utc};

use crate::guard::process::{Process, Sight};
use crate::report::log;
use crate::report::range::Range;
use crate::report::status_file::{State, StatusFile};

/// A service's state; the exit code is the guidelines'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Exit code 0.
    Ok,
    /// Exit code 3.
    Unknown,
    /// Exit code 1.
    Warning,
    /// Exit code 2.
    Critical,
}

impl Level {
    /// The plugin's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// How old the last success may be, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// `--warning`.
    pub warning: Range,
    /// `--critical`.
    pub critical: Range,
}

impl Default for Thresholds {
    /// 28 hours: a nightly run that is late; 52 hours: one that was left out.
    fn default() -> Self {
        Self {
            warning: Range::hours(28),
            critical: Range::hours(52),
        }
    }
}

pub(super) struct Judged {
    pub(super) name: String,
    /// The worst first; never empty.
    pub(super) findings: Vec<(Level, String)>,
    pub(super) age: Option<f64>,
    pub(super) perfdata: String,
}

impl Judged {
    pub(super) fn level(&self) -> Level {
        self.findings
            .first()
            .map_or(Level::Unknown, |(level, _)| *level)
    }

    pub(super) fn headline(&self) -> &str {
        self.findings.first().map_or("", |(_, what)| what)
    }
}

pub(super) fn judge(
    status: &StatusFile,
    thresholds: &Thresholds,
    now: DateTime<Utc>,
    look: &dyn Fn(&Process) -> Sight,
) -> Judged {
    let mut findings = of_last_run(status, now, look);
    let age = of_success(status, thresholds, now, &mut findings);
    if !status.problem.is_empty() {
        findings.push((
            Level::Warning,
            format!(
                "its file is broken, the last good version stays in force: {}",
                one_line(&status.problem)
            ),
        ));
    }
    of_schedule(status, now, &mut findings);
    if status.broken {
        // First of all, and a pause is no comfort.
        let what = "live is broken until a run succeeds: it was emptied and is not loaded";
        findings.insert(0, (Level::Critical, what.to_owned()));
    }
    // Stable: of equals, what was found first.
    findings.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
    if status.state == State::Succeeded && status.warnings > 0 {
        findings.push((Level::Ok, format!("{} warnings", status.warnings)));
    }
    Judged {
        name: one_line(&status.job),
        findings,
        age,
        perfdata: perfdata(status, thresholds, age),
    }
}

type Findings = Vec<(Level, String)>;

/// How long ago the last success was, in seconds, and what is found of that; `None`: there was none.
fn of_success(
    status: &StatusFile,
    thresholds: &Thresholds,
    now: DateTime<Utc>,
    findings: &mut Findings,
) -> Option<f64> {
    let since = |at: DateTime<Utc>| (now - at).as_seconds_f64().max(0.0);
    // A file that says succeeded has been so at its end at the latest.
    let succeeded = status.last_success_at.or_else(|| {
        (status.state == State::Succeeded && status.only.is_empty())
            .then_some(status.finished_at)
            .flatten()
    });
    let age = succeeded.map(since);
    if let Some(age) = age {
        findings.push((
            limit(age, thresholds),
            format!("last success {} ago", span(age)),
        ));
    } else if status.state != State::Never {
        // The first run has as long as any success.
        let waited = status.started_at.map(since);
        let level = match waited {
            Some(waited) if status.state == State::Running => limit(waited, thresholds),
            _ => Level::Warning,
        };
        findings.push((level, "no success yet".to_owned()));
    }
    let latest = [succeeded, status.started_at, status.finished_at];
    if latest.into_iter().flatten().any(|at| at > now + SKEW) {
        findings.push((
            Level::Unknown,
            "its times lie in the future: check the clock".to_owned(),
        ));
    }
    age
}

/// Whether it was started when it was due, and who has paused it.
fn of_schedule(status: &StatusFile, now: DateTime<Utc>, findings: &mut Findings) {
    let pause =
        (status.paused.as_ref()).filter(|pause| pause.until.is_none_or(|until| now < until));
    // A run that is under way says itself when it is due next.
    if let Some(due) = status.next_run_at
        && status.daemon
        && status.state != State::Running
        && pause.is_none()
        && now - due > GRACE
    {
        let late = span((now - due).as_seconds_f64());
        let what = format!("was due {late} ago, and nothing was started: see that the daemon runs");
        findings.push((Level::Critical, what));
    }
    if let Some(pause) = pause {
        // Somebody meant it not to run: that it did not is worth a look, and nobody's night.
        for (level, _) in findings.iter_mut() {
            *level = (*level).min(Level::Warning);
        }
        findings.push((
            Level::Ok,
            format!(
                "paused by {}: {}",
                one_line(&pause.by),
                one_line(&pause.reason)
            ),
        ));
    }
}

fn limit(age: f64, thresholds: &Thresholds) -> Level {
    if thresholds.critical.alerts(age) {
        Level::Critical
    } else if thresholds.warning.alerts(age) {
        Level::Warning
    } else {
        Level::Ok
    }
}

/// What the last run, or the one under way, says by itself.
fn of_last_run(
    status: &StatusFile,
    now: DateTime<Utc>,
    look: &dyn Fn(&Process) -> Sight,
) -> Vec<(Level, String)> {
    let mut findings = Vec::new();
    let ago = |at: Option<DateTime<Utc>>| match at {
        Some(at) => format!(" {} ago", span((now - at).as_seconds_f64().max(0.0))),
        None => String::new(),
    };
    let mut ended = |level, word: &str| {
        let why = match status.message.as_str() {
            "" => String::new(),
            message => format!(": {}", one_line(message)),
        };
        let when = ago(status.finished_at.or(status.started_at));
        findings.push((level, format!("{word}{when}{why}")));
    };
    match status.state {
        // What a part brought says nothing of the rest, which had failed before.
        State::Succeeded if !status.only.is_empty() && status.consecutive_failures > 0 => {
            let what = format!(
                "the last whole run failed, and only {} ran since",
                one_line(&status.only.join(", "))
            );
            findings.push((Level::Critical, what));
        }
        State::Succeeded => {}
        State::Failed => ended(Level::Critical, "failed"),
        State::Refused => ended(Level::Critical, "refused"),
        State::Busy => ended(Level::Warning, "target busy"),
        State::Cancelled => ended(Level::Warning, "cancelled"),
        State::Never => findings.push((Level::Warning, "has never run".to_owned())),
        State::Pending | State::Running => {
            let running = status.state == State::Running;
            if running {
                findings.extend(of_process(status, now, look));
                if let (Some(timeout), Some(started)) = (status.timeout_seconds, status.started_at)
                {
                    let taken = (now - started).as_seconds_f64();
                    if taken > timeout as f64 {
                        findings.push((
                            Level::Critical,
                            format!(
                                "running for {}, its timeout is {}",
                                span(taken),
                                span(timeout as f64)
                            ),
                        ));
                    }
                }
            }
            let doing = if running { "running" } else { "pending" };
            match status.consecutive_failures {
                0 if running => {
                    let since = ago(status.started_at);
                    findings.push((Level::Ok, format!("running, started{since}")));
                }
                0 => findings.push((Level::Ok, doing.to_owned())),
                failures => findings.push((
                    Level::Critical,
                    format!("{doing} again after {failures} failed"),
                )),
            }
        }
    }
    findings
}

/// What is wrong with the process of a run that says that it runs.
fn of_process(
    status: &StatusFile,
    now: DateTime<Utc>,
    look: &dyn Fn(&Process) -> Sight,
) -> Option<(Level, String)> {
    let Some(process) = status.process() else {
        let what = "says running, but names no process".to_owned();
        return Some((Level::Critical, what));
    };
    let pid = process.pid;
    let silent = || {
        let at = status.renewed_at.filter(|_| is_silent(status, now))?;
        Some(span((now - at).as_seconds_f64().abs()))
    };
    match look(&process) {
        Sight::Gone => Some((
            Level::Critical,
            format!("says running, but process {pid} is gone"),
        )),
        Sight::Alive => silent().map(|time| {
            let what = format!("process {pid} runs, but has not written its status for {time}");
            (Level::Unknown, what)
        }),
        Sight::Unseen => silent().map(|time| {
            let host = one_line(&status.host);
            let what =
                format!("says running, but process {pid} on {host} was not heard of for {time}");
            (Level::Critical, what)
        }),
    }
}

fn perfdata(status: &StatusFile, thresholds: &Thresholds, age: Option<f64>) -> String {
    let label = |what: &str| {
        // A label has neither quotes nor `=` in it.
        let name = one_line(&status.job).replace(['\'', '='], "_");
        format!("'{name} {what}'")
    };
    // `U`: cannot be determined.
    let age = age.map_or("U".to_owned(), |age| format!("{}s", age.round()));
    let mut data = format!(
        "{}={age};{};{};0",
        label("age"),
        thresholds.warning,
        thresholds.critical
    );
    if let Some(seconds) = status.duration_seconds.filter(|s| s.is_finite()) {
        let timeout = status
            .timeout_seconds
            .map_or(String::new(), |t| t.to_string());
        let _ = write!(data, " {}={seconds}s;;{timeout};0", label("duration"));
    }
    let bytes = status
        .tasks
        .iter()
        .fold(0u64, |sum, task| sum.saturating_add(task.bytes));
    let _ = write!(data, " {}={bytes}B;;;0", label("bytes"));
    data
}

pub(super) fn is_silent(status: &StatusFile, now: DateTime<Utc>) -> bool {
    // One of the future is of a clock that is wrong.
    status
        .renewed_at
        .is_some_and(|at| (now - at).abs() > SILENT)
}

/// One line without `|`, which would begin performance data.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '|' => '/',
            c if log::steers(c) => ' ',
            c => c,
        })
        .collect()
}

/// `45s`, `90m`, `28h`, `3d`.
pub(super) fn span(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..120 => format!("{whole}s"),
        120..7200 => format!("{}m", whole / 60),
        7200..172_800 => format!("{}h", whole / 3600),
        _ => format!("{}d", whole / 86400),
    }
}

/// Clocks of two machines may differ by so much.
pub(super) const SKEW: Duration = Duration::minutes(5);

/// A run renews its file every second. What was not renewed for so long is not being written any more.
pub(super) const SILENT: Duration = Duration::minutes(2);

/// A daemon that was away for so long starts what was due all the same; after that nobody does.
pub(super) const GRACE: Duration = Duration::minutes(5);
