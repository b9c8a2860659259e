//! `STATUS_DIR/JOB.json`: the last word on a job, for monitoring and for anybody with `jq`. Format version 1.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::replace::replace;
use crate::config::job::JobName;
use crate::error::{Error, Kind, Result, io};
use crate::guard::process::Process;
use crate::limits;
use crate::trust::{self, Rights};

/// More than any status file of ours: a hundred tasks are 50 KiB.
const LARGEST: u64 = 4 << 20;

/// The format that we write. A newer one may mean something else by the same words.
pub const VERSION: u32 = 1;

/// The state of a job or a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It has not run yet.
    Never,
    /// It waits for its turn.
    Pending,
    /// It runs.
    Running,
    /// Verified and published.
    Succeeded,
    /// It failed; live is as it was, unless `message` says otherwise.
    Failed,
    /// Refused by policy or configuration.
    Refused,
    /// The target was busy or held.
    Busy,
    /// Ended by a signal.
    Cancelled,
}

impl State {
    /// As files and tables spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Busy => "busy",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The job's schedule.
    Schedule,
    /// A scheduled run was missed while the daemon was down.
    CatchUp,
    /// A person, on the command line.
    Manual,
    /// A program, over the API.
    Api,
}

/// A job's status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusFile {
    /// [`VERSION`].
    pub version: u32,
    /// The job's name.
    pub job: String,
    /// The machine that the run is on.
    pub host: String,
    /// The environment that data comes from.
    pub from: String,
    /// The environment that data goes to.
    pub to: String,
    /// The last run's state.
    pub state: State,
    /// The last run.
    pub run_id: Option<String>,
    /// Its process, while it runs.
    pub pid: Option<u32>,
    /// What started it.
    pub trigger: Option<Trigger>,
    /// Who asked for it; empty for the schedule.
    pub by: String,
    /// UTC.
    #[serde(serialize_with = "seconds")]
    pub started_at: Option<DateTime<Utc>>,
    /// UTC.
    #[serde(serialize_with = "seconds")]
    pub finished_at: Option<DateTime<Utc>>,
    /// Of the last run, once it has ended.
    pub duration_seconds: Option<f64>,
    /// When a run last ended well. UTC.
    #[serde(serialize_with = "seconds")]
    pub last_success_at: Option<DateTime<Utc>>,
    /// When the schedule is due next. UTC.
    #[serde(serialize_with = "seconds")]
    pub next_run_at: Option<DateTime<Utc>>,
    /// While its schedule does not start it.
    #[serde(default)]
    pub paused: Option<Paused>,
    /// What is wrong with the job's file while its last good version stays in force; empty: nothing.
    #[serde(default)]
    pub problem: String,
    /// Whether a run in place has emptied live, and none has loaded it since.
    #[serde(default)]
    pub broken: bool,
    /// How long a run may take.
    #[serde(default)]
    pub timeout_seconds: Option<u64>,
    /// When the run last wrote this, while it runs. UTC.
    #[serde(default, serialize_with = "seconds")]
    pub renewed_at: Option<DateTime<Utc>>,
    /// With `pid`: when the process started, in clock ticks since boot.
    #[serde(default)]
    pub process_started: Option<u64>,
    /// With `pid`: the boot that it belongs to.
    #[serde(default)]
    pub boot_id: Option<String>,
    /// With `pid`: a mark of its machine.
    #[serde(default)]
    pub host_id: Option<String>,
    /// With `pid`: the pid namespace that it means something in.
    #[serde(default)]
    pub pid_namespace: Option<u64>,
    /// Whether a daemon keeps the job's schedule: without one, nobody has promised to start it at `next_run_at`.
    #[serde(default)]
    pub daemon: bool,
    /// Runs that failed since the last success.
    pub consecutive_failures: u32,
    /// In the last run's log.
    pub errors: u32,
    /// In the last run's log.
    pub warnings: u32,
    /// One line: what failed and what to do.
    pub message: String,
    /// If the last run was of a part of the job: the names of its tasks; else empty.
    #[serde(default)]
    pub only: Vec<String>,
    /// The last run's tasks.
    pub tasks: Vec<TaskStatus>,
}

impl StatusFile {
    /// That of a job that has not run.
    pub fn never(job: &str, host: String, from: &str, to: &str) -> Self {
        Self {
            version: VERSION,
            job: job.to_owned(),
            host,
            from: from.to_owned(),
            to: to.to_owned(),
            state: State::Never,
            run_id: None,
            pid: None,
            trigger: None,
            by: String::new(),
            started_at: None,
            finished_at: None,
            duration_seconds: None,
            last_success_at: None,
            next_run_at: None,
            paused: None,
            problem: String::new(),
            broken: false,
            timeout_seconds: None,
            renewed_at: None,
            process_started: None,
            boot_id: None,
            host_id: None,
            pid_namespace: None,
            daemon: false,
            consecutive_failures: 0,
            errors: 0,
            warnings: 0,
            message: String::new(),
            only: Vec::new(),
            tasks: Vec::new(),
        }
    }

    /// The run's process, as far as it is known.
    pub fn process(&self) -> Option<Process> {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        Some(Process {
            pid: self.pid?,
            started: self.process_started.unwrap_or(0),
            boot: text(&self.boot_id),
            machine: text(&self.host_id),
            namespace: self.pid_namespace.unwrap_or(0),
        })
    }

    /// Says which process it is.
    pub fn set_process(&mut self, process: Option<&Process>) {
        self.pid = process.map(|process| process.pid);
        let known = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        self.process_started = process.map(|process| process.started).filter(|it| *it > 0);
        self.boot_id = process.and_then(|process| known(&process.boot));
        self.host_id = process.and_then(|process| known(&process.machine));
        self.pid_namespace = process
            .map(|process| process.namespace)
            .filter(|it| *it > 0);
    }
}

/// Why the schedule does not start a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Why.
    pub reason: String,
    /// By whom.
    pub by: String,
    /// UTC.
    #[serde(serialize_with = "seconds")]
    pub since: Option<DateTime<Utc>>,
    /// When it ends by itself. UTC.
    #[serde(serialize_with = "seconds")]
    pub until: Option<DateTime<Utc>>,
}

/// A task's part in [`StatusFile`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// Its name in the job.
    pub name: String,
    /// Its kind of store.
    pub kind: String,
    /// Its state.
    pub state: State,
    /// 0 to 100.
    pub progress_percent: u8,
    /// Rows copied.
    pub rows: u64,
    /// Bytes copied.
    pub bytes: u64,
    /// How long it took.
    pub duration_seconds: Option<f64>,
    /// One line.
    pub message: String,
    /// When the point in time was that its copy is of.
    #[serde(default, serialize_with = "milliseconds")]
    pub surveyed_at: Option<DateTime<Utc>>,
    /// How many columns were masked; 0 until the rows are copied.
    #[serde(default)]
    pub masked_columns: u64,
    /// How many rows passed masks.
    #[serde(default)]
    pub masked_rows: u64,
}

/// RFC 3339 to the second, with `Z`.
// serde's own signature.
#[allow(clippy::ref_option)]
fn seconds<S: serde::Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match time {
        Some(time) => {
            serializer.serialize_str(&time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
        }
        None => serializer.serialize_none(),
    }
}

/// RFC 3339 to the millisecond, with `Z`.
#[allow(clippy::ref_option)]
fn milliseconds<S: serde::Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    match time {
        Some(time) => {
            serializer.serialize_str(&time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
        }
        None => serializer.serialize_none(),
    }
}

/// Why a status file says nothing.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// It is not there.
    #[error("no status file {}", .0.display())]
    Missing(PathBuf),
    /// It cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what we write.
    #[error("{} is garbled: {why}", .path.display())]
    Garbled {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Written by a newer envsyncd.
    #[error("{} has version {version}, this envsyncd reads {VERSION}", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
}

/// Where a job's status file is.
pub fn path(directory: &Path, job: &str) -> PathBuf {
    directory.join(format!("{job}.json"))
}

/// The version first: the rest of a newer file may have another shape.
#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

/// Reads a job's status file.
pub fn read(directory: &Path, job: &str) -> std::result::Result<StatusFile, Unreadable> {
    let path = path(directory, job);
    let read = trust::open_own(&path).and_then(|file| limits::read_all(file, LARGEST));
    let text = read.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Unreadable::Missing(path.clone()),
        _ => Unreadable::Io {
            path: path.clone(),
            source: error,
        },
    })?;
    understand(path, job, &text)
}

/// Parses a job's status file.
pub(super) fn understand(
    path: PathBuf,
    job: &str,
    text: &[u8],
) -> std::result::Result<StatusFile, Unreadable> {
    let garbled = |why: String| Unreadable::Garbled {
        path: path.clone(),
        why,
    };
    let unparsed = |error: serde_json::Error| garbled(error.to_string());
    let versioned: Versioned = serde_json::from_slice(text).map_err(unparsed)?;
    if versioned.version > u64::from(VERSION) {
        return Err(Unreadable::Newer {
            path,
            version: versioned.version,
        });
    }
    let status: StatusFile = serde_json::from_slice(text).map_err(unparsed)?;
    if status.version != VERSION {
        return Err(garbled(format!("there is no version {}", status.version)));
    }
    // A file that was copied or renamed speaks of another job.
    if status.job != job {
        return Err(garbled(format!("it is of job {:?}", status.job)));
    }
    Ok(status)
}

/// Writes a job's status file, mode 0644: a reader sees the old one or the new one, after a power cut too.
pub fn write(directory: &Path, status: &StatusFile) -> Result<()> {
    let target = path(directory, &status.job);
    let named = format!("status_dir {}", directory.display());
    // Whoever gave us a job's name: it names a file, and no way to one.
    if let Err(why) = JobName::known(&status.job) {
        return Err(Error::new(Kind::Internal, why));
    }
    let rights = Rights::in_directory(directory, &named)?;
    let failed = || {
        let what = format!("status file {} cannot be written", target.display());
        move |error| {
            let error = io(what)(error);
            match error.kind() {
                Kind::Full => error,
                _ => error.with_kind(Kind::State),
            }
        }
    };
    rights.make_directory(directory, 0o755).map_err(failed())?;
    let mut text = serde_json::to_vec_pretty(status)
        .map_err(std::io::Error::other)
        .map_err(failed())?;
    text.push(b'\n');
    replace(&target, &text).map_err(failed())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const EXAMPLE: &str = r#"{"version": 1, "job": "publishing-api", "host": "db2", "from": "production", "to": "staging",
 "state": "succeeded", "run_id": "0199...", "pid": null, "trigger": "schedule", "by": "", "started_at": "2026-01-01T00:18:00Z",
 "finished_at": "2026-01-01T00:31:07Z", "duration_seconds": 787.2, "last_success_at": "2026-01-01T00:31:07Z",
 "next_run_at": "2026-01-02T00:18:00Z", "consecutive_failures": 0, "errors": 0, "warnings": 0, "message": "",
 "tasks": [{"name": "database", "kind": "postgresql", "state": "succeeded", "progress_percent": 100,
            "rows": 1234567, "bytes": 987654321, "duration_seconds": 770.1, "message": "",
            "surveyed_at": "2026-01-01T00:18:01.402Z", "masked_columns": 4, "masked_rows": 1200000}]}"#;

    #[test]
    fn the_documented_file_is_read_and_written_key_by_key() {
        let status: StatusFile = serde_json::from_str(EXAMPLE).unwrap();
        let mut documented: serde_json::Value = serde_json::from_str(EXAMPLE).unwrap();
        // What came later: whoever reads version 1 need not know it.
        documented["timeout_seconds"] = serde_json::Value::Null;
        documented["paused"] = serde_json::Value::Null;
        documented["problem"] = "".into();
        documented["broken"] = false.into();
        documented["only"] = serde_json::json!([]);
        for key in [
            "renewed_at",
            "process_started",
            "boot_id",
            "host_id",
            "pid_namespace",
        ] {
            documented[key] = serde_json::Value::Null;
        }
        documented["daemon"] = false.into();
        assert_eq!(serde_json::to_value(&status).unwrap(), documented);
    }

    #[test]
    fn what_was_written_is_read_whoever_wrote_before() {
        let directory = tempfile::tempdir().unwrap();
        let status_dir = directory.path().join("status");
        let mut status: StatusFile = serde_json::from_str(EXAMPLE).unwrap();
        write(&status_dir, &status).unwrap();
        status.state = State::Failed;
        status.started_at = Some("2026-01-01T00:18:00.75Z".parse().unwrap());
        status.timeout_seconds = Some(60);
        write(&status_dir, &status).unwrap();
        status.started_at = Some("2026-01-01T00:18:00Z".parse().unwrap());
        assert_eq!(read(&status_dir, "publishing-api").unwrap(), status);
        let names: Vec<_> = fs::read_dir(&status_dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["publishing-api.json"]);
        let mode = fs::metadata(path(&status_dir, "publishing-api"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o644);
    }

    #[test]
    fn what_says_nothing_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let put = |text: &str| fs::write(path(directory.path(), "a"), text).unwrap();
        let why = || read(directory.path(), "a").unwrap_err();
        assert!(matches!(why(), Unreadable::Missing(_)));
        for text in [
            "",
            "{",
            "[]",
            "{\"version\": 1}",
            &EXAMPLE.replace(": 1,", ": 0,"),
            EXAMPLE,
        ] {
            put(text);
            assert!(matches!(why(), Unreadable::Garbled { .. }), "{text}");
        }
        put("{\"version\": 2, \"anything\": {}}");
        assert!(matches!(why(), Unreadable::Newer { version: 2, .. }));
        fs::remove_file(path(directory.path(), "a")).unwrap();
        fs::create_dir(path(directory.path(), "a")).unwrap();
        assert!(matches!(why(), Unreadable::Io { .. }));
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_an_error_of_the_state() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), "").unwrap();
        let status: StatusFile = serde_json::from_str(EXAMPLE).unwrap();
        let error = write(&directory.path().join("file/status"), &status).unwrap_err();
        assert_eq!(error.kind(), Kind::State, "{error}");
        assert!(error.to_string().contains("publishing-api.json"), "{error}");
    }
}
