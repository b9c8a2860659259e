//! The rows of a dump's INSERT statements: that they are nothing but values, and how many. Pure.

use crate::store::mysql::sql::lexical::{self, Dialect, Piece};

/// An INSERT or REPLACE of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::mysql) struct Rows {
    /// The table's name, as its bytes are.
    pub(in crate::store::mysql) table: Vec<u8>,
    /// The columns that it lists, as their bytes are.
    pub(super) columns: Option<Vec<Vec<u8>>>,
    pub(in crate::store::mysql) count: u64,
}

/// What stands before the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) table: Vec<u8>,
    pub(super) columns: Option<Vec<Vec<u8>>>,
    /// Where the rows begin.
    pub(super) end: usize,
}

/// Whether a statement may be one of rows.
pub(super) fn begins_rows(sql: &[u8]) -> bool {
    let word = sql.split(|byte| !byte.is_ascii_alphabetic()).next();
    word.is_some_and(|word| {
        word.eq_ignore_ascii_case(b"INSERT") || word.eq_ignore_ascii_case(b"REPLACE")
    })
}

/// Reads what stands before the rows. `Err`: what there is in it that dumps do not have.
pub(super) fn head(sql: &[u8], dialect: Dialect) -> Result<Head, String> {
    let mut reader = Reader {
        sql,
        at: 0,
        dialect,
    };
    reader.word();
    loop {
        reader.blanks();
        let word = reader.word();
        match word.to_ascii_uppercase().as_slice() {
            b"LOW_PRIORITY" | b"DELAYED" | b"HIGH_PRIORITY" | b"IGNORE" => {}
            b"INTO" => break,
            _ => return Err("an INSERT of a form that dumps do not have".to_owned()),
        }
    }
    reader.blanks();
    let table = reader.name()?;
    reader.blanks();
    if reader.peek() == Some(b'.') {
        return Err("rows for a table of another database".to_owned());
    }
    let mut columns = None;
    if reader.peek() == Some(b'(') {
        columns = Some(reader.columns()?);
        reader.blanks();
    }
    if !matches!(
        reader.word().to_ascii_uppercase().as_slice(),
        b"VALUES" | b"VALUE"
    ) {
        return Err("an INSERT of something else than values".to_owned());
    }
    Ok(Head {
        table,
        columns,
        end: reader.at,
    })
}

/// Reads such a statement to its end. `Err`: what there is in it beside values, which could do anything.
pub(in crate::store::mysql) fn read(sql: &[u8], dialect: Dialect) -> Result<Rows, String> {
    let Head {
        table,
        columns,
        end,
    } = head(sql, dialect)?;
    let mut reader = Reader {
        sql,
        at: end,
        dialect,
    };
    let mut count = 0;
    loop {
        reader.blanks();
        reader.row()?;
        count += 1;
        reader.blanks();
        match reader.peek() {
            Some(b',') => reader.at += 1,
            None => break,
            Some(_) => return Err("more than rows in an INSERT".to_owned()),
        }
    }
    Ok(Rows {
        table,
        columns,
        count,
    })
}

struct Reader<'a> {
    sql: &'a [u8],
    at: usize,
    dialect: Dialect,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.sql.get(self.at).copied()
    }

    fn piece(&self) -> Option<Piece> {
        lexical::piece(&self.sql[self.at..], self.dialect)
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let taken = &self.sql[self.at..self.at + length];
        self.at += length;
        taken
    }

    /// Over white space: tools write no comments here.
    fn blanks(&mut self) {
        if let Some(Piece::Blank(length)) = self.piece() {
            self.at += length;
        }
    }

    /// A word of ASCII: letters beyond it are in quotes, since some character set may have a blank among them.
    fn word(&mut self) -> &'a [u8] {
        match self.piece() {
            Some(Piece::Word(length) | Piece::Number(length))
                if self.sql[self.at..self.at + length].is_ascii() =>
            {
                self.take(length)
            }
            _ => &[],
        }
    }

    fn name(&mut self) -> Result<Vec<u8>, String> {
        match self.peek() {
            Some(quote) if self.dialect.quotes_names(quote) => {
                let length = self.dialect.whole_quoted(&self.sql[self.at..]);
                let length = length.ok_or_else(|| "a quoted name that does not end".to_owned())?;
                let quoted = self.take(length);
                let mut name = quoted[1..length - 1].to_vec();
                let mut was_quote = false;
                name.retain(|&byte| {
                    was_quote = byte == quote && !was_quote;
                    !was_quote
                });
                Ok(name)
            }
            _ => {
                let word = self.word();
                if word.is_empty() {
                    Err("an INSERT without a table's name".to_owned())
                } else {
                    Ok(word.to_vec())
                }
            }
        }
    }

    /// `(a, b)`, or `()`.
    fn columns(&mut self) -> Result<Vec<Vec<u8>>, String> {
        self.at += 1;
        let mut names = Vec::new();
        loop {
            self.blanks();
            match self.peek() {
                Some(b')') => {
                    self.at += 1;
                    return Ok(names);
                }
                Some(b',') => self.at += 1,
                _ => names.push(self.name()?),
            }
        }
    }

    /// `(1, 'a', NULL)`. There is nothing that could be called or asked: no name, no parenthesis, no variable, no comment.
    fn row(&mut self) -> Result<(), String> {
        if self.peek() != Some(b'(') {
            return Err("an INSERT of something else than values".to_owned());
        }
        self.at += 1;
        let other = || "something else than values in an INSERT".to_owned();
        loop {
            match self.piece() {
                None => return Err("a row that does not end".to_owned()),
                Some(Piece::Blank(length)) => self.at += length,
                Some(Piece::Quoted(length)) => {
                    if self.dialect.quotes_names(self.sql[self.at]) {
                        return Err(other());
                    }
                    self.at += length.ok_or_else(|| "a string that does not end".to_owned())?;
                }
                Some(Piece::Word(_) | Piece::Number(_)) => {
                    let word = self.word();
                    if word.is_empty() {
                        return Err(other());
                    }
                    if !is_value(word) {
                        // Where quotes are damaged, it may be a part of a row.
                        return Err(
                            "a word that is no value among the values of an INSERT".to_owned()
                        );
                    }
                }
                Some(Piece::Sign) => {
                    let sign = self.take(1);
                    match sign {
                        b")" => return Ok(()),
                        b"," | b"+" | b"-" | b"." => {}
                        // A function's arguments, a query, a variable.
                        _ => return Err(other()),
                    }
                }
                Some(
                    Piece::LineComment(_)
                    | Piece::BlockComment(_)
                    | Piece::Executed(_)
                    | Piece::CommentEnd,
                ) => return Err(other()),
            }
        }
    }
}

/// A number, also a hexadecimal one, a constant, a character set that introduces a string, or the letter before one.
fn is_value(word: &[u8]) -> bool {
    word[0].is_ascii_digit()
        || (word[0] == b'_' && word.len() > 1)
        || [&b"NULL"[..], b"DEFAULT", b"TRUE", b"FALSE", b"X", b"B", b"N"]
            .iter()
            .any(|known| word.eq_ignore_ascii_case(known))
        // 1.5e+10 has its exponent behind the point.
        || (word.len() > 1 && matches!(word[0], b'e' | b'E') && word[1..].iter().all(u8::is_ascii_digit))
        || word.eq_ignore_ascii_case(b"e")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(sql: &[u8]) -> Result<Rows, String> {
        assert!(begins_rows(sql));
        read(sql, Dialect::default())
    }

    #[test]
    fn rows_of_every_kind_of_value_are_counted() {
        for (sql, count) in [
            (&b"INSERT INTO `t` VALUES (1,'a(),\\'(',NULL),\n(-1.5e+10,_binary 'x\\\\\xff(',0x00FF)"[..], 2),
            (b"INSERT  IGNORE INTO t (`a``)`, b) VALUES (.5,''''),(x'00',b'1'),(_utf8mb4\"it's\",DEFAULT)", 3),
            (b"REPLACE INTO `t` VALUES ()", 1),
            (b"insert into `t`(`a`) value (1E5) ,\n (TRUE)", 2),
        ] {
            let found = rows(sql).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!((found.table.as_slice(), found.count), (&b"t"[..], count));
        }
        assert_eq!(
            rows(b"INSERT INTO `a``b` VALUES (1)").unwrap().table,
            b"a`b"
        );
    }

    #[test]
    fn whatever_is_no_value_is_refused() {
        for sql in [
            &b"INSERT INTO t SELECT * FROM other.t"[..],
            b"INSERT INTO other.t VALUES (1)",
            b"INSERT INTO `other` . `t` VALUES (1)",
            b"INSERT INTO t VALUES (sleep(1))",
            b"INSERT INTO t VALUES ((SELECT 1))",
            b"INSERT INTO t VALUES (@a)",
            b"INSERT INTO t VALUES (a)",
            b"INSERT INTO t VALUES (`a`)",
            b"INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = other.f()",
            b"INSERT INTO t VALUES (1), SELECT",
            b"INSERT INTO t VALUES (/*! f( */ 1)",
            // A comment to the server, in which two readers may see quotes differently.
            b"INSERT INTO t VALUES (1 -- '\n), (sleep(1) -- '\n)",
            b"INSERT INTO t VALUES (1 --\t'\n), (sleep(1) --\x01'\n)",
            b"INSERT INTO t VALUES (1 # '\n), (sleep(1) # '\n)",
            b"INSERT INTO t VALUES (1 */)",
            b"INSERT INTO t SET a = 1",
            b"INSERT t VALUES (1)",
            b"INSERT INTO t VALUES (1",
            b"INSERT INTO t VALUES ('a)",
        ] {
            assert!(rows(sql).is_err(), "{}", String::from_utf8_lossy(sql));
        }
    }

    #[test]
    fn the_sql_mode_says_what_a_string_is() {
        let ansi = Dialect::of("ANSI_QUOTES,NO_BACKSLASH_ESCAPES");
        assert!(read(b"INSERT INTO \"t\" VALUES ('\\')", ansi).is_ok());
        assert!(read(b"INSERT INTO t VALUES (\"a\")", ansi).is_err());
        assert!(rows(b"INSERT INTO t VALUES ('\\')").is_err());
    }
}
