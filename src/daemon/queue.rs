//! The queue: what is due goes in, what there is room for comes out.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::jobs::{Look, Signature};
use super::planner::{self, Absence, Due};
use super::supervisor::Start;
use super::{Daemon, UNRECORDED, rfc3339};
use crate::error::Result;
use crate::guard::process::panics;
use crate::report::log::{job_span, run_span};
use crate::state::{Entry, KnownJob, Outcome, Queued, Run, RunState, Trigger, Verb};

impl Daemon {
    /// Puts what is due in the queue. False: nothing was.
    pub(super) fn plan(
        &mut self,
        absence: Absence,
        unfinished: &[Run],
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let mut due: Vec<(String, Due)> = Vec::new();
        let mut before = Vec::new();
        for (name, entry) in self.jobs.iter_mut() {
            let Some(planned) = entry.planned.as_mut() else {
                continue;
            };
            let come = planned.next().is_some_and(|next| next <= now);
            if !come && planned.handled_until() <= now {
                continue;
            }
            let was = planned.clone();
            match panics::caught(|| planned.look(now, absence)) {
                Ok(None) => {}
                Ok(Some(found)) => {
                    due.push((name.clone(), found));
                    before.push((name.clone(), was));
                }
                // Of one job: the others are due all the same.
                Err(bug) => {
                    tracing::error!(job = name, %bug, "the job's schedule cannot be kept");
                    entry.problem = bug.to_string();
                    entry.planned = None;
                }
            }
        }
        let settled = self.settle(&due, unfinished, now);
        if settled.is_err() {
            // Not recorded is not dealt with: the times come up again.
            for (name, entry) in self.jobs.iter_mut() {
                if let Some((_, was)) = before.iter().find(|(job, _)| job == name) {
                    entry.planned = Some(was.clone());
                }
            }
        }
        settled.map(|()| !due.is_empty())
    }

    /// Records what becomes of due times.
    pub(super) fn settle(
        &mut self,
        due: &[(String, Due)],
        unfinished: &[Run],
        now: DateTime<Utc>,
    ) -> Result<()> {
        if due.is_empty() {
            return Ok(());
        }
        self.look_at_pauses()?;
        let mut verdicts: Vec<(&str, String, Verdict)> = Vec::new();
        for (name, due) in due {
            let _entered = job_span(name).entered();
            let busy = unfinished
                .iter()
                .find(|run| run.job == *name && !run.is_dead());
            let verdict = match (due, busy) {
                (Due::Rewound { from }, _) => {
                    tracing::warn!(%from, "the clock had been far ahead; the schedule begins anew");
                    continue;
                }
                _ if self.pause_of(name).is_some() => {
                    tracing::info!("due, and paused");
                    continue;
                }
                (Due::Missed { first, last, count }, _) => {
                    Verdict::Skip(missed(*first, *last, *count))
                }
                (Due::Run { .. }, Some(run)) => Verdict::Skip(format!(
                    "not started: run {} of this job was still {}",
                    run.id, run.state
                )),
                (Due::Run { trigger, .. }, None) => Verdict::Wait(*trigger),
            };
            if let Verdict::Skip(why) = &verdict {
                tracing::warn!(why, "a run was skipped");
            }
            verdicts.push((name, uuid::Uuid::now_v7().to_string(), verdict));
        }
        let mut entries = Vec::new();
        for (name, id, verdict) in &verdicts {
            let Some((entry, job)) = self
                .jobs
                .get(name)
                .and_then(|entry| Some((entry, entry.job.as_ref()?)))
            else {
                continue;
            };
            let queued = |trigger| Queued {
                id,
                job: name,
                file: &entry.file,
                verb: Verb::Run,
                from: job.from.as_str(),
                to: job.to.as_str(),
                trigger,
                by: "",
                only: &[],
            };
            entries.push(match verdict {
                Verdict::Wait(trigger) => Entry::Wait(queued(*trigger)),
                Verdict::Skip(why) => Entry::Skip(queued(Trigger::Schedule), why),
            });
        }
        let known: Vec<KnownJob> = due
            .iter()
            .filter_map(|(name, _)| self.jobs.known(name, now))
            .collect();
        self.state.settle_due(&entries, &known)?;
        self.upkeep
            .changed(due.iter().map(|(name, _)| name.clone()));
        Ok(())
    }

    /// A run that starts now goes by what its files say now, not by what they said at the last look.
    pub(super) fn freshen(&mut self, unfinished: &[Run]) {
        let room = self.supervisor.count() < self.settings.max_concurrent_runs;
        let starts =
            |run: &&Run| self.waiting.contains_key(&run.id) && !self.supervisor.has(&run.id);
        let jobs: Vec<&str> = unfinished
            .iter()
            .filter(starts)
            .map(|run| run.job.as_str())
            .collect();
        if !room || jobs.is_empty() {
            return;
        }
        if self.signature != self.settings.file.as_deref().map(Signature::of) {
            self.reload(Look::Changed);
        }
        let stale = |job: &&str| {
            let entry = self.jobs.get(job);
            entry.is_some_and(|entry| entry.is_stale() && entry.has_file())
        };
        // Its file was written a moment ago.
        let new = |job: &&str| {
            self.jobs.get(job).is_none() && self.settings.site_job_named(job).is_none()
        };
        if jobs.iter().any(stale) || jobs.iter().any(new) {
            self.take_over(Look::All);
        }
    }

    /// Starts runs that wait, in order, as far as there is room.
    pub(super) fn start_waiting(&mut self, unfinished: &[Run]) {
        let mut busy: BTreeSet<String> = self.supervisor.jobs().map(str::to_owned).collect();
        let waiting = unfinished
            .iter()
            .filter(|run| run.state == RunState::Pending);
        for run in waiting {
            if self.supervisor.has(&run.id) {
                continue;
            }
            if self.supervisor.count() >= self.settings.max_concurrent_runs
                || busy.contains(&run.job)
            {
                self.upkeep.changed([run.job.clone()]);
                continue;
            }
            let _entered = run_span(&run.job, &run.id).entered();
            let (file, copy) = match self.job_to_start(run) {
                Ok(found) => found,
                Err(message) => {
                    self.refuse(run, message);
                    continue;
                }
            };
            let settings_copy = Some(self.jobs.copy_of(None))
                .filter(|copy| !self.problem.is_empty() && copy.exists());
            let start = Start {
                run,
                file: &file,
                config: self.config.as_deref(),
                site_job: self.jobs.get(&run.job).is_none(),
                copy,
                settings_copy,
            };
            if start.copy.is_some() {
                tracing::warn!("the job's file is broken or away; its last good version runs");
            }
            busy.insert(run.job.clone());
            if let Err(error) = self.supervisor.start(&start, &self.settings) {
                tracing::error!(%error, "the run cannot be started");
                let outcome = Outcome {
                    state: RunState::Failed,
                    message: error.to_string(),
                    errors: 1,
                    warnings: 0,
                    exit_code: 1,
                };
                let recorded = self.state.finish(&run.id, &outcome);
                self.upkeep.report(UNRECORDED, recorded.err());
                self.upkeep.changed([run.job.clone()]);
            }
        }
    }

    /// The file that a run's job stands in, and what is read instead where that is broken; or why there is none.
    fn job_to_start(&self, run: &Run) -> Result<(PathBuf, Option<PathBuf>), String> {
        if let Some(entry) = self.jobs.get(&run.job) {
            if !is_same(&run.file, &entry.file) {
                return Err(another_file(run, &entry.file));
            }
            let is_broken = !entry.problem.is_empty() || entry.is_stale();
            let copy = Some(self.jobs.copy_of(Some(&run.job)));
            let copy = copy.filter(|copy| is_broken && copy.exists());
            return Ok((entry.file.clone(), copy));
        }
        match self.settings.site_job_named(&run.job) {
            Some(Ok(job)) if is_same(&run.file, &job.file) => Ok((job.file, None)),
            Some(Ok(job)) => Err(another_file(run, &job.file)),
            Some(Err(error)) => Err(error.to_string()),
            None => Err(self.unknown(run)),
        }
    }

    /// Somebody asked for a job whose file is not among ours.
    fn unknown(&self, run: &Run) -> String {
        format!(
            "the daemon does not know job `{}`: {} is not among the files of its own job_dir, {}",
            run.job,
            run.file.display(),
            self.settings.job_dirs_named()
        )
    }

    fn refuse(&mut self, run: &Run, message: String) {
        tracing::error!(message, "the run is refused");
        let outcome = Outcome {
            state: RunState::Refused,
            message,
            errors: 1,
            warnings: 0,
            exit_code: 2,
        };
        let recorded = self.state.finish(&run.id, &outcome);
        self.upkeep.report(UNRECORDED, recorded.err());
    }

    /// What has waited since before the daemon was down for long is not started in the middle of somebody's day.
    pub(super) fn drop_old_queue(&mut self, now: DateTime<Utc>) -> Result<()> {
        for run in self.state.unfinished()? {
            if run.state == RunState::Pending && now - run.started_at > planner::LATE {
                let _entered = run_span(&run.job, &run.id).entered();
                let message = format!(
                    "not started: it has waited since {}, and the daemon was not running",
                    rfc3339(run.started_at)
                );
                tracing::warn!(message, "a run was skipped");
                let outcome = Outcome {
                    state: RunState::Skipped,
                    message,
                    errors: 0,
                    warnings: 1,
                    exit_code: 75,
                };
                self.state.finish(&run.id, &outcome)?;
            }
        }
        Ok(())
    }
}

/// Somebody asked for a file that is not the job's.
fn another_file(run: &Run, file: &Path) -> String {
    format!(
        "the daemon has job `{}` from {}, and does not start {}",
        run.job,
        file.display(),
        run.file.display()
    )
}

/// Whether two paths lead to one file. One that is not there is judged by its name.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize();
    one == other
        || match (real(one), real(other)) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        }
}

enum Verdict {
    Wait(Trigger),
    Skip(String),
}

fn missed(first: DateTime<Utc>, last: DateTime<Utc>, count: u32) -> String {
    let when = if count == 1 {
        format!("at {}", rfc3339(last))
    } else {
        let more = if count >= planner::MANY {
            " or more"
        } else {
            ""
        };
        format!(
            "{count}{more} times from {} to {}",
            rfc3339(first),
            rfc3339(last)
        )
    };
    format!(
        "missed: due {when}, when the daemon was not running or the machine slept; `catch_up = true` would run it late"
    )
}
