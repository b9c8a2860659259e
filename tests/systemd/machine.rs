//! A small system that really boots, in a container without a manager: systemd, journald, D-Bus and logind.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Booting takes about two seconds; this is for a machine that does it all at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// One booted system. `directory` is `/data` in it; nothing else of what it writes is kept.
pub(crate) struct Machine {
    nspawn: Child,
    leader: Option<Pid>,
    pub(crate) directory: tempfile::TempDir,
}

impl Machine {
    /// Boots one, with the binary in its `PATH`. Panics with the reason where this host cannot.
    pub(crate) fn boot() -> Self {
        Self::boot_with(&[&format!(
            "--bind-ro={}:/usr/local/bin/envsyncd",
            env!("CARGO_BIN_EXE_envsyncd")
        )])
    }

    /// Boots one without us.
    pub(crate) fn boot_bare() -> Self {
        Self::boot_with(&[])
    }

    fn boot_with(binds: &[&str]) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this suite boots a system and needs root for it: run the tests as root (sudo script/test)"
        );
        let root = tree();
        let directory = tempfile::tempdir().unwrap();
        let console = directory.path().join("console");
        let output = File::create(&console).unwrap();
        // Should this process be killed, the machine is told to halt. An overlay keeps the tree as it was made.
        let nspawn = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "systemd-nspawn", "--quiet", "--boot"])
            .args([
                "--register=no",
                "--keep-unit",
                "--volatile=overlay",
                "--private-network",
            ])
            .args(["--console=pipe", "--link-journal=no", "--settings=no"])
            .arg(format!(
                "--machine=envsyncd-{}-{}",
                std::process::id(),
                unique()
            ))
            .arg(format!("--directory={}", root.display()))
            .arg(format!("--bind={}:/data", directory.path().display()))
            .args(binds)
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("setpriv and systemd-nspawn are needed ({error}): script/install-test-deps")
            });
        let mut machine = Self {
            nspawn,
            leader: None,
            directory,
        };
        let until = Instant::now() + PATIENCE;
        while !machine.is_up() {
            let ended = machine.nspawn.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < until,
                "no system boots here ({ended:?}); its console said:\n{}",
                fs::read_to_string(&console).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        machine
    }

    fn is_up(&mut self) -> bool {
        if self.leader.is_none() {
            self.leader = leader_of(self.nspawn.id());
        }
        self.leader.is_some() && {
            let state = self.output("systemctl is-system-running --wait");
            // `degraded` is a unit that a container cannot have; what matters answers below.
            matches!(state.trim(), "running" | "degraded")
                && self
                    .run("busctl status org.freedesktop.login1")
                    .status
                    .success()
        }
    }

    /// Waits for a shutdown that was asked for.
    pub(crate) fn wait_until_down(&mut self) {
        let until = Instant::now() + PATIENCE;
        while self.nspawn.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "the machine does not go down");
            std::thread::sleep(Duration::from_millis(50));
        }
        self.leader = None;
    }

    /// A command in the machine, not yet started. Every namespace is the machine's.
    pub(crate) fn command(&self, program: &str) -> Command {
        let leader = self.leader.expect("it booted");
        let mut command = Command::new("nsenter");
        command
            .args(["--all", "--target", &leader.to_string(), "env", "-i"])
            .args([
                "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG=C.UTF-8",
                program,
            ])
            .stdin(Stdio::null());
        command
    }

    /// A line of shell, to its end.
    pub(crate) fn run(&self, script: &str) -> Output {
        self.command("sh").args(["-c", script]).output().unwrap()
    }

    /// What a line of shell printed.
    pub(crate) fn output(&self, script: &str) -> String {
        String::from_utf8(self.run(script).stdout).unwrap()
    }

    /// The journal's entries that match, oldest first.
    pub(crate) fn journal(&self, matches: &str) -> Vec<serde_json::Value> {
        self.output(&format!(
            "journalctl --sync; journalctl --no-pager -o json {matches}"
        ))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // All that runs in it ends with its first process; nspawn alone would leave it behind.
        if let Ok(Some(_)) = self.nspawn.try_wait() {
            return;
        }
        match self.leader.or_else(|| leader_of(self.nspawn.id())) {
            Some(leader) => {
                let _ = kill(leader, Signal::SIGKILL);
            }
            None => {
                let _ = self.nspawn.kill();
            }
        }
        let _ = self.nspawn.wait();
    }
}

/// The machine's first process, once it has its own root directory: entering it before would mean the host.
fn leader_of(nspawn: u32) -> Option<Pid> {
    let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
    let leader = children.split_whitespace().next()?;
    let own_root = |pid: &str| {
        fs::metadata(format!("/proc/{pid}/root"))
            .ok()
            .map(|m| (m.dev(), m.ino()))
    };
    let up = fs::read_to_string(format!("/proc/{leader}/comm"))
        .ok()?
        .trim()
        == "systemd"
        && own_root(leader)? != own_root("self")?
        && Path::new(&format!("/proc/{leader}/root/run/systemd/private")).exists();
    up.then(|| Pid::from_raw(leader.parse().unwrap()))
}

fn unique() -> usize {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

/// The system's files, of the host's own release: `script/systemd-tree` makes them.
fn tree() -> PathBuf {
    let os = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let release = os
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .unwrap_or_default();
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
    let tree = tools.join(format!("systemd-{}", release.trim_matches('"')));
    assert!(
        tree.join("etc/packages").exists(),
        "{} is not there: run script/install-test-deps",
        tree.display()
    );
    tree
}

/// Writes a file that the machine sees as `/data/NAME`.
pub(crate) fn write(machine: &Machine, name: &str, text: &str) {
    let mut file = File::create(machine.directory.path().join(name)).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}
