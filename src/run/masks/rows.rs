//! Rows whose values are masked on their way.

mod held;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;

pub(super) use self::held::unhex;
use self::held::{Batch, Held, KEPT};
use super::watch::{Seen, Watch};
use crate::error::{Error, Kind, Result};
use crate::mask::{self, Replacement, RowMask, Type};
use crate::store::{
    self, Chunk, Form, Part, RowCodec, RowCutter, RowJoiner, RowVisitor, ShapeColumn,
};

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
                held: table.conditions + table.mask.needed().last().map_or(1, |last| last + 1),
                seen: table.watch.as_ref().map(Watch::begin),
                batch: Batch::new(table.mask.at_once()),
                table,
                at: 0,
                is_passing: false,
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
        self.rows.mask()?;
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
    /// How many values of a row its masks need.
    held: usize,
    /// What is held: the last row may not have ended yet.
    batch: Batch,
    /// What a watch has seen of them.
    seen: Option<Seen>,
    /// Values of this row that have ended.
    at: usize,
    /// Whether the rest of this row goes on at once.
    is_passing: bool,
    out: BytesMut,
}

impl RowVisitor for Rows {
    fn piece(&mut self, encoded: &[u8]) -> Result<()> {
        if self.is_passing {
            return self.joiner.piece(encoded);
        }
        self.batch.current().encoded.extend_from_slice(encoded);
        self.batch.bytes += encoded.len();
        // What is behind the values that masks need goes on rather than becoming large here.
        if self.at >= self.held && self.batch.is_full() {
            self.mask()?;
        }
        Ok(())
    }

    fn end_value(&mut self) -> Result<()> {
        self.at += 1;
        if self.is_passing {
            return self.joiner.end_value();
        }
        let row = self.batch.current();
        row.ends.push(row.encoded.len());
        if self.at == self.held {
            self.take_in()?;
            if self.batch.is_full() {
                self.mask()?;
            }
        }
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        if self.is_passing {
            self.joiner.end_row()?;
        } else if self.at < self.held {
            return Err(Error::new(
                Kind::Internal,
                "a row ends before the values that its masks need",
            ));
        } else {
            self.batch.ended += 1;
        }
        (self.at, self.is_passing) = (0, false);
        Ok(())
    }
}

impl Rows {
    /// All values of a row are there that its masks need: they are decoded.
    fn take_in(&mut self) -> Result<()> {
        let table = &self.table;
        let row = self.batch.current();
        row.number = table.rows.fetch_add(1, Ordering::Relaxed) + 1;
        row.holds.clear();
        for place in 0..table.conditions {
            let range = row.range(place);
            let holds = is_true(&self.codec.decode(&row.encoded[range])?);
            row.holds.push(holds);
        }
        let needed = table.mask.needed();
        row.cells.resize_with(needed.len(), Default::default);
        for (at, place) in needed.iter().enumerate() {
            let range = row.range(table.conditions + place);
            let Held { encoded, cells, .. } = &mut *row;
            let (of, cell) = &mut cells[at];
            *of = *place;
            let value = self.codec.decode(&encoded[range])?;
            cell.take(&value, &table.columns[*place]);
        }
        Ok(())
    }

    /// Masks the rows that are held, and lets them go on. The rest of one that has begun follows at once.
    fn mask(&mut self) -> Result<()> {
        let ended = self.batch.ended;
        self.is_passing = self.at >= self.held;
        let count = ended + usize::from(self.is_passing);
        let Batch {
            held, scratches, ..
        } = &mut self.batch;
        let masks = &self.table.mask;
        masks.apply_all(&held[..count], &mut scratches[..count])?;
        if let (Some(watch), Some(seen)) = (&self.table.watch, &mut self.seen) {
            for (row, scratch) in held.iter().zip(&*scratches).take(count) {
                watch.look(row, scratch, seen);
            }
        }
        for number in 0..count {
            self.go_on(number)?;
            if number < ended {
                self.joiner.end_row()?;
            }
        }
        self.batch.clear();
        if self.out.capacity() > KEPT {
            self.out = BytesMut::new();
        }
        Ok(())
    }

    /// Lets a row's values go on, masked.
    fn go_on(&mut self, number: usize) -> Result<()> {
        let table = &self.table;
        let (row, scratch) = (&self.batch.held[number], &self.batch.scratches[number]);
        for place in 0..row.ends.len() - table.conditions {
            let replacement = if place < self.held - table.conditions {
                scratch.of(place)
            } else {
                Replacement::Keep
            };
            match replacement {
                Replacement::Keep => {
                    let range = row.range(table.conditions + place);
                    self.joiner.piece(&row.encoded[range])?;
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
        if row.rest().is_empty() {
            return Ok(());
        }
        self.joiner.piece(row.rest())
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
