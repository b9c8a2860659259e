//! How much memory this process may have, and how much of a file is read, for whoever takes in what somebody else decides the
//! length of.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes, where `memory_max` in `[priority]` says nothing else. Runs of databases of any size take less than a tenth of it.
pub const MEMORY: u64 = 1 << 30;

/// The smallest `memory_max`, in bytes: no run would come to its end in less.
pub const LEAST_MEMORY: u64 = 128 << 20;

/// A row that is taken in whole is there several times: as it was read, as it is sent on, and as the other side takes it; and
/// what grows is set aside twice as large.
const ROWS: u64 = 16;

static MOST: AtomicU64 = AtomicU64::new(MEMORY);

/// Says how much it is, in bytes.
pub fn set_memory(bytes: u64) {
    MOST.store(bytes, Ordering::Relaxed);
}

/// The same, asked back.
pub fn memory() -> u64 {
    MOST.load(Ordering::Relaxed)
}

/// Bytes of a row, in stores whose rows are taken in whole: a sixteenth of the memory.
pub fn longest_row() -> usize {
    usize::try_from(memory() / ROWS).unwrap_or(usize::MAX)
}

/// All that is in a file, unless that is more than `limit` bytes.
pub fn read_all(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let limit = if limit >= 1 << 20 {
            format!("{} MiB", limit >> 20)
        } else {
            format!("{} KiB", limit >> 10)
        };
        return Err(io::Error::other(format!("it is larger than {limit}")));
    }
    Ok(bytes)
}
