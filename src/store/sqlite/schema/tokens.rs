//! Definitions cut into words, as SQLite cuts them. Pure.

use std::ops::Range;

/// A word of a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::sqlite) enum Token {
    Word(String),
    Quoted(String),
    Other(char),
}

/// Cuts a definition into words; comments and white space are none.
pub(in crate::store::sqlite) fn tokens(sql: &str) -> Vec<Token> {
    placed(sql).into_iter().map(|(token, _)| token).collect()
}

/// The same, each with the bytes that it is.
pub(in crate::store::sqlite) fn placed(sql: &str) -> Vec<(Token, Range<usize>)> {
    cut(sql).0
}

/// Whether a quote or a comment is opened and never closed.
pub(super) fn is_open(sql: &str) -> bool {
    cut(sql).1
}

/// Cuts as `sqlite3GetToken` in SQLite's tokenize.c does: who writes a definition to do harm looks for places where two readers
/// differ. Also whether something is opened and never closed.
fn cut(sql: &str) -> (Vec<(Token, Range<usize>)>, bool) {
    let mut found = Vec::new();
    let mut is_open = false;
    let mut rest = sql;
    let mut at = 0;
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            c if is_blank(c) || c == '\u{feff}' => (None, c.len_utf8()),
            '-' if rest.starts_with("--") => (None, rest.find('\n').unwrap_or(rest.len())),
            // Not the star that opens it: `/*/` is open.
            '/' if rest.starts_with("/*") && rest.len() > 2 => {
                let end = rest[2..].find("*/");
                is_open |= end.is_none();
                (None, end.map_or(rest.len(), |end| end + 4))
            }
            '"' | '\'' | '`' | '[' => {
                let close = if first == '[' { ']' } else { first };
                let (text, end) = quoted(&rest[1..], close);
                is_open |= end.is_none();
                let length = end.map_or(rest.len(), |end| end + 1);
                (Some(Token::Quoted(text)), length)
            }
            '$' | '@' | ':' | '#' => (Some(Token::Other(first)), parameter(rest)),
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
    (found, is_open)
}

/// The bytes of a parameter; in Tcl's parentheses it may have a quote or a semicolon.
fn parameter(text: &str) -> usize {
    let mut at = 1;
    let mut has_name = false;
    while let Some(c) = text[at..].chars().next() {
        if is_word(c) {
            has_name = true;
            at += c.len_utf8();
        } else if c == '(' && has_name {
            let inside = &text[at..];
            let end = inside.find(|c| is_blank(c) || matches!(c, ')' | '\x0b'));
            let is_closed = end.is_some_and(|end| inside[end..].starts_with(')'));
            return at + end.unwrap_or(inside.len()) + usize::from(is_closed);
        } else if text[at..].starts_with("::") {
            at += 2;
        } else {
            break;
        }
    }
    at
}

impl Token {
    /// Whether it is this keyword.
    pub(in crate::store::sqlite) fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// The name that it is, or could be.
    pub(in crate::store::sqlite) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            Self::Other(_) => None,
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0c')
}

/// What is before the closing quote, which stands for itself when it is there twice; and where that ends, if it does.
fn quoted(text: &str, close: char) -> (String, Option<usize>) {
    let mut out = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != close {
            out.push(c);
        } else if close != ']' && chars.peek().is_some_and(|(_, next)| *next == close) {
            out.push(c);
            chars.next();
        } else {
            return (out, Some(at + 1));
        }
    }
    (out, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_a_quote_and_a_parameter_end_where_sqlite_ends_them() {
        for (sql, expected) in [
            ("a /*/ ; */ b", vec!["a", "b"]),
            ("a /**/ ; b", vec!["a", ";", "b"]),
            ("a -- ; 'b\n; c", vec!["a", ";", "c"]),
            ("$a(;') ; 'b'", vec!["$", ";", "b"]),
            ("$a(; ') ; b", vec!["$", ") ; b"]),
            ("@a::b(;) :c #d", vec!["@", ":", "#"]),
            (
                "'it''s ;' [a;''] `;``;` \";\"",
                vec!["it's ;", "a;''", ";`;", ";"],
            ),
            ("a\u{a0}b ; \u{feff}c", vec!["a\u{a0}b", ";", "c"]),
            ("a$b", vec!["a$b"]),
        ] {
            let found: Vec<String> = tokens(sql)
                .into_iter()
                .map(|token| match token {
                    Token::Word(text) | Token::Quoted(text) => text,
                    Token::Other(c) => c.to_string(),
                })
                .collect();
            assert_eq!(found, expected, "{sql}");
        }
        for open in ["SELECT 1 /* a", "/*/", "'a", "\"a", "`a", "[a", "a ''' b"] {
            assert!(is_open(open), "{open}");
        }
        for closed in ["SELECT 1 -- a", "/* a */", "''", "'a'''", "[a]", "/*"] {
            assert!(!is_open(closed), "{closed}");
        }
    }
}
