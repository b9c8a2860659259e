//! Codecs: how a part's rows look in chunks, and how the same rows look in a file that the store's own tools read.

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
