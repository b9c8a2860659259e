//! Leases: locks that show to every process on a machine that their holder lives, also to those that cannot see it.
//!
//! A process id means nothing in another container, and a clock may be wrong; a lock that the kernel frees with its process
//! is neither. All leases of a state directory are bytes of one file, each at a place of its own, so that nothing is left
//! over. Where a file system knows no such locks nobody has a lease, and other signs of life have to do.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use sha2::{Digest as _, Sha256};

use super::target_lock::open;
use crate::trust;

/// The file in the state directory.
const FILE: &str = "leases";

/// Held until it is dropped, or until its process ends in whatever way.
#[derive(Debug)]
pub struct Lease {
    file: File,
    name: String,
}

impl Lease {
    /// Takes the lease of this name: a run's id, `daemon`. `None` where it cannot be had.
    pub fn take(state_dir: &Path, name: &str) -> Option<Self> {
        let taken = open(&state_dir.join(FILE))
            .map_err(io::Error::other)
            .and_then(|file| {
                fcntl(&file, FcntlArg::F_OFD_SETLK(&byte(name, libc::F_WRLCK)))?;
                Ok(file)
            });
        match taken {
            Ok(file) => Some(Self {
                file,
                name: name.to_owned(),
            }),
            Err(error) => {
                tracing::debug!(%error, name, "no lease is available");
                None
            }
        }
    }

    /// Whether somebody has it. Nothing is locked by looking.
    pub fn is_held(state_dir: &Path, name: &str) -> bool {
        let Ok(file) = trust::open_own(&state_dir.join(FILE)) else {
            return false;
        };
        let mut found = byte(name, libc::F_WRLCK);
        fcntl(&file, FcntlArg::F_OFD_GETLK(&mut found)).is_ok()
            && found.l_type != libc::F_UNLCK as libc::c_short
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A program that is just being started has the descriptor, too, until its `exec`.
        let _ = fcntl(
            &self.file,
            FcntlArg::F_OFD_SETLK(&byte(&self.name, libc::F_UNLCK)),
        );
    }
}

/// The byte of the file that stands for a name, to be locked or freed.
fn byte(name: &str, kind: i32) -> libc::flock {
    let digest = Sha256::digest(name.as_bytes());
    let place = digest
        .iter()
        .take(7)
        .fold(0_i64, |place, byte| place << 8 | i64::from(*byte));
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: place,
        l_len: 1,
        l_pid: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_seen_by_others_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!Lease::is_held(dir.path(), "one"), "there is no file yet");
        let one = Lease::take(dir.path(), "one").unwrap();
        let two = Lease::take(dir.path(), "two").unwrap();
        assert!(Lease::is_held(dir.path(), "one") && Lease::is_held(dir.path(), "two"));
        assert!(Lease::take(dir.path(), "one").is_none());
        // What a program that is just being started has until its exec.
        let _inherited = one.file.try_clone().unwrap();
        drop(one);
        assert!(!Lease::is_held(dir.path(), "one"));
        assert!(Lease::is_held(dir.path(), "two"));
        drop(two);
    }
}
