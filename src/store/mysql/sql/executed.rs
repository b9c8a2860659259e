//! Comments that servers execute (`/*!50003 ... */`), expanded or taken out as one server would do it. What two readers might
//! understand differently is refused. Pure.
//!
//! Of a dump, the result is what is checked and what is sent; so it does not matter how a server takes what is refused or taken out
//! here. The rules are those of the servers' `sql_lex.cc`.

use std::borrow::Cow;

use super::lexical::{self, Dialect, Executed, Piece};
use super::version::{Flavour, Version};

/// The versions of comments that are MySQL's alone: MariaDB executes none of them.
const OF_MYSQL: std::ops::RangeInclusive<u32> = 50_700..=99_999;

/// The server and the session settings that decide how a statement is read.
#[derive(Debug, Clone, Copy)]
pub(in crate::store::mysql) struct Reading<'a> {
    pub(in crate::store::mysql) dialect: Dialect,
    /// The server that is to run it.
    pub(in crate::store::mysql) server: &'a Version,
    /// The session's character set is UTF-8: characters beyond ASCII may stand outside of quotes.
    pub(in crate::store::mysql) utf8: bool,
}

/// The statement with the comments that this server executes expanded, and the others that depend on a version left out. `Err`: why
/// it is refused.
pub(in crate::store::mysql) fn expand<'a>(
    sql: &'a [u8],
    reading: Reading<'_>,
) -> Result<Cow<'a, [u8]>, String> {
    let mut expander = Expander {
        sql,
        at: 0,
        reading,
        made: Vec::with_capacity(sql.len()),
        executed: false,
    };
    expander.read()?;
    let made = expander.made;
    Ok(if made == sql {
        Cow::Borrowed(sql)
    } else {
        Cow::Owned(made.trim_ascii().to_vec())
    })
}

struct Expander<'a, 'b> {
    sql: &'a [u8],
    at: usize,
    reading: Reading<'b>,
    made: Vec<u8>,
    /// Inside of a comment that is executed.
    executed: bool,
}

impl Expander<'_, '_> {
    fn read(&mut self) -> Result<(), String> {
        while let Some(piece) = lexical::piece(self.rest(), self.reading.dialect) {
            let all = self.rest().len();
            match piece {
                Piece::Word(length) | Piece::Number(length) => self.word(length)?,
                Piece::Blank(length) => {
                    // What else is white space to ASCII is not to every server.
                    if self.rest()[..length].contains(&0x0c) {
                        return Err(control());
                    }
                    self.take(length);
                }
                Piece::Quoted(length) => {
                    self.take(length.ok_or_else(|| "quotes that do not end".to_owned())?);
                }
                // It is part of what a routine's body is.
                Piece::LineComment(length) => self.take(length.unwrap_or(all)),
                Piece::BlockComment(length) => self.take(length.ok_or_else(open)?),
                Piece::Executed(executed) => self.executed(executed)?,
                Piece::CommentEnd => {
                    if !std::mem::replace(&mut self.executed, false) {
                        return Err("it ends a comment that it did not begin".to_owned());
                    }
                    self.skip(2);
                }
                Piece::Sign => self.sign()?,
            }
        }
        if self.executed {
            return Err(
                "a comment that is executed is still open where the statement ends".to_owned(),
            );
        }
        Ok(())
    }

    fn rest(&self) -> &[u8] {
        &self.sql[self.at..]
    }

    fn take(&mut self, length: usize) {
        let end = self.sql.len().min(self.at + length);
        self.made.extend_from_slice(&self.sql[self.at..end]);
        self.at = end;
    }

    /// A word or a number, whose letters beyond ASCII have to be those of UTF-8.
    fn word(&mut self, length: usize) -> Result<(), String> {
        let word = &self.rest()[..length];
        if !word.is_ascii() && !self.reading.utf8 {
            return Err("a character outside of quotes that is not ASCII, where the character set is not UTF-8: dump it with --default-character-set=utf8mb4".to_owned());
        }
        if std::str::from_utf8(word).is_err() {
            return Err("bytes outside of quotes that are not UTF-8".to_owned());
        }
        self.take(length);
        Ok(())
    }

    /// One byte of anything else.
    fn sign(&mut self) -> Result<(), String> {
        match self.rest() {
            // NULL, in old scripts.
            [b'\\', b'N', ..] => self.take(2),
            [b'\\', ..] => return Err(control()),
            [b' '..=b'~', ..] => self.take(1),
            _ => return Err(control()),
        }
        Ok(())
    }

    /// The beginning of a comment that is executed, if this server executes it; else all of it.
    fn executed(&mut self, executed: Executed) -> Result<(), String> {
        let is_mariadb = self.reading.server.flavour == Flavour::MariaDb;
        if executed.is_mariadbs && !is_mariadb {
            // To MySQL, MariaDB's are comments like any.
            let length = whole_comment(self.rest())?;
            self.skip(length);
            return Ok(());
        }
        if self.executed {
            return Err("a comment that is executed inside of another one".to_owned());
        }
        let (sign, digits) = (executed.sign, executed.digits);
        let inner = &self.rest()[sign..];
        let number = std::str::from_utf8(&inner[..digits]).unwrap_or_default();
        let is_executed = match digits {
            0 => true,
            5 | 6 => self.is_reached(number.parse().unwrap_or(u32::MAX), executed.is_mariadbs),
            _ => return Err("a comment with a version number that does not exist".to_owned()),
        };
        if is_executed {
            self.skip(sign + digits);
            self.executed = true;
        } else {
            let length = sign + end_of(inner)?;
            self.skip(length);
        }
        Ok(())
    }

    fn skip(&mut self, length: usize) {
        self.at += length;
        self.made.push(b' ');
    }

    /// Whether the server executes a comment of this version.
    fn is_reached(&self, version: u32, is_mariadbs: bool) -> bool {
        let (major, minor, patch) = self.reading.server.number;
        let own = u32::from(major) * 10_000 + u32::from(minor) * 100 + u32::from(patch);
        let is_mysqls = self.reading.server.flavour == Flavour::MariaDb
            && !is_mariadbs
            && OF_MYSQL.contains(&version);
        version <= own && !is_mysqls
    }
}

fn whole_comment(text: &[u8]) -> Result<usize, String> {
    lexical::block_comment(text).ok_or_else(open)
}

/// The length of the rest of a comment that is not executed, with its end: it may have comments inside.
fn end_of(rest: &[u8]) -> Result<usize, String> {
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"*/") {
            return Ok(at + 2);
        }
        at += if rest[at..].starts_with(b"/*") {
            whole_comment(&rest[at..])?
        } else {
            1
        };
    }
    Err(open())
}

fn control() -> String {
    "a control character outside of quotes".to_owned()
}

fn open() -> String {
    "a comment that does not end".to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::lexer::{self, Shape};
    use super::*;

    fn read(sql: &str, server: &str, dialect: Dialect) -> Result<String, String> {
        let server = Version::parse(server).expect("a version");
        let reading = Reading {
            dialect,
            server: &server,
            utf8: true,
        };
        let made = expand(sql.as_bytes(), reading)?;
        Ok(String::from_utf8(made.into_owned()).expect("text"))
    }

    const MARIADB: &str = "10.11.6-MariaDB";
    const MYSQL: &str = "8.0.36";

    #[test]
    fn comments_are_executed_as_the_server_executes_them() {
        for (sql, on_mariadb, on_mysql) in [
            ("/*!40101 SET a */", "SET a", "SET a"),
            ("/*! SET a */", "SET a", "SET a"),
            (
                "/*!50106 CREATE*/ /*!50117 EVENT*/",
                "CREATE EVENT",
                "CREATE EVENT",
            ),
            ("SET /*!80000 '+' */ a", "SET a", "SET '+' a"),
            ("SET /*!080000 '+' */ a", "SET a", "SET '+' a"),
            ("SET /*!100100 b */ a", "SET b a", "SET a"),
            ("SET /*!999999 b */ a", "SET a", "SET a"),
            ("SET /*M!100616 b */ a", "SET b a", "SET a"),
            ("SET /*M!50701 b */ a", "SET b a", "SET a"),
            (
                "/*!99999 CREATE /* x */ TABLE */ DROP DATABASE y",
                "DROP DATABASE y",
                "DROP DATABASE y",
            ),
            ("/*!50003 A /* b; */ C */", "A /* b; */ C", "A /* b; */ C"),
            (
                "A -- */ b\nC # d */",
                "A -- */ b\nC # d */",
                "A -- */ b\nC # d */",
            ),
            (
                "A '/*!40000 ' `*/` \"--\"",
                "A '/*!40000 ' `*/` \"--\"",
                "A '/*!40000 ' `*/` \"--\"",
            ),
        ] {
            let dialect = Dialect::default();
            for (server, wanted) in [(MARIADB, on_mariadb), (MYSQL, on_mysql)] {
                let made = read(sql, server, dialect).expect("it is expanded");
                // How many blanks stand for a comment is nobody's business.
                let made: Vec<&str> = made.split(' ').filter(|word| !word.is_empty()).collect();
                assert_eq!(made.join(" "), wanted, "{sql} on {server}");
            }
        }
    }

    #[test]
    fn what_readers_may_take_differently_is_refused() {
        for sql in [
            "SET a */",
            "/*!40101 SET a",
            "/*!40101 SET /*!40101 a */ */",
            "/*!4 SET a */",
            "/*!4010100 SET a */",
            "/* a",
            "/*!99999 a /* b */",
            "SET 'a",
            "SET 'a\\'",
            "SET `a",
            "SET\u{b}a",
            "SET\u{c}a",
            "SET\0a",
            "SET \u{7f}",
            "SET \\a",
        ] {
            assert!(read(sql, MARIADB, Dialect::default()).is_err(), "{sql:?}");
        }
        let server = Version::parse(MYSQL).expect("a version");
        // A blank of latin1, and a broken letter of UTF-8.
        for (sql, utf8) in [(&b"ENGINE\xa0= x"[..], false), (b"ENGINE\xa0= x", true)] {
            let reading = Reading {
                dialect: Dialect::default(),
                server: &server,
                utf8,
            };
            assert!(expand(sql, reading).is_err());
        }
        let reading = Reading {
            dialect: Dialect::default(),
            server: &server,
            utf8: false,
        };
        assert!(expand(b"SET '\xa0' `\xa0` -- \xa0", reading).is_ok());
    }

    #[test]
    fn the_sql_mode_says_where_strings_end() {
        let dialect = Dialect::of("ANSI_QUOTES,NO_BACKSLASH_ESCAPES");
        for sql in ["'\\' /*!40000 ", "\"\\\" /*!40000 "] {
            assert!(read(sql, MYSQL, dialect).is_err());
            assert!(read(&format!("{sql}*/"), MYSQL, dialect).is_ok());
            assert!(read(&format!("{sql}*/"), MYSQL, Dialect::default()).is_err());
        }
        assert!(read("\"\\\" x", MYSQL, Dialect::of("ANSI_QUOTES")).is_ok());
    }

    /// Pieces of dumps, in any order.
    fn soup() -> impl Strategy<Value = String> {
        let piece = "(/\\*!(40101|99999|080000|100100)? ?|/\\*M!100100 |/\\*|\\*/|--|-- |#|\n|\\\\N|\\\\|''|'|\"|`|;|\u{e9}|\u{b}|[a-z0-9 =,.()@*/!-]{1,4})";
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        /// The tokens that a decision is made on are what the server reads: there is nothing left that depends on a version.
        #[test]
        fn whatever_comes_out_is_the_same_to_every_server(
            sql in soup(),
            ansi_quotes: bool,
            no_backslash: bool,
            mariadb: bool,
        ) {
            let dialect = Dialect { ansi_quotes, no_backslash };
            let server = if mariadb { MARIADB } else { MYSQL };
            if let Ok(made) = read(&sql, server, dialect) {
                for other in [MARIADB, "11.8.2-MariaDB", MYSQL, "5.6.51", "9.1.0"] {
                    prop_assert_eq!(read(&made, other, dialect), Ok(made.clone()));
                }
                for token in lexer::tokens(&made, dialect) {
                    let is_code = token.text.starts_with("/*") && token.shape == Shape::Mark;
                    prop_assert!(!is_code && token.text != "*/", "{:?}", token);
                    // What is opened is closed.
                    if token.shape == Shape::Text {
                        prop_assert!(token.text.len() > 1 && token.text.ends_with(&token.text[..1]));
                    }
                }
            }
        }
    }
}
