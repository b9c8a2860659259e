//! A daemon on a bed of its own, with jobs over SQLite, and what it leaves to the history.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use envsyncd::state::{Run, RunState, State};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::job::{Bed, Job, Outcome, Running};
use super::wait_until;

/// A bed with a settings' file and, while it is started, a daemon. When dropped, nothing that it started is left.
pub(crate) struct House {
    pub(crate) bed: Bed,
    daemon: Option<Running>,
    /// Where the daemons before this one wrote what they said.
    before: String,
    variables: Vec<(String, String)>,
}

impl House {
    /// With these lines under `[scheduler]`; no daemon yet.
    pub(crate) fn new(scheduler: &str) -> Self {
        let house = Self {
            bed: Bed::new(),
            daemon: None,
            before: String::new(),
            variables: Vec::new(),
        };
        rusqlite::Connection::open(house.bed.path("source.db"))
            .and_then(|source| source.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1)"))
            .expect("a source");
        house.settings(scheduler);
        house
    }

    /// Where its settings are.
    pub(crate) fn config(&self) -> PathBuf {
        self.bed.path("envsyncd.toml")
    }

    /// Writes its settings, in one step.
    pub(crate) fn settings(&self, scheduler: &str) {
        self.raw_settings(&format!(
            "job_dir = \"jobs\"\n[scheduler]\n{scheduler}\n[reboot_lock]\ninhibit = false\n"
        ));
    }

    /// Writes anything as its settings, in one step.
    pub(crate) fn raw_settings(&self, text: &str) {
        let new = self.bed.path("envsyncd.toml.new");
        fs::write(&new, text).expect("a file");
        fs::rename(new, self.config()).expect("the same directory");
    }

    /// A job from the one source into a target of its own.
    pub(crate) fn draft(&self, name: &str) -> Job {
        let url = |file: PathBuf| format!("sqlite://{}", file.display());
        Job::between(
            "sqlite",
            &url(self.bed.path("source.db")),
            &url(self.target(name)),
        )
    }

    /// Adds tables `PREFIX_00` and so on to the source: the first with so many rows, each with as many more than the one before.
    pub(crate) fn add_tables(&self, prefix: &str, tables: i64, rows: i64) {
        let source = rusqlite::Connection::open(self.bed.path("source.db")).expect("the source");
        for table in 0..tables {
            source
                .execute_batch(&format!(
                    "CREATE TABLE {prefix}_{table:02} (a, b);
                     WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})
                     INSERT INTO {prefix}_{table:02} SELECT i, 'some text' FROM n",
                    rows * (table + 1)
                ))
                .expect("a table");
        }
    }

    /// A job's target.
    pub(crate) fn target(&self, name: &str) -> PathBuf {
        self.bed.path(&format!("target-{name}.db"))
    }

    /// Writes a job's file in one step.
    pub(crate) fn put(&self, name: &str, job: &Job) {
        let new = self.bed.job(&format!(".{name}"), job);
        fs::rename(new, self.file(name)).expect("the same directory");
    }

    /// Writes a job that no schedule starts.
    pub(crate) fn job(&self, name: &str) {
        self.put(name, &self.draft(name));
    }

    /// A job's file.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.bed.path("jobs").join(format!("{name}.toml"))
    }

    /// A variable for the daemons to come.
    pub(crate) fn variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// The binary with the settings' file.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.bed.command();
        command
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .env_remove("SUDO_USER")
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID");
        command
    }

    /// A verb to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.bed.spawn(&mut self.command(arguments)).end()
    }

    /// A verb's document.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let outcome = self.run(arguments).expect(0);
        serde_json::from_str(&outcome.stdout).expect("JSON")
    }

    /// Starts a daemon.
    pub(crate) fn launch(&mut self) {
        let mut command = self.command(&["daemon"]);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        self.daemon = Some(self.bed.spawn(&mut command));
    }

    /// Starts a daemon and waits until it is ready.
    pub(crate) fn start(&mut self) {
        self.launch();
        self.until("the daemon was ready", |house| {
            let daemon = house.daemon.as_ref().expect("started");
            daemon.said().contains("daemon is ready")
        });
    }

    /// Ends the daemon as a power cut would.
    pub(crate) fn kill(&mut self) {
        let daemon = self.daemon.take().expect("a daemon");
        self.before += &daemon.said();
        daemon.kill();
    }

    /// A signal for the daemon.
    pub(crate) fn signal(&self, signal: Signal) {
        self.daemon.as_ref().expect("a daemon").signal(signal);
    }

    /// Stops a process of this house (SIGSTOP) at a moment when it has no lock on the state store: whoever writes there while
    /// it stands still would wait for it in vain.
    #[track_caller]
    pub(crate) fn freeze(&self, process: Pid) {
        let store = rusqlite::Connection::open(self.bed.path("state/state.db")).expect("a store");
        store.busy_timeout(Duration::ZERO).expect("a store");
        self.until("a process stood still without a lock", |_| {
            kill(process, Signal::SIGSTOP).expect("it is there");
            wait_until("a process stood still", || stands_still(process));
            let is_free = store.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_ok();
            if !is_free {
                kill(process, Signal::SIGCONT).expect("it is there");
            }
            is_free
        });
    }

    /// The same with the daemon.
    #[track_caller]
    pub(crate) fn freeze_daemon(&self) {
        self.freeze(self.daemon.as_ref().expect("a daemon").pid());
    }

    /// Tells the daemon to stop, and waits until it has.
    pub(crate) fn stop(&mut self) -> Outcome {
        self.signal(Signal::SIGTERM);
        self.stopped()
    }

    /// Waits until the daemon has ended.
    pub(crate) fn stopped(&mut self) -> Outcome {
        let outcome = self.daemon.take().expect("a daemon").end();
        self.before += &outcome.stderr;
        outcome
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        u32::try_from(self.daemon.as_ref().expect("a daemon").pid().as_raw()).expect("a pid")
    }

    /// What all daemons have said.
    pub(crate) fn said(&self) -> String {
        let now = self.daemon.as_ref().map(Running::said);
        self.before.clone() + &now.unwrap_or_default()
    }

    /// How many lines of the daemons' log have this.
    pub(crate) fn times_said(&self, what: &str) -> usize {
        self.said()
            .lines()
            .filter(|line| line.contains(what))
            .count()
    }

    /// Waits until the daemon says this.
    #[track_caller]
    pub(crate) fn until_said(&self, what: &str) {
        self.until(&format!("the daemon said `{what}`"), |house| {
            house.said().contains(what)
        });
    }

    /// Waits for something that is going to happen; tells all there is to know if it does not.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut happened: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(90);
        while !happened(self) {
            if Instant::now() > deadline {
                let history: Vec<String> = self
                    .runs(None)
                    .iter()
                    .take(20)
                    .map(|run| format!("{} {} {} {}", run.id, run.job, run.state, run.message))
                    .collect();
                panic!(
                    "waited in vain until {what}\n--- the daemon\n{}\n--- history\n{}",
                    self.said(),
                    history.join("\n")
                );
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its state store.
    pub(crate) fn state(&self) -> State {
        State::open(&self.bed.path("state")).expect("a state store")
    }

    /// All runs, or one job's, oldest first.
    pub(crate) fn runs(&self, job: Option<&str>) -> Vec<Run> {
        let mut runs = self.state().runs(job, usize::MAX).expect("a history");
        runs.reverse();
        runs
    }

    /// A job's newest run that was not skipped.
    pub(crate) fn last(&self, job: &str) -> Option<Run> {
        self.state().last_run(job).expect("a history")
    }

    /// Waits until a job's newest run has come to this state, and returns it.
    #[track_caller]
    pub(crate) fn until_run(&self, job: &str, state: RunState) -> Run {
        let mut found = None;
        self.until(&format!("{job} was {state}"), |house| {
            found = house.last(job).filter(|run| run.state == state);
            found.is_some()
        });
        found.expect("waited for")
    }

    /// Waits until a job's status file says this of `key`.
    #[track_caller]
    pub(crate) fn until_status(&self, job: &str, key: &str, value: &str) {
        self.until(&format!("{job}'s {key} was {value}"), |house| {
            house
                .status(job)
                .is_some_and(|status| status[key].as_str().unwrap_or_default() == value)
        });
    }

    /// A job's status file, if it has one.
    pub(crate) fn status(&self, job: &str) -> Option<Value> {
        let file = self.bed.path("status").join(format!("{job}.json"));
        let text = fs::read_to_string(file).ok()?;
        Some(serde_json::from_str(&text).expect("a status file is JSON, always"))
    }

    /// Has the daemon run a job; the run's id.
    #[track_caller]
    pub(crate) fn trigger(&self, job: &str) -> String {
        let outcome = self.run(&["trigger", job]).expect(0);
        outcome.stdout.trim().to_owned()
    }

    /// The processes that belong to this house: they alone have its directory in their environment, or, being hooks, work in it.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let mark = format!("ENVSYNCD_STATE_DIR={}", self.bed.path("state").display());
        let here = self.bed.path("").canonicalize().expect("it is there");
        fs::read_dir("/proc")
            .expect("/proc")
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                let knows = fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                    environment
                        .split(|byte| *byte == 0)
                        .any(|variable| variable == mark.as_bytes())
                });
                knows || fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|at| at == here)
            })
            .collect()
    }

    /// The processes that the daemon has started for a run.
    pub(crate) fn processes_of(&self, run: &str) -> Vec<Pid> {
        let of_run = |pid: &i32| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
                line.split(|byte| *byte == 0)
                    .any(|word| word == run.as_bytes())
            })
        };
        let pids = self.processes().into_iter().filter(of_run);
        pids.map(Pid::from_raw).collect()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        drop(self.daemon.take());
        // A process may start another before it is gone.
        for _ in 0..500 {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            for pid in left {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Whether all threads of a process are stopped.
fn stands_still(process: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let mut threads = threads.into_iter().flatten().flatten();
    threads.all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // Behind the name, which may have anything in it.
        let rest = stat.rsplit_once(") ").map(|(_, rest)| rest);
        rest.is_none_or(|rest| rest.starts_with('T'))
    })
}

/// The process of a run that is under way.
#[track_caller]
pub(crate) fn process_of(run: &Run) -> Pid {
    let process = run.process.as_ref().expect("it runs");
    Pid::from_raw(i32::try_from(process.pid).expect("a pid"))
}
