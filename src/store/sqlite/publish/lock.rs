//! The target's lock. SQLite knows no lock that outlives a transaction, so it is a file beside the database; the kernel
//! frees it with our process.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::marks::foreign;
use crate::error::{Error, Kind, Result, io};
use crate::store::Claim;
use crate::store::sqlite::connection::files;

/// More than who has it never is in a lock's file.
const LONGEST: u64 = 64 * 1024;

/// What is wrong with a file that is in a lock's place.
pub(in crate::store::sqlite) const FOREIGN: &str =
    "has the name of a lock of envsyncd, but is not one: a run would overwrite it";

/// A held lock; dropping it frees it.
pub(in crate::store::sqlite) struct Lock {
    // Open for as long as the lock is held.
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock, or fails with [`Kind::Busy`] and says who has it.
    pub(in crate::store::sqlite) fn take(path: &Path, claim: &Claim) -> Result<Self> {
        let cannot = || format!("cannot lock {}", path.display());
        loop {
            // Where a link leads is somebody else's.
            let mut file = files::open(path, OFlag::O_RDWR | OFlag::O_CREAT).map_err(|error| {
                if is_ours(path) {
                    io(cannot())(error)
                } else {
                    foreign(path, FOREIGN)
                }
            })?;
            if let Err(error) = fs2::FileExt::try_lock_exclusive(&file) {
                if error.raw_os_error() != fs2::lock_contended_error().raw_os_error() {
                    return Err(io(cannot())(error));
                }
                return Err(is_taken(path, &mut file));
            }
            // Whoever had it may have removed the file between our open and our lock: then we locked a nameless file.
            let ours = file.metadata().map_err(io(cannot()))?;
            match path.symlink_metadata() {
                Ok(there) if there.ino() == ours.ino() && there.dev() == ours.dev() => {}
                _ => continue,
            }
            if !is_a_locks(&file) {
                return Err(foreign(path, FOREIGN));
            }
            write_holder(&mut file, claim).map_err(io(cannot()))?;
            return Ok(Self {
                file,
                path: path.to_owned(),
            });
        }
    }
}

/// The error of a lock that somebody else has.
fn is_taken(path: &Path, file: &mut File) -> Error {
    let mut who = String::new();
    // Who it is is a courtesy; that it is taken is what counts.
    let _ = file.take(LONGEST).read_to_string(&mut who);
    let who = who.trim();
    Error::new(
        Kind::Busy,
        format!(
            "{} is being written by {}",
            path.display()
                .to_string()
                .trim_end_matches(".envsyncd-lock"),
            if who.is_empty() { "another run" } else { who }
        ),
    )
    .hint("wait until that run has ended")
}

/// Writes down who has the lock.
fn write_holder(file: &mut File, claim: &Claim) -> std::io::Result<()> {
    let text = format!(
        "job {}, run {}, process {} on {}, since {}\n",
        claim.job,
        claim.run,
        std::process::id(),
        claim.host,
        chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
    );
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

/// Whether it is a lock's file, or none yet: what a lock would overwrite and remove.
pub(in crate::store::sqlite) fn is_ours(path: &Path) -> bool {
    match files::open(path, OFlag::O_RDONLY) {
        Ok(file) => is_a_locks(&file),
        // If there is one, it cannot be locked either, and that says why.
        Err(_) => path
            .symlink_metadata()
            .map_or(true, |found| found.is_file()),
    }
}

/// Whether a file has what a lock's has, and no second name under which it is somebody else's.
fn is_a_locks(file: &File) -> bool {
    let Ok(found) = file.metadata() else {
        return false;
    };
    if !found.is_file() || found.size() > LONGEST || found.nlink() > 1 {
        return false;
    }
    let mut text = vec![0; found.size() as usize];
    match file.read_exact_at(&mut text, 0) {
        Ok(()) => text.iter().all(|byte| *byte == 0) || text.starts_with(b"job "),
        Err(_) => true,
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While we still hold it, so that nobody else's file is removed.
        let _ = files::unlink(&self.path);
        // A program that is just being started has the descriptor, too, until its `exec`.
        let _ = fs2::FileExt::unlock(&self.file);
    }
}
