//! The encodings of a snapshot's parts: tar streams, and the list of what is in them. Their bytes are those of the files in the
//! archive.

use bytes::{Bytes, BytesMut};

use super::parse::{Event, Parser};
use super::pax::Dialect;
use crate::error::{Error, Kind, Result};
use crate::store::files::connection::stat::FileKind;
use crate::store::{Chunk, Codec, Encoding, Part, RowDecoder, RowEncoder};

/// A tar stream.
pub(in crate::store::files) const TAR: Encoding = Encoding::new("tar");
/// The list of all that is in a tree.
pub(in crate::store::files) const LIST: Encoding = Encoding::new("list");

/// For the driver.
pub(in crate::store::files) static CODECS: [&dyn Codec; 2] = [&Tar, &List];

struct Tar;

impl Codec for Tar {
    fn encoding(&self) -> Encoding {
        TAR
    }

    fn summary(&self) -> &'static str {
        "tar"
    }

    fn file_ending(&self) -> &'static str {
        "tar"
    }

    fn encoder(&self, _part: &Part) -> Result<Box<dyn RowEncoder>> {
        Ok(Box::new(Stream(Parser::new(Dialect::Own))))
    }

    fn decoder(&self, _part: &Part) -> Result<Box<dyn RowDecoder>> {
        Ok(Box::new(Stream(Parser::new(Dialect::Own))))
    }
}

/// A tar stream that passes, and is looked at.
struct Stream(Parser);

impl Stream {
    /// Files and links that begin in these bytes.
    fn look(&mut self, bytes: &[u8]) -> Result<u64> {
        let mut files = 0;
        self.0.feed(bytes, &mut |event| {
            if let Event::Entry(head) = event {
                files += u64::from(head.stat.kind != FileKind::Directory);
            }
            Ok(())
        })?;
        Ok(files)
    }
}

impl RowEncoder for Stream {
    fn feed(&mut self, chunk: &Bytes, out: &mut BytesMut) -> Result<()> {
        self.look(chunk)?;
        out.extend_from_slice(chunk);
        Ok(())
    }

    fn end(&mut self, _out: &mut BytesMut) -> Result<()> {
        self.0.end()
    }
}

impl RowDecoder for Stream {
    fn feed(&mut self, plain: &[u8]) -> Result<Option<Chunk>> {
        let rows = self.look(plain)?;
        let data = Bytes::copy_from_slice(plain);
        Ok(Some(Chunk { rows, data }))
    }

    fn end(&mut self) -> Result<Option<Chunk>> {
        self.0.end().map(|()| None)
    }
}

struct List;

impl Codec for List {
    fn encoding(&self) -> Encoding {
        LIST
    }

    fn summary(&self) -> &'static str {
        "list"
    }

    fn file_ending(&self) -> &'static str {
        "list"
    }

    fn encoder(&self, _part: &Part) -> Result<Box<dyn RowEncoder>> {
        Ok(Box::new(Lines::default()))
    }

    fn decoder(&self, _part: &Part) -> Result<Box<dyn RowDecoder>> {
        Ok(Box::new(Lines::default()))
    }
}

/// A list that passes, and its last bytes, which say whether it is whole. What else is wrong with it sees who reads it.
#[derive(Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn look(&mut self, bytes: &[u8]) {
        // More than the last line has, and the end of the one before.
        const KEPT: usize = 40;
        let new = &bytes[bytes.len().saturating_sub(KEPT)..];
        self.0.extend(new);
        let old = self.0.len().saturating_sub(KEPT);
        self.0.drain(..old);
    }

    fn check(&self) -> Result<()> {
        let last = self.0.strip_suffix(b"\n").unwrap_or_default();
        let last = last.rsplit(|byte| *byte == b'\n').next();
        if last.is_some_and(|line| line.starts_with(b"end ")) {
            return Ok(());
        }
        Err(Error::new(
            Kind::Verify,
            "a list of files ends before its end",
        ))
    }
}

impl RowEncoder for Lines {
    fn feed(&mut self, chunk: &Bytes, out: &mut BytesMut) -> Result<()> {
        self.look(chunk);
        out.extend_from_slice(chunk);
        Ok(())
    }

    fn end(&mut self, _out: &mut BytesMut) -> Result<()> {
        self.check()
    }
}

impl RowDecoder for Lines {
    fn feed(&mut self, plain: &[u8]) -> Result<Option<Chunk>> {
        self.look(plain);
        let data = Bytes::copy_from_slice(plain);
        Ok(Some(Chunk { rows: 0, data }))
    }

    fn end(&mut self) -> Result<Option<Chunk>> {
        self.check().map(|()| None)
    }
}
