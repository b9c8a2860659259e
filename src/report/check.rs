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

mod judge;

use std::fmt::Write;
use std::path::Path;

use chrono::{DateTime, Utc};

use self::judge::{Judged, is_silent, judge, one_line, span};
pub use self::judge::{Level, Thresholds};
use super::status_file::{self, State, StatusFile, Unreadable};
use crate::config::job::JobName;
use crate::guard::process::{Process, Sight};

/// How long it is watched, whether a file is renewed after all: clocks of two machines may differ by hours.
const WATCHED: std::time::Duration = std::time::Duration::from_secs(4);
/// How long the first line may be, without performance data.
const LINE: usize = 79;

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
            text: format!("ENVSYNCD UNKNOWN - {}", one_line(why)),
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
    if let Some(why) = names.iter().find_map(|name| JobName::known(name).err()) {
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
                // What a site copies on demand is never late.
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
                name: one_line(name),
                findings: vec![(Level::Unknown, one_line(&why.to_string()))],
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

fn shorten(line: &str) -> String {
    if line.chars().count() <= LINE {
        return line.to_owned();
    }
    let mut short: String = line.chars().take(LINE - 3).collect();
    short.truncate(short.trim_end().len());
    short.push_str("...");
    short
}

#[cfg(test)]
mod tests;
