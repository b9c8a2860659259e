//! Rows between the wire and a file: COPY's text format without and with CopyData messages around it.
//!
//! A file has exactly what `COPY ... FROM STDIN` reads, line by line, without the `\.` at the end. On the wire from a server
//! every row is a message of its own; on the wire to one, messages may end anywhere (PostgreSQL manual, "COPY Operations"),
//! so there the file's bytes travel as they come, many rows in a message.

use bytes::{Bytes, BytesMut};

use super::binary_values::BinaryValues;
use super::copy_stream::COPY_ENDS;
use super::frames::{Frames, framed};
use super::large_objects_as_sql::{LargeObjectDecoder, LargeObjectEncoder};
use super::text_values::TextValues;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::schema::row_encodings::{COPY_BINARY, COPY_TEXT, LARGE_OBJECTS};
use crate::store::{Chunk, Codec, Encoding, Part, RowCodec, RowDecoder, RowEncoder};

/// One for each of the encodings.
pub(in crate::store::postgresql) const CODECS: &[&dyn Codec] = &[&Text, &Binary, &LargeObjects];

/// COPY's text format.
struct Text;

impl Codec for Text {
    fn encoding(&self) -> Encoding {
        COPY_TEXT
    }

    fn summary(&self) -> &'static str {
        "text"
    }

    fn file_ending(&self) -> &'static str {
        "copy"
    }

    fn encoder(&self, _part: &Part) -> Result<Box<dyn RowEncoder>> {
        Ok(Box::new(TextEncoder::default()))
    }

    fn decoder(&self, _part: &Part) -> Result<Box<dyn RowDecoder>> {
        Ok(Box::new(TextDecoder::default()))
    }

    fn end_in_batch(&self) -> &'static [u8] {
        COPY_ENDS
    }

    fn values(&self) -> Option<&dyn RowCodec> {
        Some(&TextValues)
    }
}

/// COPY's binary format, which is for a server of the same version: no file has it.
struct Binary;

impl Binary {
    fn no_file(&self, part: &Part) -> Error {
        Error::new(
            Kind::Internal,
            format!("{}: rows as {} have no file", part.label(), self.encoding()),
        )
    }
}

impl Codec for Binary {
    fn encoding(&self) -> Encoding {
        COPY_BINARY
    }

    fn summary(&self) -> &'static str {
        "binary"
    }

    fn file_ending(&self) -> &'static str {
        "copybin"
    }

    fn encoder(&self, part: &Part) -> Result<Box<dyn RowEncoder>> {
        Err(self.no_file(part))
    }

    fn decoder(&self, part: &Part) -> Result<Box<dyn RowDecoder>> {
        Err(self.no_file(part))
    }

    fn end_in_batch(&self) -> &'static [u8] {
        COPY_ENDS
    }

    fn values(&self) -> Option<&dyn RowCodec> {
        Some(&BinaryValues)
    }
}

/// Large objects, as statements for `psql`.
struct LargeObjects;

impl Codec for LargeObjects {
    fn encoding(&self) -> Encoding {
        LARGE_OBJECTS
    }

    fn summary(&self) -> &'static str {
        "objects"
    }

    fn file_ending(&self) -> &'static str {
        "sql"
    }

    fn encoder(&self, _part: &Part) -> Result<Box<dyn RowEncoder>> {
        Ok(Box::new(LargeObjectEncoder))
    }

    fn decoder(&self, _part: &Part) -> Result<Box<dyn RowDecoder>> {
        Ok(Box::new(LargeObjectDecoder::default()))
    }
}

fn cut() -> Error {
    Error::new(Kind::Verify, "the rows end in the middle of one")
}

/// From messages to lines.
#[derive(Default)]
pub(in crate::store::postgresql) struct TextEncoder {
    frames: Frames,
    /// The last byte so far.
    last: Option<u8>,
}

impl RowEncoder for TextEncoder {
    fn feed(&mut self, chunk: &Bytes, out: &mut BytesMut) -> Result<()> {
        out.reserve(chunk.len());
        let last = &mut self.last;
        self.frames.feed(chunk, &mut |payload| {
            out.extend_from_slice(payload);
            *last = payload.last().copied();
            Ok(())
        })
    }

    fn end(&mut self, _out: &mut BytesMut) -> Result<()> {
        self.frames.end()?;
        if self.last.is_some_and(|last| last != b'\n') {
            return Err(cut());
        }
        Ok(())
    }
}

/// From lines to messages.
#[derive(Default)]
pub(in crate::store::postgresql) struct TextDecoder {
    last: Option<u8>,
}

impl RowDecoder for TextDecoder {
    fn feed(&mut self, plain: &[u8]) -> Result<Option<Chunk>> {
        let Some(last) = plain.last() else {
            return Ok(None);
        };
        self.last = Some(*last);
        Ok(Some(Chunk {
            // A line feed in a value is written as `\n`, in every encoding that a server has.
            rows: memchr::memchr_iter(b'\n', plain).count() as u64,
            data: framed(plain),
        }))
    }

    fn end(&mut self) -> Result<Option<Chunk>> {
        match self.last {
            None | Some(b'\n') => Ok(None),
            Some(_) => Err(cut()),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use proptest::prelude::*;

    use super::super::copy_stream::COPY_DATA;
    use super::*;
    use crate::fuzz::pieces;

    fn messages(rows: &[Vec<u8>]) -> Vec<u8> {
        let mut wire = Vec::new();
        for row in rows {
            wire.put_u8(COPY_DATA);
            wire.put_u32(row.len() as u32 + 4);
            wire.put_slice(row);
        }
        wire
    }

    /// Feeds it in pieces of these lengths, over and over.
    fn lines(wire: &[u8], lengths: &[usize]) -> Result<Vec<u8>> {
        let mut unframe = TextEncoder::default();
        let mut out = BytesMut::new();
        for piece in pieces(wire, lengths) {
            unframe.feed(&Bytes::copy_from_slice(piece), &mut out)?;
        }
        unframe.end(&mut out)?;
        Ok(out.to_vec())
    }

    proptest! {
        #[test]
        fn rows_come_back_whatever_pieces_they_come_in(
            rows in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 0..30),
            lengths in proptest::collection::vec(1_usize..40, 1..8),
        ) {
            let rows: Vec<Vec<u8>> = rows
                .into_iter()
                .map(|row| row.into_iter().filter(|byte| *byte != b'\n').chain([b'\n']).collect())
                .collect();
            let file = lines(&messages(&rows), &lengths).unwrap();
            prop_assert_eq!(&file, &rows.concat());
            let mut reframe = TextDecoder::default();
            let (mut count, mut wire) = (0, Vec::new());
            for piece in pieces(&file, &lengths) {
                let chunk = reframe.feed(piece).unwrap().unwrap();
                count += chunk.rows;
                wire.extend_from_slice(&chunk.data);
            }
            prop_assert!(reframe.end().unwrap().is_none());
            prop_assert_eq!(count, rows.len() as u64);
            prop_assert_eq!(lines(&wire, &lengths).unwrap(), file);
        }
    }

    #[test]
    fn rows_that_are_cut_off_are_refused_on_both_ways() {
        let wire = messages(&[b"1\ta\n".to_vec(), b"2\tb\n".to_vec()]);
        for end in [1, 4, 5, 7, wire.len() - 1] {
            assert!(lines(&wire[..end], &[100]).is_err(), "{end}");
        }
        assert!(lines(&messages(&[b"1\ta".to_vec()]), &[100]).is_err());
        assert!(lines(b"c\0\0\0\x04", &[100]).is_err());
        let mut reframe = TextDecoder::default();
        reframe.feed(b"1\ta\n2\t").unwrap();
        assert!(reframe.end().is_err());
        assert!(TextDecoder::default().end().unwrap().is_none());
    }
}
