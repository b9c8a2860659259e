//! One daemon at a time on a state directory: a locked file that the kernel frees with its process.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;

use super::StoredProcess;
use super::process::Process;
use super::target_lock::{LONGEST, free, open, still_there};
use crate::error::{Error, Kind, Result, io};

/// The state directory is ours until this is dropped, or until the process ends in whatever way.
#[derive(Debug)]
pub struct DaemonLock {
    file: File,
}

impl DaemonLock {
    /// Never waits. `Kind::Busy` says which process has the directory.
    pub fn take(state_dir: &Path) -> Result<Self> {
        let path = state_dir.join("daemon.lock");
        let mut file = open(&path)?;
        if let Err(error) = fs2::FileExt::try_lock_exclusive(&file) {
            if error.raw_os_error() != fs2::lock_contended_error().raw_os_error() {
                return Err(Error::new(
                    Kind::State,
                    format!("{} cannot be locked", path.display()),
                )
                .because(error));
            }
            let mut signed = Vec::new();
            let _ = (&mut file).take(LONGEST).read_to_end(&mut signed);
            let who = whose(&signed);
            return Err(Error::new(
                Kind::Busy,
                format!("another daemon{who} works on {}", state_dir.display()),
            )
            .hint("there is one daemon for a state directory: stop that one first"));
        }
        let written = serde_json::to_vec(&StoredProcess::from(&Process::own()))
            .map_err(std::io::Error::from)
            .and_then(|text| {
                file.set_len(0)?;
                file.rewind()?;
                file.write_all(&text)
            });
        written.map_err(io(format!("{} cannot be written", path.display())))?;
        Ok(Self { file })
    }

    /// Whether it is the lock of the directory that has this path now.
    pub fn is_of(&self, state_dir: &Path) -> bool {
        still_there(&self.file, &state_dir.join("daemon.lock"))
    }
}

impl Drop for DaemonLock {
    fn drop(&mut self) {
        free(&self.file);
    }
}

/// Who has signed it, for people: ` (process 7)`, or nothing.
pub(super) fn whose(signed: &[u8]) -> String {
    serde_json::from_slice::<StoredProcess>(signed).map_or_else(
        |_| String::new(),
        |process| format!(" (process {})", process.pid),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_daemon_is_told_which_process_has_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let first = DaemonLock::take(dir.path()).unwrap();
        let error = DaemonLock::take(dir.path()).unwrap_err();
        assert_eq!(error.kind(), Kind::Busy);
        let process = format!("(process {})", std::process::id());
        assert!(error.to_string().contains(&process), "{error}");
        // What a program that is just being started has until its exec.
        let _inherited = first.file.try_clone().unwrap();
        drop(first);
        DaemonLock::take(dir.path()).unwrap();
    }
}
