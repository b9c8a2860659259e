//! A place for one test's job files, state and locks, and the binary run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use serde_json::Value;

use super::host::Host;
use super::{happens, profile, wait_until};

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_envsyncd");

/// A directory with everything that `envsyncd` writes outside of its targets.
pub(crate) struct Bed {
    directory: tempfile::TempDir,
    host: &'static Host,
    /// The binary that is run.
    pub(crate) program: String,
    variables: Vec<(String, String)>,
}

/// How the binary ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The binary while it runs; killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// A program for a hook that says it was reached and waits until it may go on.
pub(crate) struct Gate {
    reached: PathBuf,
    open: PathBuf,
    /// What to write into the job file after `maintenance_on = ` and the like.
    pub(crate) hook: String,
}

/// A job file of one task from production to staging.
pub(crate) struct Job {
    kind: &'static str,
    source: String,
    target: String,
    top: String,
    task: String,
    rest: String,
    /// The source's code may have a superuser's rights, as most tests' users are superusers.
    trusts: bool,
}

impl Job {
    /// With nothing but what a job needs. Endpoints are TOML values: see [`Job::between`] for URLs.
    pub(crate) fn new(kind: &'static str, source: &str, target: &str) -> Self {
        Self {
            kind,
            source: source.to_owned(),
            target: target.to_owned(),
            top: "from = \"production\"\nto = \"staging\"\n".to_owned(),
            task: String::new(),
            trusts: kind == "postgresql" && target.contains("postgresql://"),
            rest: "[environments.production]\n[environments.staging]\nparent = \"production\"\n"
                .to_owned(),
        }
    }

    /// The same, from URL to URL.
    pub(crate) fn between(kind: &'static str, source: &str, target: &str) -> Self {
        Self::new(kind, &toml(source), &toml(target))
    }

    /// A line of the job itself.
    pub(crate) fn top(mut self, line: &str) -> Self {
        self.top += line;
        self.top.push('\n');
        self
    }

    /// Where from and where to, instead of production and staging.
    pub(crate) fn flow(mut self, from: &str, to: &str) -> Self {
        self.top = format!("from = {}\nto = {}\n", toml(from), toml(to));
        self
    }

    /// An environment more.
    pub(crate) fn environment(mut self, name: &str, parent: &str) -> Self {
        self.rest += &format!("[environments.{name}]\nparent = {}\n", toml(parent));
        self
    }

    /// A line of the task.
    pub(crate) fn task(mut self, line: &str) -> Self {
        self.task += line;
        self.task.push('\n');
        self
    }

    /// As it is by default: the source's code gets no rights that it has not there.
    pub(crate) fn wary(mut self) -> Self {
        self.trusts = false;
        self
    }

    /// Lines under `[hooks]`.
    pub(crate) fn hooks(mut self, lines: &str) -> Self {
        self.rest = format!("[hooks]\n{lines}\n{}", self.rest);
        self
    }
}

impl std::fmt::Display for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            kind,
            source,
            target,
            top,
            task,
            rest,
            trusts,
        } = self;
        let trust = if *trusts { "trust_source = true\n" } else { "" };
        write!(
            f,
            "{top}[[task]]\nkind = {}\nsource = {source}\ntarget = {target}\n{trust}{task}{rest}",
            toml(kind)
        )
    }
}

/// A TOML string.
pub(crate) fn toml(text: &str) -> String {
    // JSON's strings are TOML's basic strings for all that has no control characters.
    serde_json::to_string(text).expect("text")
}

impl Bed {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let directory = tempfile::Builder::new()
            .prefix("envsyncd-test-")
            .tempdir()
            .expect("a temporary directory");
        for name in ["state", "status", "lock", "jobs"] {
            fs::create_dir(directory.path().join(name)).expect("a directory");
        }
        Self {
            directory,
            host: Host::plain(),
            program: BINARY.to_owned(),
            variables: Vec::new(),
        }
    }

    /// The same on the running test's machine, with these variables in the binary's environment.
    pub(crate) fn of_this_test(variables: Vec<(String, String)>) -> Self {
        let mut bed = Self::new();
        bed.host = profile::of_this_test();
        bed.variables = bed.host.variables(bed.directory.path());
        bed.variables.extend(variables);
        bed
    }

    /// A place in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file beside the job files.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path("jobs").join(name);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).expect("a directory");
        }
        fs::write(&path, content).expect("a file");
        path
    }

    /// Writes `NAME.toml`.
    pub(crate) fn job(&self, name: &str, job: &Job) -> PathBuf {
        self.file(&format!("{name}.toml"), &job.to_string())
    }

    /// The binary with its directories set.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.host.command(&self.program);
        for (key, _) in std::env::vars_os() {
            if key.to_str().is_some_and(|key| {
                // The last is script/test's, for the tests' own process.
                key.starts_with("PG") || key.starts_with("ENVSYNCD_") || key == "MALLOC_ARENA_MAX"
            }) {
                command.env_remove(key);
            }
        }
        command
            .current_dir(self.directory.path())
            .env("ENVSYNCD_STATE_DIR", self.path("state"))
            .env("ENVSYNCD_STATUS_DIR", self.path("status"))
            .env("ENVSYNCD_LOCK_DIR", self.path("lock"))
            .envs(self.variables.iter().map(|(key, value)| (key, value)));
        command
    }

    /// Runs the binary to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        finish(self.command().args(arguments))
    }

    /// `envsyncd --once -f FILE` to its end.
    pub(crate) fn once(&self, job: &Path) -> Outcome {
        finish(self.command().args(["--once", "-f"]).arg(job))
    }

    /// `envsyncd VERB -f FILE` to its end.
    pub(crate) fn with_file(&self, verb: &str, job: &Path) -> Outcome {
        finish(self.command().args([verb, "-f"]).arg(job))
    }

    /// `envsyncd --once -f FILE`, not waited for.
    pub(crate) fn start(&self, job: &Path) -> Running {
        self.spawn(self.command().args(["--once", "-f"]).arg(job))
    }

    /// Any command, not waited for.
    pub(crate) fn spawn(&self, command: &mut Command) -> Running {
        let name = uuid::Uuid::now_v7();
        let (stdout, stderr) = (
            self.path(&format!("{name}.out")),
            self.path(&format!("{name}.err")),
        );
        let child = command
            .stdin(std::process::Stdio::null())
            .stdout(fs::File::create(&stdout).expect("a file"))
            .stderr(fs::File::create(&stderr).expect("a file"))
            .spawn()
            .expect("the binary");
        Running {
            child,
            stdout,
            stderr,
        }
    }

    /// A job's status file.
    #[track_caller]
    pub(crate) fn status(&self, job: &str) -> Value {
        let file = self.path("status").join(format!("{job}.json"));
        let text = fs::read_to_string(&file)
            .unwrap_or_else(|error| panic!("{} cannot be read: {error}", file.display()));
        serde_json::from_str(&text).expect("a status file is JSON, always")
    }

    /// One field of a job's status file that is text.
    #[track_caller]
    pub(crate) fn status_text(&self, job: &str, key: &str) -> String {
        self.status(job)[key]
            .as_str()
            .unwrap_or_else(|| panic!("{key} is no text in {}", self.status(job)))
            .to_owned()
    }

    /// A hook that waits for [`Gate::open`].
    pub(crate) fn gate(&self, name: &str) -> Gate {
        let (reached, open) = (
            self.path(&format!("{name}.reached")),
            self.path(&format!("{name}.open")),
        );
        // It ends with the test's directory, too, so that no test leaves a process behind.
        let script =
            r#"touch "$1"; while [ ! -e "$2" ] && [ -e "$1" ]; do sleep 0.02; done; [ -e "$2" ]"#;
        let argv = [
            "sh",
            "-c",
            script,
            "gate",
            reached.to_str().expect("text"),
            open.to_str().expect("text"),
        ];
        let hook = serde_json::to_string(&argv).expect("text");
        Gate {
            reached,
            open,
            hook,
        }
    }

    /// A hook that writes a line into a file; what was written is in [`Bed::notes`].
    pub(crate) fn note(&self, line: &str) -> String {
        let notes = self.path("notes");
        let argv = [
            "sh",
            "-c",
            r#"echo "$1" >> "$2""#,
            "note",
            line,
            notes.to_str().expect("text"),
        ];
        serde_json::to_string(&argv).expect("text")
    }

    /// The lines that hooks wrote, in order.
    pub(crate) fn notes(&self) -> Vec<String> {
        fs::read_to_string(self.path("notes"))
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

fn finish(command: &mut Command) -> Outcome {
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the binary");
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl Outcome {
    /// Panics with all that was said unless it ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            Some(code),
            "exit code\n--- stdout\n{}\n--- stderr\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Panics unless it said all of these, on either stream.
    #[track_caller]
    pub(crate) fn says(self, what: &[&str]) -> Self {
        for piece in what {
            assert!(
                self.stdout.contains(piece) || self.stderr.contains(piece),
                "`{piece}` was not said\n--- stdout\n{}\n--- stderr\n{}",
                self.stdout,
                self.stderr
            );
        }
        self
    }
}

impl Running {
    /// Its process.
    pub(crate) fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"))
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(self.pid(), signal).expect("it runs");
    }

    /// As a power cut would end it.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("our child");
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("our child").is_none()
    }

    /// The memory that it has made itself, in bytes, now (`RssAnon`); 0 once it is gone. The program's own pages are none of it:
    /// those of an unoptimized one are many, and how many are resident depends on what else the machine does.
    fn own_memory(&self) -> u64 {
        self.memory("RssAnon:")
    }

    /// What proc_pid_status(5) says of its memory under this key, in bytes; 0 once it is gone.
    pub(crate) fn memory(&self, key: &str) -> u64 {
        fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .ok()
            .and_then(|status| {
                let line = status.lines().find(|line| line.starts_with(key))?;
                line.split_whitespace().nth(1)?.parse::<u64>().ok()
            })
            .map_or(0, |kibibytes| kibibytes * 1024)
    }

    /// Waits for its end; with it comes the most memory, in bytes, that it was seen to have made itself.
    pub(crate) fn end_with_peak(mut self) -> (Outcome, u64) {
        let mut peak = 0;
        while self.is_running() {
            peak = peak.max(self.own_memory());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        (self.end(), peak)
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Outcome {
        let mut status: Option<ExitStatus> = None;
        let (stdout, stderr) = (self.stdout.clone(), self.stderr.clone());
        let child = &mut self.child;
        let has_ended = happens(|| {
            status = child.try_wait().expect("our child");
            status.is_some()
        });
        assert!(
            has_ended,
            "the binary does not end; it said:\n{}",
            self.said()
        );
        Outcome {
            code: status.and_then(|status| status.code()),
            stdout: fs::read_to_string(stdout).unwrap_or_default(),
            stderr: fs::read_to_string(stderr).unwrap_or_default(),
        }
    }

    /// What it has written so far.
    pub(crate) fn said(&self) -> String {
        let read = |file| fs::read_to_string(file).unwrap_or_default();
        read(&self.stdout) + &read(&self.stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Gate {
    /// Waits until the hook runs; panics if the run ends before.
    pub(crate) fn wait(&self, running: &mut Running) {
        wait_until("a hook was reached", || {
            assert!(
                running.is_running() || self.reached.exists(),
                "the run ended before its hook: {}",
                running.said()
            );
            self.reached.exists()
        });
    }

    /// Whether the hook has begun.
    pub(crate) fn is_reached(&self) -> bool {
        self.reached.exists()
    }

    /// Closes it again for the next run.
    pub(crate) fn close(&self) {
        let _ = fs::remove_file(&self.open);
        let _ = fs::remove_file(&self.reached);
    }

    /// Lines for `[hooks]` with this as `maintenance_on`.
    pub(crate) fn maintenance(&self) -> String {
        format!(
            "maintenance_on = {}\nmaintenance_off = [\"true\"]",
            self.hook
        )
    }

    /// Lets the hook end.
    pub(crate) fn open(&self) {
        fs::write(&self.open, "").expect("a file");
    }
}

/// The folders of an archive's snapshots, the oldest first.
pub(crate) fn whole_snapshots(archive: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(archive).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.join("manifest.json").exists())
        .collect();
    // Two may be of one second, which is all that their names say.
    found.sort_by_key(|path| {
        let manifest = path.join("manifest.json").metadata().expect("a file");
        manifest.modified().expect("a time")
    });
    found
}
