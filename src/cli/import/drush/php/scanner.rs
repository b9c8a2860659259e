//! PHP's tokens, as far as files of aliases have them.

use super::super::super::assignments::Flaw;

/// What the next piece of a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'t> {
    /// A text in quotes, without them.
    Text(String),
    /// Digits.
    Number(String),
    /// `$NAME`. Without a name, a variable whose name is computed.
    Variable(&'t str),
    /// A keyword, constant or function.
    Word(&'t str),
    /// `=>`.
    Arrow,
    /// An operator of several characters, or a text that is put together from variables.
    Other,
    Sign(char),
    End,
}

/// Goes through a file.
pub(super) struct Scanner<'t> {
    rest: &'t str,
    line: usize,
    ahead: Option<(usize, Token<'t>)>,
    /// Whether `?>` was there.
    is_over: bool,
}

/// Operators that are told from `=` and from one another.
const OPERATORS: [&str; 24] = [
    "<<=", ">>=", "**=", "??=", "===", "!==", "<=>", "...", "==", "!=", "<=", ">=", "&&", "||",
    "??", "+=", "-=", "*=", "/=", ".=", "%=", "->", "::", "<>",
];

impl<'t> Scanner<'t> {
    /// Begins behind `<?php`.
    pub(super) fn new(text: &'t str) -> Result<Self, Flaw> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let begin = text.trim_start();
        let line = 1 + text[..text.len() - begin.len()].matches('\n').count();
        let rest = begin.strip_prefix("<?php");
        let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        Ok(Self {
            rest: rest.ok_or_else(|| at(line, "it does not begin with <?php"))?,
            line,
            ahead: None,
            is_over: false,
        })
    }

    pub(super) fn peek(&mut self) -> Result<&Token<'t>, Flaw> {
        let next = match self.ahead.take() {
            Some(next) => next,
            None => self.scan()?,
        };
        Ok(&self.ahead.insert(next).1)
    }

    /// The next token, with its line.
    pub(super) fn next(&mut self) -> Result<(usize, Token<'t>), Flaw> {
        match self.ahead.take() {
            Some(next) => Ok(next),
            None => self.scan(),
        }
    }

    /// Takes so many bytes.
    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// Takes as long as characters are such.
    fn while_is(&mut self, is: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !is(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn scan(&mut self) -> Result<(usize, Token<'t>), Flaw> {
        self.pass_comments()?;
        let line = self.line;
        let Some(c) = self.rest.chars().next() else {
            return Ok((line, Token::End));
        };
        if self.is_over {
            return Err(at(line, "something stands behind ?>"));
        }
        let token = match c {
            '\'' => Token::Text(self.single()?),
            '"' => self.double()?,
            '`' => return Err(at(line, "the output of a command stands here")),
            '$' => {
                self.take(1);
                Token::Variable(self.while_is(is_in_name))
            }
            c if c.is_ascii_digit() => self.number(),
            c if is_in_name(c) => Token::Word(self.while_is(|c| is_in_name(c) || c == '\\')),
            _ if self.rest.starts_with("<<<") => {
                return Err(at(line, "a text of several lines (<<<) is not understood"));
            }
            _ if self.rest.starts_with("?>") => {
                self.take(2);
                self.is_over = true;
                Token::Sign(';')
            }
            _ if self.rest.starts_with("=>") => {
                self.take(2);
                Token::Arrow
            }
            c => {
                let operator = OPERATORS.iter().find(|one| self.rest.starts_with(**one));
                self.take(operator.map_or(c.len_utf8(), |one| one.len()));
                operator.map_or(Token::Sign(c), |_| Token::Other)
            }
        };
        Ok((line, token))
    }

    fn pass_comments(&mut self) -> Result<(), Flaw> {
        loop {
            self.while_is(char::is_whitespace);
            if self.rest.starts_with("/*") {
                let line = self.line;
                let end = self.rest[2..].find("*/");
                let end = end.ok_or_else(|| at(line, "a comment is not closed"))?;
                self.take(end + 4);
            } else if self.rest.starts_with("//") || self.rest.starts_with('#') {
                let line = self.line;
                let comment = self.while_is(|c| c != '\n');
                // PHP ends there.
                if comment.contains("?>") {
                    return Err(at(line, "?> stands in a comment"));
                }
            } else {
                return Ok(());
            }
        }
    }

    /// A whole number. PHP makes something else of what is written in other ways, and no option has it.
    fn number(&mut self) -> Token<'t> {
        let digits = self.while_is(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_'));
        let plain = digits.chars().all(|c| c.is_ascii_digit());
        if plain && (digits == "0" || !digits.starts_with('0')) {
            Token::Number(digits.to_owned())
        } else {
            Token::Other
        }
    }

    fn single(&mut self) -> Result<String, Flaw> {
        let begin = self.line;
        self.take(1);
        let mut text = String::new();
        loop {
            text.push_str(self.while_is(|c| c != '\'' && c != '\\'));
            let mut next = self.rest.chars();
            match (next.next(), next.next()) {
                (Some('\''), _) => {
                    self.take(1);
                    return Ok(text);
                }
                (Some('\\'), Some(c @ ('\'' | '\\'))) => {
                    self.take(2);
                    text.push(c);
                }
                (Some(_), _) => text.push_str(self.take(1)),
                (None, _) => return Err(at(begin, "a quote is not closed")),
            }
        }
    }

    /// A text in double quotes. With variables in it, or characters by their numbers, it is something that is computed.
    fn double(&mut self) -> Result<Token<'t>, Flaw> {
        let begin = self.line;
        self.take(1);
        let mut text = String::new();
        let mut is_whole = true;
        loop {
            text.push_str(self.while_is(|c| !matches!(c, '"' | '\\' | '$')));
            let mut next = self.rest.chars();
            match (next.next(), next.next()) {
                (Some('"'), _) => {
                    self.take(1);
                    return Ok(if is_whole {
                        Token::Text(text)
                    } else {
                        Token::Other
                    });
                }
                (Some('\\'), Some(c)) => {
                    self.take(1 + c.len_utf8());
                    match c {
                        'n' => text.push('\n'),
                        'r' => text.push('\r'),
                        't' => text.push('\t'),
                        '"' | '\\' | '$' => text.push(c),
                        'x' | 'u' | 'e' | 'f' | 'v' | '0'..='7' => is_whole = false,
                        c => text.extend(['\\', c]),
                    }
                }
                (Some('$'), c) => {
                    is_whole &=
                        !c.is_some_and(|c| is_in_name(c) || c == '{') && !text.ends_with('{');
                    text.push_str(self.take(1));
                }
                (Some(_), _) => text.push_str(self.take(1)),
                (None, _) => return Err(at(begin, "a quote is not closed")),
            }
        }
    }
}

fn is_in_name(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric() || !c.is_ascii() && !c.is_whitespace() && !c.is_control()
}

pub(super) fn at(line: usize, what: impl Into<String>) -> Flaw {
    Flaw {
        line,
        what: what.into(),
    }
}
