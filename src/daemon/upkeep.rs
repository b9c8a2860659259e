//! What the daemon does beside starting runs: status files of jobs that do not run, metrics, the history's length, and
//! what dead runs left.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chrono::Utc;

use super::jobs::{Entry, Jobs};
use super::planner::Planned;
use super::supervisor::command;
use crate::config::Variables;
use crate::config::job::Settings;
use crate::error::{Error, Kind, Result};
use crate::guard::process::Process;
use crate::report::log::job_span;
use crate::report::{metrics, status_file};
use crate::run::{record, recover};
use crate::state::{Pruned, Run, RunState, State};

/// How many status files are written in one look: each is synced, and the schedules do not wait for a thousand.
const AT_ONCE: usize = 50;

/// Metrics are written at the most, and at the least, so often.
const METRICS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// How often the history is pruned.
const PRUNE: Duration = Duration::from_secs(3600);

/// What is left to do.
pub(super) struct Upkeep {
    /// Whether something has happened since metrics were written.
    news: bool,
    measured: Option<Instant>,
    pruned: Option<Instant>,
    pruning: Option<JoinHandle<Result<Pruned>>>,
    /// Jobs whose status file may be out of date.
    changed: BTreeSet<String>,
    /// Removed jobs, with the processes that may write a status file once more.
    removed: BTreeMap<String, Vec<Process>>,
    /// Troubles that were told of, each once until it is over.
    troubles: BTreeSet<&'static str>,
}

impl Upkeep {
    pub(super) fn new() -> Self {
        Self {
            news: true,
            measured: None,
            pruned: None,
            pruning: None,
            changed: BTreeSet::new(),
            removed: BTreeMap::new(),
            troubles: BTreeSet::new(),
        }
    }

    /// There is news of these jobs.
    pub(super) fn changed(&mut self, jobs: impl IntoIterator<Item = String>) {
        self.changed.extend(jobs);
        self.news = true;
    }

    /// A job's file is gone: its status file goes, too.
    pub(super) fn removed(&mut self, job: &str) {
        self.changed.remove(job);
        self.removed.entry(job.to_owned()).or_default();
    }

    /// Logs a trouble when it begins, and when it is over.
    pub(super) fn report(&mut self, what: &'static str, error: Option<Error>) {
        match error {
            Some(error) => {
                if self.troubles.insert(what) {
                    tracing::error!(%error, what, "trouble; it is tried again");
                }
            }
            None => {
                if self.troubles.remove(what) {
                    tracing::info!(what, "the trouble is over");
                }
            }
        }
    }

    /// Does some of it; `daemon` is `None` when it is about to end.
    pub(super) fn work(
        &mut self,
        settings: &Settings,
        state: &State,
        jobs: &Jobs,
        daemon: Option<&metrics::Daemon>,
    ) {
        let removed = self.clear_removed(settings, state, jobs);
        self.report(
            "a removed job's status file cannot be removed",
            removed.err(),
        );
        let written = self.write_status(settings, state, jobs);
        self.report("a status file cannot be written", written.err());
        let measured = self.measure(settings, state, jobs, daemon);
        self.report("metrics cannot be written", measured.err());
        self.prune(settings, state);
    }

    fn measure(
        &mut self,
        settings: &Settings,
        state: &State,
        jobs: &Jobs,
        daemon: Option<&metrics::Daemon>,
    ) -> Result<()> {
        let Some(file) = &settings.metrics.textfile else {
            return Ok(());
        };
        let age = self.measured.map(|at| at.elapsed());
        let (soonest, latest) = METRICS;
        // Of one that stops, the last word is written in any case.
        let is_early = age.is_some_and(|age| age < soonest || (age < latest && !self.news));
        if daemon.is_some() && is_early {
            return Ok(());
        }
        self.news = daemon.is_some_and(|daemon| daemon.running > 0);
        self.measured = Some(Instant::now());
        let all: Vec<metrics::Job<'_>> = jobs
            .iter()
            .map(|(name, entry)| metrics::Job {
                name,
                valid: entry.problem.is_empty(),
                to: entry.job.as_ref().map(|job| job.to.as_str()),
                next_run_at: entry.planned.as_ref().and_then(Planned::next),
            })
            .collect();
        metrics::write(file, &metrics::render(state, &all, daemon)?)
    }

    /// In a thread of its own: a long history takes a while.
    fn prune(&mut self, settings: &Settings, state: &State) {
        if let Some(pruning) = self.pruning.take() {
            if !pruning.is_finished() {
                self.pruning = Some(pruning);
                return;
            }
            let pruned = match pruning.join() {
                Ok(pruned) => pruned,
                Err(_) => Err(Error::new(Kind::Internal, "pruning the history panicked")),
            };
            if let Ok(pruned) = &pruned
                && pruned.runs + pruned.log_lines > 0
            {
                tracing::info!(
                    runs = pruned.runs,
                    log_lines = pruned.log_lines,
                    "old history is gone"
                );
            }
            self.report("the history cannot be pruned", pruned.err());
        }
        if self.pruned.is_none_or(|at| at.elapsed() >= PRUNE) {
            self.pruned = Some(Instant::now());
            let (state, retention) = (state.clone(), settings.history);
            self.pruning = Some(std::thread::spawn(move || {
                state.prune(&retention, Utc::now())
            }));
        }
    }

    fn clear_removed(&mut self, settings: &Settings, state: &State, jobs: &Jobs) -> Result<()> {
        if self.removed.is_empty() {
            return Ok(());
        }
        let unfinished = state.unfinished()?;
        for (job, processes) in &mut self.removed {
            let running = unfinished.iter().filter(|run| run.job == *job);
            processes.extend(running.filter_map(|run| run.process.clone()));
            // A run writes its status file after it has recorded its end.
            processes.retain(Process::is_alive);
        }
        let all: Vec<(String, bool)> = self
            .removed
            .iter()
            .map(|(job, processes)| (job.clone(), processes.is_empty()))
            .collect();
        for (job, over) in all {
            let is_back = jobs.get(&job).is_some();
            let file = status_file::path(&settings.status_dir, &job);
            if !is_back
                && let Err(error) = std::fs::remove_file(&file)
                && error.kind() != ErrorKind::NotFound
            {
                return Err(Error::new(
                    Kind::State,
                    format!("{} cannot be removed", file.display()),
                )
                .because(error));
            }
            if is_back || over {
                self.removed.remove(&job);
            }
        }
        Ok(())
    }

    fn write_status(&mut self, settings: &Settings, state: &State, jobs: &Jobs) -> Result<()> {
        let some: Vec<String> = self.changed.iter().take(AT_ONCE).cloned().collect();
        for name in some {
            if let Some(entry) = jobs.get(&name) {
                let _entered = job_span(&name).entered();
                write_status(settings, state, &name, entry)?;
            }
            self.changed.remove(&name);
        }
        Ok(())
    }
}

/// A process of its own clears what a dead run left, and tells the monitoring: the daemon has no business with data.
///
/// `program` is the daemon's own path as it was at its start: since then it may have been replaced by a newer one.
pub(super) fn clear_after(
    run: &Run,
    program: &Path,
    config: Option<&Path>,
    settings: &Settings,
    state: &State,
) {
    // Before its first step it has left nothing.
    if run.step.is_empty() {
        tell(run, settings, state);
        return;
    }
    let child = command(program, config, settings)
        .args(["clear", &run.id])
        .stdout(Stdio::null())
        .spawn();
    match child {
        Ok(mut child) => drop(tokio::spawn(async move { child.wait().await })),
        Err(error) => {
            tracing::warn!(%error, "what the dead run left is not cleared yet; the next run does it");
        }
    }
}

/// Tells the monitoring of a run that could not do so itself.
fn tell(run: &Run, settings: &Settings, state: &State) {
    // What is wrong with its file, it has told.
    if run.state == RunState::Refused {
        return;
    }
    let (run, settings, state) = (run.clone(), settings.clone(), state.clone());
    tokio::spawn(async move {
        match Variables::load(&settings) {
            Ok(variables) => {
                recover::tell(&settings, &|name| variables.get(name), &state, &run).await;
            }
            Err(error) => {
                tracing::warn!(job = run.job, %error, "the run's check result could not be sent");
            }
        }
    });
}

/// Writes the status file of a job that does not run: of one that runs, it is the run's own.
fn write_status(settings: &Settings, state: &State, name: &str, entry: &Entry) -> Result<()> {
    let next = entry.planned.as_ref().and_then(Planned::next);
    let Some(job) = &entry.job else {
        // Not read yet, or there never was a good version to speak of.
        if entry.problem.is_empty()
            || state
                .last_run(name)?
                .is_some_and(|run| run.state == RunState::Running)
        {
            return Ok(());
        }
        return broken(settings, state, name, &entry.problem);
    };
    loop {
        let status =
            record::status_of_job(state, name, (job.from.as_str(), job.to.as_str()), next)?;
        if status.state == status_file::State::Running {
            return Ok(());
        }
        let same = status_file::read(&settings.status_dir, name).is_ok_and(|there| there == status);
        if !same {
            status_file::write(&settings.status_dir, &status)?;
        }
        // A run may have begun and ended since it was read: then its word is the last.
        let now = record::status_of_job(state, name, (job.from.as_str(), job.to.as_str()), next)?;
        if now.state == status.state && now.run_id == status.run_id {
            return Ok(());
        }
    }
}

/// A job that cannot run is refused, whatever its last run was: monitoring has to hear of it.
fn broken(settings: &Settings, state: &State, name: &str, problem: &str) -> Result<()> {
    let mut status = record::status_of_job(state, name, ("", ""), None)?;
    status.state = status_file::State::Refused;
    problem.clone_into(&mut status.message);
    status.problem = String::new();
    let same = status_file::read(&settings.status_dir, name).is_ok_and(|there| there == status);
    if same {
        return Ok(());
    }
    status_file::write(&settings.status_dir, &status)
}
