//! A state store that is removed or replaced under the daemon: what the daemon knows goes into the new one.
//!
//! Runs that are under way record themselves again. The daemon has the rest in its memory: how far each job's due times have
//! been dealt with, the runs that wait for their turn, pauses and holds. So no due time is lost or comes up twice.

use chrono::Utc;

use super::Daemon;
use super::jobs::Look;
use crate::error::{Error, Kind, Result};
use crate::guard::daemon_lock::DaemonLock;
use crate::guard::lease::Lease;
use crate::state::{Entry, Queued, presence};

impl Daemon {
    /// Looks whether the state store is the one that it was.
    pub(super) fn look_at_store(&mut self) {
        let looked = self.state.look();
        let outcome = match looked {
            Ok(()) if self.state.renewed() != self.renewed => self.take_up(),
            other => other,
        };
        self.upkeep
            .report("the state store cannot be used", outcome.err());
    }

    /// What was read from a store that is a new one all of a sudden is not what we knew.
    pub(super) fn same_store(&self) -> Result<()> {
        if self.state.renewed() == self.renewed {
            return Ok(());
        }
        Err(Error::new(
            Kind::State,
            "the state store was removed or replaced",
        ))
    }

    /// Writes what is known into the new store.
    fn take_up(&mut self) -> Result<()> {
        let renewed = self.state.renewed();
        let directory = self.settings.state_dir.clone();
        // If it was the file alone, the lock is still ours.
        if !self.lock.is_of(&directory) {
            match DaemonLock::take(&directory) {
                Ok(lock) => self.lock = lock,
                Err(error) if error.kind() == Kind::Busy => {
                    let what =
                        "the state directory was removed, and another daemon has the new one";
                    self.fatal = Some(error.within(what));
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            self.lease = None;
            self.lease = Lease::take(&directory, presence::LEASE_OF_DAEMON);
        }
        self.jobs.make_directory()?;
        self.supervisor.make_directory()?;
        let now = Utc::now();
        self.keep_settings();
        self.record_self(now)?;
        let there = self.state.pauses()?;
        for pause in &self.paused {
            if pause.holds_at(now) && there.iter().all(|other| other.what != pause.what) {
                self.state.pause(pause)?;
            }
        }
        for hold in &self.held {
            if self.state.hold_on(&hold.environment)?.is_none() {
                self.state.restore_hold(hold)?;
            }
        }
        for run in self.waiting.values() {
            if self.state.run(&run.id)?.is_some() {
                continue;
            }
            let queued = Queued {
                id: &run.id,
                job: &run.job,
                file: &run.file,
                verb: run.verb,
                from: &run.from,
                to: &run.to,
                trigger: run.trigger,
                by: &run.by,
                only: &run.only,
            };
            self.state.settle_due(&[Entry::Wait(queued)], &[])?;
        }
        let known: Vec<_> = self
            .jobs
            .iter()
            .filter_map(|(name, _)| self.jobs.known(name, now))
            .collect();
        self.state.set_jobs(&known)?;
        self.renewed = renewed;
        // Copies of their last good versions were in the directory, too.
        self.take_over(Look::All);
        tracing::warn!(
            jobs = known.len(),
            waiting = self.waiting.len(),
            "due times, waiting runs, pauses and holds are in the new state store; the history is not"
        );
        Ok(())
    }
}
