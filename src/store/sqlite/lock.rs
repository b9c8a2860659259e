//! The target's lock. SQLite knows no lock that outlives a transaction, so it is a file beside the database; the kernel
//! frees it with our process.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result, io};
use crate::store::Claim;

/// A held lock; dropping it frees it.
pub(super) struct Lock {
    // Open for as long as the lock is held.
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock, or fails with [`Kind::Busy`] and says who has it.
    pub(super) fn take(path: &Path, claim: &Claim) -> Result<Self> {
        let cannot = || format!("cannot lock {}", path.display());
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(path)
                .map_err(io(cannot()))?;
            if let Err(error) = fs2::FileExt::try_lock_exclusive(&file) {
                if error.raw_os_error() != fs2::lock_contended_error().raw_os_error() {
                    return Err(io(cannot())(error));
                }
                let mut who = String::new();
                // Who it is is a courtesy; that it is taken is what counts.
                let _ = file.read_to_string(&mut who);
                let who = who.trim();
                return Err(Error::new(
                    Kind::Busy,
                    format!(
                        "{} is being written by {}",
                        path.display()
                            .to_string()
                            .trim_end_matches(".envsyncd-lock"),
                        if who.is_empty() { "another run" } else { who }
                    ),
                )
                .hint("wait until that run has ended"));
            }
            // Whoever had it may have removed the file between our open and our lock: then we locked a nameless file.
            let ours = file.metadata().map_err(io(cannot()))?;
            match path.metadata() {
                Ok(there) if there.ino() == ours.ino() && there.dev() == ours.dev() => {}
                _ => continue,
            }
            let text = format!(
                "job {}, run {}, process {} on {}, since {}\n",
                claim.job,
                claim.run,
                std::process::id(),
                claim.host,
                chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            );
            file.set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| file.write_all(text.as_bytes()))
                .map_err(io(cannot()))?;
            return Ok(Self {
                _file: file,
                path: path.to_owned(),
            });
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While we still hold it, so that nobody else's file is removed.
        let _ = std::fs::remove_file(&self.path);
    }
}
