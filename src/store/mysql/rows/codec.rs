//! Rows at rest: the wire's format is a file's, too, since every line feed in it ends a row (one in a value is `\n`). So all
//! that is to be done is to count them, and to see that the last row is whole.

use bytes::{Bytes, BytesMut};

use crate::error::{Error, Kind, Result};
use crate::store::{Chunk, Codec, Encoding, Part, RowDecoder, RowEncoder};

/// `LOAD DATA`'s format: fields end with a tab, rows with a line feed, `\` escapes, `\N` is NULL; values are the bytes that the
/// column's own character set has.
pub(in crate::store::mysql) const LOAD_DATA: Encoding = Encoding::new("load_data");

/// The codec of [`LOAD_DATA`].
pub(in crate::store::mysql) struct LoadData;

impl Codec for LoadData {
    fn encoding(&self) -> Encoding {
        LOAD_DATA
    }

    fn summary(&self) -> &'static str {
        "text"
    }

    fn file_ending(&self) -> &'static str {
        "tsv"
    }

    fn encoder(&self, part: &Part) -> Result<Box<dyn RowEncoder>> {
        Ok(Box::new(Lines::new(part.label())))
    }

    fn decoder(&self, part: &Part) -> Result<Box<dyn RowDecoder>> {
        Ok(Box::new(Lines::new(part.label())))
    }
}

/// Chunks are of at least so many bytes, but for the last one.
const CHUNK: usize = 128 * 1024;

/// One part's rows, on either way.
struct Lines {
    label: String,
    /// The last byte that was seen.
    last: Option<u8>,
    pending: BytesMut,
}

impl Lines {
    fn new(label: String) -> Self {
        Self {
            label,
            last: None,
            pending: BytesMut::new(),
        }
    }

    fn see(&mut self, data: &[u8]) {
        self.last = data.last().copied().or(self.last);
    }

    fn whole(&self) -> Result<()> {
        match self.last {
            None | Some(b'\n') => Ok(()),
            Some(_) => Err(Error::new(
                Kind::Verify,
                format!("the rows of {} end in the middle of one", self.label),
            )),
        }
    }

    fn take(&mut self) -> Option<Chunk> {
        if self.pending.is_empty() {
            return None;
        }
        let data = self.pending.split().freeze();
        let rows = memchr::memchr_iter(b'\n', &data).count() as u64;
        Some(Chunk { rows, data })
    }
}

impl RowEncoder for Lines {
    fn feed(&mut self, chunk: &Bytes, out: &mut BytesMut) -> Result<()> {
        self.see(chunk);
        out.extend_from_slice(chunk);
        Ok(())
    }

    fn end(&mut self, _out: &mut BytesMut) -> Result<()> {
        self.whole()
    }
}

impl RowDecoder for Lines {
    fn feed(&mut self, plain: &[u8]) -> Result<Option<Chunk>> {
        self.see(plain);
        self.pending.extend_from_slice(plain);
        Ok((self.pending.len() >= CHUNK).then(|| self.take()).flatten())
    }

    fn end(&mut self) -> Result<Option<Chunk>> {
        self.whole()?;
        Ok(self.take())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(plain: &[u8], cut: usize) -> Result<(u64, Vec<u8>)> {
        let mut decoder = Lines::new("t".to_owned());
        let mut rows = 0;
        let mut data = Vec::new();
        let mut chunks: Vec<Chunk> = Vec::new();
        for piece in plain.chunks(cut) {
            chunks.extend(RowDecoder::feed(&mut decoder, piece)?);
        }
        chunks.extend(RowDecoder::end(&mut decoder)?);
        for chunk in chunks {
            rows += chunk.rows;
            data.extend_from_slice(&chunk.data);
        }
        Ok((rows, data))
    }

    #[test]
    fn rows_are_counted_wherever_the_file_is_cut() {
        let row = b"1\ta\\n\\\\\t\\N\n\n";
        let long = [&vec![b'x'; 3 * CHUNK][..], b"\n"].concat();
        let plain = [&row.repeat(20_000)[..], &long, row].concat();
        for cut in [1, 7, 1 << 20, CHUNK, CHUNK + 1] {
            let (rows, data) = there_and_back(&plain, cut).unwrap();
            assert_eq!(rows, 40_003, "{cut}");
            assert!(data == plain, "{cut}");
        }
        assert_eq!(there_and_back(b"", 1).unwrap(), (0, Vec::new()));
    }

    #[test]
    fn a_row_that_is_cut_off_is_an_error_both_ways() {
        let error = there_and_back(b"1\n2", 1).unwrap_err();
        assert_eq!(error.kind(), Kind::Verify);
        let mut out = BytesMut::new();
        let mut encoder = Lines::new("t".to_owned());
        RowEncoder::feed(&mut encoder, &Bytes::from_static(b"1\n2"), &mut out).unwrap();
        assert!(RowEncoder::end(&mut encoder, &mut out).is_err());
        RowEncoder::feed(&mut encoder, &Bytes::from_static(b"\n"), &mut out).unwrap();
        RowEncoder::feed(&mut encoder, &Bytes::new(), &mut out).unwrap();
        assert!(RowEncoder::end(&mut encoder, &mut out).is_ok());
        assert_eq!(&out[..], b"1\n2\n");
    }
}
