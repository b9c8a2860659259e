//! Rows that are held until they are masked.

use std::ops::Range;

use crate::mask::{self, Row, Scratch, Type};
use crate::store::{self, Form, ShapeColumn};

/// What is kept of a buffer that a large value has stretched.
pub(super) const KEPT: usize = 1 << 20;

/// Rows that are masked together have this many bytes at most, and one row more.
pub(super) const TOGETHER: usize = 64 << 10;

/// Rows that are masked together, and room for the next.
pub(super) struct Batch {
    pub(super) held: Vec<Held>,
    pub(super) scratches: Vec<Scratch>,
    /// How many of them are rows that have ended.
    pub(super) ended: usize,
    /// Bytes of all.
    pub(super) bytes: usize,
}

impl Batch {
    pub(super) fn new(rows: usize) -> Self {
        Self {
            held: (0..rows).map(|_| Held::default()).collect(),
            scratches: (0..rows).map(|_| Scratch::default()).collect(),
            ended: 0,
            bytes: 0,
        }
    }

    /// The row that has begun.
    pub(super) fn current(&mut self) -> &mut Held {
        &mut self.held[self.ended]
    }

    /// Whether they are to be masked now.
    pub(super) fn is_full(&self) -> bool {
        self.ended + 1 == self.held.len() || self.bytes >= TOGETHER
    }

    pub(super) fn clear(&mut self) {
        let kept = KEPT / self.held.len();
        self.held.iter_mut().for_each(|row| row.clear(kept));
        (self.ended, self.bytes) = (0, 0);
    }
}

/// Values of a row that are held.
#[derive(Default)]
pub(super) struct Held {
    /// As they came, one after the other.
    pub(super) encoded: Vec<u8>,
    pub(super) ends: Vec<usize>,
    /// Those that masks look at, by their places among a row's own.
    pub(super) cells: Vec<(usize, Cell)>,
    /// Whether each condition holds.
    pub(super) holds: Vec<bool>,
    pub(super) number: u64,
}

impl Held {
    pub(super) fn range(&self, place: usize) -> Range<usize> {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[place]
    }

    /// What has come of the value that has not ended.
    pub(super) fn rest(&self) -> &[u8] {
        &self.encoded[self.ends.last().copied().unwrap_or(0)..]
    }

    fn clear(&mut self, kept: usize) {
        self.encoded.clear();
        self.encoded.shrink_to(kept);
        self.ends.clear();
        for (_, cell) in &mut self.cells {
            cell.bytes.clear();
            cell.bytes.shrink_to(kept);
        }
    }
}

/// A value out of its encoding.
#[derive(Default)]
pub(super) struct Cell {
    pub(super) bytes: Vec<u8>,
    what: What,
}

#[derive(Default, Clone, Copy)]
pub(super) enum What {
    #[default]
    Null,
    Text(mask::Encoding),
    Bytes,
    Integer(i128),
    Real(f64),
    Boolean(bool),
}

impl Row for Held {
    fn value(&self, column: usize) -> mask::Value<'_> {
        let found = self.cells.iter().find(|(place, _)| *place == column);
        let Some((_, cell)) = found else {
            debug_assert!(false, "a mask looks at what it did not say it would");
            return mask::Value::Null;
        };
        match cell.what {
            What::Null => mask::Value::Null,
            What::Text(encoding) => mask::Value::Text(&cell.bytes, encoding),
            What::Bytes => mask::Value::Bytes(&cell.bytes),
            What::Integer(number) => mask::Value::Integer(number),
            What::Real(number) => mask::Value::Real(number),
            What::Boolean(truth) => mask::Value::Boolean(truth),
        }
    }

    fn holds(&self, condition: usize) -> bool {
        self.holds.get(condition).copied().unwrap_or(true)
    }

    fn number(&self) -> u64 {
        self.number
    }
}

impl Cell {
    pub(super) fn take(&mut self, value: &store::Value<'_>, column: &ShapeColumn) {
        self.bytes.clear();
        self.what = match value {
            store::Value::Null => What::Null,
            store::Value::Integer(number) => What::Integer((*number).into()),
            store::Value::Real(number) => What::Real(*number),
            store::Value::Blob(bytes) => {
                self.bytes.extend_from_slice(bytes);
                What::Bytes
            }
            store::Value::Text(text) => self.take_text(text, column),
        };
    }

    /// In encodings that have nothing but text, a number is one, too.
    fn take_text(&mut self, text: &[u8], column: &ShapeColumn) -> What {
        let as_text = |cell: &mut Self, text: &[u8], encoding| {
            cell.bytes.extend_from_slice(text);
            What::Text(encoding)
        };
        match column.form {
            Form::Typed | Form::RowNumber | Form::Opaque => {
                as_text(self, text, mask::Encoding::Utf8)
            }
            Form::Padded(encoding) => as_text(self, text.trim_ascii_end(), encoding),
            Form::Bytes | Form::PaddedBytes => {
                self.bytes.extend_from_slice(text);
                What::Bytes
            }
            Form::Hex => {
                let digits = text.strip_prefix(b"\\x");
                if digits.is_some_and(|digits| unhex(digits, &mut self.bytes)) {
                    return What::Bytes;
                }
                self.bytes.clear();
                as_text(self, text, mask::Encoding::Unknown)
            }
            Form::Text(encoding, truth) => {
                let [yes, no] = truth.words();
                let plain = std::str::from_utf8(text).ok();
                match (&column.column.kind, plain) {
                    (Type::Integer { .. }, Some(digits)) => digits
                        .parse()
                        .map_or_else(|_| as_text(self, text, encoding), What::Integer),
                    (Type::Boolean, Some(word)) if word == yes => What::Boolean(true),
                    (Type::Boolean, Some(word)) if word == no => What::Boolean(false),
                    _ => as_text(self, text, encoding),
                }
            }
        }
    }
}

/// Appends what hexadecimal digits are; whether they are that.
pub(in crate::run::masks) fn unhex(digits: &[u8], out: &mut Vec<u8>) -> bool {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    out.reserve(digits.len() / 2);
    for pair in digits.chunks(2) {
        let [high, low] = pair else { return false };
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
            return false;
        };
        out.push((high << 4 | low) as u8);
    }
    true
}
