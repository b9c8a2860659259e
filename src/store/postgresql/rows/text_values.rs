//! COPY's text format in rows and values ("COPY", "Text Format", PostgreSQL manual).

use bytes::BytesMut;

use super::frames::{Framed, FramedJoiner};
use crate::error::Result;
use crate::store::{Delimited, Part, RowCodec, RowCutter, RowJoiner, RowSplitter, Value};

/// Lines as COPY has them.
const LINES: Delimited = Delimited::new(&[
    (b'b', 8),
    (b'f', 12),
    (b'n', b'\n'),
    (b'r', b'\r'),
    (b't', b'\t'),
    (b'v', 11),
])
.with_numbers();

/// Cuts and joins lines in messages.
pub(super) struct TextValues;

impl RowCodec for TextValues {
    fn splitter(&self, part: &Part) -> Box<dyn RowSplitter> {
        Box::new(Framed::new(LINES.splitter(part)))
    }

    fn cutter(&self, part: &Part) -> Box<dyn RowCutter> {
        Box::new(Framed::new(LINES.cutter(part)))
    }

    fn joiner(&self, part: &Part) -> Box<dyn RowJoiner> {
        Box::new(FramedJoiner(LINES.joiner(part)))
    }

    fn decode<'a>(&self, encoded: &'a [u8]) -> Result<Value<'a>> {
        LINES.decode(encoded)
    }

    fn encode(&self, value: &Value<'_>, out: &mut BytesMut) -> Result<()> {
        LINES.encode(value, out)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::frames::{framed, payload};
    use super::*;
    use crate::store::codec::identity;
    use crate::store::postgresql::schema::row_encodings::COPY_TEXT;

    proptest! {
        #[test]
        fn lines_in_messages_are_cut_and_joined_to_the_same(
            rows in prop::collection::vec(prop::collection::vec("([a-z]|\\\\\\\\){0,6}", 2), 0..8),
            cuts in prop::collection::vec(1_usize..30, 1..8),
        ) {
            let mut part = Part::whole(0, "t", COPY_TEXT, 0);
            part.columns = vec!["a".to_owned(), "b".to_owned()].into();
            let lines: Vec<String> = rows.iter().map(|row| format!("{}\n", row.join("\t"))).collect();
            let wire: Vec<u8> = lines.iter().flat_map(|line| framed(line.as_bytes())).collect();
            let chunks = identity::chunks(&wire, &cuts);
            let (mut cutter, mut joiner) = (TextValues.cutter(&part), TextValues.joiner(&part));
            let (count, joined) = identity::through(&mut *cutter, &mut *joiner, &chunks).unwrap();
            prop_assert_eq!(count, rows.len() as u64);
            prop_assert_eq!(payload(&joined), lines.concat().into_bytes());
            let split = identity::split(&mut *TextValues.splitter(&part), &chunks).unwrap();
            prop_assert_eq!(split, lines.iter().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>());
            let (mut cutter, mut joiner) = (TextValues.cutter(&part), TextValues.joiner(&part));
            if let Some(short) = wire.len().checked_sub(1) {
                let chunks = [Bytes::copy_from_slice(&wire[..short])];
                prop_assert!(identity::through(&mut *cutter, &mut *joiner, &chunks).is_err());
            }
        }
    }
}
