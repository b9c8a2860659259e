//! Copies a file's content: where it is and where it is not, without it passing through us if the system can.

use std::num::NonZero;
use std::os::fd::OwnedFd;

use rustix::fs::{Advice, SeekFrom, copy_file_range, fadvise, ftruncate, seek};
use rustix::io::{Errno, pread, pwrite};
use tokio_util::sync::CancellationToken;

use super::throttle::Throttle;
use crate::error::Result;
use crate::store::files::connection::blocking::stopped;
use crate::store::files::connection::stat::Stat;
use crate::store::files::connection::told::At;

/// A file of so many bytes at the most is read and written at once.
const SMALL: u64 = 128 * 1024;
/// So many bytes of a large one are copied between two looks at whether to go on.
const PIECE: u64 = 32 << 20;

/// Copies content, with memory of its own.
pub(in crate::store::files) struct Copier<'a> {
    buffer: Vec<u8>,
    stop: &'a CancellationToken,
    /// Is told of bytes that are copied.
    copied: &'a dyn Fn(u64),
    throttle: Option<&'a Throttle>,
}

impl<'a> Copier<'a> {
    /// One that ends when it is told to stop.
    pub(in crate::store::files) fn new(
        stop: &'a CancellationToken,
        copied: &'a dyn Fn(u64),
        throttle: Option<&'a Throttle>,
    ) -> Self {
        Self {
            buffer: vec![0; SMALL as usize],
            stop,
            copied,
            throttle,
        }
    }

    fn piece(&self, most: u64) -> u64 {
        let throttle = self.throttle;
        throttle.map_or(most, |throttle| throttle.piece().min(most))
    }

    fn pass(&self, bytes: u64) -> Result<()> {
        (self.copied)(bytes);
        let throttle = self.throttle;
        throttle.map_or(Ok(()), |throttle| throttle.pass(bytes, self.stop))
    }

    /// Copies as much as the file had when it was looked at, into an empty one. A file that has become shorter ends where it
    /// ends; one that grows is not followed.
    pub(in crate::store::files) fn copy(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        found: &Stat,
        path: &[u8],
    ) -> Result<()> {
        if found.size == 0 {
            return Ok(());
        }
        if found.is_sparse() {
            return self.copy_sparse(from, to, found.size, path);
        }
        self.copy_range(from, to, 0..found.size, path)
    }

    /// Copies what is stored, and leaves out what is not.
    fn copy_sparse(&mut self, from: &OwnedFd, to: &OwnedFd, size: u64, path: &[u8]) -> Result<()> {
        let mut at = 0;
        while at < size {
            let begin = match seek(from, SeekFrom::Data(at)) {
                Ok(begin) => begin,
                // Nothing is stored from here on.
                Err(Errno::NXIO) => break,
                Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                    return self.copy_range(from, to, 0..size, path);
                }
                Err(error) => return Err(error).at("cannot read", path),
            };
            if begin >= size {
                break;
            }
            let end = match seek(from, SeekFrom::Hole(begin)) {
                // It has become shorter just now: whoever looks at it next sees that.
                Err(Errno::NXIO) => break,
                end => end.at("cannot read", path)?,
            };
            self.copy_range(from, to, begin..end.min(size), path)?;
            at = end;
        }
        ftruncate(to, size).at("cannot write", path)
    }

    fn copy_range(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        range: std::ops::Range<u64>,
        path: &[u8],
    ) -> Result<()> {
        let mut at = range.start;
        let mut by_system = range.end - range.start > SMALL;
        while at < range.end {
            stopped(self.stop)?;
            if by_system {
                let length = (range.end - at).min(self.piece(PIECE)) as usize;
                let (mut read_at, mut write_at) = (at, at);
                match copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), length) {
                    // The file's end, or a file system that does not know its own.
                    Ok(0) => by_system = false,
                    Ok(copied) => {
                        // The disk gets it while the next is copied, and has little left to write at the end.
                        let _ = fadvise(to, at, NonZero::new(copied as u64), Advice::DontNeed);
                        at += copied as u64;
                        self.pass(copied as u64)?;
                    }
                    Err(Errno::INTR) => {}
                    Err(error @ (Errno::NOSPC | Errno::DQUOT | Errno::FBIG)) => {
                        return Err(error).at("cannot write", path);
                    }
                    // Not between these two file systems. Reading says what else there is.
                    Err(_) => by_system = false,
                }
                continue;
            }
            let length = (range.end - at).min(self.piece(SMALL)) as usize;
            let read = match pread(from, &mut self.buffer[..length], at) {
                Ok(0) => break,
                Err(Errno::INTR) => continue,
                read => read.at("cannot read", path)?,
            };
            write_all(to, &self.buffer[..read], at).at("cannot write", path)?;
            at += read as u64;
            self.pass(read as u64)?;
        }
        Ok(())
    }
}

pub(in crate::store::files) fn write_all(
    to: &OwnedFd,
    mut bytes: &[u8],
    mut at: u64,
) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match pwrite(to, bytes, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                bytes = &bytes[written..];
                at += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
