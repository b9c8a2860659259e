//! Which process it was, in a way that survives reused process ids and reboots.

use std::fs;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::Pid;

/// A process, told apart from all others that ever had or will have its id on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/PID/stat`, see proc(5)); 0: unknown.
    pub started: u64,
    /// The boot it belongs to (`/proc/sys/kernel/random/boot_id`); empty: unknown.
    pub boot: String,
}

impl Process {
    /// This process.
    pub fn own() -> Self {
        let pid = std::process::id();
        Self::of(pid).unwrap_or_else(|| Self {
            pid,
            started: 0,
            boot: boot_id(),
        })
    }

    /// The process that has this id now; `None` where there is none, or none that we may look at.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = Stat::read(pid)?;
        (!stat.gone).then(|| Self {
            pid,
            started: stat.started,
            boot: boot_id(),
        })
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

    /// Whether it still runs on this machine. In doubt it does: nothing is cleared away under a living run.
    pub fn is_alive(&self) -> bool {
        let boot = boot_id();
        if !self.boot.is_empty() && !boot.is_empty() && self.boot != boot {
            return false;
        }
        match Stat::read(self.pid) {
            Some(stat) => !stat.gone && (self.started == 0 || self.started == stat.started),
            // `hidepid` hides the processes of others from us; the kernel still tells them from none.
            None => i32::try_from(self.pid)
                .is_ok_and(|pid| kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)),
        }
    }
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
    let boot = boot_id();
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
            Some(Process {
                pid,
                started: stat.started,
                boot: boot.clone(),
            })
        })
        .collect()
}

/// Whether a process of this machine that had this id at that time still runs. A process that began only later is another
/// one. In doubt it runs.
pub fn was_there(pid: u32, at: DateTime<Utc>) -> bool {
    // What was begun within a second of it, or while the clock was set a little, is not told apart from it.
    const SLACK: TimeDelta = TimeDelta::minutes(5);
    let Some(process) = Process::of(pid) else {
        let unknown = Process {
            pid,
            started: 0,
            boot: String::new(),
        };
        return unknown.is_alive();
    };
    let age = process.age().and_then(|age| TimeDelta::from_std(age).ok());
    age.is_none_or(|age| Utc::now() - age <= at + SLACK)
}

/// This machine's name, as runs and holds carry it.
pub fn host_name() -> String {
    nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok())
        .unwrap_or_else(|| "localhost".to_owned())
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map(|id| id.trim().to_owned())
        .unwrap_or_default()
}

struct Stat {
    /// It has ended and only waits for its parent to ask how.
    gone: bool,
    parent: u32,
    started: u64,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
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
    fn a_reused_id_and_another_boot_are_other_processes() {
        let own = Process::own();
        let reused = Process {
            started: own.started + 1,
            ..own.clone()
        };
        assert!(!reused.is_alive());
        let rebooted = Process {
            boot: "00000000-0000-0000-0000-000000000000".to_owned(),
            ..own
        };
        assert!(!rebooted.is_alive());
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
