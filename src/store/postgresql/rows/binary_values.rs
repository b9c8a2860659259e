//! COPY's binary format in rows and values ("COPY", "Binary Format", PostgreSQL manual): a header, then for each row the number
//! of its values, and for each value its length and its bytes; then a row of -1 values.

use std::borrow::Cow;

use bytes::{Buf, BufMut, BytesMut};

use super::frames::{Framed, FramedJoiner};
use crate::error::{Error, Kind, Result};
use crate::store::{
    Chunk, ChunkBuffer, Part, RowCodec, RowCutter, RowJoiner, RowSplitter, RowVisitor, Value,
};

/// What a COPY begins with, before its flags and the length of what may follow them.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";

/// The header of a COPY without flags, and without anything behind them.
const HEADER: usize = SIGNATURE.len() + 8;

/// The length of a value that is none.
const NULL: i32 = -1;

/// The number of values that ends all rows.
const TRAILER: i16 = -1;

/// Cuts and joins binary rows in messages. A value is encoded as its length and its bytes.
pub(super) struct BinaryValues;

impl RowCodec for BinaryValues {
    fn splitter(&self, part: &Part) -> Box<dyn RowSplitter> {
        Box::new(Framed::<Box<dyn RowSplitter>>::new(Box::new(Splitter(
            Cutter::of(part),
        ))))
    }

    fn cutter(&self, part: &Part) -> Box<dyn RowCutter> {
        Box::new(Framed::<Box<dyn RowCutter>>::new(Box::new(Cutter::of(
            part,
        ))))
    }

    fn joiner(&self, part: &Part) -> Box<dyn RowJoiner> {
        Box::new(FramedJoiner(Box::new(Joiner::of(part))))
    }

    fn decode<'a>(&self, mut encoded: &'a [u8]) -> Result<Value<'a>> {
        let broken = || Error::new(Kind::Verify, "a value is not as long as it says");
        let length = encoded.try_get_i32().map_err(|_| broken())?;
        if length == NULL && encoded.is_empty() {
            return Ok(Value::Null);
        }
        if usize::try_from(length) != Ok(encoded.len()) {
            return Err(broken());
        }
        Ok(Value::Blob(Cow::Borrowed(encoded)))
    }

    fn encode(&self, value: &Value<'_>, out: &mut BytesMut) -> Result<()> {
        let bytes = match value {
            Value::Null => {
                out.put_i32(NULL);
                return Ok(());
            }
            Value::Text(bytes) | Value::Blob(bytes) => bytes,
            // It depends on the column's type how long it is.
            Value::Integer(_) | Value::Real(_) => {
                let why = "a number has no binary form without its type";
                return Err(Error::new(Kind::Internal, why));
            }
        };
        let length = i32::try_from(bytes.len())
            .map_err(|_| Error::new(Kind::Verify, "a value is longer than a row may be"))?;
        out.put_i32(length);
        out.put_slice(bytes);
        Ok(())
    }
}

/// Where in the rows we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the header, before the length of what follows it.
    Header,
    /// In what follows the header: nobody has to know it.
    Extension(usize),
    /// At the number of a row's values.
    Count,
    /// At a value's length, with so many values to come.
    Length(usize),
    /// In a value, with so many bytes to come, and so many values after it.
    Value(usize, usize),
    /// Behind the last row.
    Ended,
}

/// Cuts rows without messages around them.
struct Cutter {
    label: String,
    /// Values of a row.
    values: usize,
    place: Place,
    /// Of a number that came in pieces, what came, and how much.
    head: [u8; HEADER],
    here: usize,
}

impl Cutter {
    fn of(part: &Part) -> Self {
        Self {
            label: part.label(),
            values: part.columns.len(),
            place: Place::Header,
            head: [0; HEADER],
            here: 0,
        }
    }

    fn broken(&self, what: &str) -> Error {
        Error::new(Kind::Verify, format!("the rows of {} {what}", self.label))
    }

    /// So many bytes off the front, together with those that came before; `None`: not all have come.
    fn head<const N: usize>(&mut self, from: &mut &[u8]) -> Option<[u8; N]> {
        let (some, rest) = from.split_at(from.len().min(N - self.here));
        self.head[self.here..self.here + some.len()].copy_from_slice(some);
        self.here += some.len();
        *from = rest;
        if self.here < N {
            return None;
        }
        self.here = 0;
        self.head.first_chunk().copied()
    }

    fn begin_row(&mut self, count: i16, visitor: &mut dyn RowVisitor) -> Result<()> {
        if count == TRAILER {
            self.place = Place::Ended;
            return Ok(());
        }
        if usize::try_from(count) != Ok(self.values) {
            let expected = self.values;
            return Err(self.broken(&format!("have {count} values and not {expected}")));
        }
        self.place = Place::Length(self.values);
        if self.values == 0 {
            self.place = Place::Count;
            visitor.end_row()?;
        }
        Ok(())
    }

    fn end_value(&mut self, left: usize, visitor: &mut dyn RowVisitor) -> Result<()> {
        visitor.end_value()?;
        self.place = Place::Length(left);
        if left == 0 {
            self.place = Place::Count;
            visitor.end_row()?;
        }
        Ok(())
    }
}

impl RowCutter for Cutter {
    fn feed(&mut self, mut from: &[u8], visitor: &mut dyn RowVisitor) -> Result<()> {
        while !from.is_empty() {
            match self.place {
                Place::Header => {
                    let Some(header) = self.head::<HEADER>(&mut from) else {
                        return Ok(());
                    };
                    let (signature, mut rest) = header.split_at(SIGNATURE.len());
                    let is_known = signature == SIGNATURE && rest.get_u32() == 0;
                    let length = rest.get_u32() as usize;
                    if !is_known {
                        return Err(self.broken("are in no binary format that is known"));
                    }
                    self.place = match length {
                        0 => Place::Count,
                        length => Place::Extension(length),
                    };
                }
                Place::Extension(left) => {
                    let here = left.min(from.len());
                    from = &from[here..];
                    self.place = match left - here {
                        0 => Place::Count,
                        left => Place::Extension(left),
                    };
                }
                Place::Count => {
                    let Some(count) = self.head(&mut from) else {
                        return Ok(());
                    };
                    self.begin_row(i16::from_be_bytes(count), visitor)?;
                }
                Place::Length(values) => {
                    let Some(head) = self.head(&mut from) else {
                        return Ok(());
                    };
                    visitor.piece(&head)?;
                    let length = i32::from_be_bytes(head);
                    match usize::try_from(length) {
                        Ok(length) if length > 0 => self.place = Place::Value(length, values - 1),
                        Err(_) if length != NULL => {
                            return Err(self.broken("have a value of less than no bytes"));
                        }
                        _ => self.end_value(values - 1, visitor)?,
                    }
                }
                Place::Value(left, values) => {
                    let (piece, rest) = from.split_at(left.min(from.len()));
                    visitor.piece(piece)?;
                    from = rest;
                    match left - piece.len() {
                        0 => self.end_value(values, visitor)?,
                        left => self.place = Place::Value(left, values),
                    }
                }
                Place::Ended => return Err(self.broken("go on behind their end")),
            }
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        match self.place {
            Place::Ended => Ok(()),
            // Nothing at all came.
            Place::Header if self.here == 0 => Ok(()),
            _ => Err(self.broken("end in the middle of one")),
        }
    }
}

/// Cuts rows by their values: nothing else says where one ends.
struct Splitter(Cutter);

/// A row's values, one after the other.
struct Whole<'a>(&'a mut dyn FnMut(&[u8], bool));

impl RowVisitor for Whole<'_> {
    fn piece(&mut self, encoded: &[u8]) -> Result<()> {
        (self.0)(encoded, false);
        Ok(())
    }

    fn end_value(&mut self) -> Result<()> {
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        (self.0)(&[], true);
        Ok(())
    }
}

impl RowSplitter for Splitter {
    fn feed(&mut self, chunk: &[u8], row: &mut dyn FnMut(&[u8], bool)) -> Result<()> {
        RowCutter::feed(&mut self.0, chunk, &mut Whole(row))
    }

    fn end(&mut self) -> Result<()> {
        self.0.end()
    }
}

struct Joiner {
    out: ChunkBuffer,
    values: usize,
    has_begun: bool,
    in_row: bool,
}

impl Joiner {
    fn of(part: &Part) -> Self {
        Self {
            out: ChunkBuffer::default(),
            values: part.columns.len(),
            has_begun: false,
            in_row: false,
        }
    }

    fn begin(&mut self) {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.out.data.put_slice(SIGNATURE);
            self.out.data.put_u64(0);
        }
    }

    fn begin_row(&mut self) {
        self.begin();
        if !std::mem::replace(&mut self.in_row, true) {
            self.out.data.put_i16(self.values as i16);
        }
    }
}

impl RowVisitor for Joiner {
    fn piece(&mut self, encoded: &[u8]) -> Result<()> {
        self.begin_row();
        self.out.data.put_slice(encoded);
        Ok(())
    }

    fn end_value(&mut self) -> Result<()> {
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        self.begin_row();
        self.in_row = false;
        self.out.rows += 1;
        Ok(())
    }
}

impl RowJoiner for Joiner {
    fn take(&mut self) -> Option<Chunk> {
        self.out.take()
    }

    fn end(&mut self) -> Option<Chunk> {
        self.begin();
        self.out.data.put_i16(TRAILER);
        self.take()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::frames::{self, framed};
    use super::*;
    use crate::store::codec::identity;
    use crate::store::postgresql::schema::row_encodings::COPY_BINARY;

    fn part(columns: usize) -> Part {
        let mut part = Part::whole(0, "t", COPY_BINARY, 0);
        part.columns = (0..columns).map(|place| format!("c{place}")).collect();
        part
    }

    type Row = Vec<Option<Vec<u8>>>;

    /// As a server sends it: the header with the first row, then each row by itself.
    fn wire(rows: &[Row]) -> Vec<u8> {
        let mut all = Vec::new();
        let mut message = Vec::new();
        message.put_slice(SIGNATURE);
        message.put_u64(0);
        for row in rows {
            message.put_i16(row.len() as i16);
            for value in row {
                match value {
                    None => message.put_i32(-1),
                    Some(bytes) => {
                        message.put_i32(bytes.len() as i32);
                        message.put_slice(bytes);
                    }
                }
            }
            all.put_slice(&framed(&std::mem::take(&mut message)));
        }
        message.put_i16(-1);
        all.put_slice(&framed(&message));
        all
    }

    fn rows() -> impl Strategy<Value = (usize, Vec<Row>)> {
        (0_usize..4).prop_flat_map(|columns| {
            let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..12));
            let row = prop::collection::vec(value, columns);
            (Just(columns), prop::collection::vec(row, 0..6))
        })
    }

    proptest! {
        #[test]
        fn rows_that_are_cut_and_joined_are_the_same(
            (columns, rows) in rows(),
            cuts in prop::collection::vec(1_usize..30, 1..8),
        ) {
            let (part, wire) = (part(columns), wire(&rows));
            let chunks = identity::chunks(&wire, &cuts);
            let (mut cutter, mut joiner) = (BinaryValues.cutter(&part), BinaryValues.joiner(&part));
            let (count, joined) = identity::through(&mut *cutter, &mut *joiner, &chunks).unwrap();
            prop_assert_eq!(count, rows.len() as u64);
            prop_assert_eq!(frames::payload(&joined), frames::payload(&wire));
            let split = identity::split(&mut *BinaryValues.splitter(&part), &chunks).unwrap();
            prop_assert_eq!(split.len(), rows.len());
        }

        #[test]
        fn any_bytes_are_cut_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            columns in 0_usize..3,
        ) {
            let part = part(columns);
            let begun = [&SIGNATURE[..], &[0; 8], &bytes].concat();
            for payload in [&bytes, &begun] {
                let (mut cutter, mut joiner) = (BinaryValues.cutter(&part), BinaryValues.joiner(&part));
                if let Ok((_, joined)) = identity::through(&mut *cutter, &mut *joiner, &[framed(payload)]) {
                    prop_assert!(payload.is_empty() || frames::payload(&joined) == *payload);
                }
            }
        }
    }

    #[test]
    fn values_know_how_long_they_are() {
        let mut out = BytesMut::new();
        for value in [
            Value::Null,
            Value::Blob(b"ab".as_slice().into()),
            Value::Text(b"".as_slice().into()),
        ] {
            out.clear();
            BinaryValues.encode(&value, &mut out).unwrap();
            let expected = match value {
                Value::Text(text) => Value::Blob(text),
                other => other,
            };
            assert_eq!(BinaryValues.decode(&out).unwrap(), expected);
        }
        for bad in [
            &b""[..],
            b"\0\0\0\x01",
            b"\0\0\0\0x",
            b"\xff\xff\xff\xffx",
            b"\xff\xff\xff\xfe",
        ] {
            assert!(BinaryValues.decode(bad).is_err(), "{bad:?}");
        }
        assert!(BinaryValues.encode(&Value::Integer(1), &mut out).is_err());
    }

    #[test]
    fn rows_that_are_cut_off_or_go_on_are_refused() {
        let whole = wire(&[vec![Some(b"abc".to_vec())]]);
        let part = part(1);
        let through = |bytes: Vec<u8>| {
            let (mut cutter, mut joiner) = (BinaryValues.cutter(&part), BinaryValues.joiner(&part));
            identity::through(&mut *cutter, &mut *joiner, &[bytes.into()])
        };
        assert!(through(whole.clone()).is_ok());
        for length in 1..whole.len() {
            assert!(through(whole[..length].to_vec()).is_err(), "{length}");
        }
        assert!(through([whole, framed(b"x").to_vec()].concat()).is_err());
    }
}
