//! Runs as processes: started, found again, told to end, killed where they do not, and recorded where they cannot.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::process::Command;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::watched::{End, Watched, error_of, how, last_line, never_began, slay, tell};
use crate::config::job::Settings;
use crate::error::{Error, Kind, Result, io};
use crate::guard::process::{Process, program};
use crate::report::log::run_span;
use crate::run::recover;
use crate::state::{Run, RunState, State, Verb};
use crate::trust;

/// A run ends itself at its timeout; so much later it is taken to have failed to.
const OVERDUE: Duration = Duration::from_secs(5);
/// Publishing cannot be stopped half-way, and a large file takes its time.
const PUBLISHING: Duration = Duration::from_secs(600);
/// How much of what a process has said last is kept.
const LAST_WORDS: usize = 20;

/// A child that has ended.
pub(super) struct Ended {
    run: String,
    status: std::io::Result<ExitStatus>,
}

/// All runs of this host, whoever started them.
pub(super) struct Supervisor {
    watched: BTreeMap<String, Watched>,
    program: PathBuf,
    /// What children write on stdout and stderr; not a pipe, since they may outlive us.
    output: PathBuf,
    tell: UnboundedSender<Ended>,
    ended: UnboundedReceiver<Ended>,
}

/// The arguments of a child process.
pub(super) struct Start<'a> {
    /// The run that waits.
    pub(super) run: &'a Run,
    /// The file that the daemon has read the job from; what the queue says of it is only held against it.
    pub(super) file: &'a Path,
    /// The settings' file, as the daemon was given it.
    pub(super) config: Option<&'a Path>,
    /// Whether the job is one that follows from a site of the settings.
    pub(super) site_job: bool,
    /// Read instead of the job's file, which is broken.
    pub(super) copy: Option<PathBuf>,
    /// Read instead of the settings' file, which is broken.
    pub(super) settings_copy: Option<PathBuf>,
}

impl Supervisor {
    pub(super) fn new(settings: &Settings) -> Result<Self> {
        let program = std::env::current_exe().map_err(|error| {
            Error::new(Kind::Internal, "the path of this program is not known").because(error)
        })?;
        let (tell, ended) = unbounded_channel();
        let supervisor = Self {
            watched: BTreeMap::new(),
            program,
            output: settings.state_dir.join("output"),
            tell,
            ended,
        };
        supervisor.make_directory()?;
        Ok(supervisor)
    }

    /// Makes the directory of what processes say, unless it is there.
    pub(super) fn make_directory(&self) -> Result<()> {
        let output = &self.output;
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(output)
            .map_err(io(format!("{} cannot be made", output.display())))
    }

    /// This program's path, as it was when the daemon started.
    pub(super) fn program(&self) -> &Path {
        &self.program
    }

    /// How many runs there are, those by hand included.
    pub(super) fn count(&self) -> usize {
        self.watched.len()
    }

    /// How many of them have a process that has not ended.
    pub(super) fn living(&self) -> usize {
        let living = |run: &&Watched| run.end.is_none();
        self.watched.values().filter(living).count()
    }

    /// Removes what processes had written whose runs have ended while nobody was there.
    pub(super) fn sweep(&self, unfinished: &[Run]) {
        let left = fs::read_dir(&self.output).into_iter().flatten().flatten();
        for file in left.map(|entry| entry.path()) {
            let run = file.file_stem().and_then(|stem| stem.to_str());
            if run.is_some_and(|id| unfinished.iter().all(|run| run.id != id)) {
                let _ = fs::remove_file(file);
            }
        }
    }

    /// Whether this run is looked after.
    pub(super) fn has(&self, run: &str) -> bool {
        self.watched.contains_key(run)
    }

    /// The jobs that have a run.
    pub(super) fn jobs(&self) -> impl Iterator<Item = &str> {
        self.watched.values().map(|run| run.job.as_str())
    }

    /// Waits for the next child to end.
    pub(super) async fn ended(&mut self) -> Option<Ended> {
        self.ended.recv().await
    }

    /// Starts a run's process, in a process group of its own.
    pub(super) fn start(&mut self, start: &Start<'_>, settings: &Settings) -> Result<()> {
        let run = start.run;
        let output = self.output_of(&run.id);
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
            .open(&output)
            .map_err(io(format!("{} cannot be made", output.display())))?;
        let both = file
            .try_clone()
            .map_err(io(format!("{} cannot be opened twice", output.display())))?;
        let mut command = command(&self.program, start.config, settings);
        command.arg(match run.verb {
            Verb::Run => "--once",
            Verb::Rollback => "rollback",
        });
        command.args(["--run", &run.id]);
        if start.site_job {
            command.args(["--site-job", &run.job]);
        }
        for (flag, copy) in [
            ("--last-good", &start.copy),
            ("--last-good-settings", &start.settings_copy),
        ] {
            if let Some(copy) = copy {
                command.arg(flag).arg(copy);
            }
        }
        let mut child = command
            .arg("-f")
            .arg(start.file)
            .stdout(file)
            .stderr(both)
            .kill_on_drop(false)
            .spawn()
            .map_err(|error| {
                Error::new(
                    Kind::Internal,
                    format!("{} cannot be started", self.program.display()),
                )
                .because(error)
            })?;
        let process = child
            .id()
            .and_then(Process::of)
            .unwrap_or_else(|| Process::unknown(child.id().unwrap_or(0)));
        tracing::info!(pid = process.pid, trigger = %run.trigger, by = run.by, "run's process started");
        self.watched.insert(
            run.id.clone(),
            Watched {
                job: run.job.clone(),
                process,
                child: true,
                limit: None,
                told: None,
                killed: false,
                end: None,
            },
        );
        let (tell, id) = (self.tell.clone(), run.id.clone());
        tokio::spawn(async move {
            let status = child.wait().await;
            // Nobody listens only when the daemon itself is at its end.
            let _ = tell.send(Ended { run: id, status });
        });
        Ok(())
    }

    /// Looks after runs that somebody else has started: a person, or the daemon before this one. Returns those that are new.
    pub(super) fn watch<'a>(&mut self, running: impl Iterator<Item = &'a Run>) -> Vec<&'a Run> {
        let mut new = Vec::new();
        for run in running {
            let Some(process) = &run.process else {
                continue;
            };
            let limit = || {
                // The clock may have been set since it began.
                let since = process.age().unwrap_or_else(|| run.duration(Utc::now()));
                let left = run.timeout?.saturating_sub(since);
                Instant::now().checked_add(left.saturating_add(OVERDUE))
            };
            match self.watched.get_mut(&run.id) {
                Some(watched) if watched.limit.is_none() => watched.limit = limit(),
                Some(_) => {}
                None => {
                    self.watched.insert(
                        run.id.clone(),
                        Watched {
                            job: run.job.clone(),
                            process: process.clone(),
                            child: false,
                            limit: limit(),
                            told: None,
                            killed: false,
                            end: None,
                        },
                    );
                    new.push(run);
                }
            }
        }
        new
    }

    /// Tells all runs to end.
    pub(super) fn tell_all(&mut self, why: &str) {
        for (id, watched) in &mut self.watched {
            tell(id, watched, why);
        }
    }

    /// Kills all runs that are left.
    pub(super) fn kill_all(&mut self) {
        for (id, watched) in &mut self.watched {
            slay(id, watched);
        }
    }

    /// Ends what has to end: runs that somebody cancelled, and those whose time is over.
    pub(super) fn enforce(&mut self, unfinished: &[Run], grace: Duration) {
        let now = Instant::now();
        let living = |(_, run): &(&String, &mut Watched)| run.end.is_none();
        for (id, watched) in self.watched.iter_mut().filter(living) {
            let run = unfinished.iter().find(|run| run.id == *id);
            if let Some(by) = run.and_then(|run| run.cancelled_by.as_ref()) {
                tell(id, watched, &format!("cancelled by {by}"));
            }
            if watched.limit.is_some_and(|limit| limit <= now) {
                let limit = run.and_then(|run| run.timeout).unwrap_or_default();
                let limit = humantime::format_duration(limit);
                tell(
                    id,
                    watched,
                    &format!("the job's timeout of {limit} is over"),
                );
            }
            let publishes = run.is_some_and(|run| run.step == "publish");
            let grace = if publishes {
                grace.max(PUBLISHING)
            } else {
                grace
            };
            if let Some((since, _)) = &watched.told
                && since.elapsed() >= grace
            {
                slay(id, watched);
            }
        }
    }

    /// Takes note of a child's end. Returns its run if that was recorded here, since it could not do so itself; what
    /// cannot be recorded now is tried again by [`Supervisor::visit`].
    pub(super) fn reap(
        &mut self,
        ended: Ended,
        state: &State,
        settings: &Settings,
    ) -> Result<Option<Run>> {
        let Some(watched) = self.watched.get_mut(&ended.run) else {
            return Ok(None);
        };
        let how = match &ended.status {
            Ok(status) => how(*status),
            Err(error) => format!("ended in a way that is not known ({error})"),
        };
        let status = ended.status.ok();
        watched.end = Some(End { how, status });
        self.lay_to_rest(&ended.run, state, settings)
    }

    /// Looks whether processes that are no children of ours still live, and records what could not be recorded before.
    pub(super) fn visit(&mut self, state: &State, settings: &Settings) -> (Vec<Run>, Result<()>) {
        for watched in self.watched.values_mut() {
            if !watched.child && watched.end.is_none() && !watched.process.is_alive() {
                watched.end = Some(End {
                    how: "died".to_owned(),
                    status: None,
                });
            }
        }
        let ended = |(id, run): (&String, &Watched)| run.end.is_some().then(|| id.clone());
        let ended: Vec<String> = self.watched.iter().filter_map(ended).collect();
        let (mut buried, mut recorded) = (Vec::new(), Ok(()));
        for id in ended {
            match self.lay_to_rest(&id, state, settings) {
                Ok(run) => buried.extend(run),
                Err(error) => recorded = Err(error),
            }
        }
        (buried, recorded)
    }

    /// Looks after it no more, once its end is recorded.
    fn lay_to_rest(&mut self, id: &str, state: &State, settings: &Settings) -> Result<Option<Run>> {
        let buried = match self.watched.get(id) {
            Some(watched) => {
                let _entered = run_span(&watched.job, id).entered();
                self.bury(id, watched, state, settings)?
            }
            None => None,
        };
        self.watched.remove(id);
        let _ = fs::remove_file(self.output_of(id));
        Ok(buried)
    }

    /// Records the end of a run that has not done so.
    fn bury(
        &self,
        id: &str,
        watched: &Watched,
        state: &State,
        settings: &Settings,
    ) -> Result<Option<Run>> {
        let (Some(run), Some(end)) = (state.run(id)?, &watched.end) else {
            let how = watched.end.as_ref().map_or("ended", |end| end.how.as_str());
            tracing::error!(
                how,
                "a run has ended that is not in the history: the state store was replaced under it"
            );
            return Ok(None);
        };
        if run.state.is_final() {
            tracing::debug!(state = %run.state, "run ended");
            return Ok(None);
        }
        let other = |process: &Process| *process != watched.process && process.is_alive();
        if run.state == RunState::Running && run.process.as_ref().is_some_and(other) {
            // The daemon before this one had started it just before it died: that process was the first.
            return Ok(None);
        }
        let words = self.last_words(id);
        let mut how = format!("the run's process {}", end.how);
        if let Some((_, why)) = &watched.told {
            how = if watched.killed {
                format!("{why}, and it did not end by itself and was killed:")
            } else {
                format!("{why}:")
            } + " "
                + &how;
        }
        if run.state == RunState::Running {
            let code = end.status.and_then(|status| status.code());
            // What it printed last says more than how it ended.
            let known = match code.and_then(|_| error_of(&words)) {
                Some(said) => Some(said),
                None => last_line(state, id)?.map(|last| format!("its last line: {last}")),
            };
            recover::bury_one(state, settings, &run, &how, known.as_deref())?;
            tracing::error!(how, last = known.unwrap_or_default(), "run failed");
        } else {
            never_began(state, &run, &how, end.status, &words)?;
        }
        state.run(id)
    }

    fn output_of(&self, run: &str) -> PathBuf {
        self.output.join(format!("{run}.log"))
    }

    /// The last lines that a process wrote on stdout and stderr.
    fn last_words(&self, run: &str) -> Vec<String> {
        const TAIL: u64 = 16 * 1024;
        let read = || {
            let mut file = trust::open_own(&self.output_of(run)).ok()?;
            let length = file.metadata().ok()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))
                .ok()?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_default();
        let mut lines: Vec<String> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        lines.drain(..lines.len().saturating_sub(LAST_WORDS));
        lines
    }
}

/// This program, in a process group of its own, with the daemon's directories; systemd's words are for the daemon alone.
pub(super) fn command(program: &Path, config: Option<&Path>, settings: &Settings) -> Command {
    let mut command = program::own(program);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    command
        .env("ENVSYNCD_STATE_DIR", &settings.state_dir)
        .env("ENVSYNCD_STATUS_DIR", &settings.status_dir)
        .env("ENVSYNCD_LOCK_DIR", &settings.lock_dir)
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove("WATCHDOG_PID")
        .process_group(0)
        .stdin(Stdio::null());
    // What may stand in its files depends on it.
    if let Some(managed) = &settings.managed_job_dir {
        command.env("ENVSYNCD_MANAGED_JOB_DIR", managed);
    }
    command
}
