//! Definitions cut into words, as SQLite cuts them. Pure.

use std::ops::Range;

/// A word of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    Quoted(String),
    Other(char),
}

/// Cuts a definition into words; comments and white space are none.
pub(super) fn tokens(sql: &str) -> Vec<Token> {
    placed(sql).into_iter().map(|(token, _)| token).collect()
}

/// The same, each with the bytes that it is.
pub(super) fn placed(sql: &str) -> Vec<(Token, Range<usize>)> {
    let mut found = Vec::new();
    let mut rest = sql;
    let mut at = 0;
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            c if c.is_whitespace() => (None, c.len_utf8()),
            '-' if rest.starts_with("--") => (None, rest.find('\n').unwrap_or(rest.len())),
            // Not the star that opens it: `/*/` is open.
            '/' if rest.starts_with("/*") => {
                (None, rest[2..].find("*/").map_or(rest.len(), |end| end + 4))
            }
            '"' | '\'' | '`' | '[' => {
                let close = if first == '[' { ']' } else { first };
                let (text, length) = quoted(&rest[1..], close);
                (Some(Token::Quoted(text)), 1 + length)
            }
            c if is_word(c) => {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                (Some(Token::Word(rest[..end].to_owned())), end)
            }
            c => (Some(Token::Other(c)), c.len_utf8()),
        };
        if let Some(token) = token {
            found.push((token, at..at + length));
        }
        at += length;
        rest = &rest[length..];
    }
    found
}

impl Token {
    /// Whether it is this keyword.
    pub(super) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// The name that it is, or could be.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            Self::Other(_) => None,
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// What is before the closing quote, which stands for itself when it is there twice; and how many bytes that is with it.
fn quoted(text: &str, close: char) -> (String, usize) {
    let mut out = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != close {
            out.push(c);
        } else if close != ']' && chars.peek().is_some_and(|(_, next)| *next == close) {
            out.push(c);
            chars.next();
        } else {
            return (out, at + 1);
        }
    }
    (out, text.len())
}
