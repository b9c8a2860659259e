//! What of a script's statement would reach beyond its copy: another database by name, or the server. Pure.

use std::collections::BTreeSet;

use crate::store::mysql::sql::lexer::{Dialect, Shape, Token, tokens};
use crate::store::mysql::sql::references;

/// Databases that can only be read.
const READABLE: [&str; 2] = ["information_schema", "performance_schema"];

/// Statements that are about the server, by their first words.
const SERVER: [&[&str]; 46] = [
    &["GRANT"],
    &["REVOKE"],
    &["FLUSH"],
    &["RESET"],
    &["PURGE"],
    &["CHANGE"],
    &["SHUTDOWN"],
    &["RESTART"],
    &["KILL"],
    &["INSTALL"],
    &["UNINSTALL"],
    &["CLONE"],
    &["BACKUP"],
    &["BINLOG"],
    &["IMPORT"],
    &["LOAD"],
    &["CREATE", "USER"],
    &["ALTER", "USER"],
    &["DROP", "USER"],
    &["RENAME", "USER"],
    &["CREATE", "ROLE"],
    &["DROP", "ROLE"],
    &["ALTER", "INSTANCE"],
    &["LOCK", "INSTANCE"],
    &["CREATE", "SERVER"],
    &["ALTER", "SERVER"],
    &["DROP", "SERVER"],
    &["CREATE", "TABLESPACE"],
    &["ALTER", "TABLESPACE"],
    &["DROP", "TABLESPACE"],
    &["CREATE", "UNDO"],
    &["ALTER", "UNDO"],
    &["DROP", "UNDO"],
    &["CREATE", "LOGFILE"],
    &["ALTER", "LOGFILE"],
    &["CREATE", "DATABASE"],
    &["CREATE", "SCHEMA"],
    &["DROP", "DATABASE"],
    &["DROP", "SCHEMA"],
    &["SET", "PASSWORD"],
    &["SET", "DEFAULT", "ROLE"],
    &["START", "SLAVE"],
    &["START", "REPLICA"],
    &["STOP", "SLAVE"],
    &["STOP", "REPLICA"],
    &["START", "GROUP_REPLICATION"],
];

/// What may follow ALTER DATABASE in place of a name.
const OPTIONS: [&str; 7] = [
    "CHARACTER",
    "CHARSET",
    "COLLATE",
    "DEFAULT",
    "COMMENT",
    "ENCRYPTION",
    "READ",
];

/// What a statement reaches that is not the copy, in words. `schemas`: the server's databases but for the copy itself, as the
/// server spells them; `folded`: it tells them apart without case.
pub(in crate::store::mysql) fn beyond(
    sql: &str,
    dialect: Dialect,
    own: &str,
    schemas: &BTreeSet<String>,
    folded: bool,
) -> Option<String> {
    let all: Vec<Token<'_>> = tokens(sql, dialect)
        .into_iter()
        .filter(|token| token.shape != Shape::Blank)
        .filter(|token| !token.text.starts_with("/*") && !token.is_mark("*/"))
        .collect();
    of_the_server(&all).or_else(|| {
        let same = |one: &str, other: &str| {
            one == other || (folded && one.to_lowercase() == other.to_lowercase())
        };
        let is_other = |name: &str| {
            !same(name, own)
                && !READABLE
                    .iter()
                    .any(|known| name.eq_ignore_ascii_case(known))
        };
        let is_there = |name: &str| schemas.iter().any(|schema| same(schema, name));
        let used = references::of(sql, dialect)
            .tables
            .into_iter()
            .filter_map(|(schema, _)| schema)
            .find(|schema| is_other(schema));
        used.or_else(|| qualifier(&all).find(|name| is_other(name) && is_there(name)))
            .map(|name| format!("names the database `{name}`"))
    })
}

/// Names in front of a dot that stand nowhere else as the name or alias of a table.
fn qualifier(all: &[Token<'_>]) -> impl Iterator<Item = String> {
    let follows_dot = |at: usize| at > 0 && all[at - 1].is_mark(".");
    let leads = |at: usize| all.get(at + 1).is_some_and(|next| next.is_mark("."));
    let alone: BTreeSet<String> = (0..all.len())
        .filter(|at| !follows_dot(*at) && !leads(*at))
        .filter_map(|at| all[at].name())
        .map(|name| name.to_lowercase())
        .collect();
    (0..all.len())
        .filter(|at| !follows_dot(*at) && leads(*at))
        .filter_map(|at| {
            let name = all[at].name()?;
            // With a column behind the table, it is a database whatever else is called so.
            let is_long = all.get(at + 3).is_some_and(|next| next.is_mark("."));
            (is_long || !alone.contains(&name.to_lowercase())).then_some(name)
        })
        .collect::<Vec<_>>()
        .into_iter()
}

fn of_the_server(all: &[Token<'_>]) -> Option<String> {
    let mut words: Vec<&Token<'_>> = all
        .iter()
        .skip_while(|token| token.is_mark("("))
        .take_while(|token| token.shape == Shape::Word)
        .take(5)
        .collect();
    if words.get(1).is_some_and(|word| word.is("OR")) && words.len() > 3 {
        words.drain(1..3);
    }
    let told = |words: &[&str]| Some(format!("{} is about the server", words.join(" ")));
    let leads = |start: &[&str]| {
        words.len() >= start.len() && words.iter().zip(start).all(|(word, start)| word.is(start))
    };
    if let Some(start) = SERVER.iter().find(|start| leads(start)) {
        return told(start);
    }
    let names = all
        .get(2)
        .is_some_and(|next| next.name().is_some() && !OPTIONS.iter().any(|option| next.is(option)));
    if names && (leads(&["ALTER", "DATABASE"]) || leads(&["ALTER", "SCHEMA"])) {
        return told(&["ALTER", "DATABASE"]);
    }
    for (at, token) in all.iter().enumerate() {
        if token.is("OUTFILE") || token.is("DUMPFILE") {
            if at > 0 && all[at - 1].is("INTO") {
                return told(&["INTO", "OUTFILE"]);
            }
        } else if token.is("SONAME") {
            return told(&["SONAME"]);
        } else if token.is("SET") && sets_globally(&all[at + 1..]) {
            return told(&["SET", "GLOBAL"]);
        }
    }
    None
}

/// Whether one of the variables that are set is the server's: `GLOBAL a = 1`, `@@GLOBAL.a = 1`.
fn sets_globally(all: &[Token<'_>]) -> bool {
    let mut depth = 0_usize;
    let mut starts = true;
    for (at, token) in all.iter().enumerate() {
        if token.is_mark(";") {
            return false;
        }
        if token.is_mark("(") {
            depth += 1;
        } else if token.is_mark(")") {
            depth = depth.saturating_sub(1);
        }
        let at_sign = |place: usize| all.get(place).is_some_and(|token| token.is_mark("@"));
        if starts {
            let word = if at_sign(at) && at_sign(at + 1) {
                all.get(at + 2)
            } else {
                Some(token)
            };
            let is_global = |token: &&Token<'_>| {
                ["GLOBAL", "PERSIST", "PERSIST_ONLY"]
                    .iter()
                    .any(|word| token.is(word))
            };
            if word.is_some_and(|word| is_global(&word)) {
                return true;
            }
        }
        starts = depth == 0 && token.is_mark(",");
    }
    false
}

/// The expression whose text a statement prepares or executes.
pub(in crate::store::mysql) fn prepared(sql: &str, dialect: Dialect) -> Option<String> {
    let all = tokens(sql, dialect);
    let solid: Vec<usize> = (0..all.len())
        .filter(|at| all[*at].shape != Shape::Blank)
        .collect();
    let word = |place: usize, word: &str| solid.get(place).is_some_and(|at| all[*at].is(word));
    let from = if word(0, "PREPARE") && word(2, "FROM") {
        3
    } else if word(0, "EXECUTE") && word(1, "IMMEDIATE") {
        2
    } else {
        return None;
    };
    let start = *solid.get(from)?;
    let end = all[start..]
        .iter()
        .position(|token| token.is("USING"))
        .map_or(all.len(), |end| start + end);
    Some(all[start..end].iter().map(|token| token.text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sql: &str) -> Option<String> {
        let schemas = ["live", "source", "users"].map(str::to_owned).into();
        beyond(sql, Dialect::default(), "copy", &schemas, false)
    }

    #[test]
    fn another_database_by_name_is_found() {
        for sql in [
            "UPDATE live.users SET a = 1",
            "DELETE u FROM `live` . `users` u",
            "INSERT INTO t SELECT * FROM elsewhere.x",
            "DROP TABLE IF EXISTS a, live.b",
            "RENAME TABLE a TO live.b",
            "CREATE VIEW live.v AS SELECT 1",
            "CREATE TRIGGER live.g BEFORE INSERT ON t FOR EACH ROW SET @a = 1",
            "CALL live.p()",
            "DO live.f(1)",
            "CREATE PROCEDURE p() BEGIN DELETE FROM source.t; END",
            "SELECT live.t.a FROM t",
            "/*!40000 TRUNCATE live.t */",
            "CREATE INDEX i ON live.t (a)",
            "CREATE TABLE m (a int) ENGINE = MERGE UNION = (live.t)",
        ] {
            let said = told(sql).unwrap_or_default();
            assert!(said.contains("names the database"), "{sql}: {said}");
        }
    }

    #[test]
    fn what_is_about_the_server_is_found() {
        for sql in [
            "DROP DATABASE live",
            "drop schema if exists live",
            "CREATE OR REPLACE USER x",
            "GRANT ALL ON *.* TO x",
            "SET GLOBAL a = 1",
            "SET @a = 1, @@GLOBAL.b = 2",
            "SET a = f(1, 2), PERSIST b = 3",
            "CREATE PROCEDURE p() BEGIN SET GLOBAL a = 1; END",
            "SELECT * FROM t INTO OUTFILE 'x'",
            "LOAD DATA INFILE 'x' INTO TABLE t",
            "ALTER DATABASE live CHARACTER SET utf8mb4",
            "FLUSH TABLES",
        ] {
            let said = told(sql).unwrap_or_default();
            assert!(said.contains("about the server"), "{sql}: {said}");
        }
    }

    #[test]
    fn what_stays_in_the_copy_is_let_through() {
        for sql in [
            "UPDATE users SET users.email = 'live.x' WHERE users.id = 1",
            "SELECT live.a FROM t AS live",
            "SELECT t.a, live.b FROM t JOIN u live ON live.a = t.a",
            "SELECT COUNT(*) FROM information_schema.TABLES",
            "UPDATE copy.t SET a = 1",
            "SET @global = 1, sql_mode = ''",
            "SET a = @@GLOBAL.b",
            "ALTER DATABASE CHARACTER SET utf8mb4",
            "START TRANSACTION",
            "CREATE TABLE a LIKE b",
            "INSERT INTO users (global) VALUES (1) ON DUPLICATE KEY UPDATE global = 2",
        ] {
            assert_eq!(told(sql), None, "{sql}");
        }
    }

    #[test]
    fn the_text_that_is_prepared_is_found() {
        let found = |sql| prepared(sql, Dialect::default());
        assert_eq!(found("PREPARE s FROM @a").as_deref(), Some("@a"));
        assert_eq!(
            found("execute immediate concat('a', @b) USING @c").as_deref(),
            Some("concat('a', @b) ")
        );
        assert_eq!(found("EXECUTE s"), None);
    }
}
