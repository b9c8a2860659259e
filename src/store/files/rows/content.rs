//! Whether two files have the same content.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Advice, SeekFrom, fadvise, seek};
use rustix::io::{Errno, pread};
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::told::At;

/// Bytes that are read of each at a time.
const PIECE: usize = 128 * 1024;

/// Whether two files of the same size have the same content. What is stored in neither is not read.
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
        if let Some(stored) = next_stored(files, at) {
            at = stored;
        }
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

/// Where the first of two files has something stored, from a place on; `None`: nobody says so, or neither has.
fn next_stored(files: [&OwnedFd; 2], at: u64) -> Option<u64> {
    // Only now and then: files without holes have something everywhere.
    let step = PIECE as u64 * 64;
    if !at.is_multiple_of(step) {
        return None;
    }
    let next = |file: &OwnedFd| match seek(file, SeekFrom::Data(at)) {
        Ok(next) => Some(next),
        // Nothing more up to the end.
        Err(Errno::NXIO) => seek(file, SeekFrom::End(0)).ok(),
        Err(_) => None,
    };
    let next = next(files[0])?.min(next(files[1])?);
    (next > at)
        .then_some(next / step * step)
        .filter(|next| *next > at)
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
