//! One run at a time into one target, on this host: a locked file that the kernel frees with its process.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::StoredProcess;
use super::process::Process;
use crate::error::{Error, Kind, Result};
use crate::trust::Rights;

/// More than any of us writes into a lock's file.
pub(super) const LONGEST: u64 = 64 << 10;

/// The holder of a target's lock, for the message to those who find it busy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The job's name.
    pub job: String,
    /// The run's id.
    pub run: String,
    /// The process that holds it.
    pub process: Process,
    /// Since when.
    pub since: DateTime<Utc>,
    /// The verb: `run`, `rollback`.
    pub verb: String,
}

/// An [`Owner`] as the file has it.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    job: String,
    run: String,
    process: StoredProcess,
    since: DateTime<Utc>,
    verb: String,
}

/// A target of ours until this is dropped, or until the process ends in whatever way.
///
/// The file is opened close-on-exec (as std does), so that no hook or `pg_dump` keeps the lock alive after us.
#[derive(Debug)]
pub struct TargetLock {
    file: File,
    path: PathBuf,
}

impl TargetLock {
    /// Locks the target with this identity (`place`: the server's own name for it, never a URL), or says who has it.
    ///
    /// Never waits. `Kind::Busy` if somebody has it, `Kind::State` if the lock's file cannot be made.
    pub fn take(lock_dir: &Path, place: &str, owner: &Owner) -> Result<Self> {
        let named = format!("lock_dir {}", lock_dir.display());
        Rights::in_directory(lock_dir, &named)?
            .make_directory(lock_dir, 0o755)
            .map_err(|error| {
                unusable(
                    format!("lock directory `{}` cannot be made", lock_dir.display()),
                    error,
                )
            })?;
        let path = lock_dir.join(file_name(place));
        loop {
            let mut file = open(&path)?;
            match fs2::FileExt::try_lock_exclusive(&file) {
                Ok(()) => {}
                Err(error)
                    if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() =>
                {
                    return Err(busy(&mut file));
                }
                Err(error) => {
                    return Err(unusable(
                        format!("lock file `{}` cannot be locked", path.display()),
                        error,
                    ));
                }
            }
            // Whatever tidies the directory may have removed the file between open and lock: then ours guards nothing.
            if !still_there(&file, &path) {
                continue;
            }
            let mut lock = Self { file, path };
            lock.sign(owner)?;
            return Ok(lock);
        }
    }

    fn sign(&mut self, owner: &Owner) -> Result<()> {
        let stored = Stored {
            version: 1,
            job: owner.job.clone(),
            run: owner.run.clone(),
            process: (&owner.process).into(),
            since: owner.since,
            verb: owner.verb.clone(),
        };
        let text = serde_json::to_vec(&stored).map_err(|error| {
            Error::new(Kind::Internal, "a lock's owner cannot be written as JSON").because(error)
        })?;
        self.file
            .set_len(0)
            .and_then(|()| self.file.rewind())
            .and_then(|()| self.file.write_all(&text))
            .map_err(|error| {
                unusable(
                    format!("lock file `{}` cannot be written", self.path.display()),
                    error,
                )
            })
    }
}

impl Drop for TargetLock {
    fn drop(&mut self) {
        // The file stays: removing it would race with one who has just opened it.
        let _ = self.file.set_len(0);
        free(&self.file);
    }
}

/// Frees a lock at once. A program that is just being started has our descriptors until its `exec`, and with them, for
/// that moment, every lock that was only closed.
pub(super) fn free(file: &File) {
    let _ = fs2::FileExt::unlock(file);
}

fn file_name(place: &str) -> String {
    let digest = Sha256::digest(place.as_bytes());
    let head = digest
        .iter()
        .take(8)
        .fold(0_u64, |head, byte| head << 8 | u64::from(*byte));
    format!("{head:016x}.lock")
}

/// A file that is made if it is missing, and never a link, nor one that has another name besides. Root opens it as whoever
/// owns the directory: so what lies in wait there reaches nothing of root's, and a run that root started by hand does not
/// lock the daemon's user out of a target for good.
pub(super) fn open(path: &Path) -> Result<File> {
    let _used = Rights::of_owner(path.parent().unwrap_or(path)).used();
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(path)
        .and_then(|file| {
            let found = file.metadata()?;
            if !found.is_file() || found.nlink() > 1 {
                return Err(std::io::Error::other("it is no file of ours"));
            }
            Ok(file)
        })
        .map_err(|error| {
            unusable(
                format!("lock file `{}` cannot be opened", path.display()),
                error,
            )
        })
}

pub(super) fn still_there(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(ours), Ok(named)) => ours.dev() == named.dev() && ours.ino() == named.ino(),
        _ => false,
    }
}

fn busy(file: &mut File) -> Error {
    let mut text = Vec::new();
    let read = file.take(LONGEST).read_to_end(&mut text);
    let signed = read.map_or(&[][..], |length| &text[..length]);
    let who = whose(signed);
    Error::new(Kind::Busy, format!("target is busy: {who}")).hint("try again later")
}

/// Who has signed a lock's file, for a person.
pub(super) fn whose(signed: &[u8]) -> String {
    let owner: Option<Stored> = serde_json::from_slice(signed).ok();
    // It is empty for the moment between lock and signature.
    owner.map_or_else(
        || "another run has just begun".to_owned(),
        |o| {
            format!(
                "{} {} of job {} (pid {}) since {}",
                o.verb,
                o.run,
                o.job,
                o.process.pid,
                o.since.to_rfc3339_opts(SecondsFormat::Secs, true)
            )
        },
    )
}

fn unusable(what: String, error: std::io::Error) -> Error {
    Error::new(Kind::State, what).because(error).hint(
        "set lock_dir in envsyncd.toml, or ENVSYNCD_LOCK_DIR, to a directory that this user can write to",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner {
        Owner {
            job: "publishing-api".to_owned(),
            run: "0199a".to_owned(),
            process: Process::own(),
            since: "2026-01-01T00:18:00Z".parse().unwrap(),
            verb: "run".to_owned(),
        }
    }

    #[test]
    fn a_second_run_into_one_target_is_told_who_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let held = TargetLock::take(dir.path(), "postgresql:7:16384", &owner()).unwrap();
        let refused = TargetLock::take(dir.path(), "postgresql:7:16384", &owner()).unwrap_err();
        assert_eq!(refused.kind(), Kind::Busy);
        assert_eq!(
            refused.to_string(),
            format!(
                "target is busy: run 0199a of job publishing-api (pid {}) since 2026-01-01T00:18:00Z; try again later",
                std::process::id()
            )
        );
        // What a program that is just being started has until its exec.
        let _inherited = held.file.try_clone().unwrap();
        drop(held);
        TargetLock::take(dir.path(), "postgresql:7:16384", &owner()).unwrap();
    }

    #[test]
    fn two_targets_do_not_wait_for_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let _one = TargetLock::take(dir.path(), "postgresql:7:16384", &owner()).unwrap();
        TargetLock::take(dir.path(), "postgresql:7:16385", &owner()).unwrap();
    }

    #[test]
    fn a_missing_lock_directory_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("run/envsyncd");
        TargetLock::take(&inner, "x", &owner()).unwrap();
        assert!(inner.is_dir());
    }

    #[test]
    fn a_lock_directory_that_cannot_be_made_is_an_error_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = TargetLock::take(&file.join("locks"), "x", &owner()).unwrap_err();
        assert_eq!(error.kind(), Kind::State);
        assert!(error.to_string().contains("ENVSYNCD_LOCK_DIR"), "{error}");
    }

    #[test]
    fn what_a_killed_run_left_in_the_file_locks_nobody_out() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(file_name("x")), "half a sig").unwrap();
        let _held = TargetLock::take(dir.path(), "x", &owner()).unwrap();
        let text = std::fs::read_to_string(dir.path().join(file_name("x"))).unwrap();
        assert!(text.starts_with("{\"version\":1,"), "{text}");
    }

    #[test]
    fn a_child_that_outlives_us_does_not_keep_the_target() {
        let dir = tempfile::tempdir().unwrap();
        let held = TargetLock::take(dir.path(), "x", &owner()).unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .spawn()
            .unwrap();
        drop(held);
        // Another test's process may have its copy of the file between its fork and its exec.
        let mut again = TargetLock::take(dir.path(), "x", &owner());
        for _ in 0..100 {
            if again.is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
            again = TargetLock::take(dir.path(), "x", &owner());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        again.unwrap();
    }
}
