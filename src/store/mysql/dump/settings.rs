//! The SET statements of a dump: which are for the session, and which are not for us. Pure.

use super::super::lexer::{Shape, Token};

/// What is done with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    /// It is run.
    Run,
    /// It is run, and strings may end otherwise after it.
    Mode,
    /// It is of replication or transactions, which are the target's own, or of the checks of keys, which stay on: without them
    /// rows that are twice are found late, or never.
    Skip,
}

/// What dumps set for the session, all in all.
const ALLOWED: [&str; 16] = [
    "character_set_client",
    "character_set_connection",
    "character_set_results",
    "check_constraint_checks",
    "collation_connection",
    "foreign_key_checks",
    "innodb_strict_mode",
    "note_verbosity",
    "sql_mode",
    "sql_notes",
    "sql_quote_show_create",
    "sql_warnings",
    "system_versioning_alter_history",
    "system_versioning_insert_history",
    "time_zone",
    "timestamp",
];

/// Character sets whose letters may have a quote or a backslash for their second byte.
const TREACHEROUS: [&str; 5] = ["big5", "cp932", "gb18030", "gbk", "sjis"];

/// Decides on a statement's tokens from SET on, without blanks and the marks of comments. `Err`: what is wrong with it.
pub(super) fn decide(tokens: &[&Token<'_>]) -> Result<Setting, String> {
    let skipped = ["SQL_LOG_BIN", "GTID_PURGED", "AUTOCOMMIT", "UNIQUE_CHECKS"];
    if tokens
        .iter()
        .any(|token| skipped.iter().any(|name| token.is(name)))
    {
        return Ok(Setting::Skip);
    }
    let mut setting = Setting::Run;
    for item in tokens[1..].split(|token| token.is_mark(",")) {
        if one(item)? {
            setting = Setting::Mode;
        }
    }
    Ok(setting)
}

/// One assignment; `true`: of `sql_mode`.
fn one(item: &[&Token<'_>]) -> Result<bool, String> {
    let unknown = || "it sets what dumps do not set".to_owned();
    if let Some(rest) = after(item, &["NAMES"]).or_else(|| after(item, &["CHARACTER", "SET"])) {
        let words = match rest {
            [set] => [*set, *set],
            [set, collate, collation] if collate.is("COLLATE") => [*set, *collation],
            _ => return Err(unknown()),
        };
        charset(words[0])?;
        return if words.iter().all(|word| is_simple(word)) {
            Ok(false)
        } else {
            Err(unknown())
        };
    }
    let Some(sign) = item.iter().position(|token| token.is_mark("=")) else {
        return Err(unknown());
    };
    let (mut name, value) = (&item[..sign], &item[sign + 1..]);
    if let [before @ .., colon] = name
        && colon.is_mark(":")
    {
        name = before;
    }
    if !is_value(value) {
        return Err("it sets something to more than a value".to_owned());
    }
    // @name: a variable of the session's own.
    if let [at, variable] = name
        && at.is_mark("@")
        && !variable.is_mark("@")
    {
        return Ok(false);
    }
    let name = session_variable(name).ok_or_else(unknown)?;
    let lower = name.text.to_ascii_lowercase();
    if !ALLOWED.contains(&lower.as_str()) {
        return Err(format!("it sets `{lower}`, which dumps do not set"));
    }
    if lower == "character_set_client" {
        value.iter().try_for_each(|token| charset(token))?;
    }
    Ok(lower == "sql_mode")
}

fn after<'a, 'b, 'c>(item: &'a [&'b Token<'c>], words: &[&str]) -> Option<&'a [&'b Token<'c>]> {
    let begins =
        item.len() > words.len() && item.iter().zip(words).all(|(token, word)| token.is(word));
    begins.then(|| &item[words.len()..])
}

/// `name`, `SESSION name`, `@@name` or `@@SESSION.name`; nothing for those of the whole server.
fn session_variable<'a, 'b>(name: &[&'a Token<'b>]) -> Option<&'a Token<'b>> {
    let is_session = |token: &Token<'_>| token.is("SESSION") || token.is("LOCAL");
    let name = match name {
        [first, second, rest @ ..] if first.is_mark("@") && second.is_mark("@") => match rest {
            [scope, dot, rest @ ..] if is_session(scope) && dot.is_mark(".") => rest,
            rest => rest,
        },
        [scope, rest @ ..] if is_session(scope) => rest,
        name => name,
    };
    match name {
        [name] if name.shape == Shape::Word => Some(name),
        _ => None,
    }
}

/// A constant, a word, or a variable.
fn is_value(value: &[&Token<'_>]) -> bool {
    match value {
        [one] => is_simple(one),
        [sign, one] if sign.is_mark("-") || sign.is_mark("@") => is_simple(one),
        [at, again, rest @ ..] if at.is_mark("@") && again.is_mark("@") => match rest {
            [one] => one.shape == Shape::Word,
            [scope, dot, one] => {
                scope.shape == Shape::Word && dot.is_mark(".") && one.shape == Shape::Word
            }
            _ => false,
        },
        _ => false,
    }
}

fn is_simple(token: &Token<'_>) -> bool {
    matches!(
        token.shape,
        Shape::Word | Shape::Text | Shape::Number | Shape::Quoted
    )
}

fn charset(token: &Token<'_>) -> Result<(), String> {
    let name = token
        .text
        .trim_matches(['\'', '"', '`'])
        .to_ascii_lowercase();
    if TREACHEROUS.contains(&name.as_str()) {
        return Err(format!(
            "the dump is in the character set {name}, in whose letters there may be quotes: dump it with --default-character-set=utf8mb4"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::lexer::{self, Dialect};
    use super::*;

    fn decided(sql: &str) -> Result<Setting, String> {
        let tokens = lexer::tokens(sql, Dialect::default());
        let solid: Vec<_> = tokens
            .iter()
            .filter(|token| token.shape != Shape::Blank && !token.text.starts_with("/*"))
            .filter(|token| token.text != "*/")
            .collect();
        decide(&solid)
    }

    #[test]
    fn what_dumps_set_for_the_session_is_run() {
        for sql in [
            "/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */",
            "/*!40101 SET NAMES utf8mb4 */",
            "SET NAMES 'latin1' COLLATE 'latin1_german1_ci'",
            "/*!40103 SET TIME_ZONE='+00:00' */",
            "/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */",
            "/*!40014 SET FOREIGN_KEY_CHECKS=@OLD_FOREIGN_KEY_CHECKS */",
            "/*M!100616 SET @OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY, NOTE_VERBOSITY=0 */",
            "SET @@SESSION.foreign_key_checks := 0, SESSION sql_notes = ON",
        ] {
            assert_eq!(decided(sql), Ok(Setting::Run), "{sql}");
        }
        for sql in [
            "/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */",
            "/*!50003 SET sql_mode              = @saved_sql_mode */",
        ] {
            assert_eq!(decided(sql), Ok(Setting::Mode), "{sql}");
        }
    }

    #[test]
    fn what_is_the_targets_own_is_left_out_and_what_is_the_servers_is_refused() {
        for sql in [
            "SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN",
            "SET @@SESSION.SQL_LOG_BIN= 0",
            "SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ 'abc:1-5'",
            "set autocommit=0",
            "/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */",
        ] {
            assert_eq!(decided(sql), Ok(Setting::Skip), "{sql}");
        }
        for sql in [
            "SET GLOBAL sql_mode = ''",
            "SET @@GLOBAL.time_zone = 'UTC'",
            "SET PERSIST time_zone = 'UTC'",
            "SET @@PERSIST.time_zone = 'UTC'",
            "SET PASSWORD = 'x'",
            "SET PASSWORD FOR root = PASSWORD('x')",
            "SET ROLE admin",
            "SET DEFAULT ROLE admin FOR root",
            "SET TRANSACTION READ ONLY",
            "SET STATEMENT sql_notes = 0 FOR DROP DATABASE app",
            "SET @a = f()",
            "SET @a = (SELECT 1)",
            "SET max_statement_time = 1",
            "SET NAMES sjis",
            "SET character_set_client = 'gbk'",
            "SET sql_notes = 0, GLOBAL sql_notes = 0",
        ] {
            assert!(decided(sql).is_err(), "{sql}");
        }
    }
}
