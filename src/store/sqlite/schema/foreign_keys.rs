//! Foreign keys: which are broken, and how one is cut out of a table's definition when the table that it points to is left out.

use std::collections::BTreeSet;
use std::ops::Range;

use rusqlite::Connection;

use super::tokens::{Token, placed};

/// Pairs of tables whose foreign keys are broken; `None` if the keys themselves make no sense.
pub(in crate::store::sqlite) fn broken_keys(
    connection: &Connection,
) -> rusqlite::Result<Option<BTreeSet<(String, String)>>> {
    let found = connection
        .prepare("SELECT DISTINCT \"table\", parent FROM pragma_foreign_key_check")
        .and_then(|mut statement| {
            statement
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<BTreeSet<_>>>()
        });
    match found {
        Err(error) if error.to_string().contains("foreign key mismatch") => Ok(None),
        other => other.map(Some),
    }
}

/// A definition without the foreign keys that point to tables that `is_gone` names; `None`: it has none of them.
pub(in crate::store::sqlite) fn without(
    sql: &str,
    is_gone: impl Fn(&str) -> bool,
) -> Option<String> {
    let tokens = placed(sql);
    let mut cuts: Vec<Range<usize>> = Vec::new();
    let mut depth = 0_usize;
    for (at, (token, _)) in tokens.iter().enumerate() {
        match token {
            Token::Other('(') => depth += 1,
            Token::Other(')') => depth = depth.saturating_sub(1),
            _ if depth == 1 && token.is("references") => {
                let parent = tokens.get(at + 1).and_then(|(token, _)| token.name());
                if parent.is_some_and(&is_gone) {
                    let (from, until) = clause(&tokens, at);
                    let cut = tokens[from].1.start..tokens[until - 1].1.end;
                    match cuts.last_mut() {
                        // Of a text that is no definition, one may begin inside another.
                        Some(last) if cut.start < last.end => {
                            last.start = last.start.min(cut.start);
                            last.end = last.end.max(cut.end);
                        }
                        _ => cuts.push(cut),
                    }
                }
            }
            _ => {}
        }
    }
    if cuts.is_empty() {
        return None;
    }
    let mut made = sql.to_owned();
    for cut in cuts.into_iter().rev() {
        made.replace_range(cut, "");
    }
    Some(made)
}

type Placed = (Token, Range<usize>);

/// The tokens that belong to the foreign key whose `REFERENCES` is at `at`: the first, and the one after the last
/// (<https://sqlite.org/syntax/foreign-key-clause.html>).
fn clause(tokens: &[Placed], at: usize) -> (usize, usize) {
    let is = |at: usize, keyword: &str| tokens.get(at).is_some_and(|(token, _)| token.is(keyword));
    let is_other = |at: usize, c: char| matches!(tokens.get(at), Some((Token::Other(other), _)) if *other == c);
    let mut until = at + 2;
    if is_other(until, '(') {
        while until < tokens.len() && !is_other(until, ')') {
            until += 1;
        }
        until += 1;
    }
    loop {
        if is(until, "on") {
            let is_two = is(until + 2, "set") || is(until + 2, "no");
            until += if is_two { 4 } else { 3 };
        } else if is(until, "match") {
            until += 2;
        } else {
            break;
        }
    }
    let deferrable = until + usize::from(is(until, "not"));
    if is(deferrable, "deferrable") {
        until = deferrable + 1;
        if is(until, "initially") {
            until += 2;
        }
    }
    let mut from = at;
    let is_of_the_table = is_other(at.wrapping_sub(1), ')') && {
        let open = (0..at - 1).rev().find(|place| is_other(*place, '('));
        match open {
            Some(open) if open >= 2 && is(open - 1, "key") && is(open - 2, "foreign") => {
                from = open - 2;
                true
            }
            _ => false,
        }
    };
    if from >= 2 && is(from - 2, "constraint") {
        from -= 2;
    }
    if is_of_the_table && is_other(from.wrapping_sub(1), ',') {
        from -= 1;
    }
    (from, until.min(tokens.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_key_goes_with_all_its_clauses_and_nothing_else() {
        for (sql, expected) in [
            (
                "CREATE TABLE b (a REFERENCES a)",
                Some("CREATE TABLE b (a )"),
            ),
            (
                "CREATE TABLE b (a INT NOT NULL CONSTRAINT f REFERENCES \"A\" (id) ON DELETE SET NULL ON UPDATE CASCADE MATCH FULL NOT DEFERRABLE INITIALLY DEFERRED DEFAULT 7, c)",
                Some("CREATE TABLE b (a INT NOT NULL  DEFAULT 7, c)"),
            ),
            (
                "CREATE TABLE b (a REFERENCES a ON DELETE NO ACTION NOT NULL, c REFERENCES c)",
                Some("CREATE TABLE b (a  NOT NULL, c REFERENCES c)"),
            ),
            (
                "CREATE TABLE b (x, y, CONSTRAINT f FOREIGN KEY (x, y) REFERENCES [a] (x, y) DEFERRABLE, UNIQUE (x)) STRICT",
                Some("CREATE TABLE b (x, y, UNIQUE (x)) STRICT"),
            ),
            (
                "CREATE TABLE b (x, y, FOREIGN KEY (x) REFERENCES c FOREIGN KEY (y) REFERENCES a CHECK (x > 'references a'))",
                Some(
                    "CREATE TABLE b (x, y, FOREIGN KEY (x) REFERENCES c  CHECK (x > 'references a'))",
                ),
            ),
            (
                "CREATE TABLE b (x, y REFERENCES c, \"references\" a, CHECK (x <> \"references\"))",
                None,
            ),
        ] {
            let made = without(sql, |name| name.eq_ignore_ascii_case("a"));
            assert_eq!(made.as_deref(), expected, "{sql}");
        }
    }
}
