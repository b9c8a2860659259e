//! Status files: one JSON file a job, for monitoring and for people. Replaced in one step, never half-written.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// The format's version.
pub const VERSION: u32 = 1;

/// A job's status. Times are UTC, RFC 3339.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StatusFile {
    /// [`VERSION`].
    pub version: u32,
    /// The job's name.
    pub job: String,
    /// The machine that wrote it.
    pub host: String,
    /// Where data comes from.
    pub from: String,
    /// Where it goes.
    pub to: String,
    /// `never`, `pending`, `running`, `succeeded`, `failed`, `refused`, `busy` or `cancelled`.
    pub state: String,
    /// The run that it is about.
    pub run_id: Option<String>,
    /// The run's process, while it runs.
    pub pid: Option<u32>,
    /// `schedule`, `catch_up`, `manual` or `api`.
    pub trigger: String,
    /// Who asked for it.
    pub by: String,
    /// When it began.
    pub started_at: Option<String>,
    /// When it ended.
    pub finished_at: Option<String>,
    /// How long it took, or has been taking.
    pub duration_seconds: f64,
    /// When a run of this job last succeeded.
    pub last_success_at: Option<String>,
    /// When it is due next.
    pub next_run_at: Option<String>,
    /// Failed and refused runs since the last success.
    pub consecutive_failures: u32,
    /// Errors that the run logged.
    pub errors: u64,
    /// Warnings that the run logged.
    pub warnings: u64,
    /// What failed, in one line.
    pub message: String,
    /// The job's time limit.
    #[serde(default)]
    pub timeout_seconds: Option<f64>,
    /// Its tasks.
    pub tasks: Vec<TaskStatus>,
}

/// A task's status.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// Its name.
    pub name: String,
    /// Its store.
    pub kind: String,
    /// As the run's.
    pub state: String,
    /// 0 to 100, in whole steps.
    pub progress_percent: u8,
    /// Rows taken by the target.
    pub rows: u64,
    /// Bytes that went through.
    pub bytes: u64,
    /// How long it took, or has been taking.
    pub duration_seconds: f64,
    /// What failed, in one line.
    pub message: String,
}

/// Where a job's status file is.
pub fn path_of(directory: &Path, job: &str) -> PathBuf {
    directory.join(format!("{job}.json"))
}

/// Writes a job's status: to a temporary file, synced, renamed; readable by all.
pub fn write(directory: &Path, status: &StatusFile) -> Result<()> {
    let path = path_of(directory, &status.job);
    let failed = |error: std::io::Error| {
        let full = error.kind() == std::io::ErrorKind::StorageFull;
        let kind = if full { Kind::Full } else { Kind::State };
        Error::new(
            kind,
            format!("the status file {} cannot be written", path.display()),
        )
        .because(error)
        .hint("make its directory writable, or name another one with status_dir")
    };
    let mut text = serde_json::to_string(status).map_err(|error| {
        Error::new(Kind::Internal, "a status file cannot be made").because(error)
    })?;
    text.push('\n');
    fs::create_dir_all(directory).map_err(failed)?;
    let temporary = directory.join(format!(".{}.{}.tmp", status.job, std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        // The mode, whatever the umask says: other users' monitoring reads it.
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(failed)
}

/// Reads a status file; a newer format is an error.
pub fn read(path: &Path) -> Result<StatusFile> {
    let unreadable = |why: String| Error::new(Kind::State, format!("{} {why}", path.display()));
    let text =
        fs::read_to_string(path).map_err(|error| unreadable(format!("cannot be read: {error}")))?;
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| unreadable(format!("is no JSON: {error}")))?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => {
            return Err(unreadable(format!(
                "is of version {version}; this envsyncd reads version {VERSION}"
            )));
        }
        None => {
            return Err(unreadable(
                "is no status file: it has no version".to_owned(),
            ));
        }
    }
    serde_json::from_value(value).map_err(|error| unreadable(format!("is no status file: {error}")))
}
