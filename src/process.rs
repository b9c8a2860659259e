//! Which process it was, in a way that survives reused process ids, reboots, and hosts that share a name.
//!
//! A process id means something only to who is of the same boot of the same kernel and of the same pid namespace. Of all
//! others nothing can be seen from here, whatever their host is called: they are judged by signs of life (a lease, a
//! heartbeat), never by a name.

#[cfg(test)]
mod fuzz;
pub mod panics;
pub mod program;
pub mod stderr;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::OnceLock;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use sha2::{Digest as _, Sha256};

/// The inode of the pid namespace that a kernel begins with (`PROC_PID_INIT_INO` in Linux' `include/linux/proc_ns.h`): who is
/// in it is in no container.
const INITIAL: u64 = 0xEFFF_FFFC;

/// A process, told apart from all others that ever had or will have its id, on this machine or another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/PID/stat`, see proc(5)); 0: unknown.
    pub started: u64,
    /// The boot it belongs to (`/proc/sys/kernel/random/boot_id`); empty: unknown.
    pub boot: String,
    /// The machine it belongs to: a digest of its machine-id, which is nobody else's business (see machine-id(5)). Empty:
    /// unknown. Containers of one image may share it.
    pub machine: String,
    /// The pid namespace that its id is of, by its inode; 0: unknown, as an older envsyncd wrote it down.
    pub namespace: u64,
}

/// What can be seen of a process from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It runs.
    Alive,
    /// It has ended, or its machine has been booted anew since.
    Gone,
    /// It is, or was, on another machine or in another container.
    Unseen,
}

impl Process {
    /// This process.
    pub fn own() -> Self {
        let pid = std::process::id();
        Self::here(pid, Stat::own().map_or(0, |stat| stat.started))
    }

    /// The process that has this id now; `None` where there is none, or none that we may look at.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        (!stat.gone).then(|| Self::here(pid, stat.started))
    }

    /// One of which no more is known than its id.
    pub fn unknown(pid: u32) -> Self {
        Self {
            pid,
            started: 0,
            boot: String::new(),
            machine: String::new(),
            namespace: 0,
        }
    }

    fn here(pid: u32, started: u64) -> Self {
        let here = Here::get();
        Self {
            pid,
            started,
            boot: here.boot.clone(),
            machine: here.machine.clone(),
            namespace: here.namespace,
        }
    }

    /// How long ago it started, by a clock that nobody sets; `None` where that is not known.
    pub fn age(&self) -> Option<Duration> {
        // USER_HZ, which is 100 wherever Rust's Linux targets run (`asm-generic/param.h`).
        const TICKS: f64 = 100.0;
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let uptime: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
        let age = uptime - self.started as f64 / TICKS;
        (self.started > 0).then(|| Duration::from_secs_f64(age.max(0.0)))
    }

    /// Looks for it.
    pub fn look(&self) -> Sight {
        self.look_from(Here::get())
    }

    fn look_from(&self, here: &Here) -> Sight {
        if !self.boot.is_empty() && !here.boot.is_empty() && self.boot != here.boot {
            // Containers share a machine-id, if their image has one: only outside of all it says which machine it is.
            let is_this_machine = self.namespace == INITIAL
                && here.namespace == INITIAL
                && !self.machine.is_empty()
                && self.machine == here.machine;
            return if is_this_machine {
                Sight::Gone
            } else {
                Sight::Unseen
            };
        }
        if self.namespace != 0 && self.namespace != here.namespace {
            return Sight::Unseen;
        }
        let there = match Stat::read(self.pid) {
            Some(stat) => !stat.gone && (self.started == 0 || self.started == stat.started),
            // `hidepid` hides the processes of others from us; the kernel still tells them from none.
            None => i32::try_from(self.pid)
                .is_ok_and(|pid| pid > 0 && kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)),
        };
        if there { Sight::Alive } else { Sight::Gone }
    }

    /// Whether it still runs. In doubt it does: nothing is cleared away under a living run.
    pub fn is_alive(&self) -> bool {
        self.look() != Sight::Gone
    }

    /// Whether this process may send it signals on the word of a state store, a lock's file and the like. Root may do so to
    /// envsyncd's own processes alone, whatever is written there: the kernel keeps others from those of strangers anyway.
    pub fn may_be_told(&self) -> bool {
        !nix::unistd::geteuid().is_root() || runs_us(self.pid)
    }

    /// Whether it can be seen from here, and sent signals to, if it is there.
    pub fn is_here(&self) -> bool {
        self.look() != Sight::Unseen
    }
}

/// Whether a process runs the program that this one runs: the same file, or one that has taken its place, as an upgrade does.
/// Nobody can say of a process what it does not run, as everybody can of its name.
pub fn runs_us(pid: u32) -> bool {
    let file = |pid: &str| {
        let link = format!("/proc/{pid}/exe");
        let data = fs::metadata(&link).ok()?;
        Some(((data.dev(), data.ino()), fs::read_link(&link).ok()?))
    };
    let (Some((own, own_path)), Some((theirs, their_path))) =
        (file("self"), file(&pid.to_string()))
    else {
        return false;
    };
    // As the kernel calls a file that was removed or replaced.
    let name = |path: &std::path::Path| {
        let path = path.as_os_str().as_encoded_bytes();
        path.strip_suffix(b" (deleted)").unwrap_or(path).to_vec()
    };
    own == theirs || name(&own_path) == name(&their_path)
}

/// A process and all that it started, as far as they still hang together: itself first.
pub fn tree(pid: u32) -> Vec<Process> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            && let Some(stat) = Stat::read(pid)
        {
            parents.push((pid, stat));
        }
    }
    let mut found: Vec<u32> = vec![pid];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        at += 1;
        let children = parents.iter().filter(|(_, stat)| stat.parent == parent);
        found.extend(children.map(|(pid, _)| *pid));
    }
    found
        .into_iter()
        .filter_map(|pid| {
            let (_, stat) = parents.iter().find(|(other, _)| *other == pid)?;
            Some(Process::here(pid, stat.started))
        })
        .collect()
}

/// Whether a process of this machine that had this id at that time still runs. A process that began only later is another
/// one. In doubt it runs.
pub fn was_there(pid: u32, at: DateTime<Utc>) -> bool {
    // What was begun within a second of it, or while the clock was set a little, is not told apart from it.
    const SLACK: TimeDelta = TimeDelta::minutes(5);
    let Some(process) = Process::of(pid) else {
        return Process::unknown(pid).is_alive();
    };
    let age = process.age().and_then(|age| TimeDelta::from_std(age).ok());
    // Whoever wrote the time may have written any.
    age.is_none_or(|age| (Utc::now() - age).signed_duration_since(at) <= SLACK)
}

/// This machine's name, as runs and holds carry it.
pub fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "localhost".to_owned())
}

/// Where this process is. That does not change while it runs.
#[derive(Debug, Clone)]
struct Here {
    boot: String,
    machine: String,
    namespace: u64,
    /// Whether `/proc` shows the processes of our own pid namespace, and not those of the one around it.
    proc_is_ours: bool,
}

impl Here {
    fn get() -> &'static Self {
        static HERE: OnceLock<Here> = OnceLock::new();
        HERE.get_or_init(|| Self {
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .map(|id| id.trim().to_owned())
                .unwrap_or_default(),
            machine: machine(),
            namespace: fs::metadata("/proc/self/ns/pid").map_or(0, |link| link.ino()),
            proc_is_ours: fs::read_link("/proc/self")
                .is_ok_and(|own| own.to_str() == Some(&std::process::id().to_string())),
        })
    }
}

/// This machine's mark: not its id itself, as machine-id(5) asks for.
fn machine() -> String {
    let id = ["/etc/machine-id", "/var/lib/dbus/machine-id"]
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .find(|id| {
            let id = id.trim();
            id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
    let Some(id) = id else {
        return String::new();
    };
    let digest = Sha256::digest(format!("envsyncd {}", id.trim()));
    digest[..16].iter().fold(String::new(), |mut text, byte| {
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
        text
    })
}

struct Stat {
    /// It has ended and only waits for its parent to ask how.
    gone: bool,
    parent: u32,
    started: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        if !Here::get().proc_is_ours {
            return None;
        }
        let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
        Self::parse(&String::from_utf8_lossy(&text))
    }

    fn own() -> Option<Self> {
        let text = fs::read("/proc/self/stat").ok()?;
        Self::parse(&String::from_utf8_lossy(&text))
    }

    fn parse(text: &str) -> Option<Self> {
        // Field 2 is the program's name in parentheses, and may itself have blanks and parentheses.
        let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
        let state = fields.next()?;
        let parent = fields.next()?.parse().ok()?;
        let started = fields.nth(17)?.parse().ok()?;
        Some(Self {
            gone: matches!(state, "Z" | "X"),
            parent,
            started,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_is_ours_by_what_it_runs_and_not_by_its_name() {
        assert!(runs_us(std::process::id()));
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        assert!(!runs_us(child.id()) && !runs_us(0));
        let process = Process::of(child.id()).unwrap();
        assert_eq!(process.may_be_told(), !nix::unistd::geteuid().is_root());
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn this_process_is_alive_and_is_itself() {
        let own = Process::own();
        assert_eq!(own.pid, std::process::id());
        assert!(own.started > 0 && own.boot.len() == 36, "{own:?}");
        assert!(own.is_alive());
        assert_eq!(Process::of(own.pid), Some(own));
    }

    #[test]
    fn a_process_grows_older_from_its_start_on() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let process = Process::of(child.id()).unwrap();
        let young = process.age().unwrap();
        assert!(young < Duration::from_secs(60), "{young:?}");
        while process.age().unwrap() <= young {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let unknown = Process {
            started: 0,
            ..process
        };
        assert_eq!(unknown.age(), None);
    }

    #[test]
    fn a_killed_process_is_gone_before_and_after_its_parent_asked() {
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        let process = Process::of(child.id()).unwrap();
        assert!(process.is_alive());
        child.kill().unwrap();
        while Process::of(child.id()).is_some() {
            std::thread::yield_now();
        }
        assert!(!process.is_alive(), "a zombie counts as gone");
        child.wait().unwrap();
        assert!(!process.is_alive());
    }

    #[test]
    fn a_reused_id_is_another_process() {
        let own = Process::own();
        let reused = Process {
            started: own.started + 1,
            ..own
        };
        assert_eq!(reused.look(), Sight::Gone);
    }

    /// This process as one outside of all containers would be.
    fn outside() -> (Process, Here) {
        let own = Process {
            namespace: INITIAL,
            machine: "0f".repeat(16),
            ..Process::own()
        };
        let here = Here {
            boot: own.boot.clone(),
            machine: own.machine.clone(),
            namespace: INITIAL,
            proc_is_ours: true,
        };
        (own, here)
    }

    #[test]
    fn a_boot_ends_all_processes_of_its_machine_and_says_nothing_of_other_machines() {
        let (own, here) = outside();
        assert_eq!(own.look_from(&here), Sight::Alive);
        let boot = "00000000-0000-0000-0000-000000000000".to_owned();
        let rebooted = Process { boot, ..own };
        assert_eq!(rebooted.look_from(&here), Sight::Gone);
        let elsewhere = Process {
            machine: "1e".repeat(16),
            ..rebooted.clone()
        };
        assert_eq!(elsewhere.look_from(&here), Sight::Unseen);
        let unknown = Process {
            machine: String::new(),
            ..rebooted.clone()
        };
        assert_eq!(unknown.look_from(&here), Sight::Unseen);
        // Two containers on two machines, of one image that has a machine-id.
        let (inside, other) = (Some(INITIAL + 1), Some(INITIAL + 2));
        for (its, ours) in [(inside, None), (None, inside), (inside, other)] {
            let process = Process {
                namespace: its.unwrap_or(INITIAL),
                ..rebooted.clone()
            };
            let here = Here {
                namespace: ours.unwrap_or(INITIAL),
                ..here.clone()
            };
            assert_eq!(process.look_from(&here), Sight::Unseen, "{its:?} {ours:?}");
        }
    }

    #[test]
    fn the_same_number_in_another_container_is_another_process() {
        let (own, here) = outside();
        let inside = Process {
            namespace: INITIAL + 1,
            ..own.clone()
        };
        assert_eq!(inside.look_from(&here), Sight::Unseen);
        // An older envsyncd wrote no namespace down.
        let old = Process {
            namespace: 0,
            ..own
        };
        assert_eq!(old.look_from(&here), Sight::Alive);
    }

    #[test]
    fn who_began_after_it_was_written_down_is_somebody_else() {
        let own = std::process::id();
        assert!(was_there(own, Utc::now()));
        assert!(!was_there(own, Utc::now() - TimeDelta::days(400)));
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(!was_there(child.id(), Utc::now()));
    }

    #[test]
    fn a_tree_has_the_children_of_children_and_no_others() {
        let mut child = Command::new("sh")
            .args(["-c", "sleep 600 & echo; wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0];
        std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
        let found = tree(child.id());
        assert_eq!((found.len(), found[0].pid), (2, child.id()), "{found:?}");
        let own = tree(std::process::id());
        assert!(own.iter().any(|process| process == &found[1]));
        for process in found {
            kill(
                Pid::from_raw(process.pid as i32),
                nix::sys::signal::Signal::SIGKILL,
            )
            .unwrap();
        }
        child.wait().unwrap();
    }

    #[test]
    fn a_program_with_parentheses_in_its_name_is_read_right() {
        let stat =
            Stat::parse("7 (a) Z (b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9")
                .unwrap();
        assert_eq!((stat.gone, stat.parent, stat.started), (false, 1, 4242));
    }
}
