//! SQL of a MySQL or MariaDB server in tokens: as much as it takes to find names, clauses and accounts in statements that
//! the server itself printed. Pure.
//!
//! The pieces are those of [`lexical`]; comments that are code (`/*! */`, `/*M! */`) are tokens like any other.

pub(in crate::store::mysql) use super::lexical::Dialect;
use super::lexical::{self, Piece};

/// The kind of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::mysql) enum Shape {
    /// A word without quotes: a keyword or a name.
    Word,
    /// A name in backticks, or in double quotes where `ANSI_QUOTES` is on.
    Quoted,
    /// A string.
    Text,
    /// A number, or a word that starts with a digit.
    Number,
    /// Blanks, and comments that are no code.
    Blank,
    /// One character of anything else; the start (`/*!50100`) and the end (`*/`) of a comment that is code.
    Mark,
}

/// A piece of a statement. All tokens of a statement in a row are the statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::mysql) struct Token<'a> {
    pub(in crate::store::mysql) shape: Shape,
    pub(in crate::store::mysql) text: &'a str,
}

impl Token<'_> {
    /// Whether it is this keyword.
    pub(in crate::store::mysql) fn is(&self, word: &str) -> bool {
        self.shape == Shape::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is this mark.
    pub(in crate::store::mysql) fn is_mark(&self, mark: &str) -> bool {
        self.shape == Shape::Mark && self.text == mark
    }

    /// The name that it is, without its quotes.
    pub(in crate::store::mysql) fn name(&self) -> Option<String> {
        match self.shape {
            Shape::Word => Some(self.text.to_owned()),
            Shape::Quoted => {
                let quote = &self.text[..1];
                let inner = self.text.strip_prefix(quote)?.strip_suffix(quote)?;
                Some(inner.replace(&quote.repeat(2), quote))
            }
            // `1a` is a name, as long as it is not all digits.
            Shape::Number => self
                .text
                .bytes()
                .any(|byte| !byte.is_ascii_digit())
                .then(|| self.text.to_owned()),
            _ => None,
        }
    }
}

/// Cuts a statement into tokens. What is opened and never closed goes on to the end.
pub(in crate::store::mysql) fn tokens(sql: &str, dialect: Dialect) -> Vec<Token<'_>> {
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    // How many comments that are code are open; their ends are marks.
    let mut code = 0_usize;
    while at < bytes.len() {
        let (shape, end) = next(sql, at, dialect, &mut code);
        found.push(Token {
            shape,
            text: &sql[at..end],
        });
        at = end;
    }
    found
}

/// The tokens of a part of a statement as we write them, without blanks; `None`: it has a comment, code in one, a semicolon,
/// a quote that does not end, or a word or a sign that we do not write.
pub(in crate::store::mysql) fn plain_tokens(sql: &str) -> Option<Vec<Token<'_>>> {
    let dialect = Dialect::default();
    let mut found = tokens(sql, dialect);
    let is_plain = |token: &Token<'_>| match token.shape {
        Shape::Blank => token.text.bytes().all(|byte| byte == b' '),
        Shape::Word => token.text.is_ascii(),
        Shape::Number => token.text.bytes().all(|byte| byte.is_ascii_digit()),
        Shape::Quoted | Shape::Text => {
            dialect.whole_quoted(token.text.as_bytes()) == Some(token.text.len())
        }
        Shape::Mark => matches!(token.text, "(" | ")" | "," | "." | "="),
    };
    if !found.iter().all(is_plain) {
        return None;
    }
    found.retain(|token| token.shape != Shape::Blank);
    Some(found)
}

/// The token that starts at `at`: what it is, and where it ends.
fn next(sql: &str, at: usize, dialect: Dialect, code: &mut usize) -> (Shape, usize) {
    let rest = &sql.as_bytes()[at..];
    let all = rest.len();
    let (shape, length) = match lexical::piece(rest, dialect) {
        Some(Piece::Word(length)) => (Shape::Word, length),
        Some(Piece::Number(length)) => (Shape::Number, length),
        Some(Piece::Blank(length)) => (Shape::Blank, length),
        Some(Piece::Quoted(_)) => {
            let shape = if dialect.quotes_names(rest[0]) {
                Shape::Quoted
            } else {
                Shape::Text
            };
            (shape, dialect.whole_quoted(rest).unwrap_or(all))
        }
        Some(Piece::LineComment(length) | Piece::BlockComment(length)) => {
            (Shape::Blank, length.unwrap_or(all))
        }
        Some(Piece::Executed(executed)) => {
            *code += 1;
            (Shape::Mark, executed.sign + executed.digits)
        }
        Some(Piece::CommentEnd) if *code > 0 => {
            *code -= 1;
            (Shape::Mark, 2)
        }
        Some(Piece::CommentEnd | Piece::Sign) => (Shape::Mark, 1),
        None => (Shape::Blank, 0),
    };
    (shape, at + length)
}

/// The next token from `at` on that is no blank, and its place.
pub(in crate::store::mysql) fn solid<'a, 'b>(
    tokens: &'b [Token<'a>],
    at: usize,
) -> Option<(usize, &'b Token<'a>)> {
    tokens
        .iter()
        .enumerate()
        .skip(at)
        .find(|(_, token)| token.shape != Shape::Blank)
}

/// The last token before `at` that is no blank, and its place.
pub(in crate::store::mysql) fn before<'a, 'b>(
    tokens: &'b [Token<'a>],
    at: usize,
) -> Option<(usize, &'b Token<'a>)> {
    tokens[..at]
        .iter()
        .enumerate()
        .rev()
        .find(|(_, token)| token.shape != Shape::Blank)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn solids(sql: &str, dialect: Dialect) -> Vec<(Shape, &str)> {
        tokens(sql, dialect)
            .into_iter()
            .filter(|token| token.shape != Shape::Blank)
            .map(|token| (token.shape, token.text))
            .collect()
    }

    #[test]
    fn strings_names_and_comments_end_where_the_server_ends_them() {
        use Shape::{Mark, Number, Quoted, Text, Word};
        assert_eq!(
            solids(
                "a.`b``c` 'it''s \\' `' \"x\" -- `\n# '\n/* ' */ 1--1 /*!50100 k*/é9",
                Dialect::default()
            ),
            vec![
                (Word, "a"),
                (Mark, "."),
                (Quoted, "`b``c`"),
                (Text, "'it''s \\' `'"),
                (Text, "\"x\""),
                (Number, "1"),
                (Mark, "-"),
                (Mark, "-"),
                (Number, "1"),
                (Mark, "/*!50100"),
                (Word, "k"),
                (Mark, "*/"),
                (Word, "é9"),
            ]
        );
    }

    #[test]
    fn the_sql_mode_decides_what_double_quotes_and_backslashes_are() {
        let dialect = Dialect::of("PIPES_AS_CONCAT,ANSI_QUOTES,NO_BACKSLASH_ESCAPES");
        assert_eq!(
            solids("\"a\" 'b\\' c", dialect),
            vec![
                (Shape::Quoted, "\"a\""),
                (Shape::Text, "'b\\'"),
                (Shape::Word, "c"),
            ]
        );
        assert_eq!(Dialect::of("ANSI"), Dialect::default());
    }

    #[test]
    fn a_quoted_name_is_its_text_without_the_quotes() {
        let name = |sql| tokens(sql, Dialect::default())[0].name();
        assert_eq!(name("`a``b`").as_deref(), Some("a`b"));
        assert_eq!(name("1a").as_deref(), Some("1a"));
        assert_eq!(name("12"), None);
        assert_eq!(name("'a'"), None);
    }

    proptest! {
        #[test]
        fn all_tokens_in_a_row_are_the_statement(sql in "[ a`'\"\\\\/*!#\n.é0-]{0,40}", ansi: bool, plain: bool) {
            let dialect = Dialect { ansi_quotes: ansi, no_backslash: plain };
            let joined: String = tokens(&sql, dialect).iter().map(|token| token.text).collect();
            prop_assert_eq!(joined, sql);
        }
    }
}
