//! Whether two files have the same content.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Advice, fadvise};
use rustix::io::{Errno, pread};
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::told::At;

/// Bytes that are read of each at a time.
const PIECE: usize = 128 * 1024;

/// Whether two files have the same content, up to their ends.
pub(in crate::store::files) fn is_same(
    files: [&OwnedFd; 2],
    path: &[u8],
    stop: &CancellationToken,
) -> Result<bool> {
    for file in files {
        // No more than a wish.
        let _ = fadvise(file, 0, None, Advice::Sequential);
    }
    let mut pieces = [vec![0; PIECE], vec![0; PIECE]];
    let mut at = 0;
    loop {
        stopped(stop)?;
        let [one, other] = &mut pieces;
        let read = fill(files[0], one, at).at("cannot read", path)?;
        let others = fill(files[1], other, at).at("cannot read back", path)?;
        if one[..read] != other[..others] {
            return Ok(false);
        }
        if read < PIECE {
            return Ok(true);
        }
        at += read as u64;
    }
}

/// Reads until a piece is full or the file ends.
fn fill(file: impl AsFd, piece: &mut [u8], at: u64) -> rustix::io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match pread(&file, &mut piece[filled..], at + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
