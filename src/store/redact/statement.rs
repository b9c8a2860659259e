//! A statement without its literals. Pure.
//!
//! What stays are key words and names; strings, numbers and what else may be a value becomes `?`, and comments go. Where a
//! server's settings decide what a quote means, the reading is taken that shows less.

/// The SQL dialect of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL: `"..."` is a name, `$tag$...$tag$` a string, comments nest.
    Postgresql,
    /// MySQL and MariaDB: `"..."` is a string unless ANSI_QUOTES says otherwise, `#` begins a comment.
    Mysql,
    /// SQLite: `"..."` is a string where there is no column of that name.
    Sqlite,
}

/// Longer ones end in `...`.
const SHOWN: usize = 200;

/// The statement in one short line, for an error that names it.
pub fn statement(sql: &str, dialect: Dialect) -> String {
    let whole = without_literals(sql, dialect);
    if whole.chars().count() > SHOWN {
        whole.chars().take(SHOWN).chain("...".chars()).collect()
    } else {
        whole
    }
}

/// The statement in one line of any length.
pub(super) fn without_literals(sql: &str, dialect: Dialect) -> String {
    let mut reader = Reader {
        text: sql,
        bytes: sql.as_bytes(),
        at: 0,
        dialect,
        made: String::new(),
        blank: false,
    };
    while reader.at < reader.bytes.len() {
        if !reader.step() {
            reader.put("...");
            break;
        }
    }
    reader.made
}

/// A place in the text. It only ever stops at ASCII characters and at the beginning of words, so slices never cut a
/// character in two.
struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    dialect: Dialect,
    made: String,
    /// There was something between what is in `made` and what comes.
    blank: bool,
}

impl Reader<'_> {
    fn is(&self, dialect: Dialect) -> bool {
        self.dialect == dialect
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn starts(&self, with: &str) -> bool {
        self.bytes[self.at..].starts_with(with.as_bytes())
    }

    fn put(&mut self, piece: &str) {
        if std::mem::take(&mut self.blank) && !self.made.is_empty() {
            self.made.push(' ');
        }
        self.made.push_str(piece);
    }

    /// What was a literal. Several in a row are one.
    fn hide(&mut self) {
        if !self.made.ends_with('?') || self.blank {
            self.put("?");
        }
    }

    /// Takes what comes next. `false`: from here on it cannot be told what is a literal.
    fn step(&mut self) -> bool {
        let Some(byte) = self.byte(0) else {
            return true;
        };
        match byte {
            _ if byte.is_ascii_whitespace() || byte == 0x0b || byte == 0 => {
                self.at += 1;
                self.blank = true;
            }
            b'-' if self.starts("--") && self.dash_comments() => self.line(),
            b'#' if self.is(Dialect::Mysql) => self.line(),
            b'/' if self.starts("/*") => return self.comment(),
            // Of a comment that is executed.
            b'*' if self.starts("*/") => {
                self.at += 2;
                self.blank = true;
            }
            b'\'' => return self.string(byte, !self.is(Dialect::Sqlite)),
            b'"' if self.is(Dialect::Postgresql) => return self.name(b'"'),
            b'"' => return self.string(byte, self.is(Dialect::Mysql)),
            b'`' if !self.is(Dialect::Postgresql) => return self.name(b'`'),
            b'[' if self.is(Dialect::Sqlite) => return self.name(b']'),
            b'$' if self.is(Dialect::Postgresql) => return self.dollar(),
            b'0'..=b'9' => self.number(),
            b'.' if self.byte(1).is_some_and(|next| next.is_ascii_digit()) => self.number(),
            _ if is_word(byte) => return self.word(),
            _ => {
                let piece = &self.text[self.at..=self.at];
                self.at += 1;
                self.put(piece);
            }
        }
        true
    }

    /// MySQL's begin with a blank, or the line ends there.
    fn dash_comments(&self) -> bool {
        !self.is(Dialect::Mysql)
            || self
                .byte(2)
                .is_none_or(|next| next.is_ascii_whitespace() || next.is_ascii_control())
    }

    fn line(&mut self) {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        self.at += end.unwrap_or(rest.len());
        self.blank = true;
    }

    fn comment(&mut self) -> bool {
        self.blank = true;
        let rest = &self.text[self.at..];
        if self.is(Dialect::Mysql) && (rest.starts_with("/*!") || rest.starts_with("/*M!")) {
            // What is in it is executed.
            self.at += if rest.starts_with("/*!") { 3 } else { 4 };
            while self.byte(0).is_some_and(|byte| byte.is_ascii_digit()) {
                self.at += 1;
            }
            return true;
        }
        let mut depth = 0_usize;
        while self.at < self.bytes.len() {
            if self.starts("/*") && (depth == 0 || self.is(Dialect::Postgresql)) {
                depth += 1;
                self.at += 2;
            } else if self.starts("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return true;
                }
            } else {
                self.at += 1;
            }
        }
        true
    }

    /// A string, at its quote. Whether a backslash escapes is a setting: where one stands before a quote, it cannot be told
    /// where the string ends.
    fn string(&mut self, quote: u8, may_escape: bool) -> bool {
        self.hide();
        self.at += 1;
        while let Some(byte) = self.byte(0) {
            if byte == b'\\' && may_escape {
                if self.byte(1) == Some(quote) {
                    return false;
                }
                // `\\` is two of them, or one that escapes the other; before a quote that is the question again.
                let run = self.bytes[self.at..]
                    .iter()
                    .take_while(|byte| **byte == b'\\')
                    .count();
                if self.byte(run) == Some(quote) {
                    return false;
                }
                self.at += run;
            } else if byte != quote {
                self.at += 1;
            } else if self.byte(1) == Some(quote) {
                self.at += 2;
            } else {
                self.at += 1;
                return true;
            }
        }
        false
    }

    /// A PostgreSQL string in which a backslash does escape, at its quote.
    fn escaped(&mut self) -> bool {
        self.hide();
        self.at += 1;
        while let Some(byte) = self.byte(0) {
            if byte == b'\\' {
                self.at += 2;
            } else if byte != b'\'' {
                self.at += 1;
            } else if self.byte(1) == Some(b'\'') {
                self.at += 2;
            } else {
                self.at += 1;
                // It goes on in the next line, with escapes.
                let closed = self.at;
                while self.byte(0).is_some_and(|byte| byte.is_ascii_whitespace()) {
                    self.at += 1;
                }
                let broken = self.bytes[closed..self.at].contains(&b'\n');
                if broken && (self.byte(0) == Some(b'\'') || self.starts("--")) {
                    return false;
                }
                self.at = closed;
                return true;
            }
        }
        self.at = self.bytes.len();
        false
    }

    /// A quoted name, as it stands.
    fn name(&mut self, end: u8) -> bool {
        let from = self.at;
        self.at += 1;
        while let Some(byte) = self.byte(0) {
            self.at += 1;
            if byte == end {
                if end != b']' && self.byte(0) == Some(end) {
                    self.at += 1;
                    continue;
                }
                let piece: String = self.text[from..self.at]
                    .chars()
                    .map(|c| if c.is_control() { ' ' } else { c })
                    .collect();
                self.put(&piece);
                return true;
            }
        }
        // One that is never closed is no name.
        false
    }

    /// A dollar quote with all that is in it, or a parameter.
    fn dollar(&mut self) -> bool {
        let mut end = self.at + 1;
        while self
            .bytes
            .get(end)
            .is_some_and(|byte| is_word(*byte) && *byte != b'$')
        {
            end += 1;
        }
        let is_tag = self.bytes.get(end) == Some(&b'$')
            && self
                .bytes
                .get(self.at + 1)
                .is_some_and(|byte| !byte.is_ascii_digit());
        self.hide();
        if !is_tag {
            self.at = end;
            return true;
        }
        let tag = &self.text[self.at..=end];
        match self.text[end + 1..].find(tag) {
            Some(length) => {
                self.at = end + 1 + length + tag.len();
                true
            }
            None => false,
        }
    }

    /// A number with whatever hangs on it: `1e5`, `0x1f`, `1_000`. A name of MySQL's that begins with a digit, too.
    fn number(&mut self) {
        while self
            .byte(0)
            .is_some_and(|byte| byte == b'.' || (is_word(byte) && byte != b'$'))
        {
            let exponent = self
                .byte(0)
                .is_some_and(|byte| byte.eq_ignore_ascii_case(&b'e'));
            self.at += 1;
            if exponent && self.byte(0).is_some_and(|byte| matches!(byte, b'+' | b'-')) {
                self.at += 1;
            }
        }
        self.hide();
    }

    fn word(&mut self) -> bool {
        let from = self.at;
        while self.byte(0).is_some_and(is_word) {
            self.at += 1;
        }
        let word = &self.text[from..self.at];
        let before_string = self.byte(0) == Some(b'\'');
        if self.is(Dialect::Postgresql) && before_string && word.eq_ignore_ascii_case("e") {
            return self.escaped();
        }
        let marks = ["n", "b", "x"];
        if before_string && marks.iter().any(|mark| word.eq_ignore_ascii_case(mark)) {
            // The string comes next.
            return true;
        }
        self.put(word);
        true
    }
}

/// A byte of any character beyond ASCII is part of a word.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    use Dialect::{Mysql, Postgresql, Sqlite};

    #[test]
    fn literals_become_question_marks_and_names_stay() {
        for (dialect, sql, expected) in [
            (
                Postgresql,
                "UPDATE \"Users\" SET mail = 'a@b''c', n = 42, x = -1.5e-3 WHERE id = $1 -- secret",
                "UPDATE \"Users\" SET mail = ?, n = ?, x = -? WHERE id = ?",
            ),
            (
                Postgresql,
                "DO $x$ BEGIN RAISE 'secret $$'; END $x$ LANGUAGE plpgsql",
                "DO ? LANGUAGE plpgsql",
            ),
            (
                Postgresql,
                "SELECT E'a\\'secret', N'secret', B'101', X'1f', U&'\\0041', t1.md5",
                "SELECT ?, ?, ?, ?, U&?, t1.md5",
            ),
            (
                Postgresql,
                "SELECT /* secret /* nested */ secret */ a::varchar(10)",
                "SELECT a::varchar(?)",
            ),
            (Postgresql, "SELECT 'a'\n'secret'", "SELECT ? ?"),
            (Postgresql, "SELECT 'a\\', 'secret'", "SELECT ?..."),
            (Postgresql, "SELECT 'secret", "SELECT ?..."),
            (Postgresql, "SELECT $$secret", "SELECT ?..."),
            (Postgresql, "SELECT \"secret", "SELECT ..."),
            (
                Mysql,
                "SET @a = \"secret\", `b` = _utf8mb4'secret', c = 0x736563 # secret",
                "SET @a = ?, `b` = _utf8mb4?, c = ?",
            ),
            (
                Mysql,
                "/*!40101 SET a = 'secret' */ -- secret\n, b=5--3, x'41'",
                "SET a = ? , b=?--?, ?",
            ),
            (Mysql, "SELECT 'it\\'s secret', b", "SELECT ?..."),
            (Mysql, "SELECT 'a\\\\', b", "SELECT ?..."),
            (Mysql, "SELECT 'a\\n', b", "SELECT ?, b"),
            (Mysql, "SELECT 2021secret", "SELECT ?"),
            (
                Sqlite,
                "UPDATE [a b] SET `c` = \"secret\", d = 'secret\\', e = x'00'",
                "UPDATE [a b] SET `c` = ?, d = ?, e = ?",
            ),
        ] {
            assert_eq!(statement(sql, dialect), expected, "{sql}");
        }
    }

    #[test]
    fn a_long_one_is_cut() {
        let long = format!("SELECT {}", "a, ".repeat(200));
        let shown = statement(&long, Postgresql);
        assert_eq!(shown.chars().count(), SHOWN + 3);
        assert!(shown.ends_with("..."));
    }

    /// A literal with a secret in it, whatever the secret is.
    fn literal(dialect: Dialect, form: usize, secret: &str) -> String {
        let doubled = secret.replace('\'', "''");
        match (dialect, form % 6) {
            (_, 0) => format!("'{doubled}'"),
            (_, 1) => format!("/* {} */ 1", secret.replace("*/", "").replace("/*", "")),
            (Postgresql, 2) => format!("$q${}$q$", secret.replace('$', "")),
            (Postgresql, 3) => format!("E'{}'", secret.replace('\\', "\\\\").replace('\'', "\\'")),
            (Postgresql, _) => format!("n'{doubled}'"),
            (Mysql | Sqlite, 2) => format!("\"{}\"", secret.replace('"', "\"\"")),
            (Mysql, 3) => format!("'{}'", secret.replace('\\', "\\\\").replace('\'', "\\'")),
            (Mysql, 4) => format!("_latin1'{doubled}'"),
            (Mysql, _) => format!("# {}\n 1", secret.replace(['\n', '\r'], "")),
            (Sqlite, _) => format!("-- {}\n 1", secret.replace(['\n', '\r'], "")),
        }
    }

    proptest! {
        #[test]
        fn nothing_of_a_literal_survives(
            before in "[\\PC'\"\\\\/*#$ -]{0,6}",
            after in "[\\PC'\"\\\\/*#$ -]{0,6}",
            form in 0_usize..6,
            which in 0_usize..3,
        ) {
            let dialect = [Postgresql, Mysql, Sqlite][which];
            let secret = format!("{before}MARKER{after}");
            let sql = format!("UPDATE t SET a = {}, b = 1 WHERE c = 'MARKER'", literal(dialect, form, &secret));
            let shown = statement(&sql, dialect);
            prop_assert!(!shown.contains("MARKER"), "{} of {}", shown, sql);
        }

        #[test]
        fn any_text_is_read(sql in "(\\PC|['\"`\\\\$/*#\\n\\[\\]-]){0,40}", which in 0_usize..3) {
            let dialect = [Postgresql, Mysql, Sqlite][which];
            let shown = without_literals(&sql, dialect);
            prop_assert!(!shown.contains('\n'));
        }
    }
}
