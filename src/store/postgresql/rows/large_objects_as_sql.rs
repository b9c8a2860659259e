//! Large objects as a file of SQL, a statement a line: no COPY can read them, and `psql` alone can run this.
//!
//! The first piece of an object is `SELECT pg_catalog.lo_from_bytea('OID', '\xHEX');`, each further one
//! `SELECT pg_catalog.lo_put('OID', OFFSET, '\xHEX');`. On the wire they are as in `large`.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::large_object_rows::HEAD;
use crate::error::{Error, Kind, Result};
use crate::store::{Chunk, RowDecoder, RowEncoder};

const FIRST: &str = "SELECT pg_catalog.lo_from_bytea('";

const FURTHER: &str = "SELECT pg_catalog.lo_put('";

const BYTES: &str = "'\\x";

const END: &str = "');";

/// A line that is longer is none of ours: a piece has a mebibyte.
const LONGEST: usize = 4 * 1024 * 1024;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// From pieces to lines.
#[derive(Default)]
pub(in crate::store::postgresql) struct LargeObjectEncoder;

impl RowEncoder for LargeObjectEncoder {
    fn feed(&mut self, chunk: &Bytes, out: &mut BytesMut) -> Result<()> {
        let mut from = &chunk[..];
        while !from.is_empty() {
            if from.len() < HEAD {
                return Err(cut());
            }
            let (oid, offset) = (from.get_u32_le(), from.get_i64_le());
            let length = from.get_u32_le() as usize;
            if from.len() < length {
                return Err(cut());
            }
            let (piece, rest) = from.split_at(length);
            from = rest;
            if offset == 0 {
                out.put_slice(format!("{FIRST}{oid}', {BYTES}").as_bytes());
            } else if length > 0 {
                out.put_slice(format!("{FURTHER}{oid}', {offset}, {BYTES}").as_bytes());
            } else {
                continue;
            }
            out.reserve(2 * length + END.len() + 1);
            for byte in piece {
                out.put_u8(DIGITS[usize::from(byte >> 4)]);
                out.put_u8(DIGITS[usize::from(byte & 15)]);
            }
            out.put_slice(END.as_bytes());
            out.put_u8(b'\n');
        }
        Ok(())
    }
}

fn cut() -> Error {
    Error::new(Kind::Internal, "a piece of a large object was cut")
}

/// From lines to pieces.
#[derive(Default)]
pub(in crate::store::postgresql) struct LargeObjectDecoder {
    /// A line that goes on.
    begun: Vec<u8>,
}

impl RowDecoder for LargeObjectDecoder {
    fn feed(&mut self, mut plain: &[u8]) -> Result<Option<Chunk>> {
        let mut data = BytesMut::new();
        let mut rows = 0;
        while let Some(end) = memchr::memchr(b'\n', plain) {
            let begun = std::mem::take(&mut self.begun);
            if begun.is_empty() {
                rows += piece(&plain[..end], &mut data)?;
            } else {
                rows += piece(&[&begun, &plain[..end]].concat(), &mut data)?;
            }
            plain = &plain[end + 1..];
        }
        if self.begun.len() + plain.len() > LONGEST {
            return Err(foreign());
        }
        self.begun.extend_from_slice(plain);
        Ok((!data.is_empty()).then(|| Chunk {
            rows,
            data: data.freeze(),
        }))
    }

    fn end(&mut self) -> Result<Option<Chunk>> {
        if self.begun.is_empty() {
            return Ok(None);
        }
        Err(Error::new(
            Kind::Verify,
            "the large objects end in the middle of one",
        ))
    }
}

fn foreign() -> Error {
    Error::new(
        Kind::Verify,
        "a line of the large objects' file is not as envsyncd writes it",
    )
}

/// Appends the piece that a line is; returns how many objects begin with it.
fn piece(line: &[u8], out: &mut BytesMut) -> Result<u64> {
    // Hexadecimal digits: text but for what is none of ours.
    let line = std::str::from_utf8(line).map_err(|_| foreign())?;
    let (oid, offset, hex) = parsed(line).ok_or_else(foreign)?;
    if hex.len() % 2 == 1 {
        return Err(foreign());
    }
    out.reserve(HEAD + hex.len() / 2);
    out.put_u32_le(oid);
    out.put_i64_le(offset);
    out.put_u32_le((hex.len() / 2) as u32);
    for pair in hex.as_bytes().chunks_exact(2) {
        let digit = |digit: u8| (digit as char).to_digit(16).ok_or_else(foreign);
        out.put_u8((digit(pair[0])? << 4 | digit(pair[1])?) as u8);
    }
    Ok(u64::from(offset == 0))
}

/// Oid, offset and hexadecimal digits.
fn parsed(line: &str) -> Option<(u32, i64, &str)> {
    let (head, hex) = line.strip_suffix(END)?.split_once(BYTES)?;
    if let Some(oid) = head.strip_prefix(FIRST) {
        return Some((oid.strip_suffix("', ")?.parse().ok()?, 0, hex));
    }
    let (oid, offset) = head.strip_prefix(FURTHER)?.split_once("', ")?;
    let offset: i64 = offset.strip_suffix(", ")?.parse().ok()?;
    (offset > 0).then_some((oid.parse().ok()?, offset, hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(pieces: &[(u32, i64, &[u8])]) -> Bytes {
        let mut wire = BytesMut::new();
        for (oid, offset, piece) in pieces {
            wire.put_u32_le(*oid);
            wire.put_i64_le(*offset);
            wire.put_u32_le(piece.len() as u32);
            wire.put_slice(piece);
        }
        wire.freeze()
    }

    #[test]
    fn large_objects_come_back_from_sql_as_they_were_wherever_it_is_cut() {
        let pieces: &[(u32, i64, &[u8])] = &[
            (16_400, 0, b"\x00\xff'\\"),
            (16_400, 4, b"more"),
            (4_294_967_295, 0, b""),
        ];
        let mut sql = BytesMut::new();
        LargeObjectEncoder.feed(&wire(pieces), &mut sql).unwrap();
        // An object whose last piece was full is asked for one more.
        LargeObjectEncoder
            .feed(&wire(&[(16_400, 8, b"")]), &mut sql)
            .unwrap();
        assert_eq!(
            std::str::from_utf8(&sql).unwrap(),
            "SELECT pg_catalog.lo_from_bytea('16400', '\\x00ff275c');\n\
             SELECT pg_catalog.lo_put('16400', 4, '\\x6d6f7265');\n\
             SELECT pg_catalog.lo_from_bytea('4294967295', '\\x');\n"
        );
        for length in [1, 7, 40, 1000] {
            let mut reframe = LargeObjectDecoder::default();
            let (mut rows, mut data) = (0, Vec::new());
            for some in sql.chunks(length) {
                if let Some(chunk) = reframe.feed(some).unwrap() {
                    rows += chunk.rows;
                    data.extend_from_slice(&chunk.data);
                }
            }
            assert!(reframe.end().unwrap().is_none());
            assert_eq!((rows, data), (2, wire(pieces).to_vec()), "{length}");
        }
    }

    #[test]
    fn a_line_that_is_none_of_ours_is_refused() {
        for line in [
            "DROP DATABASE live;\n",
            "\n",
            "SELECT pg_catalog.lo_from_bytea('1', '\\x0');\n",
            "SELECT pg_catalog.lo_from_bytea('1', '\\xzz');\n",
            "SELECT pg_catalog.lo_from_bytea('-1', '\\x00');\n",
            "SELECT pg_catalog.lo_put('1', 0, '\\x00');\n",
            "SELECT pg_catalog.lo_put('1', -1, '\\x00');\n",
            "SELECT pg_catalog.lo_unlink('1');\n",
        ] {
            assert!(
                LargeObjectDecoder::default().feed(line.as_bytes()).is_err(),
                "{line}"
            );
        }
        let mut cut = LargeObjectDecoder::default();
        cut.feed(b"SELECT pg_catalog.lo_from_bytea('1', '\\x00')")
            .unwrap();
        assert!(cut.end().is_err());
        assert!(
            LargeObjectEncoder
                .feed(&wire(&[(1, 0, b"abc")]).slice(..18), &mut BytesMut::new())
                .is_err()
        );
    }
}
