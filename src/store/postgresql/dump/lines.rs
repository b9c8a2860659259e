//! The lines of a table's rows in a dump, up to what ends them, in messages. Pure.

use bytes::BytesMut;

use crate::store::postgresql::rows::codec::TextDecoder;
use crate::store::{Chunk, RowDecoder};

/// Chunks are of about so many bytes.
pub(super) const CHUNK: usize = 256 * 1024;

/// What ends a table's rows.
const END: &[u8] = b"\\.\n\n\n";

/// The same in the middle of rows, which would be their end to a server.
const EARLY_END: &[u8] = b"\n\\.\n";

/// A table's rows without what ends them.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) plain: BytesMut,
    decoder: TextDecoder,
    /// The last bytes that have gone.
    before: Vec<u8>,
}

const UNENDED: &str = "the rows of a table do not end as they should";

impl Lines {
    /// The next chunk, once there is enough of it.
    pub(super) fn ready(&mut self) -> std::result::Result<Option<Chunk>, &'static str> {
        if self.plain.len() < CHUNK {
            return Ok(None);
        }
        // What may be the end stays.
        let rows = self.plain.split_to(self.plain.len() - END.len());
        self.chunk(&rows)
    }

    /// The last one.
    pub(super) fn end(&mut self) -> std::result::Result<Option<Chunk>, &'static str> {
        let plain = self.plain.split();
        let rows = plain.strip_suffix(END).ok_or(UNENDED)?;
        let last = self.chunk(rows)?;
        self.decoder.end().map_err(|_| UNENDED)?;
        Ok(last)
    }

    fn chunk(&mut self, rows: &[u8]) -> std::result::Result<Option<Chunk>, &'static str> {
        // A server takes such a line for the end, and would not say that it passes over the others.
        let is_first = self.before.is_empty();
        let mut seam = std::mem::take(&mut self.before);
        if is_first {
            seam.push(b'\n');
        }
        seam.extend_from_slice(&rows[..rows.len().min(EARLY_END.len() - 1)]);
        let has_end = |text: &[u8]| memchr::memmem::find(text, EARLY_END).is_some();
        if has_end(&seam) || has_end(rows) {
            return Err("the rows of a table end before their end");
        }
        if rows.len() >= EARLY_END.len() {
            seam = rows[rows.len() - (EARLY_END.len() - 1)..].to_vec();
        } else {
            seam.drain(..seam.len().saturating_sub(EARLY_END.len() - 1));
        }
        self.before = seam;
        self.decoder.feed(rows).map_err(|_| UNENDED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> std::result::Result<u64, &'static str> {
        let mut lines = Lines::default();
        let mut rows = 0;
        for piece in pieces {
            lines.plain.extend_from_slice(piece);
            rows += lines.ready()?.map_or(0, |chunk| chunk.rows);
        }
        Ok(rows + lines.end()?.map_or(0, |chunk| chunk.rows))
    }

    #[test]
    fn rows_end_where_they_say_and_nowhere_else() {
        assert_eq!(lines(&[b"1\ta\n2\t\\N\n\\.\n\n\n"]), Ok(2));
        assert_eq!(lines(&[b"\\.\n\n\n"]), Ok(0));
        assert_eq!(lines(&[b"\n\n\\.\n\n\n"]), Ok(2));
        assert_eq!(lines(&[b"\\\\.\n\\.\n", b"\n\n"]), Ok(1));
        let long = vec![b'x'; CHUNK - 1];
        assert_eq!(lines(&[&long, b"\n", &long, b"\n\\.\n\n\n"]), Ok(2));
        for bad in [
            &b"1\ta\n"[..],
            b"",
            b"1\ta\\.\n\n\n",
            b"1\n\\.\n\n",
            b"1\n\\.\n2\n\\.\n\n\n",
            b"\\.\n1\n\\.\n\n\n",
        ] {
            assert!(lines(&[bad]).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        // Across two chunks.
        let mut seam = vec![b'x'; CHUNK + 2];
        seam.extend(b"\n\\.\nmore");
        assert!(lines(&[&seam, b"\n\\.\n\n\n"]).is_err());
    }
}
