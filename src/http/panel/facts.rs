//! What the state store and the files say of all jobs, as pages need it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::chart::{Bar, Strip};
use super::marks::Mark;
use super::view::{Held, Next, RunLine, Way};
use crate::config::job::Job;
use crate::daemon::JobView;
use crate::error::Result;
use crate::http::app::Look;
use crate::http::auth::Identity;
use crate::policy::Environment;
use crate::state::{self, Hold, JobOverview, KnownJob, Pause, Run, RunState, Trigger, Verb};

/// A job that its schedule has not started for so long is overdue.
const LATE: chrono::Duration = chrono::Duration::minutes(5);

/// So many runs are in a strip.
pub(super) const STRIP: usize = 14;

/// What is said of all jobs.
pub(super) struct Facts {
    overview: BTreeMap<String, JobOverview>,
    known: BTreeMap<String, KnownJob>,
    /// Jobs that follow from a site and have run.
    of_sites: BTreeMap<String, JobView>,
    pub(super) pauses: Vec<Pause>,
    pub(super) holds: Vec<Hold>,
    pub(super) now: DateTime<Utc>,
}

/// What is said of a job.
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    pub(super) view: &'a JobView,
    pub(super) history: Option<&'a JobOverview>,
    pub(super) known: Option<&'a KnownJob>,
    pub(super) pause: Option<&'a Pause>,
    pub(super) mark: Mark,
}

impl Facts {
    /// Of all jobs.
    pub(super) fn read(look: &Look) -> Result<Self> {
        let known = look.state.known_jobs()?;
        Self::with(look, look.state.overview()?, known)
    }

    /// Of one job alone.
    pub(super) fn of(look: &Look, name: &str) -> Result<Self> {
        let overview = look.state.job_overview(name)?;
        let known = look.state.known_job(name)?;
        Self::with(
            look,
            overview.into_iter().collect(),
            known.into_iter().collect(),
        )
    }

    fn with(look: &Look, overview: Vec<JobOverview>, known: Vec<KnownJob>) -> Result<Self> {
        let names = overview.iter().map(|job| &job.job);
        let of_sites = names.filter_map(|name| Some((name.clone(), of_site(look, name)?)));
        let of_sites = of_sites.collect();
        Ok(Self {
            of_sites,
            overview: overview
                .into_iter()
                .map(|job| (job.job.clone(), job))
                .collect(),
            known: known
                .into_iter()
                .map(|job| (job.job.clone(), job))
                .collect(),
            pauses: look.state.pauses()?,
            holds: look.state.holds()?,
            now: Utc::now(),
        })
    }

    /// The jobs that have a file, or have run for a site, and that somebody may see.
    pub(super) fn entries<'a>(
        &'a self,
        look: &'a Look,
        identity: &'a Identity,
    ) -> impl Iterator<Item = Entry<'a>> {
        let all = look.view.jobs.iter().chain(&self.of_sites);
        let seen = all.filter(|(_, view)| match view.job.as_deref() {
            Some(job) => identity.covers(job.to.as_str(), job.site.as_deref()),
            None => !identity.is_limited(),
        });
        seen.map(|(name, view)| self.entry(name, view))
    }

    pub(super) fn entry<'a>(&'a self, name: &'a str, view: &'a JobView) -> Entry<'a> {
        let to = view.job.as_deref().map(|job| job.to.as_str());
        let history = self.overview.get(name);
        let known = self.known.get(name);
        let pause = Pause::holding(&self.pauses, name, to);
        let mark = self.mark(view, history, known, pause);
        Entry {
            name,
            view,
            history,
            known,
            pause,
            mark,
        }
    }

    fn mark(
        &self,
        view: &JobView,
        history: Option<&JobOverview>,
        known: Option<&KnownJob>,
        pause: Option<&Pause>,
    ) -> Mark {
        let last = history.and_then(|history| history.last_run.as_ref());
        let due = known.and_then(|known| known.next_run_at);
        let is_late = due.is_some_and(|due| due + LATE < self.now);
        match last.map(mark_of) {
            Some(mark @ (Mark::Running | Mark::Waiting)) => mark,
            _ if !view.problem.is_empty() => Mark::Broken,
            _ if pause.is_some() => Mark::Paused,
            _ if is_late => Mark::Overdue,
            Some(mark) => mark,
            None => Mark::Never,
        }
    }
}

impl<'a> Entry<'a> {
    pub(super) fn job(&self) -> Option<&'a Job> {
        self.view.job.as_deref()
    }

    pub(super) fn last_run(&self) -> Option<&'a Run> {
        self.history?.last_run.as_ref()
    }

    pub(super) fn last_success(&self) -> Option<DateTime<Utc>> {
        self.history?.last_success_at
    }

    pub(super) fn way(&self, look: &Look) -> Way {
        match self.job() {
            Some(job) => way(look, job.from.as_str(), job.to.as_str()),
            None => way(look, "?", "?"),
        }
    }

    /// When the daemon starts it next.
    pub(super) fn next(&self, look: &Look) -> Option<Next> {
        let at = self.known?.next_run_at.filter(|_| self.pause.is_none())?;
        let zone = self
            .job()
            .map_or(look.settings().timezone, |job| zone(look, job));
        Some(Next { at, zone })
    }

    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.mark, Mark::Running | Mark::Waiting)
    }
}

/// A job that follows from a site.
pub(super) fn of_site(look: &Look, name: &str) -> Option<JobView> {
    if look.view.jobs.contains_key(name) {
        return None;
    }
    let job = look.settings().site_job_named(name)?.ok()?;
    Some(JobView {
        file: job.file.clone(),
        job: Some(job.into()),
        problem: String::new(),
        read: None,
    })
}

/// A run's state as it is shown.
pub(super) fn mark_of(run: &Run) -> Mark {
    if run.is_dead() {
        return Mark::Failed;
    }
    of_state(run.state)
}

/// A state as it is shown.
pub(super) fn of_state(state: RunState) -> Mark {
    match state {
        RunState::Pending => Mark::Waiting,
        RunState::Running => Mark::Running,
        RunState::Succeeded => Mark::Succeeded,
        RunState::Failed => Mark::Failed,
        RunState::Refused => Mark::Refused,
        RunState::Busy => Mark::Busy,
        RunState::Cancelled => Mark::Cancelled,
        RunState::Skipped => Mark::Skipped,
    }
}

/// From where to where.
pub(super) fn way(look: &Look, from: &str, to: &str) -> Way {
    let environments = &look.settings().environments;
    let rules = environments.get(&Environment::new(from));
    Way {
        from: from.to_owned(),
        to: to.to_owned(),
        is_root: rules.is_some_and(|rules| rules.parent.is_none()),
    }
}

/// The zone of a job's schedule.
pub(super) fn zone(look: &Look, job: &Job) -> Tz {
    job.timezone.unwrap_or(look.settings().timezone)
}

/// Who or what started a run.
pub(super) fn started_by(run: &Run) -> String {
    match (run.trigger, run.by.as_str()) {
        (Trigger::Schedule, _) => "schedule".to_owned(),
        (Trigger::CatchUp, _) => "schedule, made up for".to_owned(),
        (Trigger::Manual | Trigger::Api, "") => "somebody".to_owned(),
        (Trigger::Manual | Trigger::Api, by) => by.to_owned(),
    }
}

/// A hold as it is shown.
pub(super) fn held(hold: &Hold) -> Held {
    Held {
        by: if hold.by.is_empty() {
            "somebody".to_owned()
        } else {
            hold.by.clone()
        },
        host: hold.host.clone(),
        reason: hold.reason.clone(),
        since: hold.since,
        process: hold.process.as_ref().map(|process| process.pid),
    }
}

/// A run in a table.
pub(super) fn run_line(look: &Look, run: &Run, now: DateTime<Utc>) -> RunLine {
    let mark = mark_of(run);
    let has_begun = !matches!(run.state, RunState::Pending | RunState::Skipped);
    RunLine {
        id: run.id.clone(),
        job: run.job.clone(),
        mark,
        way: way(look, &run.from, &run.to),
        is_rollback: run.verb == Verb::Rollback,
        percent: (mark == Mark::Running).then(|| whole(run.progress_percent())),
        bytes: run.bytes(),
        took: has_begun.then(|| run.duration(now)),
        at: run.started_at,
        by: started_by(run),
        message: run.message.clone(),
    }
}

/// A percentage as a whole number: 100 only at the end.
pub(super) fn whole(percent: f64) -> u8 {
    percent.clamp(0.0, 100.0) as u8
}

/// How long the last runs took, oldest first.
pub(super) fn strip(lengths: &[(RunState, Duration)]) -> Strip {
    let bars = lengths.iter().rev().map(|(state, took)| Bar {
        mark: of_state(*state),
        took: *took,
    });
    Strip(bars.collect())
}

/// A job's pause of its own: one that its page can end.
pub(super) fn own_pause<'a>(pauses: &'a [Pause], job: &str) -> Option<&'a Pause> {
    let is_own = |what: &state::Paused| matches!(what, state::Paused::Job(name) if name == job);
    pauses.iter().find(|pause| is_own(&pause.what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_goes_on_is_never_at_its_end() {
        assert_eq!(whole(99.9), 99);
        assert_eq!(whole(100.0), 100);
        assert_eq!(whole(-1.0), 0);
    }
}
