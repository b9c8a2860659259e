//! A run gives way to everything else on its host: I/O class and nice.
#![allow(unsafe_code)]

use nix::errno::Errno;
use nix::libc;

use crate::config::job::{IoClass, Priority};
use crate::error::{Error, Kind, Result};

// linux/ioprio.h; libc has no names for these.
const IOPRIO_WHO_PROCESS: libc::c_int = 1;
const IOPRIO_CLASS_SHIFT: u32 = 13;
const IOPRIO_CLASS_BE: libc::c_int = 2;
const IOPRIO_CLASS_IDLE: libc::c_int = 3;

/// Lowers the calling thread, and so every thread and process that it starts from then on.
///
/// On Linux both belong to a thread: call it on the main thread before the runtime starts its workers. A nice below
/// the present one needs a privilege; without it there is a warning, and the run goes on.
pub fn lower(priority: &Priority) -> Result<()> {
    let io = match priority.io_class {
        IoClass::None => None,
        IoClass::Idle => Some(IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT),
        IoClass::BestEffort => {
            Some(IOPRIO_CLASS_BE << IOPRIO_CLASS_SHIFT | libc::c_int::from(priority.io_level))
        }
    };
    if let Some(io) = io {
        set_io(io).map_err(|error| {
            Error::new(
                Kind::Internal,
                format!("I/O priority {io} was refused by the kernel"),
            )
            .because(error)
            .hint("set priority.io_class to \"none\"")
        })?;
    }
    match set_nice(priority.nice) {
        Ok(()) => Ok(()),
        Err(Errno::EACCES | Errno::EPERM) => {
            tracing::warn!(
                nice = priority.nice,
                "nice stays as it is: this user may not raise a priority"
            );
            Ok(())
        }
        Err(error) => Err(Error::new(
            Kind::Internal,
            format!("nice {} was refused by the kernel", priority.nice),
        )
        .because(error)),
    }
}

fn set_io(value: libc::c_int) -> nix::Result<()> {
    // SAFETY: ioprio_set(2) takes three integers and touches no memory of ours; 0 is the calling thread.
    let done = unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, value) };
    match Errno::result(done) {
        // A sandbox (seccomp, gVisor) without the call: the run is no less right for it.
        Err(Errno::ENOSYS | Errno::EPERM) => {
            tracing::warn!("I/O priority stays as it is: the system does not let us set it");
            Ok(())
        }
        other => other.map(drop),
    }
}

fn set_nice(nice: i8) -> nix::Result<()> {
    // SAFETY: setpriority(2) takes three integers and touches no memory of ours; 0 is the calling thread.
    let done = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, libc::c_int::from(nice)) };
    Errno::result(done).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// What `ionice` and the kernel say of a child started by a thread of this priority: threads die with their
    /// priority, so the other tests are not slowed down.
    fn seen_by_a_child(priority: Priority) -> (String, String) {
        std::thread::spawn(move || {
            lower(&priority).unwrap();
            let io = Command::new("ionice").output().unwrap();
            let nice = Command::new("nice").output().unwrap();
            let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
            (text(io.stdout), text(nice.stdout))
        })
        .join()
        .unwrap()
    }

    #[test]
    fn a_child_inherits_class_level_and_nice() {
        let seen = seen_by_a_child(Priority::default());
        assert_eq!(seen, ("best-effort: prio 6".to_owned(), "10".to_owned()));
    }

    #[test]
    fn idle_is_idle() {
        let priority = Priority {
            io_class: IoClass::Idle,
            ..Priority::default()
        };
        assert_eq!(seen_by_a_child(priority).0, "idle");
    }

    #[test]
    fn class_none_leaves_the_io_priority_alone() {
        let untouched = Command::new("nice")
            .args(["-n", "7", "ionice"])
            .output()
            .unwrap();
        let priority = Priority {
            io_class: IoClass::None,
            io_level: 0,
            nice: 7,
            ..Priority::default()
        };
        let seen = seen_by_a_child(priority);
        assert_eq!(seen.0, String::from_utf8(untouched.stdout).unwrap().trim());
        assert_eq!(seen.1, "7");
    }
}
