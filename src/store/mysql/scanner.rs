//! SQL cut into statements the way the `mariadb` client does it (`add_line` in its `mysql.cc`), as it comes: in bytes, since
//! a dump's strings are of any character set, and no further than what has come.
//!
//! A statement ends at the delimiter, `;` until a `DELIMITER` line says otherwise, or at `\g` and `\G`. A routine's body
//! is not understood: without `DELIMITER`, its first `;` ends the statement, as there.

use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr2, memmem};

use super::super::statements::Flaw;
use super::lexer::Dialect;

/// How the dumps of newer versions begin. It speaks to the client alone, and older ones choke on it.
const SANDBOX: [&[u8]; 2] = [br"/*!999999\-", br"/*M!999999\-"];

/// As much of what comes has to be seen to know what begins with it.
const AHEAD: usize = 16;

/// Of a remark, as much is kept.
const REMARK: usize = 512;

/// What there is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
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
pub(super) struct Scanner {
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
    pub(super) fn new() -> Self {
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
    pub(super) fn of_stream(longest: usize) -> Self {
        Self {
            longest,
            ..Self::new()
        }
    }

    /// The same for who wants remarks, each as it comes: a text may have any number of them.
    pub(super) fn with_remarks(self) -> Self {
        Self {
            tells_remarks: true,
            ..self
        }
    }

    /// Takes more of the text. What was returned before is gone.
    pub(super) fn feed(&mut self, piece: &[u8]) {
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
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// How strings end from here on: by the session's `sql_mode`.
    pub(super) fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    /// What a statement's place has; until more is fed.
    pub(super) fn text(&self, place: Range<usize>) -> &[u8] {
        &self.buffer[place]
    }

    /// The next statement.
    pub(super) fn step(&mut self) -> Result<Step, Flaw> {
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
                            "a statement or comment of more than {} bytes begins here, which is more than is taken of a dump: 256 MiB, or the server's max_allowed_packet if that is less",
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
            } else if matches!(next, b'\'' | b'"' | b'`') {
                self.quoted(next)?;
            } else if self.opens_executed() {
                self.executed = Some(self.at);
                self.at += "/*!".len();
            } else if self.executed.is_some() && self.starts(b"*/") {
                self.executed = None;
                self.at += 2;
            } else if !self.skip_comment(false)? {
                self.at += 1;
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
            .position(|&byte| {
                byte == ends
                    || matches!(
                        byte,
                        b'\\' | b'\'' | b'"' | b'`' | b'/' | b'*' | b'#' | b'-'
                    )
            })
            .unwrap_or(rest.len());
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
                self.block_comment()?;
            } else if next == b'\\' && self.ends_here() {
                self.at += 2;
            } else if self.tells_remarks && (next == b'#' || self.dashes(true)) {
                let place = self.at;
                self.skip_comment(true)?;
                return Err(Stop::Remark(place..self.at.min(place + REMARK)));
            } else if !self.skip_comment(true)? && !self.delimiter_line()? {
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

    /// `/*!` and MariaDB's own `/*M!`: what follows is executed.
    fn opens_executed(&self) -> bool {
        self.starts(b"/*!") || self.starts(b"/*M!")
    }

    /// A comment that is not executed. At the start of a statement, two dashes need no blank behind them.
    fn skip_comment(&mut self, at_start: bool) -> Scan<bool> {
        if self.starts(b"#") || self.dashes(at_start) {
            let end = self.or_more(memchr(b'\n', self.rest()))?;
            let end = end.unwrap_or(self.rest().len());
            self.at += end;
        } else if self.starts(b"/*") && !self.opens_executed() {
            self.block_comment()?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn dashes(&self, at_start: bool) -> bool {
        self.rest().strip_prefix(b"--").is_some_and(|after| {
            at_start
                || after
                    .first()
                    .is_none_or(|&byte| is_blank(byte) || byte.is_ascii_control())
        })
    }

    /// They do not nest.
    fn block_comment(&mut self) -> Scan<()> {
        let opened = self.at;
        // Not the star that opens it: `/*/` is open.
        match self.or_more(memmem::find(&self.rest()[2..], b"*/"))? {
            Some(end) => {
                self.at += 2 + end + 2;
                Ok(())
            }
            None => Err(self
                .flaw(opened, "a comment is opened here and never closed")
                .into()),
        }
    }

    /// A string or a quoted name. A quote that is doubled closes it and opens the next one, which comes to the same.
    fn quoted(&mut self, quote: u8) -> Scan<()> {
        let opened = self.at;
        let is_name = quote == b'`' || (quote == b'"' && self.dialect.ansi_quotes);
        let escapes = !is_name && !self.dialect.no_backslash;
        let rest = self.rest();
        let mut at = 1;
        let end = loop {
            let Some(text) = rest.get(at..) else {
                break None;
            };
            let found = if escapes {
                memchr2(quote, b'\\', text)
            } else {
                memchr(quote, text)
            };
            match found {
                Some(place) if text[place] == quote => break Some(at + place + 1),
                Some(place) => at += place + 2,
                None => break None,
            }
        };
        if let Some(end) = self.or_more(end)? {
            self.at += end;
            return Ok(());
        }
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

/// The flaw of a command of the client.
pub(super) fn of_the_client(command: &str) -> String {
    format!("`{command}` is a command of the client; scripts are sent to the server as SQL")
}

pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Everything in a text that is fed in pieces of this length: statements with their lines, or the flaw.
    fn cut(text: &[u8], piece: usize) -> Result<Vec<(usize, Vec<u8>)>, Flaw> {
        let mut scanner = Scanner::of_stream(usize::MAX).with_remarks();
        let mut pieces = text.chunks(piece.max(1));
        let mut found = Vec::new();
        loop {
            match scanner.step()? {
                Step::Statement(line, place) => found.push((line, scanner.text(place).to_vec())),
                Step::Remark(_) => {}
                Step::More => match pieces.next() {
                    Some(piece) => scanner.feed(piece),
                    None => scanner.end(),
                },
                Step::End => return Ok(found),
            }
        }
    }

    #[test]
    fn a_text_in_pieces_is_cut_as_the_whole_one_is() {
        let text = b"/*M!999999\\- enable the sandbox mode */\n-- a;\nINSERT INTO t VALUES (1,_binary 'a\\'\xff;\n'),(2,\"b;\");\nDELIMITER ;;\n/*!50003 CREATE TRIGGER x BEGIN /* ; */ SET @a = 1; END */;;\ndelimiter ;\n# b\nSELECT 1 -- c;\n, 2";
        let whole = cut(text, text.len()).unwrap();
        assert_eq!(
            whole.iter().map(|(line, _)| *line).collect::<Vec<_>>(),
            [3, 6, 9]
        );
        for piece in 1..text.len() {
            assert_eq!(cut(text, piece).unwrap(), whole, "{piece}");
        }
    }

    #[test]
    fn a_long_statement_is_refused_before_all_of_it_has_come() {
        let mut scanner = Scanner::of_stream(100);
        scanner.feed(b"SELECT 1;\nINSERT INTO t VALUES ('");
        assert!(matches!(scanner.step().unwrap(), Step::Statement(1, _)));
        let mut fed = 0;
        let flaw = loop {
            match scanner.step() {
                Ok(Step::More) => {
                    scanner.feed(&[b'x'; 64]);
                    fed += 64;
                    assert!(fed < 1000);
                }
                Ok(step) => panic!("{step:?}"),
                Err(flaw) => break flaw,
            }
        };
        assert_eq!(flaw.line, 2);
        assert!(flaw.what.contains("more than 100 bytes"), "{flaw}");
    }

    #[test]
    fn the_sql_mode_says_whether_a_backslash_escapes() {
        let mut scanner = Scanner::new();
        scanner.set_dialect(Dialect::of("ANSI_QUOTES,NO_BACKSLASH_ESCAPES"));
        scanner.feed(b"SELECT '\\'; SELECT \"\\\"; x");
        scanner.end();
        let mut found = Vec::new();
        while let Step::Statement(_, place) = scanner.step().unwrap() {
            found.push(String::from_utf8(scanner.text(place).to_vec()).unwrap());
        }
        assert_eq!(found, ["SELECT '\\'", "SELECT \"\\\"", "x"]);
    }

    #[test]
    fn remarks_are_those_before_statements() {
        let mut scanner = Scanner::of_stream(usize::MAX).with_remarks();
        scanner.feed(b"-- one\n# two\nSELECT 1 -- three\n;\n--Dump completed");
        scanner.end();
        let mut found = Vec::new();
        loop {
            match scanner.step().unwrap() {
                Step::Statement(line, _) => found.push(line.to_string()),
                Step::Remark(place) => {
                    found.push(String::from_utf8_lossy(scanner.text(place)).into_owned());
                }
                Step::End => break,
                Step::More => panic!("all of it is there"),
            }
        }
        assert_eq!(found, ["-- one", "# two", "3", "--Dump completed"]);
    }

    #[test]
    fn comments_without_end_take_no_memory_and_one_that_does_not_end_is_refused() {
        let mut scanner = Scanner::of_stream(1 << 20).with_remarks();
        let piece = b"-- abcdefghijk\n#\n/* x */\n".repeat(4000);
        let mut told = 0;
        for _ in 0..200 {
            scanner.feed(&piece);
            while let Step::Remark(_) = scanner.step().unwrap() {
                told += 1;
            }
        }
        // The last one that has come whole may wait for more.
        assert!(told >= 200 * 8000 - 2, "{told}");
        assert!(scanner.buffer.capacity() < 4 * piece.len());
        for opening in ["-- ", "/* ", "SELECT /* ", "SELECT '", "DELIMITER ", "a"] {
            let mut scanner = Scanner::of_stream(1 << 20).with_remarks();
            scanner.feed(opening.as_bytes());
            let flaw = (0..100).find_map(|_| {
                let step = scanner.step();
                scanner.feed(&vec![b'x'; 1 << 16]);
                step.err()
            });
            let flaw = flaw.unwrap_or_else(|| panic!("{opening} goes on for ever"));
            assert!(flaw.what.contains("more than 1048576 bytes"), "{flaw}");
            assert!(scanner.buffer.len() < 3 << 20);
        }
    }

    proptest! {
        #[test]
        fn where_a_text_is_torn_makes_no_difference(
            pieces in prop::collection::vec("([a-z;'\"`$\\\\()/*!# \n-]{0,6}|\ndelimiter [;/$]{1,2}\n|/\\*|\\*/|/\\*!|\\\\g|\u{e9})", 0..20),
            piece in 1_usize..40,
        ) {
            let text = pieces.concat();
            prop_assert_eq!(cut(text.as_bytes(), piece), cut(text.as_bytes(), text.len()));
        }
    }
}
