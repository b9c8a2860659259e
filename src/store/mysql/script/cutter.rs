//! A job's SQL script cut into statements the way the `mariadb` client does it. Pure.
//!
//! What would leave incoming, or only works at a terminal, is a flaw.

use crate::store::mysql::sql::lexical::{self, Dialect, Piece};
use crate::store::mysql::sql::splitter::{Scanner, Step, of_the_client};
use crate::store::statements::Flaw;

/// One statement of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::mysql) struct Statement {
    /// The line of its first word, from 1.
    pub(in crate::store::mysql) line: usize,
    /// From its first word to its end, without the delimiter.
    pub(in crate::store::mysql) sql: String,
}

/// Commands of the client. No statement of a server begins with one of these words, but for USE.
const COMMANDS: [&str; 21] = [
    "charset",
    "clear",
    "connect",
    "edit",
    "ego",
    "exit",
    "go",
    "nopager",
    "notee",
    "nowarning",
    "pager",
    "print",
    "prompt",
    "quit",
    "rehash",
    "resetconnection",
    "source",
    "status",
    "system",
    "tee",
    "warnings",
];

/// Cuts a script into statements, one after the other: how strings end may be otherwise behind one that sets `sql_mode`.
pub(in crate::store::mysql) struct Cutter {
    scanner: Scanner,
}

impl Cutter {
    pub(in crate::store::mysql) fn new(text: &str) -> Self {
        let mut scanner = Scanner::new();
        // Some editors put a byte order mark first; to a server it is a syntax error.
        scanner.feed(text.strip_prefix('\u{feff}').unwrap_or(text).as_bytes());
        scanner.end();
        Self { scanner }
    }

    /// How strings end from here on.
    pub(in crate::store::mysql) fn set_dialect(&mut self, dialect: Dialect) {
        self.scanner.set_dialect(dialect);
    }

    /// The next statement; those without a word in them are left out.
    pub(in crate::store::mysql) fn next(&mut self) -> Result<Option<Statement>, Flaw> {
        let Step::Statement(line, place) = self.scanner.step()? else {
            return Ok(None);
        };
        // It is cut at ASCII characters only.
        let sql = String::from_utf8_lossy(self.scanner.text(place)).into_owned();
        refuse_commands(line, &sql)?;
        Ok(Some(Statement { line, sql }))
    }
}

fn refuse_commands(line: usize, sql: &str) -> Result<(), Flaw> {
    let word = first_word(sql).to_ascii_lowercase();
    let what = if word == "use" {
        "USE is refused: a script works in the copy, which has a name of its own until it is published"
            .to_owned()
    } else if word == "xa" {
        "XA is refused: what is prepared outlives the script, and is nobody's to commit; use START TRANSACTION and COMMIT"
            .to_owned()
    } else if COMMANDS.contains(&word.as_str()) {
        of_the_client(&word)
    } else {
        return Ok(());
    };
    Err(Flaw { line, what })
}

/// Also where it stands in a comment that is executed: `/*!40000 USE x */`.
fn first_word(sql: &str) -> &str {
    let mut rest = sql;
    while let Some(piece) = lexical::piece(rest.as_bytes(), Dialect::default()) {
        let length = match piece {
            Piece::Executed(executed) => executed.sign + executed.digits,
            Piece::CommentEnd => 2,
            Piece::Blank(length) => length,
            Piece::LineComment(length) | Piece::BlockComment(length) => {
                length.unwrap_or(rest.len())
            }
            // A vertical tab is white space to a server.
            Piece::Sign if rest.starts_with(['(', '\u{b}']) => 1,
            _ => break,
        };
        rest = &rest[length..];
    }
    let end = rest
        .find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$')))
        .unwrap_or(rest.len());
    &rest[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &str) -> Result<Vec<Statement>, Flaw> {
        let mut cutter = Cutter::new(text);
        let mut found = Vec::new();
        while let Some(statement) = cutter.next()? {
            found.push(statement);
        }
        Ok(found)
    }

    fn texts(script: &str) -> Vec<String> {
        split(script)
            .unwrap_or_else(|flaw| panic!("{flaw} in {script}"))
            .into_iter()
            .map(|statement| statement.sql)
            .collect()
    }

    fn is_one(script: &str) {
        assert_eq!(texts(&format!("{script}; SELECT 2")), [script, "SELECT 2"]);
    }

    #[test]
    fn statements_end_at_semicolons_and_carry_their_own_line() {
        let script = "\u{feff}-- first;\n\nSELECT 1;\n/* two\nlines */ SELECT\n 2 ;;\n ; # nothing;\r\n SELECT 3 -- end";
        let found: Vec<_> = split(script)
            .unwrap()
            .into_iter()
            .map(|one| (one.line, one.sql))
            .collect();
        assert_eq!(
            found,
            [
                (3, "SELECT 1".to_owned()),
                (5, "SELECT\n 2".to_owned()),
                (8, "SELECT 3 -- end".to_owned())
            ]
        );
    }

    #[test]
    fn a_script_of_comments_and_blanks_has_no_statement() {
        for script in [
            "",
            " ; ;\n-- a;\n--b;\n# c;\n/* d; */ ;",
            "--",
            "/**/",
            "\\g",
            "DELIMITER //",
            "delimiter $$ -- and so on\n$$",
            "/*M!999999\\- enable the sandbox mode */ \n",
            "/*!999999\\- enable the sandbox mode */",
        ] {
            assert!(texts(script).is_empty(), "{script}");
        }
    }

    #[test]
    fn how_strings_end_is_as_the_session_has_it() {
        let mut cutter = Cutter::new("SELECT 1; SELECT '\\'; SELECT 'b'");
        assert_eq!(cutter.next().unwrap().unwrap().sql, "SELECT 1");
        cutter.set_dialect(Dialect::of("NO_BACKSLASH_ESCAPES"));
        assert_eq!(cutter.next().unwrap().unwrap().sql, "SELECT '\\'");
        assert_eq!(cutter.next().unwrap().unwrap().sql, "SELECT 'b'");
        assert_eq!(cutter.next().unwrap(), None);
    }

    #[test]
    fn semicolons_inside_quotes_and_comments_end_nothing() {
        for script in [
            "SELECT ';', 'it''s;', 'it\\'s;', '\\\\'",
            r#"SELECT ";", "a"";", "\";", 'a";'"#,
            r"SELECT `a;``b;`, `c\`",
            "SELECT '\n;\n'",
            "SELECT 1 /* ; /* ; */ + 1 -- ;\n + 2 # ;\n + 3",
            "SELECT /*+ MAX_EXECUTION_TIME(1;) */ 1",
            "SELECT 1 /*/ ; */",
            "SELECT 5--3, 1 --\t;\n + 1",
            "SELECT 1 --\n, 2",
            "/*!40101 SET NAMES ';' */",
            "/*M!100100 SELECT 1 /* ; */ + ';' */",
            "SELECT 'grüße; 世界', \\N",
            "SELECT '\\é;'",
        ] {
            is_one(script);
        }
    }

    #[test]
    fn a_delimiter_line_holds_until_the_next_one() {
        let body = "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN SET @a = 1; SET @b = ';//'; END";
        let script = format!(
            "SELECT 1;\n  Delimiter //\r\n{body}//\nSELECT 2 // SELECT 3; //\nDELIMITER ';'\nSELECT 4; DELIMITER $$ rest\nSELECT 5;$$"
        );
        assert_eq!(
            texts(&script),
            [
                "SELECT 1",
                body,
                "SELECT 2",
                "SELECT 3;",
                "SELECT 4",
                "SELECT 5;"
            ]
        );
        let lines: Vec<_> = split(&script).unwrap().iter().map(|one| one.line).collect();
        assert_eq!(lines, [1, 3, 4, 4, 6, 7]);
        // As there: without it, a body is cut.
        assert_eq!(texts("CREATE PROCEDURE p() BEGIN SELECT 1; END").len(), 2);
        // It is a command at the beginning of a statement only.
        is_one("SELECT a AS delimiter FROM t");
        is_one("SELECT\ndelimiter // 2");
        assert_eq!(texts("delimiters;"), ["delimiters"]);
    }

    #[test]
    fn g_ends_a_statement_like_a_delimiter() {
        assert_eq!(
            texts("SELECT 1\\g SELECT 2 \\G\n\\g SELECT 3"),
            ["SELECT 1", "SELECT 2", "SELECT 3"]
        );
    }

    #[test]
    fn what_leaves_the_copy_or_speaks_to_the_client_is_a_flaw_with_its_line() {
        for (script, line, part) in [
            ("SELECT 1;\n\nUSE app;", 3, "USE is refused"),
            ("use `app`", 1, "USE is refused"),
            ("/* a */\n/*!40000 USE app */;", 2, "USE is refused"),
            ("/*!*//*M!100100 use app*/;", 1, "USE is refused"),
            ("SELECT 1;\nsource other.sql", 2, "`source`"),
            ("-- x\n\\. other.sql\n", 2, "`\\.`"),
            ("SYSTEM rm -rf x;", 1, "`system`"),
            ("SELECT 1\n\\! ls", 2, "`\\!`"),
            ("\\u app", 1, "`\\u`"),
            ("tee /tmp/x", 1, "`tee`"),
            ("SELECT 1;\nXA START 'a'", 2, "XA is refused"),
            ("/*! xa prepare 'a' */", 1, "XA is refused"),
            ("exit", 1, "`exit`"),
            ("SELECT 1 \\", 1, "`\\`"),
            ("\\é", 1, "`\\é`"),
            ("\n DELIMITER\nSELECT 1", 2, "names no delimiter"),
            ("DELIMITER ''", 1, "names no delimiter"),
            ("DELIMITER \\\\", 1, "a backslash"),
        ] {
            let flaw = split(script).unwrap_err();
            assert_eq!(flaw.line, line, "{flaw} in {script}");
            assert!(flaw.what.contains(part), "{flaw} in {script}");
        }
        for script in [
            "UPDATE t SET `use` = 1",
            "SELECT source, status FROM t USE INDEX (i)",
            "user_defined",
            "DELETE FROM system",
        ] {
            is_one(script);
        }
    }

    #[test]
    fn whatever_is_never_closed_is_a_flaw_at_the_line_where_it_opens() {
        for (script, line) in [
            ("SELECT 1;\nSELECT 'a;\nb", 2),
            ("SELECT 1;\n\nSELECT\n\"a\\\";", 4),
            ("SELECT `a\\", 1),
            ("SELECT 'a\\", 1),
            ("SELECT 1;\n/* a ;", 2),
            ("SELECT 1 /*/", 1),
            ("SELECT 1;\n/*!50003 SELECT 1; SELECT 2 */;", 2),
        ] {
            assert_eq!(split(script).unwrap_err().line, line, "in {script}");
        }
        let closed = "/*!50003 CREATE PROCEDURE p() BEGIN SELECT 1; END */";
        assert_eq!(texts(&format!("DELIMITER ;;\n{closed};;\n")), [closed]);
    }

    /// Pieces of which every sequence, with blanks between, is one statement, whatever of the delimiters is used.
    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z_é][a-z0-9_]{0,5}",
            "[0-9]{1,4}",
            "[ a-z;\"`$/#é-]{0,8}".prop_map(|inner| format!("'{inner}\\'\\\\'")),
            "[ a-z;'`$/#é-]{0,8}".prop_map(|inner| format!("\"{inner}\"\"\"")),
            "[ a-z;'\"$/#\\\\é-]{0,8}".prop_map(|inner| format!("`{inner}`")),
            "[ a-z;'\"`$#\\\\]{0,8}".prop_map(|inner| format!("/* {inner} */")),
            "[ a-z'é]{0,3}".prop_map(|inner| format!("/*!50003 '{}' */", inner.replace('\'', ""))),
            "[ a-z;'\"`$/*\\\\]{0,8}".prop_map(|inner| format!("-- {inner}\n")),
            "[ a-z;'\"`$/*\\\\-]{0,8}".prop_map(|inner| format!("#{inner}\n")),
            Just("\\N".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn statements_put_together_come_apart_again(
            statements in prop::collection::vec(prop::collection::vec(piece(), 0..6), 0..6),
            delimiter in "(;|;;|//|\\$\\$|!!)",
        ) {
            let statements: Vec<String> = statements
                .into_iter()
                .map(|pieces| format!("SELECT {}", pieces.join(" ")).trim_end().to_owned())
                .collect();
            let mut script = format!("delimiter {delimiter}\n");
            for statement in &statements {
                script += &format!("{statement}\n{delimiter}\n");
            }
            prop_assert_eq!(texts(&script), statements);
        }

        #[test]
        fn any_text_is_cut_without_losing_its_place(
            pieces in prop::collection::vec("(\\PC|[a-z;'\"`$\\\\()/*!#é \n-]{0,6}|\ndelimiter [;/$]{1,2}\n|/\\*|\\*/|/\\*!|use |\\\\g)", 0..20)
        ) {
            let script = pieces.concat();
            let mut from = 0;
            for statement in split(&script).unwrap_or_default() {
                prop_assert!(!statement.sql.trim_ascii().is_empty());
                let line_start = script
                    .split_inclusive('\n')
                    .take(statement.line - 1)
                    .map(str::len)
                    .sum::<usize>();
                let begin = from.max(line_start);
                let found = script[begin..].find(&statement.sql);
                let Some(found) = found else {
                    return Err(TestCaseError::fail(format!("{statement:?} is not behind {begin}")));
                };
                // It begins on its own line.
                prop_assert_eq!(script[..begin + found].matches('\n').count() + 1, statement.line);
                from = begin + found + statement.sql.len();
            }
        }
    }
}
