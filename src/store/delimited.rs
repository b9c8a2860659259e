//! Rows as lines of text: a row ends with a line feed, values have a tab between them, and what would be one of these in a
//! value is escaped by a backslash. `COPY` and `LOAD DATA` have it, each with its own letters behind the backslash.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

use super::codec::{ChunkBuffer, RowCodec, RowCutter, RowJoiner, RowSplitter, RowVisitor, Value};
use super::part::{Chunk, Part};
use crate::error::{Error, Kind, Result};

/// What stands for no value.
const NULL: &[u8] = b"\\N";

/// How values are escaped, and what a line has.
#[derive(Debug, Clone, Copy)]
pub struct Delimited {
    /// Letters behind a backslash, each with the byte that it stands for. Any other stands for itself.
    letters: &'static [(u8, u8)],
    /// Whether a backslash escapes, and tabs are between values.
    has_values: bool,
    /// Whether `\101` and `\x41` are bytes.
    has_numbers: bool,
    /// Values that a line has at least: of a table without columns, too.
    least: usize,
}

impl Delimited {
    /// With these letters behind a backslash.
    pub const fn new(letters: &'static [(u8, u8)]) -> Self {
        Self {
            letters,
            has_values: true,
            has_numbers: false,
            least: 0,
        }
    }

    /// A row of a table without columns has one value, which is none.
    #[must_use]
    pub const fn never_empty(mut self) -> Self {
        self.least = 1;
        self
    }

    /// Bytes may be written as octal and hexadecimal numbers, too.
    #[must_use]
    pub const fn with_numbers(mut self) -> Self {
        self.has_numbers = true;
        self
    }

    /// Lines that have one value each, in which nothing is escaped.
    pub const fn of_lines() -> Self {
        Self {
            letters: &[],
            has_values: false,
            has_numbers: false,
            least: 1,
        }
    }

    /// Cuts lines of a part into values.
    pub(super) fn cut(&self, part: &Part) -> DelimitedCutter {
        DelimitedCutter {
            label: part.label(),
            expected: self.values_of(part),
            has_values: self.has_values,
            ended: 0,
            has_begun: false,
            backslashes: 0,
        }
    }

    fn values_of(&self, part: &Part) -> usize {
        let columns = if self.has_values {
            part.columns.len()
        } else {
            1
        };
        columns.max(self.least)
    }

    /// A value out of its escapes.
    fn unescaped<'a>(&self, encoded: &'a [u8]) -> Value<'a> {
        if !self.has_values {
            return Value::Text(Cow::Borrowed(encoded));
        }
        if encoded == NULL {
            return Value::Null;
        }
        let Some(first) = memchr::memchr(b'\\', encoded) else {
            return Value::Text(Cow::Borrowed(encoded));
        };
        let mut text = Vec::with_capacity(encoded.len());
        let (plain, mut rest) = encoded.split_at(first);
        text.extend_from_slice(plain);
        while let Some((byte, after)) = rest.split_first() {
            rest = after;
            if *byte != b'\\' {
                text.push(*byte);
                continue;
            }
            let (byte, after) = self.escaped(rest);
            text.push(byte);
            rest = after;
        }
        Value::Text(Cow::Owned(text))
    }

    /// The byte that stands behind a backslash, and what follows it.
    fn escaped<'a>(&self, behind: &'a [u8]) -> (u8, &'a [u8]) {
        let Some((letter, after)) = behind.split_first() else {
            return (b'\\', behind);
        };
        if let Some((_, byte)) = self.letters.iter().find(|(known, _)| known == letter) {
            return (*byte, after);
        }
        if self.has_numbers {
            let (digits, base, most) = match letter {
                b'x' => (after, 16, 2),
                _ => (behind, 8, 3),
            };
            let length = digits
                .iter()
                .take(most)
                .take_while(|digit| char::from(**digit).is_digit(base))
                .count();
            if length > 0 {
                let (digits, after) = digits.split_at(length);
                let number = digits.iter().fold(0, |number, digit| {
                    number * base + char::from(*digit).to_digit(base).unwrap_or_default()
                });
                // As the server has it: the lowest eight bits.
                return ((number & 0xff) as u8, after);
            }
        }
        (*letter, after)
    }

    /// Appends a value with its escapes.
    fn escape(&self, value: &Value<'_>, out: &mut BytesMut) -> Result<()> {
        let text = match value {
            Value::Null if self.has_values => {
                out.put_slice(NULL);
                return Ok(());
            }
            Value::Null => return Err(unfit("no value")),
            Value::Text(text) | Value::Blob(text) => text,
            Value::Integer(number) => {
                out.put_slice(number.to_string().as_bytes());
                return Ok(());
            }
            Value::Real(number) => {
                out.put_slice(number.to_string().as_bytes());
                return Ok(());
            }
        };
        if !self.has_values {
            if memchr::memchr(b'\n', text).is_some() {
                return Err(unfit("a line feed"));
            }
            out.put_slice(text);
            return Ok(());
        }
        let mut from = 0;
        for (place, byte) in text.iter().enumerate() {
            let letter = match self.letters.iter().find(|(_, known)| known == byte) {
                Some((letter, _)) => *letter,
                None if *byte == b'\\' => b'\\',
                None => continue,
            };
            out.put_slice(&text[from..place]);
            out.put_slice(&[b'\\', letter]);
            from = place + 1;
        }
        out.put_slice(&text[from..]);
        Ok(())
    }
}

/// Lines are their own chunks.
impl RowCodec for Delimited {
    fn splitter(&self, part: &Part) -> Box<dyn RowSplitter> {
        Box::new(LineSplitter::new(part))
    }

    fn cutter(&self, part: &Part) -> Box<dyn RowCutter> {
        Box::new(self.cut(part))
    }

    fn joiner(&self, _part: &Part) -> Box<dyn RowJoiner> {
        Box::new(DelimitedJoiner::default())
    }

    fn decode<'a>(&self, encoded: &'a [u8]) -> Result<Value<'a>> {
        Ok(self.unescaped(encoded))
    }

    fn encode(&self, value: &Value<'_>, out: &mut BytesMut) -> Result<()> {
        self.escape(value, out)
    }
}

fn unfit(what: &str) -> Error {
    Error::new(
        Kind::Verify,
        format!("{what} cannot be written as a line of its own"),
    )
}

/// The end of rows that end in the middle of one.
fn cut(label: &str) -> Error {
    Error::new(
        Kind::Verify,
        format!("the rows of {label} end in the middle of one"),
    )
}

/// Cuts lines into rows.
pub(super) struct LineSplitter {
    label: String,
    has_begun: bool,
}

impl LineSplitter {
    /// Of this part's lines.
    pub(super) fn new(part: &Part) -> Self {
        Self {
            label: part.label(),
            has_begun: false,
        }
    }
}

impl RowSplitter for LineSplitter {
    fn feed(&mut self, chunk: &[u8], row: &mut dyn FnMut(&[u8], bool)) -> Result<()> {
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', chunk) {
            row(&chunk[from..=end], true);
            from = end + 1;
            self.has_begun = false;
        }
        if from < chunk.len() {
            row(&chunk[from..], false);
            self.has_begun = true;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.has_begun {
            return Err(cut(&self.label));
        }
        Ok(())
    }
}

/// Cuts lines into values.
pub(super) struct DelimitedCutter {
    label: String,
    /// Values of a row.
    expected: usize,
    has_values: bool,
    /// Values of this row that have ended.
    ended: usize,
    /// Whether something of this row was seen.
    has_begun: bool,
    /// Backslashes at the end of what was seen of this value.
    backslashes: usize,
}

impl DelimitedCutter {
    /// A piece of the value that we are in.
    fn piece(&mut self, piece: &[u8], visitor: &mut dyn RowVisitor) -> Result<()> {
        self.has_begun = true;
        if self.has_values {
            let here = piece
                .iter()
                .rev()
                .take_while(|byte| **byte == b'\\')
                .count();
            let before = if here == piece.len() {
                self.backslashes
            } else {
                0
            };
            self.backslashes = before + here;
        }
        visitor.piece(piece)
    }

    /// The value that we are in ends. To a server it would go on behind a backslash of its own, and the rows be others than
    /// those that are seen here: nobody but a stranger writes that.
    fn end_value(&mut self, visitor: &mut dyn RowVisitor) -> Result<()> {
        if std::mem::take(&mut self.backslashes) % 2 == 1 {
            return Err(Error::new(
                Kind::Verify,
                format!("a value of {} ends in the middle of an escape", self.label),
            ));
        }
        self.ended += 1;
        visitor.end_value()
    }

    fn other_values(&self, found: usize) -> Error {
        Error::new(
            Kind::Verify,
            format!(
                "a row of {} has {found} values and not {}",
                self.label, self.expected
            ),
        )
    }

    fn end_row(&mut self, visitor: &mut dyn RowVisitor, is_empty: bool) -> Result<()> {
        // A line without anything in it is a row of no values, or of one that is empty.
        if !(self.expected == 0 && is_empty && self.ended == 0) {
            self.end_value(visitor)?;
        }
        if self.ended != self.expected {
            return Err(self.other_values(self.ended));
        }
        (self.ended, self.has_begun) = (0, false);
        visitor.end_row()
    }
}

impl RowCutter for DelimitedCutter {
    fn feed(&mut self, chunk: &[u8], visitor: &mut dyn RowVisitor) -> Result<()> {
        let tab = if self.has_values { b'\t' } else { b'\n' };
        let mut from = 0;
        for end in memchr::memchr2_iter(tab, b'\n', chunk) {
            if end > from {
                self.piece(&chunk[from..end], visitor)?;
            }
            if chunk[end] == b'\n' {
                let is_empty = !self.has_begun;
                self.end_row(visitor, is_empty)?;
            } else {
                self.end_value(visitor)?;
                self.has_begun = true;
                if self.ended >= self.expected {
                    return Err(self.other_values(self.ended + 1));
                }
            }
            from = end + 1;
        }
        if from < chunk.len() {
            self.piece(&chunk[from..], visitor)?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.has_begun {
            return Err(cut(&self.label));
        }
        Ok(())
    }
}

/// Puts lines together.
#[derive(Default)]
pub(super) struct DelimitedJoiner {
    out: ChunkBuffer,
    /// A value has ended, and if another one comes, a tab is due.
    owes_tab: bool,
}

impl RowVisitor for DelimitedJoiner {
    fn piece(&mut self, encoded: &[u8]) -> Result<()> {
        if std::mem::take(&mut self.owes_tab) {
            self.out.data.put_u8(b'\t');
        }
        self.out.data.put_slice(encoded);
        Ok(())
    }

    fn end_value(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.owes_tab, true) {
            self.out.data.put_u8(b'\t');
        }
        Ok(())
    }

    fn end_row(&mut self) -> Result<()> {
        self.owes_tab = false;
        self.out.data.put_u8(b'\n');
        self.out.rows += 1;
        Ok(())
    }
}

impl RowJoiner for DelimitedJoiner {
    fn take(&mut self) -> Option<Chunk> {
        self.out.take()
    }
}

#[cfg(test)]
mod tests;
