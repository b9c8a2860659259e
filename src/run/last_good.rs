//! The last good version of each job's file, which the daemon keeps under `state_dir` for when a file is broken.

use std::path::{Path, PathBuf};

use crate::config;
use crate::config::job::{Job, Settings};
use crate::process::panics;

/// A job as its file said when it was last good, for who finds the file broken; `None`: no such version is known.
pub fn load(settings: &Settings, job: &str, file: &Path) -> Option<Job> {
    let copy = directory(settings).join(format!("{job}.toml"));
    let read = panics::caught(|| config::load_job_as(file, &copy, settings));
    let (job, _) = read.ok()?.ok()?;
    Some(job)
}

/// Where they lie.
pub fn directory(settings: &Settings) -> PathBuf {
    settings.state_dir.join("last-good")
}
