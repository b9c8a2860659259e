//! A file that keeps the machine's own reboots away while a job runs (`unattended-reboot` and the like look for any
//! file in a directory).

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::StoredProcess;
use super::process::{Process, Sight};
use super::target_lock::LONGEST;
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::trust::{self, Rights};

/// What the file holds; also how one of ours is told from somebody else's.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    version: u32,
    program: Program,
    job: String,
    run: String,
    process: StoredProcess,
    since: DateTime<Utc>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Program {
    #[serde(rename = "envsyncd")]
    Envsyncd,
}

/// The file of one running job; it goes when this is dropped.
#[derive(Debug)]
pub struct RebootLock {
    directory: PathBuf,
    path: PathBuf,
    stored: Stored,
    /// Locked while its process lives: containers that share the directory do not see each other's processes.
    _file: File,
}

impl RebootLock {
    /// Puts a file of the job's name into the directory, which must exist.
    ///
    /// One that a dead run left is taken over. `Kind::Busy` if a live process has it, `Kind::State` if it is not ours
    /// or cannot be written.
    pub fn take(directory: &Path, job: &str, run: &str, process: &Process) -> Result<Self> {
        let _used = Rights::of_owner(directory).used();
        let _one_at_a_time = lock_directory(directory)?;
        let path = directory.join(job);
        let stored = Stored {
            version: 1,
            program: Program::Envsyncd,
            job: job.to_owned(),
            run: run.to_owned(),
            process: process.into(),
            since: Utc::now(),
        };
        clear_stale(&path)?;
        let file = write(&path, &stored)?;
        Ok(Self {
            directory: directory.to_owned(),
            path,
            stored,
            _file: file,
        })
    }
}

fn write(path: &Path, stored: &Stored) -> Result<File> {
    let mut text = serde_json::to_vec(stored).map_err(|error| {
        Error::new(Kind::Internal, "a reboot lock cannot be written as JSON").because(error)
    })?;
    text.push(b'\n');
    let written = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)
        .and_then(|mut file| {
            // Where a file system knows no locks, the process that is named has to do.
            let _ = fs2::FileExt::try_lock_exclusive(&file);
            file.write_all(&text)
                // An empty file after a power cut would be nobody's, and would keep the machine up for ever.
                .and_then(|()| file.sync_all())
                .inspect_err(|_| {
                    let _ = std::fs::remove_file(path);
                })
                .map(|()| file)
        });
    written.map_err(|error| {
        Error::new(
            Kind::State,
            format!("reboot lock `{}` cannot be written", path.display()),
        )
        .because(error)
        .hint("let this user write to reboot_lock.directory, or leave that key out")
    })
}

/// Whether a living process has it open and locked.
fn is_locked(path: &Path) -> bool {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(path)
        .or_else(|_| trust::open_own(path));
    file.is_ok_and(|file| {
        fs2::FileExt::try_lock_exclusive(&file)
            .is_err_and(|error| error.raw_os_error() == fs2::lock_contended_error().raw_os_error())
    })
}

impl Drop for RebootLock {
    fn drop(&mut self) {
        let _used = Rights::of_owner(&self.directory).used();
        let _one_at_a_time = lock_directory(&self.directory);
        // Nobody should have replaced it; if somebody did, it is theirs.
        if matches!(read(&self.path), Ok(Found::Ours(found)) if *found == self.stored)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(file = %self.path.display(), %error, "reboot lock could not be removed");
        }
    }
}

/// Two runs that find one stale file must not both think that they replaced it.
fn lock_directory(directory: &Path) -> Result<File> {
    File::open(directory)
        .and_then(|file| fs2::FileExt::lock_exclusive(&file).map(|()| file))
        .map_err(|error| {
            Error::new(
                Kind::State,
                format!("reboot lock directory `{}` cannot be opened", directory.display()),
            )
            .because(error)
            .hint("make the directory that the reboot tool looks at, or correct reboot_lock.directory")
        })
}

pub(super) enum Found {
    Nothing,
    Ours(Box<Stored>),
    SomebodyElses,
}

fn read(path: &Path) -> std::io::Result<Found> {
    let text = std::fs::symlink_metadata(path).and_then(|found| {
        // A link, a pipe, a directory.
        if !found.is_file() {
            return Ok(Vec::new());
        }
        limits::read_all(trust::open_own(path)?, LONGEST)
    });
    match text {
        Ok(text) => Ok(understand(&text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Found::Nothing),
        Err(error) => Err(error),
    }
}

pub(super) fn understand(text: &[u8]) -> Found {
    serde_json::from_slice(text)
        .map_or(Found::SomebodyElses, |stored| Found::Ours(Box::new(stored)))
}

fn clear_stale(path: &Path) -> Result<()> {
    let name = path.display();
    let unusable = |what: &str, error| {
        Error::new(Kind::State, format!("reboot lock `{name}` {what}")).because(error)
    };
    match read(path).map_err(|error| unusable("cannot be read", error))? {
        Found::Nothing => Ok(()),
        Found::SomebodyElses => Err(Error::new(
            Kind::State,
            format!("`{name}` is not a reboot lock of ours"),
        )
        .hint("remove it if nobody needs it, or rename the job")),
        Found::Ours(found) => {
            let process = Process::from(found.process.clone());
            if is_locked(path) || process.look() == Sight::Alive {
                return Err(Error::new(
                    Kind::Busy,
                    format!(
                        "job is already running: run {} (pid {}) has the reboot lock `{name}` since {}",
                        found.run,
                        found.process.pid,
                        found.since.to_rfc3339_opts(SecondsFormat::Secs, true)
                    ),
                )
                .hint("try again later"));
            }
            tracing::warn!(file = %name, dead_run = %found.run, pid = found.process.pid,
                "took over the reboot lock of a run that is gone");
            std::fs::remove_file(path)
                .map_err(|error| unusable("of a dead run cannot be removed", error))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead() -> Process {
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .unwrap();
        let process = Process {
            pid: child.id(),
            ..Process::own()
        };
        child.kill().unwrap();
        child.wait().unwrap();
        process
    }

    /// Ends as a killed process does: the kernel frees the lock, and the file stays.
    fn killed(lock: RebootLock) {
        let path = lock.path.clone();
        let text = std::fs::read(&path).unwrap();
        drop(lock);
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn a_lock_whose_holder_cannot_be_seen_is_kept_while_it_lives_and_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let inside = Process {
            namespace: 1,
            ..dead()
        };
        let held = RebootLock::take(dir.path(), "api", "0199a", &inside).unwrap();
        let refused = RebootLock::take(dir.path(), "api", "0199b", &Process::own()).unwrap_err();
        assert_eq!(refused.kind(), Kind::Busy);
        killed(held);
        RebootLock::take(dir.path(), "api", "0199b", &Process::own()).unwrap();
    }

    #[test]
    fn the_file_is_there_while_the_lock_is_and_gone_after() {
        let dir = tempfile::tempdir().unwrap();
        let lock = RebootLock::take(dir.path(), "api", "0199a", &Process::own()).unwrap();
        let text = std::fs::read_to_string(dir.path().join("api")).unwrap();
        assert!(text.contains("\"run\":\"0199a\""), "{text}");
        drop(lock);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn two_jobs_have_two_files() {
        let dir = tempfile::tempdir().unwrap();
        let _one = RebootLock::take(dir.path(), "api", "1", &Process::own()).unwrap();
        let two = RebootLock::take(dir.path(), "router", "2", &Process::own()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        drop(two);
        assert!(dir.path().join("api").exists() && !dir.path().join("router").exists());
    }

    #[test]
    fn a_live_run_keeps_its_lock() {
        let dir = tempfile::tempdir().unwrap();
        let _held = RebootLock::take(dir.path(), "api", "0199a", &Process::own()).unwrap();
        let refused = RebootLock::take(dir.path(), "api", "0199b", &Process::own()).unwrap_err();
        assert_eq!(refused.kind(), Kind::Busy);
        assert!(refused.to_string().contains("run 0199a"), "{refused}");
        assert!(dir.path().join("api").exists());
    }

    #[test]
    fn a_dead_runs_lock_is_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        killed(RebootLock::take(dir.path(), "api", "0199a", &dead()).unwrap());
        let lock = RebootLock::take(dir.path(), "api", "0199b", &Process::own()).unwrap();
        assert_eq!(lock.stored.run, "0199b");
        drop(lock);
        assert!(!dir.path().join("api").exists());
    }

    #[test]
    fn a_lock_of_another_boot_is_taken_over_even_if_the_process_id_lives() {
        let dir = tempfile::tempdir().unwrap();
        let before = Process {
            boot: "00000000-0000-0000-0000-000000000000".to_owned(),
            ..Process::own()
        };
        killed(RebootLock::take(dir.path(), "api", "0199a", &before).unwrap());
        RebootLock::take(dir.path(), "api", "0199b", &Process::own()).unwrap();
    }

    #[test]
    fn somebody_elses_file_of_the_same_name_is_never_touched() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("api");
        for content in ["", "upgrade in progress\n", "{\"version\":1}"] {
            std::fs::write(&file, content).unwrap();
            let error = RebootLock::take(dir.path(), "api", "1", &Process::own()).unwrap_err();
            assert_eq!(error.kind(), Kind::State);
            assert!(
                error.to_string().contains("not a reboot lock of ours"),
                "{error}"
            );
            assert_eq!(std::fs::read_to_string(&file).unwrap(), content);
        }
    }

    #[test]
    fn a_file_that_was_replaced_meanwhile_stays() {
        let dir = tempfile::tempdir().unwrap();
        let lock = RebootLock::take(dir.path(), "api", "1", &Process::own()).unwrap();
        std::fs::write(dir.path().join("api"), "mine").unwrap();
        drop(lock);
        assert!(dir.path().join("api").exists());
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let error = RebootLock::take(&dir.path().join("no-reboot"), "api", "1", &Process::own())
            .unwrap_err();
        assert_eq!(error.kind(), Kind::State);
        assert!(error.to_string().contains("no-reboot"), "{error}");
    }
}
