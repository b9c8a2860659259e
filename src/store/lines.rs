//! The encoding of stores whose rows are lines of text, or documents in JSON without line feeds.

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::codec::{Codec, RowCodec, RowDecoder, RowEncoder};
use super::delimited::Delimited;
use super::part::{Chunk, Chunks, Encoding, Part};
use crate::error::{Error, Kind, Result, io};
use crate::limits;

/// Bytes that are read of a file at a time.
const PIECE: usize = 256 * 1024;

/// Lines: each is a row of one value, in chunks as in files.
pub struct Lines {
    encoding: Encoding,
    file_ending: &'static str,
}

impl Lines {
    /// With this name in parts and manifests, and this ending of files.
    pub const fn new(encoding: &'static str, file_ending: &'static str) -> Self {
        Self {
            encoding: Encoding::new(encoding),
            file_ending,
        }
    }

    /// The rows of a file, which `name` stands for in errors.
    pub fn chunks(
        &self,
        file: impl AsyncRead + Send + Unpin + 'static,
        name: impl Into<String>,
    ) -> Chunks {
        let reading = (file, LineDecoder::default(), name.into(), false);
        let chunks =
            stream::try_unfold(reading, |(mut file, mut decoder, name, ended)| async move {
                if ended {
                    return Ok(None);
                }
                let mut piece = BytesMut::with_capacity(PIECE);
                loop {
                    piece.clear();
                    let read = file.read_buf(&mut piece).await.map_err(io(&name))?;
                    let chunk = match read {
                        0 => decoder.end()?,
                        _ => decoder.feed(&piece)?,
                    };
                    if let Some(chunk) = chunk {
                        return Ok(Some((chunk, (file, decoder, name, read == 0))));
                    }
                    if read == 0 {
                        return Ok(None);
                    }
                }
            });
        chunks.boxed()
    }
}

impl Codec for Lines {
    fn encoding(&self) -> Encoding {
        self.encoding.clone()
    }

    fn summary(&self) -> &'static str {
        "text"
    }

    fn file_ending(&self) -> &'static str {
        self.file_ending
    }

    fn encoder(&self, _part: &Part) -> Result<Box<dyn RowEncoder>> {
        Ok(Box::new(Verbatim))
    }

    fn decoder(&self, _part: &Part) -> Result<Box<dyn RowDecoder>> {
        Ok(Box::new(LineDecoder::default()))
    }

    fn values(&self) -> Option<&dyn RowCodec> {
        Some(&WHOLE_LINES)
    }
}

/// A line is a row of one value.
const WHOLE_LINES: Delimited = Delimited::of_lines();

struct Verbatim;

impl RowEncoder for Verbatim {
    fn feed(&mut self, chunk: &Bytes, out: &mut BytesMut) -> Result<()> {
        out.extend_from_slice(chunk);
        Ok(())
    }
}

/// Cuts text anywhere into chunks of whole lines.
#[derive(Debug, Default)]
pub struct LineDecoder(BytesMut);

impl RowDecoder for LineDecoder {
    fn feed(&mut self, plain: &[u8]) -> Result<Option<Chunk>> {
        self.0.extend_from_slice(plain);
        let end = self.0.iter().rposition(|byte| *byte == b'\n');
        let data = self.0.split_to(end.map_or(0, |at| at + 1)).freeze();
        let longest = limits::longest_row();
        if self.0.len() > longest {
            let why = format!("a line has more than {longest} bytes");
            return Err(Error::new(Kind::Verify, why));
        }
        Ok(end.map(|_| Chunk {
            rows: count_lines(&data),
            data,
        }))
    }

    fn end(&mut self) -> Result<Option<Chunk>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        Err(Error::new(Kind::Verify, "the last line has no end"))
    }
}

/// How many lines end in a text.
pub fn count_lines(data: &[u8]) -> u64 {
    (data.split(|byte| *byte == b'\n').count() - 1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lines_are_the_same_wherever_they_are_cut(
            lines in prop::collection::vec("[a-z]{0,20}\n", 0..20),
            cuts in prop::collection::vec(1_usize..30, 1..20),
        ) {
            let text = lines.concat();
            let (mut decoder, mut rest) = (LineDecoder::default(), text.as_bytes());
            let (mut rows, mut all) = (0, Vec::new());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                rest = after;
                if let Some(chunk) = decoder.feed(piece).unwrap() {
                    prop_assert!(chunk.data.ends_with(b"\n"));
                    rows += chunk.rows;
                    all.extend_from_slice(&chunk.data);
                }
            }
            prop_assert!(decoder.end().unwrap().is_none());
            prop_assert_eq!((rows, all), (lines.len() as u64, text.into_bytes()));
        }
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let mut decoder = LineDecoder::default();
        assert!(decoder.feed(b"{}").unwrap().is_none());
        assert!(decoder.end().is_err());
    }
}
