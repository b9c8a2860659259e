//! What the daemon does beside starting runs, and where there is none, each run: metrics, and the history's length.

use std::collections::BTreeSet;
use std::path::Path;

use chrono::Utc;

use crate::config;
use crate::config::job::{JobName, Settings};
use crate::error::Result;
use crate::report::metrics;
use crate::state::State;

/// Metrics and the history's length are the daemon's business; where there is none, of each run.
pub fn keep(settings: &Settings, state: &State) -> Result<()> {
    if state.has_daemon()? {
        return Ok(());
    }
    state.prune(&settings.history, Utc::now())?;
    let Some(file) = &settings.metrics.textfile else {
        return Ok(());
    };
    let names = known_jobs(settings, Some(state))?;
    let read: Vec<(&String, bool, Option<String>)> = names
        .iter()
        .map(|name| {
            let file = settings.job_file(name);
            let read = file.exists().then(|| config::load_job(&file, settings));
            let job = read.as_ref().and_then(|read| read.as_ref().ok());
            let to = job.map(|(job, _)| job.to.to_string());
            (name, !matches!(read, Some(Err(_))), to)
        })
        .collect();
    let all: Vec<metrics::Job<'_>> = read
        .iter()
        .map(|(name, valid, to)| metrics::Job {
            name,
            valid: *valid,
            to: to.as_deref(),
            next_run_at: None,
        })
        .collect();
    metrics::write(file, &metrics::render(state, &all, None)?)
}

/// The names of all jobs that have a file or a history, sorted.
pub fn known_jobs(settings: &Settings, state: Option<&State>) -> Result<Vec<String>> {
    let mut names: BTreeSet<String> = match state {
        Some(state) => state.jobs()?.into_iter().collect(),
        None => BTreeSet::new(),
    };
    for directory in settings.job_dirs() {
        names.extend(with_file(directory)?);
    }
    Ok(names.into_iter().collect())
}

fn with_file(dir: &Path) -> Result<Vec<String>> {
    let failed = || crate::error::io(format!("cannot read the jobs in {}", dir.display()));
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed()(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let file = entry.map_err(failed())?.path();
        if file
            .extension()
            .is_some_and(|extension| extension == "toml")
            && let Ok(name) = JobName::of_file(&file)
        {
            names.push(name.as_str().to_owned());
        }
    }
    Ok(names)
}
