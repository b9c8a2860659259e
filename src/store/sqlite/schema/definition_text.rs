//! Checks the text that a row of `sqlite_schema` has for an object: it has to be the one statement that makes it.
//!
//! SQLite reads no further than to its first statement's end. Whoever can write into a file can put anything behind that, and
//! whoever ran the text as a script would run it with it.

use super::tokens::{Token, is_open, tokens};

/// What is wrong with a text that should define this object, and nothing else; `None`: nothing is.
pub(in crate::store::sqlite) fn flaw(
    kind: &str,
    name: &str,
    table: &str,
    sql: &str,
) -> Option<&'static str> {
    let tokens = tokens(sql);
    if sql.contains('\0') {
        return Some("has a NUL in it");
    }
    if is_open(sql) {
        return Some("opens a quote or a comment that it never closes");
    }
    if is_deep(&tokens) {
        return Some("is nested too deeply");
    }
    if has_tail(kind, &tokens) {
        return Some("is more than one statement");
    }
    if !defines(kind, name, table, &tokens) {
        return Some("is of something else than it says");
    }
    let has_parameter = tokens
        .iter()
        .any(|token| matches!(token, Token::Other('$' | '@' | ':' | '#' | '?')));
    // The arguments of a virtual table's module are words of its own.
    if has_parameter && !(kind == "table" && is_virtual(&tokens)) {
        return Some("has a parameter in it");
    }
    None
}

/// Whether there are more parentheses in one another than in any expression that SQLite takes (`SQLITE_MAX_EXPR_DEPTH`). Of queries in
/// one another it takes as many as its stack has room for, and ends the process when it has none.
fn is_deep(tokens: &[Token]) -> bool {
    let mut depth = 0_usize;
    tokens.iter().any(|token| {
        match token {
            Token::Other('(') => depth += 1,
            Token::Other(')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > 1000
    })
}

/// Whether anything follows the statement. A trigger ends with `; END`, where no statement of its body begins so; all others
/// end with their first semicolon.
fn has_tail(kind: &str, tokens: &[Token]) -> bool {
    let semicolon = Token::Other(';');
    let end = if kind == "trigger" {
        tokens
            .windows(2)
            .position(|pair| pair[0] == semicolon && pair[1].is("end"))
            .map(|at| at + 2)
    } else {
        tokens.iter().position(|token| *token == semicolon)
    };
    end.is_some_and(|end| tokens[end..].iter().any(|token| *token != semicolon))
}

/// Whether a text begins as the definition of this object does.
fn defines(kind: &str, name: &str, table: &str, tokens: &[Token]) -> bool {
    let mut rest = tokens;
    let mut take = |words: &[&str]| {
        let is_there =
            rest.len() >= words.len() && rest.iter().zip(words).all(|(token, word)| token.is(word));
        if is_there {
            rest = &rest[words.len()..];
        }
        is_there
    };
    let begins = match kind {
        "table" => take(&["create", "virtual", "table"]) || take(&["create", "table"]),
        "index" => take(&["create", "unique", "index"]) || take(&["create", "index"]),
        "view" => take(&["create", "view"]),
        "trigger" => take(&["create", "trigger"]),
        _ => false,
    };
    if !begins {
        return false;
    }
    take(&["if", "not", "exists"]);
    let is = |token: Option<&Token>, name: &str| {
        token
            .and_then(Token::name)
            .is_some_and(|found| found.eq_ignore_ascii_case(name))
    };
    let dot = Some(&Token::Other('.'));
    if !is(rest.first(), name) || rest.get(1) == dot {
        return false;
    }
    let on = match kind {
        "index" => 1,
        "trigger" => match rest.iter().position(|token| token.is("on")) {
            Some(at) => at,
            None => return false,
        },
        _ => return name == table,
    };
    let is_on = rest.get(on).is_some_and(|token| token.is("on"));
    // SQLite keeps the schema that a trigger's table was named with.
    let of = if rest.get(on + 2) == dot {
        on + 3
    } else {
        on + 1
    };
    is_on && is(rest.get(of), table)
}

/// Whether a definition is a virtual table's.
pub(super) fn is_virtual_table(sql: &str) -> bool {
    is_virtual(&tokens(sql))
}

fn is_virtual(tokens: &[Token]) -> bool {
    tokens.get(1).is_some_and(|token| token.is("virtual"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_one_definition_of_that_name_is_a_flaw() {
        let deep = format!(
            "CREATE VIEW v AS {}SELECT 1{}",
            "SELECT * FROM (".repeat(2000),
            ")".repeat(2000)
        );
        for (kind, name, table, sql, what) in [
            (
                "table",
                "t",
                "t",
                "CREATE TABLE t (a); ATTACH 'x' AS v",
                "more than one",
            ),
            (
                "table",
                "t",
                "t",
                "CREATE TABLE t (a) /*/ ' */ ; ATTACH 'x' AS v -- '",
                "more than one",
            ),
            (
                "view",
                "v",
                "v",
                "CREATE VIEW v AS SELECT 1;\n.shell touch x\nSELECT 1",
                "more than one",
            ),
            (
                "trigger",
                "r",
                "t",
                "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END; ATTACH 'x' AS v",
                "more than one",
            ),
            (
                "trigger",
                "r",
                "t",
                "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END ATTACH 'x' AS v; END",
                "more than one",
            ),
            (
                "trigger",
                "r",
                "t",
                "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT $a(;'); END; ATTACH 'x' AS v; --'",
                "more than one",
            ),
            (
                "view",
                "v",
                "v",
                "CREATE VIEW v AS SELECT 1\0; ATTACH 'x' AS v",
                "NUL",
            ),
            (
                "view",
                "v",
                "v",
                "CREATE VIEW v AS SELECT 1 /* open",
                "never closes",
            ),
            ("view", "v", "v", &deep, "nested"),
            ("view", "v", "v", "CREATE VIEW v AS SELECT $a", "parameter"),
            (
                "view",
                "v",
                "v",
                "CREATE VIEW w AS SELECT 1",
                "something else",
            ),
            ("view", "v", "v", "CREATE TABLE v (a)", "something else"),
            (
                "view",
                "v",
                "v",
                "CREATE TEMP VIEW v AS SELECT 1",
                "something else",
            ),
            (
                "view",
                "v",
                "t",
                "CREATE VIEW v AS SELECT 1",
                "something else",
            ),
            (
                "table",
                "t",
                "t",
                "CREATE TABLE main.t (a)",
                "something else",
            ),
            (
                "table",
                "other",
                "other",
                "CREATE TABLE other.t (a)",
                "something else",
            ),
            (
                "index",
                "i",
                "t",
                "CREATE INDEX i ON u (a)",
                "something else",
            ),
            (
                "trigger",
                "r",
                "t",
                "CREATE TRIGGER r AFTER INSERT ON u BEGIN SELECT 1; END",
                "something else",
            ),
            ("table", "t", "t", "ATTACH 'x' AS v", "something else"),
            ("table", "t", "t", "", "something else"),
            ("other", "t", "t", "CREATE TABLE t (a)", "something else"),
        ] {
            let found = flaw(kind, name, table, sql).unwrap_or_else(|| panic!("{sql}"));
            assert!(found.contains(what), "{sql}: {found}");
        }
    }
}
