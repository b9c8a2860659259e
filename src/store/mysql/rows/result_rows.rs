//! Rows on their way out of a server: from packets of `SELECT` to what `LOAD DATA` reads, without looking at a value
//! twice and without a whole row in memory ("Text resultset row"; "LOAD DATA", both in MariaDB's documentation).

use bytes::{BufMut, BytesMut};

use crate::store::mysql::connection::row::lenenc;

/// No value is longer than a LONGBLOB's.
const LONGEST: u64 = u32::MAX as u64;

/// Turns the payload of rows' packets into lines: fields end with a tab, rows with a line feed; these two and the backslash
/// are escaped by a backslash; NULL is `\N`.
pub(in crate::store::mysql) struct Encoder {
    columns: usize,
    /// The field that comes next, or that we are in.
    column: usize,
    place: Place,
    /// Made and not taken yet.
    pub(in crate::store::mysql) out: BytesMut,
    /// Rows whose end is in `out`.
    pub(in crate::store::mysql) rows: u64,
}

/// Where in a row that comes in pieces we are.
enum Place {
    /// At a field's length, of which so many bytes have come.
    Length([u8; 9], usize),
    /// In a field, with so many bytes to come.
    Field(u64),
}

/// A row that does not have the columns that were asked for.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store::mysql) struct Malformed;

impl Encoder {
    pub(in crate::store::mysql) fn new(columns: usize, room: usize) -> Self {
        Self {
            columns,
            column: 0,
            place: Place::Length([0; 9], 0),
            out: BytesMut::with_capacity(room),
            rows: 0,
        }
    }

    /// A whole row.
    pub(in crate::store::mysql) fn row(&mut self, mut payload: &[u8]) -> Result<(), Malformed> {
        // Each byte becomes two at the worst.
        self.out.reserve(2 * payload.len() + self.columns + 1);
        for column in 0..self.columns {
            if column > 0 {
                self.out.put_u8(b'\t');
            }
            if payload.first() == Some(&0xfb) {
                self.out.put_slice(b"\\N");
                payload = &payload[1..];
                continue;
            }
            let length = lenenc(&mut payload).ok_or(Malformed)? as usize;
            let field = payload.get(..length).ok_or(Malformed)?;
            escape(field, &mut self.out);
            payload = &payload[length..];
        }
        if !payload.is_empty() {
            return Err(Malformed);
        }
        self.out.put_u8(b'\n');
        self.rows += 1;
        Ok(())
    }

    /// A piece of a long row; [`Encoder::end_row`] ends it.
    pub(in crate::store::mysql) fn piece(&mut self, mut payload: &[u8]) -> Result<(), Malformed> {
        while !payload.is_empty() {
            match &mut self.place {
                Place::Length(bytes, have) => {
                    bytes[*have] = payload[0];
                    *have += 1;
                    payload = &payload[1..];
                    let is_null = bytes[0] == 0xfb;
                    let length = lenenc(&mut &bytes[..*have]);
                    if !is_null && length.is_none() && *have < bytes.len() {
                        continue;
                    }
                    if self.column >= self.columns {
                        return Err(Malformed);
                    }
                    if self.column > 0 {
                        self.out.put_u8(b'\t');
                    }
                    if is_null {
                        self.out.put_slice(b"\\N");
                        self.next_field();
                        continue;
                    }
                    match length
                        .filter(|length| *length <= LONGEST)
                        .ok_or(Malformed)?
                    {
                        0 => self.next_field(),
                        length => self.place = Place::Field(length),
                    }
                }
                Place::Field(left) => {
                    let here = payload
                        .len()
                        .min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= here as u64;
                    let ended = *left == 0;
                    self.out.reserve(2 * here);
                    escape(&payload[..here], &mut self.out);
                    payload = &payload[here..];
                    if ended {
                        self.next_field();
                    }
                }
            }
        }
        Ok(())
    }

    fn next_field(&mut self) {
        self.column += 1;
        self.place = Place::Length([0; 9], 0);
    }

    /// The long row is over.
    pub(in crate::store::mysql) fn end_row(&mut self) -> Result<(), Malformed> {
        let complete = self.column == self.columns && matches!(self.place, Place::Length(_, 0));
        self.column = 0;
        if !complete {
            return Err(Malformed);
        }
        self.out.put_u8(b'\n');
        self.rows += 1;
        Ok(())
    }
}

/// Writes a value with its escapes; room is made or is there already.
pub(in crate::store::mysql) fn escape(field: &[u8], out: &mut BytesMut) {
    let mut start = 0;
    for place in memchr::memchr3_iter(b'\\', b'\t', b'\n', field) {
        let letter = match field[place] {
            b'\t' => b't',
            b'\n' => b'n',
            same => same,
        };
        out.put_slice(&field[start..place]);
        out.put_slice(&[b'\\', letter]);
        start = place + 1;
    }
    out.put_slice(&field[start..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(row: &[Option<Vec<u8>>]) -> Vec<u8> {
        let mut made = Vec::new();
        for field in row {
            match field {
                None => made.push(0xfb),
                Some(bytes) => {
                    match bytes.len() {
                        length @ 0..=250 => made.push(length as u8),
                        length @ 251..=0xffff => {
                            made.push(0xfc);
                            made.extend_from_slice(&(length as u16).to_le_bytes());
                        }
                        length => {
                            made.push(0xfd);
                            made.extend_from_slice(&(length as u32).to_le_bytes()[..3]);
                        }
                    }
                    made.extend_from_slice(bytes);
                }
            }
        }
        made
    }

    #[test]
    fn fields_rows_nulls_and_escapes_are_where_they_belong() {
        let mut encoder = Encoder::new(4, 0);
        let row = [
            Some(b"a\tb\\N\n".to_vec()),
            None,
            Some(Vec::new()),
            Some(vec![0, 0xff]),
        ];
        encoder.row(&packet(&row)).expect("a row");
        assert_eq!(&encoder.out[..], b"a\\tb\\\\N\\n\t\\N\t\t\x00\xff\n");
        assert_eq!(encoder.rows, 1);
    }

    #[test]
    fn a_row_with_other_columns_is_refused() {
        let two = packet(&[Some(b"a".to_vec()), None]);
        assert_eq!(Encoder::new(1, 0).row(&two), Err(Malformed));
        assert_eq!(Encoder::new(3, 0).row(&two), Err(Malformed));
        let mut short = Encoder::new(3, 0);
        short.piece(&two).expect("a beginning");
        assert_eq!(short.end_row(), Err(Malformed));
        assert_eq!(Encoder::new(1, 0).piece(&two), Err(Malformed));
        // Lengths that no value has, or that are none.
        for lie in [
            &b"\xfe\0\0\0\0\x01\0\0\0"[..],
            b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(Encoder::new(1, 0).piece(lie), Err(Malformed));
            assert_eq!(Encoder::new(1, 0).row(lie), Err(Malformed));
        }
    }

    proptest! {
        #[test]
        fn a_row_in_pieces_becomes_what_a_whole_one_becomes(
            row in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..600)), 1..6),
            cuts in prop::collection::vec(1usize..40, 1..200),
        ) {
            let packet = packet(&row);
            let mut whole = Encoder::new(row.len(), 0);
            whole.row(&packet).expect("a row");
            let mut pieces = Encoder::new(row.len(), 0);
            let mut rest = &packet[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.piece(piece).expect("a piece");
                rest = after;
            }
            pieces.end_row().expect("an end");
            prop_assert_eq!(&whole.out, &pieces.out);
            prop_assert_eq!(pieces.rows, 1);
        }
    }
}
