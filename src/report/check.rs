//! The monitoring plugin: status files in, one line, details and an exit code out. Needs no daemon and no state store.
//!
//! After the Monitoring Plugins guidelines (<https://www.monitoring-plugins.org/doc/guidelines.html>). What is which:
//! - CRITICAL: the last success is older than the limit; the last run failed or was refused, even when an earlier
//!   success is young, because nobody else will tell and the next night will fail the same way; a run takes longer than
//!   its timeout; a file says running and its process is gone, or cannot be seen from here and has not renewed the file for
//!   two minutes; a due time of a job whose schedule a daemon keeps has passed and nothing was started. While a run follows a failed one, it stays CRITICAL, so
//!   that retries do not make a pager flap.
//!   A run of a part of the job (`--only`) makes it no younger, and ends no failure: both are those of whole runs.
//!   A live target that a run in place has emptied and none has loaded is CRITICAL whatever comes in between.
//! - WARNING: the last success is older than the lower limit; the target was busy; a run was cancelled; it never ran.
//! - UNKNOWN: the file is missing, unreadable, garbled or newer than this program, or the arguments make no sense; a run
//!   whose process lives has not renewed its file for two minutes.
//!
//! Of several jobs the worst counts: CRITICAL, WARNING, UNKNOWN, OK, as `max_state_alt` of the monitoring plugins has
//! it: a known fault is worth more than an unknown one.

use std::fmt::Write;
use std::path::Path;

use chrono::{DateTime, Duration, Utc};

use super::log;
use super::range::Range;
use super::status_file::{self, State, StatusFile, Unreadable};
use crate::config::job::JobName;
use crate::guard::process::{Process, Sight};

/// Clocks of two machines may differ by so much.
const SKEW: Duration = Duration::minutes(5);
/// A run renews its file every second. What was not renewed for so long is not being written any more.
const SILENT: Duration = Duration::minutes(2);
/// How long it is watched, whether a file is renewed after all: clocks of two machines may differ by hours.
const WATCHED: std::time::Duration = std::time::Duration::from_secs(4);
/// A daemon that was away for so long starts what was due all the same; after that nobody does.
const GRACE: Duration = Duration::minutes(5);
/// How long the first line may be, without performance data.
const LINE: usize = 79;

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

    fn as_str(self) -> &'static str {
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

/// What the plugin prints, and how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The worst of all jobs.
    pub level: Level,
    /// Everything for stdout, without the last newline.
    pub text: String,
}

impl Verdict {
    /// The plugin cannot do its work: bad arguments, no status files.
    pub fn unknown(why: &str) -> Self {
        Self {
            level: Level::Unknown,
            text: format!("ENVSYNCD UNKNOWN - {}", plain(why)),
        }
    }

    /// The plugin's exit code.
    pub fn exit_code(&self) -> u8 {
        self.level.exit_code()
    }
}

/// A job's name, and its status file or why there is none.
pub type Reading = (String, Result<StatusFile, Unreadable>);

/// Reads the status files of these jobs, or of all where no name is given. No file at all, or a name that cannot be a
/// job's, is a verdict already.
pub fn gather(directory: &Path, names: &[String]) -> Result<Vec<Reading>, Verdict> {
    if let Some(why) = names.iter().find_map(|name| JobName::parse(name).err()) {
        return Err(Verdict::unknown(&why));
    }
    let mut names = names.to_vec();
    if names.is_empty() {
        let listed = std::fs::read_dir(directory).map_err(|error| {
            Verdict::unknown(&format!("cannot read {}: {error}", directory.display()))
        })?;
        names = listed
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name();
                let name = name.to_str()?.strip_suffix(".json")?;
                JobName::parse(name).ok().map(|name| name.to_string())
            })
            .collect();
        if names.is_empty() {
            let why = format!("no status files in {}", directory.display());
            return Err(Verdict::unknown(&why));
        }
    }
    names.sort();
    names.dedup();
    Ok(names
        .into_iter()
        .map(|name| {
            let read = status_file::read(directory, &name);
            (name, read)
        })
        .collect())
}

/// Watches the files of runs that seem not to be renewed any more, by our own clock. One that is renewed while we look on is
/// of now, whatever its writer's clock says.
pub fn watch(directory: &Path, readings: &mut [Reading], now: DateTime<Utc>) {
    let mut suspects = Vec::new();
    for (place, (_, reading)) in readings.iter_mut().enumerate() {
        if let Ok(status) = reading
            && status.state == State::Running
        {
            let (was, at) = (status.clone(), written(directory, &status.job));
            // An older envsyncd does not say when it wrote.
            status.renewed_at = status.renewed_at.or(at);
            if is_silent(status, now) {
                suspects.push((place, was, at));
            }
        }
    }
    let until = std::time::Instant::now() + WATCHED;
    while !suspects.is_empty() && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(500));
        suspects.retain(|(place, was, at)| {
            let Some((name, reading)) = readings.get_mut(*place) else {
                return false;
            };
            match status_file::read(directory, name) {
                Ok(is) if is == *was && written(directory, name) == *at => true,
                Ok(mut is) => {
                    if is.state == State::Running {
                        is.renewed_at = Some(now);
                    }
                    *reading = Ok(is);
                    false
                }
                // It is just being replaced, on a file system that has a moment between.
                Err(_) => true,
            }
        });
    }
}

fn written(directory: &Path, job: &str) -> Option<DateTime<Utc>> {
    let file = std::fs::metadata(status_file::path(directory, job)).ok()?;
    file.modified().ok().map(DateTime::from)
}

fn is_silent(status: &StatusFile, now: DateTime<Utc>) -> bool {
    // One of the future is of a clock that is wrong.
    status
        .renewed_at
        .is_some_and(|at| (now - at).abs() > SILENT)
}

/// Judges the jobs. Pure: `now` and `look` (what can be seen of a process) come from outside.
pub fn check(
    readings: &[Reading],
    thresholds: &Thresholds,
    now: DateTime<Utc>,
    look: &dyn Fn(&Process) -> Sight,
) -> Verdict {
    let judged: Vec<Judged> = readings
        .iter()
        .map(|(name, reading)| match reading {
            Ok(status) => judge(status, thresholds, now, look),
            Err(why) => Judged {
                name: plain(name),
                findings: vec![(Level::Unknown, plain(&why.to_string()))],
                age: None,
                perfdata: String::new(),
            },
        })
        .collect();
    let Some(worst) = judged.iter().max_by(|a, b| {
        // The first of equals.
        a.level().cmp(&b.level()).then_with(|| b.name.cmp(&a.name))
    }) else {
        return Verdict::unknown("no jobs to check");
    };
    let level = worst.level();
    let summary = match judged.as_slice() {
        [only] => format!("{}: {}", only.name, only.headline()),
        all if level == Level::Ok => {
            let oldest = all.iter().filter_map(|job| job.age).fold(0.0, f64::max);
            format!("{} jobs, oldest success {} ago", all.len(), span(oldest))
        }
        all => {
            let bad = all.iter().filter(|job| job.level() > Level::Ok).count();
            format!(
                "{bad} of {} jobs: {}: {}",
                all.len(),
                worst.name,
                worst.headline()
            )
        }
    };
    let mut text = shorten(&format!("ENVSYNCD {} - {summary}", level.as_str()));
    let perfdata: Vec<&str> = judged
        .iter()
        .map(|job| job.perfdata.as_str())
        .filter(|data| !data.is_empty())
        .collect();
    if !perfdata.is_empty() {
        let _ = write!(text, " | {}", perfdata.join(" "));
    }
    for job in &judged {
        let all: Vec<&str> = job.findings.iter().map(|(_, what)| what.as_str()).collect();
        let _ = write!(
            text,
            "\n{} {}: {}",
            job.level().as_str(),
            job.name,
            all.join("; ")
        );
    }
    Verdict { level, text }
}

struct Judged {
    name: String,
    /// The worst first; never empty.
    findings: Vec<(Level, String)>,
    age: Option<f64>,
    perfdata: String,
}

impl Judged {
    fn level(&self) -> Level {
        self.findings
            .first()
            .map_or(Level::Unknown, |(level, _)| *level)
    }

    fn headline(&self) -> &str {
        self.findings.first().map_or("", |(_, what)| what)
    }
}

fn judge(
    status: &StatusFile,
    thresholds: &Thresholds,
    now: DateTime<Utc>,
    look: &dyn Fn(&Process) -> Sight,
) -> Judged {
    let mut findings = of_last_run(status, now, look);
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
    if !status.problem.is_empty() {
        findings.push((
            Level::Warning,
            format!(
                "its file is broken, the last good version stays in force: {}",
                plain(&status.problem)
            ),
        ));
    }
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
        for (level, _) in &mut findings {
            *level = (*level).min(Level::Warning);
        }
        findings.push((
            Level::Ok,
            format!("paused by {}: {}", plain(&pause.by), plain(&pause.reason)),
        ));
    }
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
        name: plain(&status.job),
        findings,
        age,
        perfdata: perfdata(status, thresholds, age),
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
            message => format!(": {}", plain(message)),
        };
        let when = ago(status.finished_at.or(status.started_at));
        findings.push((level, format!("{word}{when}{why}")));
    };
    match status.state {
        // What a part brought says nothing of the rest, which had failed before.
        State::Succeeded if !status.only.is_empty() && status.consecutive_failures > 0 => {
            let what = format!(
                "the last whole run failed, and only {} ran since",
                plain(&status.only.join(", "))
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
            let host = plain(&status.host);
            let what =
                format!("says running, but process {pid} on {host} was not heard of for {time}");
            (Level::Critical, what)
        }),
    }
}

fn perfdata(status: &StatusFile, thresholds: &Thresholds, age: Option<f64>) -> String {
    let label = |what: &str| {
        // A label has neither quotes nor `=` in it.
        let name = plain(&status.job).replace(['\'', '='], "_");
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

/// One line without `|`, which would begin performance data.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '|' => '/',
            c if log::steers(c) => ' ',
            c => c,
        })
        .collect()
}

fn shorten(line: &str) -> String {
    if line.chars().count() <= LINE {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(LINE - 3).collect();
    short.truncate(short.trim_end().len());
    short.push_str("...");
    short
}

/// `45s`, `90m`, `28h`, `3d`.
fn span(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..120 => format!("{whole}s"),
        120..7200 => format!("{}m", whole / 60),
        7200..172_800 => format!("{}h", whole / 3600),
        _ => format!("{}d", whole / 86400),
    }
}

#[cfg(test)]
mod tests;
