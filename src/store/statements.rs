//! SQL scripts cut into statements, so that an error can name one. Pure.
//!
//! The rules are those of PostgreSQL's own `psql` (its `psqlscan.l`), with `standard_conforming_strings = on`.

use std::fmt;

/// One statement of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement<'a> {
    /// From its first word to its end, without the semicolon.
    pub text: &'a str,
    /// The line of its first word, from 1.
    pub line: usize,
}

/// Why a script cannot be cut, or could not be run if it were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Where it is, from 1.
    pub line: usize,
    /// What it is, in lower case.
    pub what: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for Flaw {}

/// A statement in one short line, for an error that names it.
pub fn shortened(statement: &str) -> String {
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > 200 {
        line.chars().take(200).chain("...".chars()).collect()
    } else {
        line
    }
}

/// Cuts a PostgreSQL script into statements; those without a word in them are dropped. What only `psql` understands
/// (its commands, COPY's data inline) is a flaw, and so is whatever is opened and never closed.
pub fn split(text: &str) -> Result<Vec<Statement<'_>>, Flaw> {
    let mut scanner = Scanner::new(text);
    let mut found = Vec::new();
    while let Some(statement) = scanner.statement()? {
        found.push(statement);
    }
    Ok(found)
}

/// A place in the text. All places where it stops are at ASCII characters, so slices never cut a character in two.
struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// The line of `counted`; lines are counted forward only, once.
    line: usize,
    counted: usize,
}

/// What is known of the statement so far.
#[derive(Default)]
struct Shape {
    /// Its first words outside of parentheses, as far as they matter: CREATE OR REPLACE FUNCTION is the longest.
    words: Vec<String>,
    /// How many parentheses are open (CREATE RULE has statements inside).
    parentheses: usize,
    /// How many BEGIN ATOMIC and CASE are open in the body of a routine.
    blocks: usize,
    /// The word just before, if nothing but blanks came since.
    before: String,
}

impl Shape {
    fn makes_a_routine(&self) -> bool {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let (["create", "or", "replace", rest @ ..] | ["create", rest @ ..]) = words.as_slice()
        else {
            return false;
        };
        matches!(rest.first(), Some(&("function" | "procedure")))
    }

    fn word(&mut self, word: &str) {
        let word = word.to_ascii_lowercase();
        if self.words.len() < 4 {
            self.words.push(word.clone());
        }
        if self.parentheses == 0 && self.makes_a_routine() {
            match word.as_str() {
                "atomic" if self.before == "begin" => self.blocks += 1,
                "case" if self.blocks > 0 => self.blocks += 1,
                "end" => self.blocks = self.blocks.saturating_sub(1),
                _ => {}
            }
        }
        self.before = word;
    }

    fn copies_from_stdin(&self, word: &str) -> bool {
        self.words.first().is_some_and(|first| first == "copy")
            && self.parentheses == 0
            && self.before == "from"
            && word.eq_ignore_ascii_case("stdin")
    }
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            // Some editors put a byte order mark first; to a server it is a syntax error.
            at: if text.starts_with('\u{feff}') { 3 } else { 0 },
            line: 1,
            counted: 0,
        }
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn starts(&self, with: &str) -> bool {
        self.bytes[self.at..].starts_with(with.as_bytes())
    }

    /// The line of a place; places asked for never go back.
    fn line_of(&mut self, place: usize) -> usize {
        self.line += self.text[self.counted..place].matches('\n').count();
        self.counted = place;
        self.line
    }

    fn flaw(&mut self, place: usize, what: impl Into<String>) -> Flaw {
        Flaw {
            line: self.line_of(place),
            what: what.into(),
        }
    }

    fn statement(&mut self) -> Result<Option<Statement<'a>>, Flaw> {
        loop {
            self.skip_blanks_and_comments()?;
            match self.byte(0) {
                None => return Ok(None),
                Some(b';') => self.at += 1,
                Some(_) => break,
            }
        }
        let start = self.at;
        let line = self.line_of(start);
        let mut shape = Shape::default();
        while let Some(byte) = self.byte(0) {
            match byte {
                b';' if shape.parentheses == 0 && shape.blocks == 0 => break,
                b'\\' => return Err(self.meta_command()),
                b'\'' => self.quoted(false)?,
                b'"' => {
                    self.until_closed(b'"', false, "quoted name")?;
                    shape.before.clear();
                    continue;
                }
                b'$' => self.dollar()?,
                byte if is_word_start(byte) => {
                    let from = self.at;
                    while self.byte(0).is_some_and(is_word_part) {
                        self.at += 1;
                    }
                    let word = &self.text[from..self.at];
                    if shape.copies_from_stdin(word) {
                        return Err(
                            self.flaw(start, "inline COPY data is not supported in scripts")
                        );
                    }
                    if word.eq_ignore_ascii_case("e") && self.byte(0) == Some(b'\'') {
                        self.quoted(true)?;
                    } else {
                        shape.word(word);
                        continue;
                    }
                }
                byte if byte.is_ascii_digit() => {
                    // `1$tag$` is a number and a dollar quote, so `$` ends a number.
                    while self.byte(0).is_some_and(|b| b.is_ascii_alphanumeric()) {
                        self.at += 1;
                    }
                }
                _ if self.skip_one_blank_or_comment()? => continue,
                b'(' => {
                    shape.parentheses += 1;
                    self.at += 1;
                }
                b')' => {
                    shape.parentheses = shape.parentheses.saturating_sub(1);
                    self.at += 1;
                }
                _ => self.at += 1,
            }
            shape.before.clear();
        }
        let text = self.text[start..self.at].trim_ascii_end();
        self.at = (self.at + 1).min(self.bytes.len());
        Ok(Some(Statement { text, line }))
    }

    /// A backslash outside of quotes: nothing in SQL starts so.
    fn meta_command(&mut self) -> Flaw {
        let place = self.at;
        let command = self.text[place..]
            .split_ascii_whitespace()
            .next()
            .unwrap_or_default();
        let what =
            format!("`{command}` is a command of psql; scripts are sent to the server as SQL");
        self.flaw(place, what)
    }

    fn skip_blanks_and_comments(&mut self) -> Result<(), Flaw> {
        while self.skip_one_blank_or_comment()? {}
        Ok(())
    }

    fn skip_one_blank_or_comment(&mut self) -> Result<bool, Flaw> {
        if self.byte(0).is_some_and(is_blank) {
            self.at += 1;
        } else if self.starts("--") {
            self.skip_line();
        } else if self.starts("/*") {
            self.skip_block_comment()?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn skip_line(&mut self) {
        while self
            .byte(0)
            .is_some_and(|byte| byte != b'\n' && byte != b'\r')
        {
            self.at += 1;
        }
    }

    /// They nest, as the standard says and C does not.
    fn skip_block_comment(&mut self) -> Result<(), Flaw> {
        let opened = self.at;
        let mut depth = 0_usize;
        while self.at < self.bytes.len() {
            if self.starts("/*") {
                depth += 1;
                self.at += 2;
            } else if self.starts("*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return Ok(());
                }
            } else {
                self.at += 1;
            }
        }
        Err(self.flaw(opened, "a comment is opened here and never closed"))
    }

    /// A string, at its quote. One with escapes goes on in the same way after a line break (lexical structure,
    /// section 4.1.2.1 of PostgreSQL's manual), which only matters for where a backslash counts.
    fn quoted(&mut self, escapes: bool) -> Result<(), Flaw> {
        loop {
            self.until_closed(b'\'', escapes, "string")?;
            if !escapes {
                return Ok(());
            }
            let closed = self.at;
            loop {
                if self.byte(0).is_some_and(is_blank) {
                    self.at += 1;
                } else if self.starts("--") {
                    self.skip_line();
                } else {
                    break;
                }
            }
            let broken = self.bytes[closed..self.at].contains(&b'\n');
            if !(broken && self.byte(0) == Some(b'\'')) {
                self.at = closed;
                return Ok(());
            }
        }
    }

    fn until_closed(&mut self, quote: u8, escapes: bool, what: &str) -> Result<(), Flaw> {
        let opened = self.at;
        self.at += 1;
        while let Some(byte) = self.byte(0) {
            if escapes && byte == b'\\' {
                self.at += 2;
            } else if byte != quote {
                self.at += 1;
            } else if self.byte(1) == Some(quote) {
                self.at += 2;
            } else {
                self.at += 1;
                return Ok(());
            }
        }
        self.at = self.bytes.len();
        Err(self.flaw(opened, format!("a {what} is opened here and never closed")))
    }

    /// A dollar quote, or a parameter, or just a dollar.
    fn dollar(&mut self) -> Result<(), Flaw> {
        let opened = self.at;
        let mut end = opened + 1;
        while self
            .bytes
            .get(end)
            .is_some_and(|byte| is_word_part(*byte) && *byte != b'$')
        {
            end += 1;
        }
        let is_tag = self.bytes.get(end) == Some(&b'$') && !self.bytes[opened + 1].is_ascii_digit();
        if !is_tag {
            self.at += 1;
            return Ok(());
        }
        let tag = &self.text[opened..=end];
        match self.text[end + 1..].find(tag) {
            Some(length) => {
                self.at = end + 1 + length + tag.len();
                Ok(())
            }
            None => Err(self.flaw(
                opened,
                format!("a string is opened here with {tag} and never closed"),
            )),
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// A byte of any character beyond ASCII is part of a word.
fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_word_part(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(script: &str) -> Vec<&str> {
        split(script)
            .unwrap()
            .into_iter()
            .map(|statement| statement.text)
            .collect()
    }

    fn is_one(script: &str) {
        assert_eq!(
            texts(&format!("{script}; SELECT 2")),
            [script, "SELECT 2"],
            "in {script}"
        );
    }

    #[test]
    fn statements_end_at_semicolons_and_carry_their_own_line() {
        let script = "\u{feff}-- first\n\nSELECT 1;\n/* two\nlines */ SELECT\n 2 ;;\n ; -- nothing\n SELECT 3 -- end";
        assert_eq!(
            split(script).unwrap(),
            [
                Statement {
                    text: "SELECT 1",
                    line: 3
                },
                Statement {
                    text: "SELECT\n 2",
                    line: 5
                },
                Statement {
                    text: "SELECT 3 -- end",
                    line: 8
                },
            ]
        );
    }

    #[test]
    fn a_script_of_comments_and_blanks_has_no_statement() {
        assert!(texts("").is_empty());
        assert!(texts(" ; ;\n-- a;\n/* b; /* c; */ d; */ ;").is_empty());
    }

    #[test]
    fn semicolons_inside_quotes_and_comments_end_nothing() {
        for script in [
            "SELECT ';', 'it''s;'",
            r"SELECT 'a\', 'b;c'",
            r"SELECT E'a\';b', e'\\;'",
            "SELECT E'a'\n  'b\\';c'",
            "SELECT E'a' -- and so on;\n  'b\\';c'",
            r"SELECT U&'\0041;' UESCAPE '!'",
            "SELECT N'a;', B'1', X'1f'",
            "SELECT \"a;\"\"b;\"",
            "SELECT U&\"d\\0061t;\"",
            "SELECT $$a;'b$$, $t$;$$;$T$;$t$",
            "SELECT $größe$;$größe$",
            "SELECT 1 /* ; /* ; */ ; */ + 1 -- ;\n + 2",
            "SELECT 1$$;$$",
            "SELECT name$1, $1, $2 FROM t$x",
            "SELECT 'grüße; 世界'",
            "SELECT 1 - -1, 4/2, a->'$.b;'",
        ] {
            is_one(script);
        }
    }

    #[test]
    fn the_body_of_a_routine_is_one_with_its_head() {
        for script in [
            "CREATE FUNCTION f(a int DEFAULT 1) RETURNS int LANGUAGE plpgsql AS $$BEGIN RETURN 1; END$$",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 ELSE 2 END; SELECT 3; END",
            "create or replace procedure p(x int) begin atomic insert into t values (x); update t set a = case x when 1 then 2 end; end",
            "CREATE FUNCTION f() RETURNS int\nBEGIN /* and */ ATOMIC\n SELECT (CASE WHEN true THEN 1 END);\nEND",
            "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC END",
        ] {
            is_one(script);
        }
    }

    #[test]
    fn begin_and_end_elsewhere_are_statements_of_their_own() {
        assert_eq!(
            texts("BEGIN; UPDATE t SET a = CASE WHEN b THEN 1 END; END; SELECT 1"),
            [
                "BEGIN",
                "UPDATE t SET a = CASE WHEN b THEN 1 END",
                "END",
                "SELECT 1"
            ]
        );
        assert_eq!(
            texts("CREATE TABLE function (begin int, atomic int); SELECT 1").len(),
            2
        );
        assert_eq!(texts("CREATE FUNCTION \"begin\".atomic() RETURNS int LANGUAGE sql AS 'SELECT 1'; SELECT 1").len(), 2);
    }

    #[test]
    fn a_rule_with_several_actions_is_one_statement() {
        is_one("CREATE RULE r AS ON UPDATE TO v DO ALSO (INSERT INTO a VALUES (1); DELETE FROM b)");
    }

    #[test]
    fn commands_of_psql_are_flaws_with_their_line_and_name() {
        for (script, line, command) in [
            ("SELECT 1;\n\n  \\i other.sql\n", 3, "`\\i`"),
            ("\\connect app", 1, "`\\connect`"),
            ("-- x\nSELECT 1 \\gset", 2, "`\\gset`"),
            ("\\.\n", 1, "`\\.`"),
        ] {
            let flaw = split(script).unwrap_err();
            assert_eq!(flaw.line, line, "in {script}");
            assert!(flaw.what.contains(command), "{flaw}");
        }
    }

    #[test]
    fn copy_with_its_data_inline_is_a_flaw_and_other_copies_are_not() {
        let flaw =
            split("SELECT 1;\nCOPY app.t (a, b)\nFROM stdin WITH (FORMAT csv);\n1\t2\n\\.\n")
                .unwrap_err();
        assert_eq!(flaw.line, 2);
        assert!(flaw.what.contains("inline COPY data"), "{flaw}");
        assert!(split("copy t from /* here */ STDIN").is_err());
        for script in [
            "COPY t FROM '/tmp/stdin'",
            "COPY t TO STDOUT",
            "COPY (SELECT a FROM stdin) TO '/tmp/x'",
            "SELECT a FROM stdin",
            "COPY stdin FROM PROGRAM 'cat'",
        ] {
            is_one(script);
        }
    }

    #[test]
    fn whatever_is_never_closed_is_a_flaw_at_the_line_where_it_opens() {
        for (script, line) in [
            ("SELECT 1;\nSELECT 'a;\nb", 2),
            ("SELECT \"a;", 1),
            ("SELECT 1;\n\nSELECT $f$a;$g$;\n", 3),
            ("/* a /* b */;\nSELECT 1", 1),
            ("SELECT E'a\\';", 1),
            ("SELECT E'a\\", 1),
        ] {
            assert_eq!(split(script).unwrap_err().line, line, "in {script}");
        }
    }

    /// Pieces of which every sequence, with blanks between, is one statement.
    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z_é][a-z0-9_]{0,5}".prop_map(|word| format!("x{word}")),
            "[0-9]{1,4}",
            "[ a-z;\\\\$\"é-]{0,8}".prop_map(|inner| format!("'{inner}'")),
            "[ a-z;$'é-]{0,8}".prop_map(|inner| format!("\"{inner}\"")),
            // With an operator behind, for a string on the next line would go on with it.
            "[ a-z;\"$-]{0,8}".prop_map(|inner| format!("E'\\'{inner}\\\\' ||")),
            "[ a-z;'\"\\\\]{0,8}".prop_map(|inner| format!("$t${inner}$t$")),
            "[ a-z;'\"$\\\\]{0,8}".prop_map(|inner| format!("/* {inner} /* ; */ */")),
            "[ a-z;'\"$/*\\\\]{0,8}".prop_map(|inner| format!("-- {inner}\n")),
            "[ a-z;]{0,8}".prop_map(|inner| format!("( {inner} )")),
            Just("+".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn statements_put_together_come_apart_again(
            statements in prop::collection::vec(prop::collection::vec(piece(), 0..6), 0..6)
        ) {
            let statements: Vec<String> = statements
                .into_iter()
                .map(|pieces| format!("SELECT {}", pieces.join(" ")).trim_end().to_owned())
                .collect();
            let script: String = statements.iter().fold(String::new(), |script, s| script + s + "\n;\n");
            prop_assert_eq!(texts(&script), statements);
        }

        #[test]
        fn any_text_is_cut_without_losing_its_place(script in "[a-z;'\"$\\\\()/*é \n-]{0,60}") {
            let mut from = 0;
            for statement in split(&script).unwrap_or_default() {
                prop_assert!(!statement.text.trim().is_empty());
                let at = statement.text.as_ptr() as usize - script.as_ptr() as usize;
                prop_assert!(at >= from);
                prop_assert_eq!(script[..at].matches('\n').count() + 1, statement.line);
                from = at + statement.text.len();
            }
        }
    }
}
