//! SQL scripts cut into statements, so that an error can name one. Pure.
//!
//! The rules are those of PostgreSQL's own `psql` (its `psqlscan.l`), with `standard_conforming_strings = on`.

use std::fmt;

/// One statement of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement<'a> {
    /// From its first word to its end, without the semicolon.
    pub text: &'a str,
    /// The line of its first word, from 1.
    pub line: usize,
}

/// Why a script cannot be cut, or could not be run if it were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Where it is, from 1.
    pub line: usize,
    /// The description, in lower case.
    pub what: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for Flaw {}

/// A statement in one short line, for an error that names it.
pub fn shortened(statement: &str) -> String {
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > 200 {
        line.chars().take(200).chain("...".chars()).collect()
    } else {
        line
    }
}

/// Cuts a PostgreSQL script into statements; those without a word in them are dropped. What only `psql` understands
/// (its commands, COPY's data inline) is a flaw, and so is whatever is opened and never closed.
pub fn split(text: &str) -> Result<Vec<Statement<'_>>, Flaw> {
    let mut scanner = Scanner::new(text);
    let mut found = Vec::new();
    while let Some(statement) = scanner.statement()? {
        found.push(statement);
    }
    Ok(found)
}

/// A place in the text. All places where it stops are at ASCII characters, so slices never cut a character in two.
struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// The line of `counted`; lines are counted forward only, once.
    line: usize,
    counted: usize,
}

/// What is known of the statement so far.
#[derive(Default)]
struct Shape {
    /// Its first words outside of parentheses, as far as they matter: CREATE OR REPLACE FUNCTION is the longest.
    words: Vec<String>,
    /// How many parentheses are open (CREATE RULE has statements inside).
    parentheses: usize,
    /// How many BEGIN ATOMIC and CASE are open in the body of a routine.
    blocks: usize,
    /// The word just before, if nothing but blanks came since.
    before: String,
}

impl Shape {
    fn makes_a_routine(&self) -> bool {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let (["create", "or", "replace", rest @ ..] | ["create", rest @ ..]) = words.as_slice()
        else {
            return false;
        };
        matches!(rest.first(), Some(&("function" | "procedure")))
    }

    fn word(&mut self, word: &str) {
        let word = word.to_ascii_lowercase();
        if self.words.len() < 4 {
            self.words.push(word.clone());
        }
        if self.parentheses == 0 && self.makes_a_routine() {
            match word.as_str() {
                "atomic" if self.before == "begin" => self.blocks += 1,
                "case" if self.blocks > 0 => self.blocks += 1,
                "end" => self.blocks = self.blocks.saturating_sub(1),
                _ => {}
            }
        }
        self.before = word;
    }

    fn copies_from_stdin(&self, word: &str) -> bool {
        self.words.first().is_some_and(|first| first == "copy")
            && self.parentheses == 0
            && self.before == "from"
            && word.eq_ignore_ascii_case("stdin")
    }
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            // Some editors put a byte order mark first; to a server it is a syntax error.
            at: if text.starts_with('\u{feff}') { 3 } else { 0 },
            line: 1,
            counted: 0,
        }
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn starts(&self, with: &str) -> bool {
        self.bytes[self.at..].starts_with(with.as_bytes())
    }

    /// The line of a place; places asked for never go back.
    fn line_of(&mut self, place: usize) -> usize {
        self.line += self.text[self.counted..place].matches('\n').count();
        self.counted = place;
        self.line
    }

    fn flaw(&mut self, place: usize, what: impl Into<String>) -> Flaw {
        Flaw {
            line: self.line_of(place),
            what: what.into(),
        }
    }

    fn statement(&mut self) -> Result<Option<Statement<'a>>, Flaw> {
        loop {
            self.skip_blanks_and_comments()?;
            match self.byte(0) {
                None => return Ok(None),
                Some(b';') => self.at += 1,
                Some(_) => break,
            }
        }
        let start = self.at;
        let line = self.line_of(start);
        let mut shape = Shape::default();
        while let Some(byte) = self.byte(0) {
            match byte {
                b';' if shape.parentheses == 0 && shape.blocks == 0 => break,
                b'\\' => return Err(self.meta_command()),
                b'\'' => self.quoted(false)?,
                b'"' => {
                    self.until_closed(b'"', false, "quoted name")?;
                    shape.before.clear();
                    continue;
                }
                b'$' => self.dollar()?,
                byte if is_word_start(byte) => {
                    let from = self.at;
                    while self.byte(0).is_some_and(is_word_part) {
                        self.at += 1;
                    }
                    let word = &self.text[from..self.at];
                    if shape.copies_from_stdin(word) {
                        return Err(
                            self.flaw(start, "inline COPY data is not supported in scripts")
                        );
                    }
                    if word.eq_ignore_ascii_case("e") && self.byte(0) == Some(b'\'') {
                        self.quoted(true)?;
                    } else {
                        shape.word(word);
                        continue;
                    }
                }
                byte if byte.is_ascii_digit() => {
                    // `1$tag$` is a number and a dollar quote, so `$` ends a number.
                    while self.byte(0).is_some_and(|b| b.is_ascii_alphanumeric()) {
                        self.at += 1;
                    }
                }
                _ if self.skip_one_blank_or_comment()? => continue,
                b'(' => {
                    shape.parentheses += 1;
                    self.at += 1;
                }
                b')' => {
                    shape.parentheses = shape.parentheses.saturating_sub(1);
                    self.at += 1;
                }
                _ => self.at += 1,
            }
            shape.before.clear();
        }
        let text = self.text[start..self.at].trim_ascii_end();
        self.at = (self.at + 1).min(self.bytes.len());
        Ok(Some(Statement { text, line }))
    }

    /// A backslash outside of quotes: nothing in SQL starts so.
    fn meta_command(&mut self) -> Flaw {
        let place = self.at;
        let command = self.text[place..]
            .split_ascii_whitespace()
            .next()
            .unwrap_or_default();
        let what =
            format!("`{command}` is a command of psql; scripts are sent to the server as SQL");
        self.flaw(place, what)
    }

    fn skip_blanks_and_comments(&mut self) -> Result<(), Flaw> {
        while self.skip_one_blank_or_comment()? {}
        Ok(())
    }

    fn skip_one_blank_or_comment(&mut self) -> Result<bool, Flaw> {
        if self.byte(0).is_some_and(is_blank) {
            self.at += 1;
        } else if self.starts("--") {
            self.skip_line();
        } else if self.starts("/*") {
            self.skip_block_comment()?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn skip_line(&mut self) {
        while self
            .byte(0)
            .is_some_and(|byte| byte != b'\n' && byte != b'\r')
        {
            self.at += 1;
        }
    }

    /// They nest, as the standard says and C does not.
    fn skip_block_comment(&mut self) -> Result<(), Flaw> {
        let opened = self.at;
        let mut depth = 0_usize;
        while self.at < self.bytes.len() {
            if self.starts("/*") {
                depth += 1;
                self.at += 2;
            } else if self.starts("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return Ok(());
                }
            } else {
                self.at += 1;
            }
        }
        Err(self.flaw(opened, "a comment is opened here and never closed"))
    }

    /// A string, at its quote. One with escapes goes on in the same way after a line break (lexical structure,
    /// section 4.1.2.1 of PostgreSQL's manual), which only matters for where a backslash counts.
    fn quoted(&mut self, escapes: bool) -> Result<(), Flaw> {
        loop {
            self.until_closed(b'\'', escapes, "string")?;
            if !escapes {
                return Ok(());
            }
            let closed = self.at;
            loop {
                if self.byte(0).is_some_and(is_blank) {
                    self.at += 1;
                } else if self.starts("--") {
                    self.skip_line();
                } else {
                    break;
                }
            }
            let broken = self.bytes[closed..self.at].contains(&b'\n');
            if !(broken && self.byte(0) == Some(b'\'')) {
                self.at = closed;
                return Ok(());
            }
        }
    }

    fn until_closed(&mut self, quote: u8, escapes: bool, what: &str) -> Result<(), Flaw> {
        let opened = self.at;
        self.at += 1;
        while let Some(byte) = self.byte(0) {
            if escapes && byte == b'\\' {
                self.at += 2;
            } else if byte != quote {
                self.at += 1;
            } else if self.byte(1) == Some(quote) {
                self.at += 2;
            } else {
                self.at += 1;
                return Ok(());
            }
        }
        self.at = self.bytes.len();
        Err(self.flaw(opened, format!("a {what} is opened here and never closed")))
    }

    /// A dollar quote, or a parameter, or just a dollar.
    fn dollar(&mut self) -> Result<(), Flaw> {
        let opened = self.at;
        let mut end = opened + 1;
        while self
            .bytes
            .get(end)
            .is_some_and(|byte| is_word_part(*byte) && *byte != b'$')
        {
            end += 1;
        }
        let is_tag = self.bytes.get(end) == Some(&b'$') && !self.bytes[opened + 1].is_ascii_digit();
        if !is_tag {
            self.at += 1;
            return Ok(());
        }
        let tag = &self.text[opened..=end];
        match self.text[end + 1..].find(tag) {
            Some(length) => {
                self.at = end + 1 + length + tag.len();
                Ok(())
            }
            None => Err(self.flaw(
                opened,
                format!("a string is opened here with {tag} and never closed"),
            )),
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// A byte of any character beyond ASCII is part of a word.
fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word_part(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

#[cfg(test)]
mod tests;
