//! CopyData messages: what is in them, and how bytes are put into some.

use bytes::{BufMut, Bytes, BytesMut};

use super::copy_stream::COPY_DATA;
use crate::error::{Error, Kind, Result};
use crate::store::{Chunk, RowCutter, RowJoiner, RowSplitter, RowVisitor};

/// A message's type and its length, which counts itself.
const HEADER: usize = 5;

/// What is put into one message at the most.
const MESSAGE: usize = 1024 * 1024;

/// Takes messages' headers away, wherever chunks are cut.
#[derive(Default)]
pub(super) struct Frames {
    /// The header of the message that comes next, as far as it is there.
    header: [u8; HEADER],
    here: usize,
    /// How much of the message that we are in is still to come.
    rest: usize,
}

impl Frames {
    /// Calls `show` with each piece of what is in messages.
    pub(super) fn feed(
        &mut self,
        chunk: &[u8],
        show: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut from = chunk;
        while !from.is_empty() {
            if self.rest == 0 {
                let (head, after) = from.split_at(from.len().min(HEADER - self.here));
                self.header[self.here..self.here + head.len()].copy_from_slice(head);
                self.here += head.len();
                from = after;
                if self.here == HEADER {
                    let [tag, length @ ..] = self.header;
                    let length = u32::from_be_bytes(length) as usize;
                    if tag != COPY_DATA || length < 4 {
                        return Err(Error::new(
                            Kind::Internal,
                            "something that is not a row came among the rows of a COPY",
                        ));
                    }
                    (self.rest, self.here) = (length - 4, 0);
                }
                continue;
            }
            let (payload, after) = from.split_at(from.len().min(self.rest));
            show(payload)?;
            self.rest -= payload.len();
            from = after;
        }
        Ok(())
    }

    /// The chunks have ended: whether the last message is whole.
    pub(super) fn end(&self) -> Result<()> {
        if self.here > 0 || self.rest > 0 {
            return Err(Error::new(
                Kind::Verify,
                "the rows end in the middle of one",
            ));
        }
        Ok(())
    }
}

/// Bytes in messages.
pub(super) fn framed(payload: &[u8]) -> Bytes {
    let messages = payload.len().div_ceil(MESSAGE);
    let mut data = BytesMut::with_capacity(payload.len() + messages * HEADER);
    for piece in payload.chunks(MESSAGE) {
        data.put_u8(COPY_DATA);
        data.put_u32(piece.len() as u32 + 4);
        data.put_slice(piece);
    }
    data.freeze()
}

/// Cuts what is in messages.
pub(super) struct Framed<T> {
    frames: Frames,
    inside: T,
}

impl<T> Framed<T> {
    pub(super) fn new(inside: T) -> Self {
        Self {
            frames: Frames::default(),
            inside,
        }
    }
}

impl RowSplitter for Framed<Box<dyn RowSplitter>> {
    fn feed(&mut self, chunk: &[u8], row: &mut dyn FnMut(&[u8], bool)) -> Result<()> {
        let inside = &mut self.inside;
        self.frames
            .feed(chunk, &mut |payload| inside.feed(payload, row))
    }

    fn end(&mut self) -> Result<()> {
        self.frames.end()?;
        self.inside.end()
    }
}

impl RowCutter for Framed<Box<dyn RowCutter>> {
    fn feed(&mut self, chunk: &[u8], visitor: &mut dyn RowVisitor) -> Result<()> {
        let inside = &mut self.inside;
        self.frames
            .feed(chunk, &mut |payload| inside.feed(payload, visitor))
    }

    fn end(&mut self) -> Result<()> {
        self.frames.end()?;
        self.inside.end()
    }
}

/// Puts what is joined into messages.
pub(super) struct FramedJoiner(pub(super) Box<dyn RowJoiner>);

impl RowVisitor for FramedJoiner {
    fn piece(&mut self, encoded: &[u8]) -> Result<()> {
        self.0.piece(encoded)
    }

    fn end_value(&mut self) -> Result<()> {
        self.0.end_value()
    }

    fn end_row(&mut self) -> Result<()> {
        self.0.end_row()
    }
}

impl RowJoiner for FramedJoiner {
    fn take(&mut self) -> Option<Chunk> {
        self.0.take().map(in_messages)
    }

    fn end(&mut self) -> Option<Chunk> {
        self.0.end().map(in_messages)
    }
}

fn in_messages(Chunk { rows, data }: Chunk) -> Chunk {
    Chunk {
        rows,
        data: framed(&data),
    }
}

/// What is in messages; for tests.
#[cfg(test)]
pub(super) fn payload(wire: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    let shown = Frames::default().feed(wire, &mut |piece| {
        found.extend_from_slice(piece);
        Ok(())
    });
    shown.unwrap();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_is_longer_than_what_one_may_have() {
        let payload = vec![b'\n'; 2 * MESSAGE + 1];
        let data = framed(&payload);
        assert_eq!(data.len(), payload.len() + 3 * HEADER);
        let mut frames = Frames::default();
        frames.feed(&data, &mut |_| Ok(())).unwrap();
        frames.end().unwrap();
        assert!(super::payload(&data) == payload);
    }

    #[test]
    fn what_is_no_row_is_refused() {
        for bad in [&b"c\0\0\0\x04"[..], b"d\0\0\0\x03"] {
            assert!(Frames::default().feed(bad, &mut |_| Ok(())).is_err());
        }
    }
}
