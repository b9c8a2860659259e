//! Files that have changed: jobs are taken over, settings as far as a running daemon can.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;

use super::jobs::{self, Look, Signature};
use super::notify::Notify;
use super::{Daemon, JobView, View};
use crate::config;
use crate::config::job::Settings;
use crate::error::Result;
use crate::guard::process::panics;
use crate::report::log::job_span;
use crate::state::KnownJob;

impl Daemon {
    /// Reads files again. What is wrong with them changes nothing.
    pub(super) fn reload(&mut self, look: Look) {
        if look == Look::All {
            Notify::reloading();
            tracing::info!("reading all files again");
        }
        let look = if self.reload_settings(look) {
            Look::All
        } else {
            look
        };
        self.take_over(look);
        if look == Look::All {
            tracing::info!(jobs = self.jobs.iter().count(), "files are read");
            Notify::ready();
        }
    }

    pub(super) fn take_over(&mut self, look: Look) {
        let problem = self.jobs.problem.clone();
        let found = self
            .jobs
            .look(look, &self.settings, &BTreeMap::new(), Utc::now());
        if self.jobs.problem != problem {
            // Who asks is told by the daemon's record.
            self.seen = None;
        }
        let changed = look == Look::All || !found.changed.is_empty() || !found.removed.is_empty();
        let taken = self.took_over(found);
        if changed {
            self.show();
        }
        self.upkeep
            .report("changed files cannot be recorded", taken.err());
    }

    /// True if they are others now.
    fn reload_settings(&mut self, look: Look) -> bool {
        let signature = self.settings.file.as_deref().map(Signature::of);
        if look == Look::Changed && signature == self.signature {
            return false;
        }
        self.signature = signature;
        // The defaults would do without a file, and know none of the host's environments.
        let gone = self.settings.file.as_ref().filter(|file| !file.exists());
        let loaded = match gone {
            Some(file) => Err(format!("{} is not there any more", file.display())),
            None => panics::caught(|| {
                config::load_settings(
                    self.config.as_deref(),
                    config::environment(),
                    self.settings.stores,
                )
            })
            .map_err(|bug| bug.to_string())
            .and_then(|loaded| loaded.map_err(jobs::one_line)),
        };
        match loaded {
            Ok((settings, _)) => {
                for (key, old, new) in [
                    ("state_dir", &self.settings.state_dir, &settings.state_dir),
                    (
                        "status_dir",
                        &self.settings.status_dir,
                        &settings.status_dir,
                    ),
                    ("lock_dir", &self.settings.lock_dir, &settings.lock_dir),
                ] {
                    if old != new {
                        tracing::warn!(key, now = %old.display(), "this is changed by a restart of the daemon only");
                    }
                }
                self.settings = Settings {
                    state_dir: self.settings.state_dir.clone(),
                    status_dir: self.settings.status_dir.clone(),
                    lock_dir: self.settings.lock_dir.clone(),
                    ..settings
                };
                if !std::mem::take(&mut self.problem).is_empty() {
                    tracing::info!("the settings' file is good again");
                }
                self.keep_settings();
            }
            Err(problem) => {
                if problem != self.problem {
                    tracing::error!(
                        problem,
                        "the settings' file is broken; its last good version stays in force"
                    );
                }
                self.problem = problem;
            }
        }
        self.seen = None;
        true
    }

    /// Shows what the files say to who looks.
    pub(super) fn show(&self) {
        let Some(views) = &self.views else { return };
        let jobs = self.jobs.iter().map(|(name, entry)| {
            let view = JobView {
                file: entry.file.clone(),
                job: entry.job.clone().map(Arc::new),
                problem: entry.problem.clone(),
                read: entry.read,
            };
            (name.clone(), view)
        });
        views.send_replace(Arc::new(View {
            settings: self.settings.clone(),
            jobs: jobs.collect(),
        }));
    }

    /// Runs read the settings themselves, and need the last good version while the file is broken.
    pub(super) fn keep_settings(&self) {
        if let Some(file) = &self.settings.file
            && let Ok(bytes) = config::contents(file)
            && let Err(error) = jobs::replace(&self.jobs.copy_of(None), &bytes)
        {
            tracing::warn!(%error, "the settings' last good version cannot be kept");
        }
    }

    /// Records what the files say now.
    pub(super) fn took_over(&mut self, found: jobs::Found) -> Result<()> {
        let now = Utc::now();
        for name in &found.removed {
            let _entered = job_span(name).entered();
            tracing::info!("the job's file is gone, and so is the job");
            self.state.forget_job(name)?;
            self.upkeep.removed(name);
        }
        if !found.due.is_empty() {
            let unfinished = self.state.unfinished()?;
            self.settle(&found.due, &unfinished, now)?;
        }
        let known: Vec<KnownJob> = found
            .changed
            .iter()
            .filter_map(|name| self.jobs.known(name, now))
            .collect();
        self.state.set_jobs(&known)?;
        self.upkeep.changed(found.changed);
        Ok(())
    }
}
