//! Codecs: how a part's rows look in chunks, how they are cut into values, and how the same rows look in a file that the
//! store's own tools read.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

use super::part::{Chunk, Encoding, Part};
use crate::error::Result;

/// One of a store's encodings.
pub trait Codec: Send + Sync {
    /// Its name in parts and in snapshots' manifests.
    fn encoding(&self) -> Encoding;

    /// In a word, for `plan`: `text`.
    fn summary(&self) -> &'static str;

    /// The ending of a file with rows in it: `copy`, `tsv`, `sql`.
    fn file_ending(&self) -> &'static str;

    /// From chunks to a file. Rows that no file can have are an error.
    fn encoder(&self, part: &Part) -> Result<Box<dyn RowEncoder>>;

    /// From a file to chunks.
    fn decoder(&self, part: &Part) -> Result<Box<dyn RowDecoder>>;

    /// What follows a part's rows in a batch.
    fn end_in_batch(&self) -> &'static [u8] {
        &[]
    }

    /// If its rows have values: not those of large objects.
    fn values(&self) -> Option<&dyn RowCodec> {
        None
    }
}

/// An encoding whose rows can be cut into values and put together again, without a whole value in memory.
pub trait RowCodec: Send + Sync {
    /// Cuts chunks into rows.
    fn splitter(&self, part: &Part) -> Box<dyn RowSplitter>;

    /// Cuts chunks into rows and values.
    fn cutter(&self, part: &Part) -> Box<dyn RowCutter>;

    /// Puts values together again. What comes from a cutter of the same part becomes the same rows.
    fn joiner(&self, part: &Part) -> Box<dyn RowJoiner>;

    /// A value out of its encoding.
    fn decode<'a>(&self, encoded: &'a [u8]) -> Result<Value<'a>>;

    /// A value's encoding. A value that the encoding does not have is an error.
    fn encode(&self, value: &Value<'_>, out: &mut BytesMut) -> Result<()>;
}

/// Cuts chunks into rows. One for each part.
pub trait RowSplitter: Send {
    /// Calls `row` with each piece of a row, and whether the row ends with it. Chunks may end anywhere that the encoding lets
    /// them.
    fn feed(&mut self, chunk: &[u8], row: &mut dyn FnMut(&[u8], bool)) -> Result<()>;
    /// The chunks have ended: whether the last row is whole.
    fn end(&mut self) -> Result<()>;
}

/// Cuts chunks into rows and values. One for each part.
pub trait RowCutter: Send {
    /// Shows `visitor` all that is in a chunk. A row with other values than the part's is an error.
    fn feed(&mut self, chunk: &[u8], visitor: &mut dyn RowVisitor) -> Result<()>;
    /// The chunks have ended: whether the last row is whole.
    fn end(&mut self) -> Result<()>;
}

/// Is shown rows, value by value.
pub trait RowVisitor {
    /// A piece of the value that comes next, or of the one that has begun, in its encoding. A value may have none.
    fn piece(&mut self, encoded: &[u8]) -> Result<()>;
    /// The value ends.
    fn end_value(&mut self) -> Result<()>;
    /// The row ends.
    fn end_row(&mut self) -> Result<()>;
}

/// Puts values together again, as a visitor of those that it is to have.
pub trait RowJoiner: RowVisitor + Send {
    /// What has become ready since it was asked last, if anything has.
    fn take(&mut self) -> Option<Chunk>;
    /// The rows have ended: what is left, if anything is.
    fn end(&mut self) -> Option<Chunk> {
        self.take()
    }
}

/// Rows that are joined, until somebody takes them.
#[derive(Debug, Default)]
pub struct ChunkBuffer {
    /// Their bytes.
    pub data: BytesMut,
    /// How many end in it.
    pub rows: u64,
}

impl ChunkBuffer {
    /// All that there is, if there is something.
    pub fn take(&mut self) -> Option<Chunk> {
        if self.data.is_empty() {
            return None;
        }
        Some(Chunk {
            rows: std::mem::take(&mut self.rows),
            data: self.data.split().freeze(),
        })
    }
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// No value.
    Null,
    /// Text as the server has it, in whatever character set it has; in encodings that have nothing but text, every value.
    Text(Cow<'a, [u8]>),
    /// Bytes that are no text.
    Blob(Cow<'a, [u8]>),
    /// An integer.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
}

/// Turns a part's chunks into what stands in a file that the store's own tools read. One for each part.
pub trait RowEncoder: Send {
    /// Appends what a chunk has. Chunks may end anywhere that the encoding lets them.
    fn feed(&mut self, chunk: &Bytes, out: &mut BytesMut) -> Result<()>;
    /// The rows have ended: whether they ended whole.
    fn end(&mut self, _out: &mut BytesMut) -> Result<()> {
        Ok(())
    }
}

/// The way back: a file's bytes, cut anywhere, into chunks with their rows counted. One for each part.
pub trait RowDecoder: Send {
    /// Takes in bytes; returns a chunk when there is one.
    fn feed(&mut self, plain: &[u8]) -> Result<Option<Chunk>>;
    /// The file has ended: what is left, if anything. A row that is not whole is an error.
    fn end(&mut self) -> Result<Option<Chunk>>;
}

/// What tests of codecs share: rows that are cut and put together again have to be the same.
#[cfg(test)]
pub(in crate::store) mod identity {
    use super::*;

    /// Chunks of these lengths, over and over.
    pub(in crate::store) fn chunks(bytes: &[u8], lengths: &[usize]) -> Vec<Bytes> {
        crate::fuzz::pieces(bytes, lengths)
            .into_iter()
            .map(Bytes::copy_from_slice)
            .collect()
    }

    /// Rows and bytes of what a joiner makes of what a cutter shows it.
    pub(in crate::store) fn through(
        cutter: &mut dyn RowCutter,
        joiner: &mut dyn RowJoiner,
        chunks: &[Bytes],
    ) -> Result<(u64, Vec<u8>)> {
        let mut all = (0, Vec::new());
        let mut add = |chunk: Option<Chunk>| {
            if let Some(chunk) = chunk {
                all.0 += chunk.rows;
                all.1.extend_from_slice(&chunk.data);
            }
        };
        for chunk in chunks {
            // A joiner is a visitor.
            cutter.feed(chunk, joiner)?;
            add(joiner.take());
        }
        cutter.end()?;
        add(joiner.end());
        Ok(all)
    }

    /// Rows, each as its bytes.
    pub(in crate::store) fn split(
        splitter: &mut dyn RowSplitter,
        chunks: &[Bytes],
    ) -> Result<Vec<Vec<u8>>> {
        let (mut rows, mut row) = (Vec::new(), Vec::new());
        for chunk in chunks {
            splitter.feed(chunk, &mut |piece, ends| {
                row.extend_from_slice(piece);
                if ends {
                    rows.push(std::mem::take(&mut row));
                }
            })?;
        }
        splitter.end()?;
        Ok(rows)
    }
}
