//! The tokenizer on which all readers of SQL stand: where words, strings, quoted names and comments begin and end, to a server.
//! In bytes, since a dump's strings are of any character set in which ASCII is ASCII. Pure.
//!
//! The rules are those of the servers' `sql_lex.cc`.

use memchr::{memchr, memchr2, memmem};

/// The modes of `sql_mode` that change where a token ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::store::mysql) struct Dialect {
    /// `"a"` is a name.
    pub(in crate::store::mysql) ansi_quotes: bool,
    /// A backslash in a string is itself.
    pub(in crate::store::mysql) no_backslash: bool,
}

impl Dialect {
    /// That of a `sql_mode`, as the server prints it: with what combined modes consist of.
    pub(in crate::store::mysql) fn of(sql_mode: &str) -> Self {
        let has = |wanted: &str| sql_mode.split(',').any(|mode| mode == wanted);
        Self {
            ansi_quotes: has("ANSI_QUOTES"),
            no_backslash: has("NO_BACKSLASH_ESCAPES"),
        }
    }

    /// Whether this quote is a name's.
    pub(in crate::store::mysql) fn quotes_names(self, quote: u8) -> bool {
        quote == b'`' || (quote == b'"' && self.ansi_quotes)
    }

    /// The length of the string or quoted name that the text begins with, its quotes included; `None`: it does not end. A quote
    /// that is doubled stands for itself.
    pub(in crate::store::mysql) fn whole_quoted(self, text: &[u8]) -> Option<usize> {
        let mut length = self.quoted(text)?;
        while text.get(length) == text.first() {
            length += self.quoted(&text[length..])?;
        }
        Some(length)
    }

    /// The same up to the first quote that is not escaped by a backslash. A quote that is doubled closes it, and opens the next
    /// one: for a reader that does not want what is in it, that comes to the same.
    fn quoted(self, text: &[u8]) -> Option<usize> {
        let quote = *text.first()?;
        let escapes = !self.quotes_names(quote) && !self.no_backslash;
        let mut at = 1;
        loop {
            let rest = text.get(at..)?;
            let found = if escapes {
                memchr2(quote, b'\\', rest)
            } else {
                memchr(quote, rest)
            };
            match found? {
                place if rest[place] == quote => return Some(at + place + 1),
                place => at += place + 2,
            }
        }
    }
}

/// What a text begins with, and how long it is in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::mysql) enum Piece {
    /// A word without quotes: of ASCII, as [`is_word`] says, and everything beyond it.
    Word(usize),
    /// A number, or a word that starts with a digit.
    Number(usize),
    /// White space: ASCII's, and no other.
    Blank(usize),
    /// A string, or a name as [`Dialect::quotes_names`] says, up to a quote; `None`: it does not end. A doubled quote makes two of it.
    Quoted(Option<usize>),
    /// A comment to the end of its line, without that; `None`: to the end of the text.
    LineComment(Option<usize>),
    /// A comment that is not executed; `None`: it does not end.
    BlockComment(Option<usize>),
    /// The beginning of a comment that is executed.
    Executed(Executed),
    /// The end of one (`*/`), if one is open.
    CommentEnd,
    /// One byte of anything else.
    Sign,
}

/// The piece that a text begins with, outside of quotes and comments; `None`: the text is empty.
pub(in crate::store::mysql) fn piece(text: &[u8], dialect: Dialect) -> Option<Piece> {
    let found = match *text.first()? {
        b'\'' | b'"' | b'`' => Piece::Quoted(dialect.quoted(text)),
        b'/' if text.starts_with(b"/*") => match executed_comment(text) {
            Some(executed) => Piece::Executed(executed),
            None => Piece::BlockComment(block_comment(text)),
        },
        b'*' if text.starts_with(b"*/") => Piece::CommentEnd,
        b'#' | b'-' if opens_line_comment(text) => Piece::LineComment(memchr(b'\n', text)),
        byte if byte.is_ascii_whitespace() => {
            Piece::Blank(run(text, |byte| byte.is_ascii_whitespace()))
        }
        byte if byte.is_ascii_digit() => Piece::Number(run(text, is_word_or_beyond_ascii)),
        byte if is_word_or_beyond_ascii(byte) => Piece::Word(run(text, is_word_or_beyond_ascii)),
        _ => Piece::Sign,
    };
    Some(found)
}

/// How many bytes at the beginning are of one kind.
fn run(text: &[u8], is_in: impl Fn(u8) -> bool) -> usize {
    text.iter()
        .position(|byte| !is_in(*byte))
        .unwrap_or(text.len())
}

fn is_word_or_beyond_ascii(byte: u8) -> bool {
    is_word(byte) || byte >= 0x80
}

/// Whether a comment begins that goes on to the end of its line. Two dashes are one if a blank or a control character follows,
/// or nothing; else they are two signs.
fn opens_line_comment(text: &[u8]) -> bool {
    text.starts_with(b"#")
        || text.strip_prefix(b"--").is_some_and(|after| {
            let next = after.first();
            next.is_none_or(|byte| *byte == b' ' || byte.is_ascii_control())
        })
}

/// The length of the block comment that the text begins with; `None`: it does not end. They do not nest, and the star that opens
/// one does not close it: `/*/` is open.
pub(in crate::store::mysql) fn block_comment(text: &[u8]) -> Option<usize> {
    memmem::find(text.get(2..)?, b"*/").map(|end| 2 + end + 2)
}

/// The beginning of a comment that servers execute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::mysql) struct Executed {
    /// It is MariaDB's own (`/*M!`), and a comment like any to MySQL.
    pub(super) is_mariadbs: bool,
    /// The length of `/*!` or `/*M!`, and that of the digits of the version behind it.
    pub(in crate::store::mysql) sign: usize,
    pub(in crate::store::mysql) digits: usize,
}

/// What the text begins with, if it is that.
pub(in crate::store::mysql) fn executed_comment(text: &[u8]) -> Option<Executed> {
    let is_mariadbs = text.starts_with(b"/*M!");
    if !is_mariadbs && !text.starts_with(b"/*!") {
        return None;
    }
    let sign = if is_mariadbs { 4 } else { 3 };
    let digits = text[sign..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(Executed {
        is_mariadbs,
        sign,
        digits: digits.count(),
    })
}

/// What words without quotes are of in ASCII: letters, digits, `_` and `$`.
pub(in crate::store::mysql) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

/// A blank or the end of a line.
pub(in crate::store::mysql) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Whether this is a character set's, a collation's or an engine's name: it can stand in a statement without quotes.
pub(in crate::store::mysql) fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_character_behind_two_dashes_makes_them_a_comment() {
        for (text, opens) in [
            (&b"--"[..], true),
            (b"-- x", true),
            (b"--\tx", true),
            (b"--\x7fx", true),
            (b"--x", false),
            (b"--1", false),
            (b"-", false),
            (b"#x", true),
        ] {
            assert_eq!(opens_line_comment(text), opens, "{text:?}");
        }
    }

    #[test]
    fn what_is_quoted_ends_at_its_quote_and_at_no_escaped_one() {
        let plain = Dialect::default();
        let own = Dialect::of("ANSI_QUOTES,NO_BACKSLASH_ESCAPES");
        assert_eq!(plain.quoted(b"'a\\'b' c"), Some(6));
        assert_eq!(own.quoted(b"'a\\'b' c"), Some(4));
        assert_eq!(plain.quoted(b"`a\\`b"), Some(4));
        assert_eq!(plain.quoted(b"'a"), None);
        assert_eq!(plain.quoted(br"'a\"), None);
        assert_eq!(plain.quoted(b""), None);
    }

    #[test]
    fn a_text_begins_with_one_piece_of_one_length() {
        let dialect = Dialect::default();
        for (text, wanted) in [
            (&b"a1_$\xc3\xa9 b"[..], Piece::Word(6)),
            (b"\xa0b(", Piece::Word(2)),
            (b"1a.b", Piece::Number(2)),
            (b" \t\n\x0c\x0bx", Piece::Blank(4)),
            (b"\x0b", Piece::Sign),
            (b"'a''b'", Piece::Quoted(Some(3))),
            (b"'a", Piece::Quoted(None)),
            (b"-- a\nb", Piece::LineComment(Some(4))),
            (b"#a", Piece::LineComment(None)),
            (b"--a", Piece::Sign),
            (b"/* a */ b", Piece::BlockComment(Some(7))),
            (b"/* a", Piece::BlockComment(None)),
            (b"*/", Piece::CommentEnd),
            (b"*/*", Piece::CommentEnd),
            (b"/1", Piece::Sign),
        ] {
            assert_eq!(piece(text, dialect), Some(wanted), "{text:?}");
        }
        assert_eq!(piece(b"", dialect), None);
        assert_eq!(dialect.whole_quoted(b"'a''b' 'c'"), Some(6));
        assert_eq!(dialect.whole_quoted(b"'a''b"), None);
    }

    #[test]
    fn comments_are_told_from_those_that_are_executed() {
        assert_eq!(block_comment(b"/*/ */ x"), Some(6));
        assert_eq!(block_comment(b"/*/"), None);
        assert_eq!(executed_comment(b"/* 1"), None);
        let found = executed_comment(b"/*M!100100 x").expect("one");
        assert_eq!((found.is_mariadbs, found.sign, found.digits), (true, 4, 6));
    }
}
