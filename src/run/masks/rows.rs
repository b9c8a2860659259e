//! Rows whose values are masked on their way.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;

use super::watch::{Seen, Watch};
use crate::error::{Error, Kind, Result};
use crate::mask::{self, Replacement, Row, RowMask, Scratch, Type};
use crate::store::{
    self, Chunk, Form, Part, RowCodec, RowCutter, RowJoiner, RowVisitor, ShapeColumn,
};

/// What is kept of a buffer that a large value has stretched.
const KEPT: usize = 1 << 20;

/// What masks a column, for people.
#[derive(Clone)]
pub(in crate::run) struct Told {
    pub(in crate::run) column: String,
    /// The kinds of its masks.
    pub(in crate::run) kinds: String,
    /// An invented value, and what becomes of it.
    pub(in crate::run) example: Option<(String, String)>,
}

/// A table's masks, for all of its slices.
pub(in crate::run) struct TableMask {
    /// In the words of people.
    pub(super) told: Vec<Told>,
    mask: RowMask,
    columns: Vec<ShapeColumn>,
    /// How many conditions stand in front of a row's values, and which of them each mask asks for.
    conditions: usize,
    rows: AtomicU64,
    /// What watches for values that must not arrive.
    watch: Option<Watch>,
}

impl TableMask {
    /// `columns` are those that rows have, in their order.
    pub(super) fn new(
        mask: RowMask,
        columns: Vec<ShapeColumn>,
        conditions: usize,
        told: Vec<Told>,
    ) -> Self {
        Self {
            told,
            mask,
            columns,
            conditions,
            rows: AtomicU64::new(0),
            watch: None,
        }
    }

    /// How many rows have passed.
    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// The same, watched.
    pub(super) fn watched_by(self, watch: Option<Watch>) -> Self {
        Self { watch, ..self }
    }

    /// What was seen of its values.
    pub(in crate::run) fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }
}

/// Masks the rows of a part.
pub(in crate::run) struct Masking {
    cutter: Box<dyn RowCutter>,
    rows: Rows,
}

impl Masking {
    /// Of a part, or of a slice of it.
    pub(in crate::run) fn new(
        table: Arc<TableMask>,
        codec: &'static dyn RowCodec,
        part: &Part,
    ) -> Self {
        let mut wider = part.clone();
        // What the source sends in front of a row's own values.
        wider.columns = (0..table.conditions)
            .map(|number| format!("condition {number}"))
            .chain(part.columns.iter().cloned())
            .collect::<Vec<_>>()
            .into();
        Self {
            cutter: codec.cutter(&wider),
            rows: Rows {
                joiner: codec.joiner(part),
                codec,
                held: table.conditions + table.mask.needed().last().map_or(0, |last| last + 1),
                seen: table.watch.as_ref().map(Watch::begin),
                table,
                row: Held::default(),
                scratch: Scratch::default(),
                at: 0,
                out: BytesMut::new(),
            },
        }
    }

    /// What goes on for a chunk that came. `rows` of it may be none: where nothing is ready yet.
    pub(in crate::run) fn chunk(&mut self, chunk: &Chunk) -> Result<Chunk> {
        self.cutter.feed(&chunk.data, &mut self.rows)?;
        Ok(self.rows.joiner.take().unwrap_or(Chunk {
            rows: 0,
            data: bytes::Bytes::new(),
        }))
    }

    /// All chunks have passed: what is left.
    pub(in crate::run) fn end(&mut self) -> Result<Option<Chunk>> {
        self.cutter.end()?;
        if let (Some(watch), Some(seen)) = (&self.rows.table.watch, self.rows.seen.take()) {
            watch.end(seen);
        }
        Ok(self.rows.joiner.end())
    }
}

/// Is shown rows, and shows a joiner what they are to be.
struct Rows {
    table: Arc<TableMask>,
    codec: &'static dyn RowCodec,
    joiner: Box<dyn RowJoiner>,
    /// How many values of a row are held until all are there that its masks need. The others go on at once.
    held: usize,
    row: Held,
    scratch: Scratch,
    /// What a watch has seen of them.
    seen: Option<Seen>,
    /// Values of this row that have ended.
    at: usize,
    out: BytesMut,
}

/// The values of a row that are held.
#[derive(Default)]
struct Held {
    /// As they came, one after the other.
    encoded: Vec<u8>,
    ends: Vec<usize>,
    /// Those that masks look at, by their places among a row's own.
    cells: Vec<(usize, Cell)>,
    /// Whether each condition holds.
    holds: Vec<bool>,
    number: u64,
}

impl Held {
    fn range(&self, place: usize) -> Range<usize> {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        start..self.ends[place]
    }
}

/// A value out of its encoding.
#[derive(Default)]
struct Cell {
    bytes: Vec<u8>,
    what: What,
}

#[derive(Default, Clone, Copy)]
enum What {
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

impl RowVisitor for Rows {
    fn piece(&mut self, encoded: &[u8]) -> Result<()> {
        if self.at < self.held {
            self.row.encoded.extend_from_slice(encoded);
            return Ok(());
        }
        self.joiner.piece(encoded)
    }

    fn end_value(&mut self) -> Result<()> {
        if self.at >= self.held {
            self.at += 1;
            return self.joiner.end_value();
        }
        self.row.ends.push(self.row.encoded.len());
        self.at += 1;
        if self.at == self.held {
            self.mask()?;
        }
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        self.at = 0;
        self.joiner.end_row()
    }
}

impl Rows {
    /// All values are there that the masks need: they, and what is held with them, go on.
    fn mask(&mut self) -> Result<()> {
        let table = &self.table;
        self.row.number = table.rows.fetch_add(1, Ordering::Relaxed) + 1;
        self.row.holds.clear();
        for place in 0..table.conditions {
            let range = self.row.range(place);
            let holds = is_true(&self.codec.decode(&self.row.encoded[range])?);
            self.row.holds.push(holds);
        }
        let needed = table.mask.needed();
        self.row.cells.resize_with(needed.len(), Default::default);
        for (at, place) in needed.iter().enumerate() {
            let range = self.row.range(table.conditions + place);
            let Held { encoded, cells, .. } = &mut self.row;
            let (of, cell) = &mut cells[at];
            *of = *place;
            let value = self.codec.decode(&encoded[range])?;
            cell.take(&value, &table.columns[*place]);
        }
        table.mask.apply(&self.row, &mut self.scratch)?;
        if let (Some(watch), Some(seen)) = (&table.watch, &mut self.seen) {
            watch.look(&self.row, &self.scratch, seen);
        }
        for place in 0..self.held - table.conditions {
            match self.scratch.of(place) {
                Replacement::Keep => {
                    let range = self.row.range(table.conditions + place);
                    self.joiner.piece(&self.row.encoded[range])?;
                }
                Replacement::With(value) => {
                    self.out.clear();
                    let column = &table.columns[place];
                    put(self.codec, &value, column, &mut self.out)
                        .map_err(|error| error.within(format!("column {}", column.column.name)))?;
                    self.joiner.piece(&self.out)?;
                }
            }
            self.joiner.end_value()?;
        }
        self.row.encoded.clear();
        self.row.ends.clear();
        self.row.encoded.shrink_to(KEPT);
        for (_, cell) in &mut self.row.cells {
            cell.bytes.clear();
            cell.bytes.shrink_to(KEPT);
        }
        if self.out.capacity() > KEPT {
            self.out = BytesMut::new();
        }
        Ok(())
    }
}

/// Whether the value of a condition is true, as each store writes it.
fn is_true(value: &store::Value<'_>) -> bool {
    match value {
        store::Value::Integer(number) => *number != 0,
        store::Value::Text(text) => matches!(&**text, b"t" | b"1"),
        _ => false,
    }
}

impl Cell {
    fn take(&mut self, value: &store::Value<'_>, column: &ShapeColumn) {
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

/// Writes what a mask made as the codec has it.
fn put(
    codec: &dyn RowCodec,
    value: &mask::Value<'_>,
    column: &ShapeColumn,
    out: &mut BytesMut,
) -> Result<()> {
    let text = |text: String| store::Value::Text(text.into_bytes().into());
    let value = match (value, column.form) {
        (mask::Value::Null, _) => store::Value::Null,
        (_, Form::Opaque | Form::RowNumber) => {
            return Err(Error::new(
                Kind::Internal,
                "nothing but NULL can be put in the place of its values",
            ));
        }
        // As it is read back.
        (mask::Value::Text(bytes, _), Form::Padded(_)) => {
            let mut padded = bytes.to_vec();
            let blanks = longest(column).saturating_sub(length(bytes));
            padded.resize(padded.len() + blanks, b' ');
            store::Value::Text(padded.into())
        }
        (mask::Value::Bytes(bytes), Form::PaddedBytes) => {
            let mut padded = bytes.to_vec();
            padded.resize(padded.len().max(longest(column)), 0);
            store::Value::Text(padded.into())
        }
        (mask::Value::Bytes(bytes), Form::Typed) => store::Value::Blob((*bytes).into()),
        (mask::Value::Bytes(bytes), Form::Hex) => text(hex(bytes)),
        (mask::Value::Text(bytes, _) | mask::Value::Bytes(bytes), _) => {
            store::Value::Text((*bytes).into())
        }
        (mask::Value::Integer(number), Form::Typed) => match i64::try_from(*number) {
            Ok(number) => store::Value::Integer(number),
            Err(_) => text(number.to_string()),
        },
        (mask::Value::Integer(number), _) => text(number.to_string()),
        // As SQLite stores it in a column for numbers.
        (mask::Value::Real(number), Form::Typed)
            if column.column.kind != Type::Real && number.fract() == 0.0 && number.abs() < 1e15 =>
        {
            store::Value::Integer(*number as i64)
        }
        (mask::Value::Real(number), Form::Typed) => store::Value::Real(*number),
        (mask::Value::Real(number), _) => text(number.to_string()),
        (mask::Value::Boolean(truth), Form::Typed) => store::Value::Integer((*truth).into()),
        (mask::Value::Boolean(truth), Form::Text(_, words)) => {
            let [yes, no] = words.words();
            text(if *truth { yes } else { no }.to_owned())
        }
        (mask::Value::Boolean(truth), _) => text(u8::from(*truth).to_string()),
    };
    codec.encode(&value, out)
}

/// How many characters or bytes a column of a fixed length has.
fn longest(column: &ShapeColumn) -> usize {
    match column.column.kind {
        Type::Text { longest, .. } | Type::Bytes { longest } => longest.unwrap_or(0) as usize,
        _ => 0,
    }
}

/// How many characters a text has; of what is no UTF-8, how many bytes.
fn length(text: &[u8]) -> usize {
    std::str::from_utf8(text).map_or(text.len(), |text| text.chars().count())
}

/// Appends what hexadecimal digits are; whether they are that.
pub(super) fn unhex(digits: &[u8], out: &mut Vec<u8>) -> bool {
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

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 + bytes.len() * 2);
    text.push_str("\\x");
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(all(test, feature = "mysql", feature = "postgresql", feature = "sqlite"))]
mod tests;
