//! A statement that a stranger wrote as a server sees it: without comments that are executed, of which two readers may think
//! differently, and without letters of which they may. Pure.
//!
//! Of a dump, what comes out is decided on and sent; so it does not matter how a server takes what is refused or taken out here.
//! The rules are those of the servers' `sql_lex.cc`.

use std::borrow::Cow;

use super::lexical::{self, Dialect};
use super::version::{Flavour, Version};

/// The versions of comments that are MySQL's alone: MariaDB executes none of them.
const OF_MYSQL: std::ops::RangeInclusive<u32> = 50_700..=99_999;

/// What a statement is read by.
#[derive(Debug, Clone, Copy)]
pub(in crate::store::mysql) struct Reading<'a> {
    pub(in crate::store::mysql) dialect: Dialect,
    /// The server that is to run it.
    pub(in crate::store::mysql) server: &'a Version,
    /// The session's character set is UTF-8: its letters may stand outside of quotes.
    pub(in crate::store::mysql) utf8: bool,
}

/// The statement with what this server executes of its comments, each of which has become a blank. `Err`: why it is refused.
pub(in crate::store::mysql) fn plain<'a>(
    sql: &'a [u8],
    reading: Reading<'_>,
) -> Result<Cow<'a, [u8]>, String> {
    let mut plainer = Plainer {
        sql,
        at: 0,
        reading,
        made: Vec::with_capacity(sql.len()),
        executed: false,
    };
    plainer.read()?;
    let made = plainer.made;
    Ok(if made == sql {
        Cow::Borrowed(sql)
    } else {
        Cow::Owned(made.trim_ascii().to_vec())
    })
}

struct Plainer<'a, 'b> {
    sql: &'a [u8],
    at: usize,
    reading: Reading<'b>,
    made: Vec<u8>,
    /// Inside of a comment that is executed.
    executed: bool,
}

impl Plainer<'_, '_> {
    fn read(&mut self) -> Result<(), String> {
        while let Some(&next) = self.sql.get(self.at) {
            match next {
                b'\'' | b'"' | b'`' => self.quoted()?,
                b'/' if self.starts(b"/*") => self.comment()?,
                b'*' if self.starts(b"*/") => {
                    if !std::mem::replace(&mut self.executed, false) {
                        return Err("it ends a comment that it did not begin".to_owned());
                    }
                    self.made.push(b' ');
                    self.at += 2;
                }
                b'#' | b'-' if lexical::opens_line_comment(self.rest()) => self.line(),
                // NULL, in old scripts.
                b'\\' if self.starts(b"\\N") => self.take(2),
                b' '..=b'~' if next != b'\\' => self.take(1),
                b'\t' | b'\n' | b'\r' => self.take(1),
                0x80.. if self.reading.utf8 => self.letters()?,
                0x80.. => {
                    return Err("a letter outside of quotes that is no ASCII, where the character set is not UTF-8: dump it with --default-character-set=utf8mb4".to_owned());
                }
                _ => return Err("a control character outside of quotes".to_owned()),
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

    fn starts(&self, with: &[u8]) -> bool {
        self.rest().starts_with(with)
    }

    fn take(&mut self, length: usize) {
        let end = self.sql.len().min(self.at + length);
        self.made.extend_from_slice(&self.sql[self.at..end]);
        self.at = end;
    }

    /// A comment to the end of the line: it is part of what a routine's body is.
    fn line(&mut self) {
        let length = memchr::memchr(b'\n', self.rest()).unwrap_or(self.rest().len());
        self.take(length);
    }

    /// Letters beyond ASCII.
    fn letters(&mut self) -> Result<(), String> {
        let rest = self.rest();
        let length = rest.iter().position(u8::is_ascii).unwrap_or(rest.len());
        if std::str::from_utf8(&rest[..length]).is_err() {
            return Err("bytes outside of quotes that are no UTF-8".to_owned());
        }
        self.take(length);
        Ok(())
    }

    /// A string or a quoted name, as it is.
    fn quoted(&mut self) -> Result<(), String> {
        match self.reading.dialect.quoted(self.rest()) {
            Some(length) => {
                self.take(length);
                Ok(())
            }
            None => Err("quotes that do not end".to_owned()),
        }
    }

    fn comment(&mut self) -> Result<(), String> {
        let is_mariadb = self.reading.server.flavour == Flavour::MariaDb;
        let Some(executed) = lexical::executed_comment(self.rest()) else {
            let length = whole_comment(self.rest())?;
            self.take(length);
            return Ok(());
        };
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
            _ => return Err("a comment of a version that is none".to_owned()),
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
        let made = plain(sql.as_bytes(), reading)?;
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
                let made = read(sql, server, dialect).expect("it is plain");
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
            assert!(plain(sql, reading).is_err());
        }
        let reading = Reading {
            dialect: Dialect::default(),
            server: &server,
            utf8: false,
        };
        assert!(plain(b"SET '\xa0' `\xa0` -- \xa0", reading).is_ok());
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

    /// What dumps are made of, and what would be between them.
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
