//! Bytes that are written once, and then read from the beginning as often as is wanted: in memory while they are few, else in
//! a file without a name, which goes when nobody has it any more.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// More bytes are in a file, which a run's own sync of the file system may have to write to the disk,
const IN_MEMORY: usize = 12 << 20;
/// which is written in pieces of so many,
const PIECE: usize = 256 * 1024;
/// and read in smaller ones: what is sorted is merged from dozens of such files.
const READ: usize = 64 * 1024;
/// Where the file is: there may be more than fits into a `/tmp` in memory.
const DIRECTORY: &str = "/var/tmp";

/// Takes bytes.
pub(in crate::store::files) struct Spool {
    memory: Vec<u8>,
    file: Option<File>,
    most: usize,
}

impl Spool {
    /// One that begins in memory.
    pub(in crate::store::files) fn new() -> Self {
        Self {
            memory: Vec::new(),
            file: None,
            most: IN_MEMORY,
        }
    }

    /// One of many at the same time: it is in a file from the beginning.
    pub(in crate::store::files) fn in_a_file() -> Self {
        Self {
            most: PIECE,
            ..Self::new()
        }
    }

    /// Adds bytes.
    pub(in crate::store::files) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.memory.extend_from_slice(bytes);
        if self.memory.len() < self.most {
            return Ok(());
        }
        if self.file.is_none() {
            let made =
                tempfile::tempfile_in(Path::new(DIRECTORY)).or_else(|_| tempfile::tempfile());
            self.file = Some(made?);
            self.most = PIECE;
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(&self.memory)?;
            self.memory.clear();
            // What it grew to before there was the file.
            self.memory.shrink_to(PIECE * 2);
        }
        Ok(())
    }

    /// Ends it.
    pub(in crate::store::files) fn finish(mut self) -> io::Result<Spooled> {
        self.flush()?;
        if let Some(file) = self.file {
            return Ok(Spooled::File(Arc::new(file)));
        }
        self.memory.shrink_to_fit();
        Ok(Spooled::Memory(Arc::new(self.memory)))
    }
}

/// What was written.
#[derive(Clone)]
pub(in crate::store::files) enum Spooled {
    /// All of it.
    Memory(Arc<Vec<u8>>),
    /// In this file.
    File(Arc<File>),
}

impl Spooled {
    /// Reads it from this byte on.
    pub(in crate::store::files) fn reader(&self, at: u64) -> BufReader<Reader> {
        let piece = match self {
            Self::Memory(_) => 16 * 1024,
            Self::File(_) => READ,
        };
        let spooled = self.clone();
        BufReader::with_capacity(piece, Reader { spooled, at })
    }
}

/// Where a reader is.
pub(in crate::store::files) struct Reader {
    spooled: Spooled,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = match &self.spooled {
            Spooled::Memory(bytes) => {
                let rest = bytes.get(self.at as usize..).unwrap_or_default();
                let length = rest.len().min(into.len());
                into[..length].copy_from_slice(&rest[..length]);
                length
            }
            Spooled::File(file) => file.read_at(into, self.at)?,
        };
        self.at += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_however_much_it_is() {
        for (mut spool, pieces) in [
            (Spool::new(), 3),
            (Spool::new(), 9_000),
            (Spool::in_a_file(), 3),
            (Spool::in_a_file(), 900),
        ] {
            let mut expected = Vec::new();
            for number in 0..pieces {
                let piece = vec![number as u8; 1_000];
                spool.write(&piece).unwrap();
                expected.extend(piece);
            }
            let spooled = spool.finish().unwrap();
            for _ in 0..2 {
                let mut read = Vec::new();
                spooled.reader(0).read_to_end(&mut read).unwrap();
                assert!(read == expected);
            }
        }
    }
}
