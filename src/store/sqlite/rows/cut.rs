//! Chunks cut into rows and values, and put together again. A chunk has whole rows.

use std::borrow::Cow;

use bytes::BytesMut;
use rusqlite::types::ValueRef;

use super::values;
use crate::error::{Error, Kind, Result};
use crate::store::{
    Chunk, ChunkBuffer, Part, RowCodec, RowCutter, RowJoiner, RowSplitter, RowVisitor, Value,
};

/// Cuts and joins tagged values.
pub(super) struct TaggedValues;

impl RowCodec for TaggedValues {
    fn splitter(&self, part: &Part) -> Box<dyn RowSplitter> {
        Box::new(Cutter::of(part))
    }

    fn cutter(&self, part: &Part) -> Box<dyn RowCutter> {
        Box::new(Cutter::of(part))
    }

    fn joiner(&self, _part: &Part) -> Box<dyn RowJoiner> {
        Box::new(Joiner::default())
    }

    fn decode<'a>(&self, mut encoded: &'a [u8]) -> Result<Value<'a>> {
        let value = values::decode(&mut encoded).filter(|_| encoded.is_empty());
        let broken = || Error::new(Kind::Internal, "what is no value is among a row's values");
        Ok(match value.ok_or_else(broken)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Real(number) => Value::Real(number),
            ValueRef::Text(text) => Value::Text(Cow::Borrowed(text)),
            ValueRef::Blob(bytes) => Value::Blob(Cow::Borrowed(bytes)),
        })
    }

    fn encode(&self, value: &Value<'_>, out: &mut BytesMut) -> Result<()> {
        let value = match value {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Real(number) => ValueRef::Real(*number),
            Value::Text(text) => ValueRef::Text(text),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        };
        values::put(value, out);
        Ok(())
    }
}

struct Cutter {
    label: String,
    values: usize,
}

impl Cutter {
    fn of(part: &Part) -> Self {
        Self {
            label: part.label(),
            values: part.columns.len(),
        }
    }

    /// The next value as it is encoded.
    fn value<'a>(&self, from: &mut &'a [u8]) -> Result<&'a [u8]> {
        let before = *from;
        if self.values == 0 || values::decode(from).is_none() {
            return Err(Error::new(
                Kind::Internal,
                format!("a chunk of {} is not whole rows", self.label),
            ));
        }
        Ok(&before[..before.len() - from.len()])
    }
}

impl RowSplitter for Cutter {
    fn feed(&mut self, mut chunk: &[u8], row: &mut dyn FnMut(&[u8], bool)) -> Result<()> {
        while !chunk.is_empty() {
            let before = chunk;
            for _ in 0..self.values.max(1) {
                self.value(&mut chunk)?;
            }
            row(&before[..before.len() - chunk.len()], true);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}

impl RowCutter for Cutter {
    fn feed(&mut self, mut chunk: &[u8], visitor: &mut dyn RowVisitor) -> Result<()> {
        while !chunk.is_empty() {
            for _ in 0..self.values.max(1) {
                visitor.piece(self.value(&mut chunk)?)?;
                visitor.end_value()?;
            }
            visitor.end_row()?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Puts values one after the other.
#[derive(Default)]
struct Joiner(ChunkBuffer);

impl RowVisitor for Joiner {
    fn piece(&mut self, encoded: &[u8]) -> Result<()> {
        self.0.data.extend_from_slice(encoded);
        Ok(())
    }

    fn end_value(&mut self) -> Result<()> {
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        self.0.rows += 1;
        Ok(())
    }
}

impl RowJoiner for Joiner {
    fn take(&mut self) -> Option<Chunk> {
        self.0.take()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::inserts::ENCODING;
    use super::*;
    use crate::store::codec::identity;

    fn part(columns: usize) -> Part {
        let mut part = Part::whole(0, "t", ENCODING, 0);
        part.columns = (0..columns).map(|place| format!("c{place}")).collect();
        part
    }

    fn value() -> impl Strategy<Value = Value<'static>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..12).prop_map(Cow::Owned);
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Integer),
            (-1e300..1e300).prop_map(Value::Real),
            bytes().prop_map(Value::Text),
            bytes().prop_map(Value::Blob),
        ]
    }

    proptest! {
        #[test]
        fn rows_are_cut_into_their_values_and_joined_to_the_same(
            (columns, rows) in (1_usize..4).prop_flat_map(|columns| {
                (Just(columns), prop::collection::vec(prop::collection::vec(value(), columns), 0..6))
            }),
        ) {
            let part = part(columns);
            let mut chunks = Vec::new();
            for row in &rows {
                let mut chunk = BytesMut::new();
                for value in row {
                    let from = chunk.len();
                    TaggedValues.encode(value, &mut chunk).unwrap();
                    prop_assert_eq!(&TaggedValues.decode(&chunk[from..]).unwrap(), value);
                }
                chunks.push(chunk.freeze());
            }
            let whole = [Bytes::from(chunks.concat())];
            for chunks in [&chunks[..], &whole] {
                let (mut cutter, mut joiner) = (TaggedValues.cutter(&part), TaggedValues.joiner(&part));
                let joined = identity::through(&mut *cutter, &mut *joiner, chunks).unwrap();
                prop_assert_eq!(joined, (rows.len() as u64, chunks.concat()));
                let split = identity::split(&mut *TaggedValues.splitter(&part), chunks).unwrap();
                prop_assert_eq!(split.len(), rows.len());
                prop_assert_eq!(split.concat(), chunks.concat());
            }
        }

        #[test]
        fn any_bytes_are_cut_or_refused(
            bytes in prop::collection::vec(0_u8..8, 0..60),
            columns in 0_usize..3,
        ) {
            let part = part(columns);
            let (mut cutter, mut joiner) = (TaggedValues.cutter(&part), TaggedValues.joiner(&part));
            let chunks = [Bytes::from(bytes.clone())];
            if let Ok((_, joined)) = identity::through(&mut *cutter, &mut *joiner, &chunks) {
                prop_assert_eq!(joined, bytes.clone());
            }
            let _ = identity::split(&mut *TaggedValues.splitter(&part), &chunks);
            let _ = TaggedValues.decode(&bytes);
        }
    }
}
