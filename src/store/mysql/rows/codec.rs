//! Rows at rest: the wire's format is a file's, too, since every line feed in it ends a row (one in a value is `\n`). So all
//! that is to be done is to count them, and to see that the last row is whole.

use bytes::{Bytes, BytesMut};

use crate::error::{Error, Kind, Result};
use crate::store::{Chunk, Codec, Delimited, Encoding, Part, RowCodec, RowDecoder, RowEncoder};

/// `LOAD DATA`'s format: fields end with a tab, rows with a line feed, `\` escapes, `\N` is NULL; values are the bytes that the
/// column's own character set has.
pub(in crate::store::mysql) const LOAD_DATA: Encoding = Encoding::new("load_data");

/// Its lines. One of a table without columns has a NULL.
pub(super) const LINES: Delimited = Delimited::new(&[(b't', b'\t'), (b'n', b'\n')]).never_empty();

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

    fn values(&self) -> Option<&dyn RowCodec> {
        Some(&LINES)
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
    use proptest::prelude::*;

    use super::super::result_rows::Encoder;
    use super::*;
    use crate::store::Value;
    use crate::store::codec::identity;

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

    proptest! {
        #[test]
        fn what_a_server_sends_is_cut_into_its_values_and_joined_to_the_same(
            rows in prop::collection::vec(
                prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..20)), 3), 1..6
            ),
            cuts in prop::collection::vec(1_usize..20, 1..8),
        ) {
            let mut encoder = Encoder::new(3, 0);
            for row in &rows {
                let mut packet = Vec::new();
                for value in row {
                    match value {
                        None => packet.push(0xfb),
                        Some(bytes) => {
                            packet.push(bytes.len() as u8);
                            packet.extend_from_slice(bytes);
                        }
                    }
                }
                encoder.row(&packet).expect("a row");
            }
            let mut part = Part::whole(0, "t", LOAD_DATA, 0);
            part.columns = ["a", "b", "c"].map(str::to_owned).to_vec().into();
            let codec = LoadData.values().expect("it has values");
            let chunks = identity::chunks(&encoder.out, &cuts);
            let (mut cutter, mut joiner) = (codec.cutter(&part), codec.joiner(&part));
            let joined = identity::through(&mut *cutter, &mut *joiner, &chunks).unwrap();
            prop_assert_eq!(joined, (rows.len() as u64, encoder.out.to_vec()));
            let fields = encoder.out[..]
                .split_inclusive(|byte| *byte == b'\n')
                .flat_map(|line| line[..line.len() - 1].split(|byte| *byte == b'\t'));
            for (value, field) in rows.iter().flatten().zip(fields) {
                let expected = match value {
                    None => Value::Null,
                    Some(bytes) => Value::Text(bytes.into()),
                };
                prop_assert_eq!(codec.decode(field).unwrap(), expected.clone());
                let mut again = BytesMut::new();
                codec.encode(&expected, &mut again).unwrap();
                prop_assert_eq!(&again[..], field);
            }
        }
    }
}
