//! SQL cut into statements the way the `mariadb` client does it (`add_line` in its `mysql.cc`), as it comes: in bytes, since
//! a dump's strings are of any character set, and no further than what has come.
//!
//! A statement ends at the delimiter, `;` until a `DELIMITER` line says otherwise, or at `\g` and `\G`. A routine's body
//! is not understood: without `DELIMITER`, its first `;` ends the statement, as there.

use std::ops::Range;

use memchr::{memchr, memchr_iter};

use super::lexical::{self, Dialect, Piece, is_blank};
use crate::store::statements::Flaw;

/// How the dumps of newer versions begin. It speaks to the client alone, and older ones choke on it.
const SANDBOX: [&[u8]; 2] = [br"/*!999999\-", br"/*M!999999\-"];

/// How many bytes have to be there to tell what begins with them.
const AHEAD: usize = 16;

/// Of a remark, as much is kept.
const REMARK: usize = 512;

/// The next item of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::mysql) enum Step {
    /// A statement from its first word, which is on this line, to its end, without the delimiter.
    Statement(usize, Range<usize>),
    /// A comment of one line that stands before statements, if anybody wants them: as much of it as may matter.
    Remark(Range<usize>),
    /// It goes on in what is to be fed.
    More,
    /// Nothing.
    End,
}

/// Why a token has no end yet.
enum Stop {
    More,
    Remark(Range<usize>),
    Flaw(Flaw),
}

impl From<Flaw> for Stop {
    fn from(flaw: Flaw) -> Self {
        Self::Flaw(flaw)
    }
}

type Scan<T> = Result<T, Stop>;

/// What has come and is not done with.
pub(in crate::store::mysql) struct Scanner {
    buffer: Vec<u8>,
    at: usize,
    /// Where the statement began that is being read.
    start: Option<usize>,
    /// Where in it a comment that is executed was opened.
    executed: Option<usize>,
    /// The line of `counted`; lines are counted forward only, once.
    line: usize,
    counted: usize,
    delimiter: Vec<u8>,
    /// Nothing more will come.
    ended: bool,
    /// With less in the buffer, the next token is not whole.
    wait: usize,
    dialect: Dialect,
    longest: usize,
    /// Somebody wants remarks.
    tells_remarks: bool,
}

impl Scanner {
    /// For a text that is fed as a whole.
    pub(in crate::store::mysql) fn new() -> Self {
        Self {
            buffer: Vec::new(),
            at: 0,
            start: None,
            executed: None,
            line: 1,
            counted: 0,
            delimiter: b";".to_vec(),
            ended: false,
            wait: 0,
            dialect: Dialect::default(),
            longest: usize::MAX,
            tells_remarks: false,
        }
    }

    /// For a text that comes in pieces, with statements of at most so many bytes.
    pub(in crate::store::mysql) fn of_stream(longest: usize) -> Self {
        Self {
            longest,
            ..Self::new()
        }
    }

    /// The same for who wants remarks, each as it comes: a text may have any number of them.
    pub(in crate::store::mysql) fn with_remarks(self) -> Self {
        Self {
            tells_remarks: true,
            ..self
        }
    }

    /// Takes more of the text. What was returned before is gone.
    pub(in crate::store::mysql) fn feed(&mut self, piece: &[u8]) {
        let keep = self.start.unwrap_or(self.at);
        self.line_of(keep);
        self.buffer.drain(..keep);
        self.at -= keep;
        self.counted -= keep;
        self.wait = self.wait.saturating_sub(keep);
        self.start = self.start.map(|start| start - keep);
        self.executed = self.executed.map(|opened| opened - keep);
        self.buffer.extend_from_slice(piece);
    }

    /// That was all of it.
    pub(in crate::store::mysql) fn end(&mut self) {
        self.ended = true;
    }

    /// How strings end from here on: by the session's `sql_mode`.
    pub(in crate::store::mysql) fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    /// The bytes at a statement's place, which is valid until more is fed.
    pub(in crate::store::mysql) fn text(&self, place: Range<usize>) -> &[u8] {
        &self.buffer[place]
    }

    /// The next statement.
    pub(in crate::store::mysql) fn step(&mut self) -> Result<Step, Flaw> {
        if !self.ended && self.buffer.len() < self.wait {
            return Ok(Step::More);
        }
        match self.statement() {
            Ok(Some(place)) => {
                let line = self.line_of(place.start);
                Ok(Step::Statement(line, place))
            }
            Ok(None) => Ok(Step::End),
            Err(Stop::Remark(place)) => Ok(Step::Remark(place)),
            Err(Stop::Flaw(flaw)) => Err(flaw),
            Err(Stop::More) => {
                let place = self.start.unwrap_or(self.at);
                if self.buffer.len() - place > self.longest {
                    return Err(self.flaw(
                        place,
                        format!(
                            "a statement or comment of more than {} bytes begins here, which is more than is taken of a dump: 256 MiB",
                            self.longest
                        ),
                    ));
                }
                // The token is looked at again when there is twice as much of it: so each byte is seen twice at the most.
                let twice = self.buffer.len() + (self.buffer.len() - self.at).max(1);
                self.wait = twice.min(place.saturating_add(self.longest).saturating_add(1));
                Ok(Step::More)
            }
        }
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    fn starts(&self, with: &[u8]) -> bool {
        self.rest().starts_with(with)
    }

    /// What begins here can be told; `None`: nothing begins here.
    fn ahead(&self) -> Scan<Option<u8>> {
        let rest = self.rest();
        if !self.ended && rest.len() < AHEAD.max(self.delimiter.len()) {
            return Err(Stop::More);
        }
        Ok(rest.first().copied())
    }

    /// What is looked for may be in what has not come yet.
    fn or_more<T>(&self, found: Option<T>) -> Scan<Option<T>> {
        if found.is_none() && !self.ended {
            return Err(Stop::More);
        }
        Ok(found)
    }

    /// The line of a place; places asked for never go back.
    fn line_of(&mut self, place: usize) -> usize {
        if place > self.counted {
            self.line += memchr_iter(b'\n', &self.buffer[self.counted..place]).count();
            self.counted = place;
        }
        self.line
    }

    fn flaw(&mut self, place: usize, what: impl Into<String>) -> Flaw {
        Flaw {
            line: self.line_of(place),
            what: what.into(),
        }
    }

    fn statement(&mut self) -> Scan<Option<Range<usize>>> {
        let start = if let Some(start) = self.start {
            start
        } else {
            self.go_to_the_first_word()?;
            if self.rest().is_empty() {
                return Ok(None);
            }
            self.start = Some(self.at);
            self.executed = None;
            self.at
        };
        let end = loop {
            self.over_plain_text();
            let Some(next) = self.ahead()? else {
                break self.at;
            };
            if next == b'\\' {
                let end = self.at;
                if self.backslash()? {
                    break end;
                }
            } else if self.starts(&self.delimiter) {
                self.at += self.delimiter.len();
                break self.at - self.delimiter.len();
            } else {
                self.piece(next)?;
            }
        };
        if let Some(opened) = self.executed {
            return Err(self
                .flaw(
                    opened,
                    "a comment that is executed is opened here and still open where the statement ends; with DELIMITER it may have statements inside",
                )
                .into());
        }
        self.start = None;
        let sql = self.buffer[start..end].trim_ascii_end();
        Ok(Some(start..start + sql.len()))
    }

    /// Over what is nothing but text, whatever the dialect.
    fn over_plain_text(&mut self) {
        let ends = self.delimiter[0];
        let rest = &self.buffer[self.at..];
        self.at += rest
            .iter()
            .position(|&byte| byte == ends || may_open(byte))
            .unwrap_or(rest.len());
    }

    /// Over a string, a quoted name, a comment or a sign of one that is executed; over one byte of anything else, since a
    /// delimiter may stand in the middle of a word.
    fn piece(&mut self, next: u8) -> Scan<()> {
        let piece = may_open(next).then(|| lexical::piece(self.rest(), self.dialect));
        match piece.flatten() {
            Some(Piece::Quoted(length)) => self.quoted(next, length)?,
            Some(Piece::LineComment(length)) => self.line_comment(length)?,
            Some(Piece::BlockComment(length)) => self.block_comment(length)?,
            Some(Piece::Executed(_)) => {
                self.executed = Some(self.at);
                self.at += "/*!".len();
            }
            Some(Piece::CommentEnd) if self.executed.is_some() => {
                self.executed = None;
                self.at += 2;
            }
            _ => self.at += 1,
        }
        Ok(())
    }

    /// Over blanks, comments, empty statements and `DELIMITER` lines.
    fn go_to_the_first_word(&mut self) -> Scan<()> {
        loop {
            let Some(next) = self.ahead()? else {
                return Ok(());
            };
            if self.starts(&self.delimiter) {
                self.at += self.delimiter.len();
            } else if is_blank(next) {
                self.at += 1;
            } else if SANDBOX.iter().any(|line| self.starts(line)) {
                self.block_comment(lexical::block_comment(self.rest()))?;
            } else if next == b'\\' && self.ends_here() {
                self.at += 2;
            } else if next == b'#' || self.starts(b"--") {
                // Here, two dashes need nothing behind them.
                let place = self.at;
                self.line_comment(memchr(b'\n', self.rest()))?;
                if self.tells_remarks {
                    return Err(Stop::Remark(place..self.at.min(place + REMARK)));
                }
            } else if self.starts(b"/*") && lexical::executed_comment(self.rest()).is_none() {
                self.block_comment(lexical::block_comment(self.rest()))?;
            } else if !self.delimiter_line()? {
                return Ok(());
            }
        }
    }

    fn ends_here(&self) -> bool {
        self.starts(b"\\g") || self.starts(b"\\G")
    }

    /// A backslash outside of strings: whether it ends the statement, as `\g` does.
    fn backslash(&mut self) -> Scan<bool> {
        if self.ends_here() {
            self.at += 2;
            return Ok(true);
        }
        if self.starts(b"\\N") {
            // NULL, in old scripts.
            self.at += 2;
            return Ok(false);
        }
        let place = self.at;
        let text = String::from_utf8_lossy(&self.rest()[..self.rest().len().min(5)]).into_owned();
        let command: String = text.chars().take(2).collect();
        Err(self
            .flaw(place, of_the_client(command.trim_ascii_end()))
            .into())
    }

    /// `DELIMITER //`: the rest of the line up to a blank, quoted or not.
    fn delimiter_line(&mut self) -> Scan<bool> {
        const WORD: &[u8] = b"delimiter";
        let place = self.at;
        let Some((word, _)) = self.rest().split_at_checked(WORD.len()) else {
            return Ok(false);
        };
        if !word.eq_ignore_ascii_case(WORD) {
            return Ok(false);
        }
        let end = self.or_more(memchr(b'\n', self.rest()))?;
        let line = &self.rest()[..end.unwrap_or(self.rest().len())];
        let length = line.len();
        let argument = &line[WORD.len()..];
        if argument.first().is_some_and(|&byte| !is_blank(byte)) {
            return Ok(false);
        }
        let start = argument.iter().position(|&byte| !is_blank(byte));
        let argument = &argument[start.unwrap_or(argument.len())..];
        let delimiter = match argument.first() {
            Some(quote @ (b'\'' | b'"' | b'`')) => argument[1..].split(|byte| byte == quote).next(),
            _ => argument.split(|&byte| is_blank(byte)).next(),
        };
        let delimiter = delimiter.unwrap_or_default().to_vec();
        if delimiter.is_empty() {
            return Err(self.flaw(place, "DELIMITER names no delimiter").into());
        }
        if delimiter.contains(&b'\\') {
            return Err(self
                .flaw(place, "a delimiter cannot have a backslash in it")
                .into());
        }
        self.delimiter = delimiter;
        self.at += length;
        Ok(true)
    }

    fn line_comment(&mut self, length: Option<usize>) -> Scan<()> {
        let length = self.or_more(length)?;
        self.at += length.unwrap_or(self.rest().len());
        Ok(())
    }

    fn block_comment(&mut self, length: Option<usize>) -> Scan<()> {
        let opened = self.at;
        if let Some(length) = self.or_more(length)? {
            self.at += length;
            return Ok(());
        }
        Err(self
            .flaw(opened, "a comment is opened here and never closed")
            .into())
    }

    /// A string or a quoted name.
    fn quoted(&mut self, quote: u8, length: Option<usize>) -> Scan<()> {
        let opened = self.at;
        if let Some(length) = self.or_more(length)? {
            self.at += length;
            return Ok(());
        }
        let is_name = self.dialect.quotes_names(quote);
        let what = if is_name { "quoted name" } else { "string" };
        let quote = char::from(quote);
        Err(self
            .flaw(
                opened,
                format!("a {what} is opened here with {quote} and never closed"),
            )
            .into())
    }
}

/// Whether a string, a quoted name, a comment or a command may begin with it.
fn may_open(byte: u8) -> bool {
    matches!(
        byte,
        b'\\' | b'\'' | b'"' | b'`' | b'/' | b'*' | b'#' | b'-'
    )
}

/// The flaw of a command of the client.
pub(in crate::store::mysql) fn of_the_client(command: &str) -> String {
    format!("`{command}` is a command of the client; scripts are sent to the server as SQL")
}

#[cfg(test)]
mod tests;
