//! An INSERT's rows as lines for `LOAD DATA`: each value as the bytes that a SELECT of its column gives. Pure.

use bytes::{BufMut, BytesMut};

use super::forms::Form;
use super::values;
use crate::store::mysql::rows::result_rows::escape;
use crate::store::mysql::sql::lexical::{Dialect, is_blank};

/// A table's rows as a dump has them.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// What is done with each value of a row; `None`: it is computed anew, or not copied.
    pub(super) fields: Vec<Option<Form>>,
    pub(super) dialect: Dialect,
    /// The character set of strings.
    pub(super) charset: String,
}

/// The rows of a statement that are still to come.
pub(super) struct Inserts<'a> {
    sql: &'a [u8],
    at: usize,
    layout: &'a Layout,
    /// A value on its way to another form.
    scratch: Vec<u8>,
    is_over: bool,
}

type Read<T> = Result<T, String>;

fn no_value() -> String {
    "something else than values in an INSERT".to_owned()
}

impl<'a> Inserts<'a> {
    pub(super) fn new(sql: &'a [u8], layout: &'a Layout) -> Read<Self> {
        let head = values::head(sql, layout.dialect)?;
        Ok(Self {
            sql,
            at: head.end,
            layout,
            scratch: Vec::new(),
            is_over: false,
        })
    }

    /// Appends rows until there are so many bytes, or no more rows; returns how many.
    pub(super) fn fill(&mut self, out: &mut BytesMut, enough: usize) -> Read<u64> {
        let mut rows = 0;
        while !self.is_over && out.len() < enough {
            self.row(out)?;
            rows += 1;
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                None => self.is_over = true,
                Some(_) => return Err("more than rows in an INSERT".to_owned()),
            }
        }
        Ok(rows)
    }

    /// All of them were read.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    fn peek(&self) -> Option<u8> {
        self.sql.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        &self.sql[self.at..]
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(is_blank) {
            self.at += 1;
        }
    }

    fn row(&mut self, out: &mut BytesMut) -> Read<()> {
        self.blanks();
        if self.peek() != Some(b'(') {
            return Err(no_value());
        }
        self.at += 1;
        let layout = self.layout;
        let columns = layout.fields.len();
        let (mut place, mut written) = (0, 0);
        self.blanks();
        if columns == 0 && self.peek() == Some(b')') {
            self.at += 1;
        } else {
            loop {
                let Some(form) = layout.fields.get(place) else {
                    return Err(format!("a row of more values than its {columns} columns"));
                };
                match form {
                    Some(form) => {
                        if written > 0 {
                            out.put_u8(b'\t');
                        }
                        written += 1;
                        self.value(form, out)?;
                    }
                    None => self.pass()?,
                }
                place += 1;
                self.blanks();
                let sign = self.peek();
                self.at += 1;
                match sign {
                    Some(b',') => self.blanks(),
                    Some(b')') => break,
                    None => return Err("a row that does not end".to_owned()),
                    _ => return Err(no_value()),
                }
            }
            if place < columns {
                return Err(format!("a row of {place} values for {columns} columns"));
            }
        }
        if written == 0 {
            out.put_slice(b"\\N");
        }
        out.put_u8(b'\n');
        Ok(())
    }

    /// Passes over a value.
    fn pass(&mut self) -> Read<()> {
        let before = self.at;
        if self
            .word()
            .is_some_and(|word| word.eq_ignore_ascii_case(b"DEFAULT"))
        {
            return Ok(());
        }
        self.at = before;
        self.value(&Form::Bytes, &mut BytesMut::new())
    }

    fn value(&mut self, form: &Form, out: &mut BytesMut) -> Read<()> {
        match self.peek() {
            Some(quote) if self.is_quote(quote) => self.string(form, out),
            Some(b'0') if matches!(self.sql.get(self.at + 1), Some(b'x')) => {
                self.at += 2;
                let digits = self.run(|byte| byte.is_ascii_hexdigit());
                self.digits(digits, 16, form, out)
            }
            Some(b'0') if matches!(self.sql.get(self.at + 1), Some(b'b')) => {
                self.at += 2;
                let digits = self.run(|byte| matches!(byte, b'0' | b'1'));
                self.digits(digits, 2, form, out)
            }
            Some(b'0'..=b'9' | b'-' | b'+' | b'.') => self.number(form, out),
            Some(b'_') => self.introduced(form, out),
            _ => self.constant(form, out),
        }
    }

    fn is_quote(&self, byte: u8) -> bool {
        byte == b'\'' || (byte == b'"' && !self.layout.dialect.ansi_quotes)
    }

    fn run(&mut self, is_in: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let end = rest.iter().position(|byte| !is_in(*byte));
        let end = end.unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn word(&mut self) -> Option<&'a [u8]> {
        let word = self.run(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$');
        (!word.is_empty()).then_some(word)
    }

    /// NULL, TRUE, FALSE; `X'00'`, `b'1'`, `N'a'`.
    fn constant(&mut self, form: &Form, out: &mut BytesMut) -> Read<()> {
        let word = self.word().ok_or_else(no_value)?;
        let is = |wanted: &str| word.eq_ignore_ascii_case(wanted.as_bytes());
        if is("NULL") {
            out.put_slice(b"\\N");
            return Ok(());
        }
        if is("TRUE") || is("FALSE") {
            return form.put_number(if is("TRUE") { b"1" } else { b"0" }, out);
        }
        if is("DEFAULT") {
            return Err("DEFAULT, which is no value, for a column that is copied".to_owned());
        }
        if self.peek() != Some(b'\'') {
            return Err("a word that is no value among the values of an INSERT".to_owned());
        }
        if is("N") {
            self.is_in("utf8mb3")?;
            return self.string(form, out);
        }
        self.at += 1;
        let digits = self.run(|byte| byte.is_ascii_hexdigit());
        if self.peek() != Some(b'\'') {
            return Err(no_value());
        }
        self.at += 1;
        if is("X") && digits.len().is_multiple_of(2) {
            self.digits(digits, 16, form, out)
        } else if is("B") {
            self.digits(digits, 2, form, out)
        } else {
            Err(no_value())
        }
    }

    /// `_binary 'a'`: a string in a character set of its own.
    fn introduced(&mut self, form: &Form, out: &mut BytesMut) -> Read<()> {
        let word = self.word().unwrap_or_default().to_ascii_lowercase();
        self.blanks();
        if word == b"_binary" {
            return match self.peek() {
                Some(quote) if self.is_quote(quote) => {
                    self.unescaped()?;
                    form.put_bytes(&self.scratch, out)
                }
                Some(b'0' | b'x' | b'X' | b'b' | b'B') => self.value(form, out),
                _ => Err(no_value()),
            };
        }
        self.is_in(&String::from_utf8_lossy(&word[1..]))?;
        match self.peek() {
            Some(quote) if self.is_quote(quote) => self.string(form, out),
            _ => Err(no_value()),
        }
    }

    /// Refuses strings of another character set than the others have.
    fn is_in(&self, charset: &str) -> Read<()> {
        let own = &*self.layout.charset;
        if charset == own || (charset.starts_with("utf8") && own.starts_with("utf8")) {
            return Ok(());
        }
        Err(format!(
            "a string in the character set {charset}, while the others are in {own}"
        ))
    }

    fn string(&mut self, form: &Form, out: &mut BytesMut) -> Read<()> {
        match form {
            Form::Bytes | Form::Number => self.copy_string(out),
            Form::Text(conversion) if conversion.is_none() => self.copy_string(out),
            Form::Bits(_) => {
                self.unescaped()?;
                form.put_bytes(&self.scratch, out)
            }
            Form::Text(_) | Form::Uuid | Form::Inet6 | Form::Inet4 => {
                self.unescaped()?;
                form.put_text(&self.scratch, out)
            }
        }
    }

    /// A string as it is, from its escapes to those of a line.
    fn copy_string(&mut self, out: &mut BytesMut) -> Read<()> {
        let quote = self.sql[self.at];
        self.at += 1;
        loop {
            let (length, end) = self.stretch(quote)?;
            escape(&self.sql[self.at..self.at + length], out);
            self.at += length + 1;
            match end {
                End::Quote => return Ok(()),
                End::Doubled => {
                    self.at += 1;
                    out.put_u8(quote);
                }
                End::Escaped(byte) => {
                    self.at += 1;
                    let (bytes, count) = meant(byte);
                    escape(&bytes[..count], out);
                }
            }
        }
    }

    /// A string into `scratch`, without escapes.
    fn unescaped(&mut self) -> Read<()> {
        let quote = self.sql[self.at];
        self.at += 1;
        self.scratch.clear();
        loop {
            let (length, end) = self.stretch(quote)?;
            let plain = &self.sql[self.at..self.at + length];
            self.scratch.extend_from_slice(plain);
            self.at += length + 1;
            match end {
                End::Quote => return Ok(()),
                End::Doubled => {
                    self.at += 1;
                    self.scratch.push(quote);
                }
                End::Escaped(byte) => {
                    self.at += 1;
                    let (bytes, count) = meant(byte);
                    self.scratch.extend_from_slice(&bytes[..count]);
                }
            }
        }
    }

    /// How many bytes stand for themselves, and what follows them.
    fn stretch(&self, quote: u8) -> Read<(usize, End)> {
        let rest = self.rest();
        let found = if self.layout.dialect.no_backslash {
            memchr::memchr(quote, rest)
        } else {
            memchr::memchr2(quote, b'\\', rest)
        };
        let unended = || "a string that does not end".to_owned();
        let length = found.ok_or_else(unended)?;
        let next = rest.get(length + 1).copied();
        let end = match (rest[length] == quote, next) {
            (true, Some(next)) if next == quote => End::Doubled,
            (true, _) => End::Quote,
            (false, next) => End::Escaped(next.ok_or_else(unended)?),
        };
        Ok((length, end))
    }

    fn number(&mut self, form: &Form, out: &mut BytesMut) -> Read<()> {
        let start = self.at;
        if matches!(self.peek(), Some(b'-' | b'+')) {
            self.at += 1;
        }
        let whole = self.run(|byte| byte.is_ascii_digit()).len();
        let mut behind = 0;
        if self.peek() == Some(b'.') {
            self.at += 1;
            behind = self.run(|byte| byte.is_ascii_digit()).len();
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'-' | b'+')) {
                self.at += 1;
            }
            if self.run(|byte| byte.is_ascii_digit()).is_empty() {
                return Err(no_value());
            }
        }
        if whole + behind == 0 {
            return Err(no_value());
        }
        let text = &self.sql[start..self.at];
        form.put_number(text.strip_prefix(b"+").unwrap_or(text), out)
    }

    /// A literal of hexadecimal or binary digits.
    fn digits(&mut self, digits: &[u8], base: u32, form: &Form, out: &mut BytesMut) -> Read<()> {
        let each = if base == 16 { 2 } else { 8 };
        self.scratch.clear();
        let first = digits.len() % each;
        let (first, others) = digits.split_at(first);
        for group in Some(first)
            .filter(|group| !group.is_empty())
            .into_iter()
            .chain(others.chunks(each))
        {
            let mut byte = 0_u8;
            for digit in group {
                let digit = char::from(*digit).to_digit(base).ok_or_else(no_value)?;
                byte = (byte << if base == 16 { 4 } else { 1 }) | digit.to_le_bytes()[0];
            }
            self.scratch.push(byte);
        }
        form.put_bytes(&self.scratch, out)
    }
}

/// What ends a stretch of a string.
enum End {
    Quote,
    Doubled,
    /// A backslash before this byte.
    Escaped(u8),
}

/// What a byte behind a backslash means ("String Literals", MySQL's manual).
fn meant(byte: u8) -> ([u8; 2], usize) {
    let one = match byte {
        b'0' => 0,
        b'b' => 8,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'Z' => 0x1a,
        b'%' | b'_' => return ([b'\\', byte], 2),
        same => same,
    };
    ([one, 0], 1)
}

#[cfg(test)]
mod tests;
