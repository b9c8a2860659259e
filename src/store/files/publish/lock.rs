//! The target's lock: a file in the folder beside live; the kernel frees it with our process.

use std::ffi::CStr;
use std::fs::File;
use std::io::{Read, Seek, Write};

use rustix::fs::{Mode, OFlags, openat};

use super::folder::Folder;
use crate::error::{Error, Kind, Result, io};
use crate::store::Claim;
use crate::store::files::connection::told::At;

const LOCK: &CStr = c"lock";
/// More than who has it never is in a lock's file.
const LONGEST: u64 = 4096;

/// A held lock; dropping it frees it. Its file stays.
pub(in crate::store::files) struct Lock(File);

impl Lock {
    /// Takes the lock, or fails with [`Kind::Busy`] and says who has it. `live`: for people.
    pub(in crate::store::files) fn take(
        folder: &Folder,
        live: &str,
        claim: &Claim,
    ) -> Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&*folder.directory, LOCK, flags, Mode::RUSR | Mode::WUSR);
        let mut file = File::from(file.at("cannot lock", live.as_bytes())?);
        if let Err(error) = fs2::FileExt::try_lock_exclusive(&file) {
            if error.raw_os_error() != fs2::lock_contended_error().raw_os_error() {
                return Err(io(format!("cannot lock {live}"))(error));
            }
            return Err(is_taken(&mut file, live));
        }
        write_holder(&mut file, claim).map_err(io(format!("cannot lock {live}")))?;
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A program that is just being started has the descriptor, too, until its `exec`.
        let _ = self.0.set_len(0);
        let _ = fs2::FileExt::unlock(&self.0);
    }
}

fn is_taken(file: &mut File, live: &str) -> Error {
    let mut who = String::new();
    // Who it is is a courtesy; that it is taken is what counts.
    let _ = file.take(LONGEST).read_to_string(&mut who);
    let who = who.trim();
    let who = if who.is_empty() { "another run" } else { who };
    Error::new(Kind::Busy, format!("{live} is being written by {who}"))
        .hint("wait until that run has ended")
}

fn write_holder(file: &mut File, claim: &Claim) -> std::io::Result<()> {
    let since = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let (job, run, host) = (&claim.job, &claim.run, &claim.host);
    let process = std::process::id();
    file.set_len(0)?;
    file.rewind()?;
    writeln!(
        file,
        "job {job}, run {run}, process {process} on {host}, since {since}"
    )
}
