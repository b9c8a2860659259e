//! The daemon: it keeps the jobs' schedules, starts each run as a process of its own, and looks after it to its end.
//!
//! It never touches data: a run is `envsyncd --once -f JOB.toml`, the very command that a person types. All that it knows
//! is in the state store, so that it can be killed at any moment: the next one finds the runs that go on, the queue, and
//! every due time that has been dealt with.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`planner`] | what is due: pure |
//! | `heartbeat` | once a second |
//! | `jobs` | job files, and their last good versions |
//! | `reload` | changed files |
//! | `queue` | what is due goes in, what there is room for comes out |
//! | `renewal` | a state store that was taken away |
//! | `supervisor` | runs as processes |
//! | `upkeep` | what it does beside: status files, metrics, history |
//! | `notify` | what systemd is told |
//! | `view` | what others are shown |

mod heartbeat;
mod jobs;
mod notify;
pub mod planner;
mod queue;
mod reload;
mod renewal;
mod supervisor;
mod upkeep;
mod view;
mod watched;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use self::heartbeat::{Beat, Heartbeat};
use self::jobs::{Jobs, Look};
use self::notify::Notify;
use self::planner::Absence;
use self::supervisor::Supervisor;
use self::upkeep::Upkeep;
pub use self::view::{JobView, Signature, View, views};
use crate::config::job::{OnStop, Settings};
use crate::error::{Error, Kind, Result};
use crate::guard::daemon_lock::DaemonLock;
use crate::guard::lease::Lease;
use crate::guard::process::{Process, host_name, panics};
use crate::report::log::run_span;
use crate::run::recover;
use crate::state::{self, Hold, KnownJob, Pause, Run, RunState, State, presence};
use crate::trust;

/// How many beats lie between two looks at the files; while one of them is just being changed, there is none.
const FILES: u64 = 3;
/// A trouble.
const UNRECORDED: &str = "a run's end cannot be recorded";
/// How often the daemon writes down that it is there.
const SEEN: Duration = Duration::from_secs(30);

/// What the daemon is started with.
pub struct Options {
    /// The settings' file, as it was given.
    pub config: Option<PathBuf>,
    /// The settings in it.
    pub settings: Settings,
    /// Who is shown what the files say, as they change.
    pub views: Option<watch::Sender<Arc<View>>>,
    /// Called once the state directory is this daemon's, before it begins: what fails there is an error of its start.
    pub begun: Box<dyn FnOnce() -> Result<()>>,
}

/// Keeps schedules until a SIGTERM or SIGINT. `Kind::Busy` if another daemon has the state directory.
pub async fn serve(mut options: Options) -> Result<()> {
    let begun = std::mem::replace(&mut options.begun, Box::new(|| Ok(())));
    let mut daemon = Daemon::start(options)?;
    begun()?;
    let failed = |error| Error::new(Kind::Internal, "signals cannot be listened to").because(error);
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut heartbeat = Heartbeat::start().await?;
    daemon.safely(|daemon| daemon.look(Absence::Down));
    // Status files and the like can wait, and a slow disk is no reason to be late.
    Notify::ready();
    tracing::info!(jobs = daemon.jobs.iter().count(), "daemon is ready");
    loop {
        tokio::select! {
            beat = heartbeat.beat() => {
                if beat == Beat::Silence {
                    tracing::warn!("the clock was set back, or the machine is very busy");
                    heartbeat.restart().await?;
                }
                daemon.safely(Daemon::beat);
            }
            Some(ended) = daemon.supervisor.ended() => {
                daemon.safely(|daemon| daemon.reap(ended));
                // Its place in the queue is free.
                daemon.safely(Daemon::beat);
            }
            _ = hangup.recv() => daemon.safely(|daemon| daemon.reload(Look::All)),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
        if let Some(error) = daemon.fatal.take() {
            return Err(error);
        }
    }
    daemon.stop([&mut terminate, &mut interrupt]).await
}

struct Daemon {
    config: Option<PathBuf>,
    settings: Settings,
    views: Option<watch::Sender<Arc<View>>>,
    /// The settings' file as it was when it was last read.
    signature: Option<Signature>,
    /// What is wrong with it now; empty: nothing.
    problem: String,
    state: State,
    host: String,
    since: DateTime<Utc>,
    seen: Option<Instant>,
    beats: u64,
    jobs: Jobs,
    paused: Vec<Pause>,
    held: Vec<Hold>,
    /// Runs that wait, by their ids.
    waiting: BTreeMap<String, Run>,
    /// How often the state store was another one, as far as we know.
    renewed: u64,
    /// Why we cannot go on.
    fatal: Option<Error>,
    supervisor: Supervisor,
    upkeep: Upkeep,
    notify: Notify,
    lock: DaemonLock,
    /// Shows in other containers that we live.
    lease: Option<Lease>,
}

impl Daemon {
    fn start(options: Options) -> Result<Self> {
        let Options {
            config,
            settings,
            views,
            begun: _,
        } = options;
        refuse_anothers(&settings)?;
        let state = State::open(&settings.state_dir)?;
        let lock = DaemonLock::take(&settings.state_dir)?;
        let host = host_name();
        let now = Utc::now();
        let mut daemon = Self {
            signature: settings.file.as_deref().map(Signature::of),
            problem: String::new(),
            since: now,
            seen: None,
            beats: 0,
            jobs: Jobs::new(&settings, &host)?,
            paused: Vec::new(),
            held: Vec::new(),
            waiting: BTreeMap::new(),
            renewed: state.renewed(),
            fatal: None,
            supervisor: Supervisor::new(&settings)?,
            upkeep: Upkeep::new(),
            notify: Notify::default(),
            lock,
            lease: Lease::take(&settings.state_dir, presence::LEASE_OF_DAEMON),
            config,
            settings,
            views,
            state,
            host,
        };
        tracing::info!(
            version = env!("CARGO_PKG_VERSION"),
            state_dir = %daemon.settings.state_dir.display(),
            job_dir = %daemon.settings.job_dirs_named(),
            "daemon starts"
        );
        daemon.keep_settings();
        daemon.record_self(now)?;
        let known: BTreeMap<String, KnownJob> = daemon
            .state
            .known_jobs()?
            .into_iter()
            .map(|job| (job.job.clone(), job))
            .collect();
        let found = daemon.jobs.look(Look::All, &daemon.settings, &known, now);
        if !daemon.jobs.problem.is_empty() {
            return Err(Error::new(Kind::Config, daemon.jobs.problem.clone())
                .hint("set job_dir in envsyncd.toml to the directory of the job files, and managed_job_dir to one that is there"));
        }
        let gone = known
            .keys()
            .filter(|name| daemon.jobs.get(name).is_none())
            .cloned()
            .collect();
        daemon.took_over(jobs::Found {
            removed: gone,
            ..found
        })?;
        daemon.drop_old_queue(now)?;
        daemon.supervisor.sweep(&daemon.state.unfinished()?);
        daemon.show();
        Ok(daemon)
    }

    /// Does something; a bug of ours in it is told of, and the daemon goes on.
    fn safely(&mut self, work: impl FnOnce(&mut Self)) {
        let done = panics::caught(|| work(self));
        self.upkeep.report(
            "the daemon has met a bug of its own",
            done.err().or_else(panics::stray),
        );
    }

    /// The work of each second. No error ends the daemon.
    fn beat(&mut self) {
        Notify::alive();
        self.beats += 1;
        self.look_at_store();
        if self.jobs.is_due(&self.settings) || self.beats.is_multiple_of(FILES) {
            self.reload(Look::Changed);
        }
        self.look(Absence::None);
        self.work();
    }

    /// One look at the clock, the queue, and all runs.
    fn look(&mut self, absence: Absence) {
        // What cannot be done now, a full disk say, is tried again a second later; nothing counts as done before.
        let round = self.round(absence);
        self.upkeep
            .report("the daemon's work is held up", round.err());
    }

    /// What is not urgent.
    fn work(&mut self) {
        let now = Utc::now();
        if self.seen.is_none_or(|seen| seen.elapsed() >= SEEN) {
            let seen = self.record_self(now);
            self.upkeep
                .report("the daemon cannot record itself", seen.err());
        }
        let facts = crate::report::metrics::Daemon {
            started_at: self.since,
            queued: self
                .waiting
                .keys()
                .filter(|run| !self.supervisor.has(run))
                .count(),
            running: self.supervisor.count(),
        };
        self.upkeep
            .work(&self.settings, &self.state, &self.jobs, Some(&facts));
    }

    fn round(&mut self, absence: Absence) -> Result<()> {
        let held = self.state.holds()?;
        self.look_at_pauses()?;
        let mut unfinished = self.state.unfinished()?;
        self.same_store()?;
        self.held = held;
        let now = Utc::now();
        // What is under way is looked after even where nothing new can be recorded.
        let planned = self.plan(absence, &unfinished, now);
        if matches!(planned, Ok(true)) {
            unfinished = self.state.unfinished()?;
        }
        let running: Vec<&Run> = unfinished
            .iter()
            .filter(|run| run.state == RunState::Running && run.is_here())
            .collect();
        for run in self.supervisor.watch(running.iter().copied()) {
            let _entered = run_span(&run.job, &run.id).entered();
            let pid = run.process.as_ref().map_or(0, |process| process.pid);
            tracing::info!(pid, by = run.by, "found a run that is under way");
        }
        self.supervisor
            .enforce(&unfinished, self.settings.kill_after);
        self.visit();
        let buried = self.bury_unseen(&unfinished);
        self.look_at_queue(&unfinished);
        self.freshen(&unfinished);
        self.start_waiting(&unfinished);
        self.say(&unfinished);
        planned.map(drop).and(buried)
    }

    fn look_at_pauses(&mut self) -> Result<()> {
        let paused = self.state.pauses()?;
        self.same_store()?;
        if paused != self.paused {
            let before = std::mem::replace(&mut self.paused, paused);
            let changed = self.jobs.iter().filter(|(name, entry)| {
                let to = entry.job.as_ref().map(|job| job.to.as_str());
                let was = Pause::holding(&before, name, to);
                was != Pause::holding(&self.paused, name, to)
            });
            (self.upkeep).changed(changed.map(|(name, _)| name.clone()).collect::<Vec<_>>());
        }
        Ok(())
    }

    /// What keeps a job's schedule from starting it.
    fn pause_of(&self, job: &str) -> Option<&Pause> {
        let to = self.jobs.get(job).and_then(|entry| entry.job.as_ref());
        Pause::holding(&self.paused, job, to.map(|job| job.to.as_str()))
    }

    /// A run that waited may have been cancelled by somebody else, who leaves the job's status file to us.
    fn look_at_queue(&mut self, unfinished: &[Run]) {
        // Whoever put them into the queue, and whatever this machine was called then: the queue is this daemon's.
        let waiting: BTreeMap<String, Run> = unfinished
            .iter()
            .filter(|run| run.state == RunState::Pending)
            .map(|run| (run.id.clone(), run.clone()))
            .collect();
        let before = std::mem::replace(&mut self.waiting, waiting);
        let gone = before
            .into_iter()
            .filter(|(id, _)| !self.waiting.contains_key(id));
        self.upkeep.changed(gone.map(|(_, run)| run.job));
    }

    /// Records runs that cannot be seen from here and that have given no sign of life for too long.
    fn bury_unseen(&mut self, unfinished: &[Run]) -> Result<()> {
        let dead = unfinished
            .iter()
            .filter(|run| run.is_dead() && !run.is_here());
        for run in dead {
            let _entered = run_span(&run.job, &run.id).entered();
            tracing::error!(host = run.host, "a run elsewhere is dead");
            if recover::bury_elsewhere(&self.state, &self.settings, run)? {
                self.died(run);
            }
        }
        Ok(())
    }

    /// A child has ended.
    fn reap(&mut self, ended: supervisor::Ended) {
        match self.supervisor.reap(ended, &self.state, &self.settings) {
            Ok(Some(run)) => self.died(&run),
            Ok(None) => {}
            Err(error) => self.upkeep.report(UNRECORDED, Some(error)),
        }
    }

    /// Looks after what is no child of ours, and what could not be recorded before.
    fn visit(&mut self) {
        let (buried, recorded) = self.supervisor.visit(&self.state, &self.settings);
        self.upkeep.report(UNRECORDED, recorded.err());
        for run in buried {
            self.died(&run);
        }
    }

    /// Starts a process that clears up after a run that died.
    fn died(&mut self, run: &Run) {
        self.upkeep.changed([run.job.clone()]);
        upkeep::clear_after(
            run,
            self.supervisor.program(),
            self.config.as_deref(),
            &self.settings,
            &self.state,
        );
    }

    fn record_self(&mut self, now: DateTime<Utc>) -> Result<()> {
        self.record(now, Some(Process::own()))?;
        self.seen = Some(Instant::now());
        Ok(())
    }

    fn record(&self, now: DateTime<Utc>, process: Option<Process>) -> Result<()> {
        self.state.set_daemon(&state::Daemon {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.host.clone(),
            process,
            since: self.since,
            seen_at: now,
            leased: true,
            problem: if self.problem.is_empty() {
                self.jobs.problem.clone()
            } else {
                self.problem.clone()
            },
        })
    }

    /// One line for `systemctl status`.
    fn say(&mut self, unfinished: &[Run]) {
        let names = |wanted: RunState| {
            let jobs: Vec<&str> = unfinished
                .iter()
                .filter(|run| run.state == wanted)
                .map(|run| run.job.as_str())
                .collect();
            match jobs.len() {
                0 => "none".to_owned(),
                1..=5 => jobs.join(", "),
                more => format!("{}, and {} more", jobs[..5].join(", "), more - 5),
            }
        };
        let mut text = format!(
            "running: {}; waiting: {}",
            names(RunState::Running),
            names(RunState::Pending)
        );
        let next = self
            .jobs
            .iter()
            .filter_map(|(name, entry)| Some((entry.planned.as_ref()?.next()?, name)))
            .min();
        if let Some((at, name)) = next {
            text += &format!("; next: {name} at {}", rfc3339(at));
        }
        let broken = self
            .jobs
            .iter()
            .filter(|(_, entry)| !entry.problem.is_empty())
            .count();
        if broken > 0 {
            text += &format!("; {broken} broken job files");
        }
        self.notify.status(text);
    }

    /// No new runs; those that are under way go on, or are told to end and waited for.
    async fn stop(&mut self, mut again: [&mut Signal; 2]) -> Result<()> {
        let running = self.supervisor.count();
        let limit = match self.settings.on_stop {
            OnStop::Leave => Duration::ZERO,
            OnStop::Cancel => self.settings.stop_timeout,
        };
        Notify::stopping(limit + Duration::from_secs(30));
        if running > 0 && self.settings.on_stop == OnStop::Leave {
            tracing::info!(
                running,
                "daemon stops; runs go on, and the next daemon finds them"
            );
        } else {
            tracing::info!(running, "daemon stops");
        }
        if self.settings.on_stop == OnStop::Cancel {
            self.supervisor.tell_all("the daemon was told to stop");
            let since = Instant::now();
            let mut killed = false;
            let [terminate, interrupt] = &mut again;
            while self.supervisor.living() > 0 {
                tokio::select! {
                    Some(ended) = self.supervisor.ended() => self.reap(ended),
                    () = tokio::time::sleep(Duration::from_millis(200)) => {
                        self.visit();
                    }
                    _ = terminate.recv() => break,
                    _ = interrupt.recv() => break,
                }
                Notify::alive();
                if since.elapsed() >= limit && !killed {
                    self.supervisor.kill_all();
                    killed = true;
                }
            }
        }
        self.upkeep
            .work(&self.settings, &self.state, &self.jobs, None);
        self.record(Utc::now(), None)?;
        tracing::info!("daemon has stopped");
        Ok(())
    }
}

/// Root's daemon starts what it finds in its state directory: nobody else may have put it there.
fn refuse_anothers(settings: &Settings) -> Result<()> {
    let directory = &settings.state_dir;
    let named = format!("state_dir {}", directory.display());
    if let Some(doubt) = trust::of_directory(directory) {
        let hint = format!(
            "run: {}; or start the daemon as the user whose it is",
            doubt.advice
        );
        return Err(doubt.into_error(Kind::Config, &named).hint(hint));
    }
    if trust::Rights::of_owner(directory).are_anothers() {
        let what = format!("{named} lies in a directory of somebody else's, who can replace it");
        return Err(Error::new(Kind::Config, what)
            .hint("set state_dir to a directory of root's, or start the daemon as that user"));
    }
    Ok(())
}

fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
