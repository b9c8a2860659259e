//! Open files: what whoever started us left open is ours, and no hook's or `pg_dump`'s.
#![allow(unsafe_code)]

use nix::libc;

/// The first that is not standard input, output or error.
const FIRST: libc::c_int = 3;

/// Has every file that is open now closed in the programs that we start. Those that are opened from now on are closed there
/// anyway: the standard library and SQLite open them so.
pub fn keep() {
    // SAFETY: close_range(2) takes three integers, and with this flag closes nothing here.
    let done = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            FIRST,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if done == 0 {
        return;
    }
    // Before Linux 5.11, or in a sandbox.
    for entry in std::fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten()
    {
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        if let Some(number) = number.filter(|number| *number >= FIRST) {
            // SAFETY: fcntl(2) with integers; of a number that is no file any more it says so.
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}
