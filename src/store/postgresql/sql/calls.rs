//! What a statement of somebody who is not known makes or calls that would run with our rights, found by its words.

use std::collections::HashSet;

use super::words::{after_comment, after_line, dollar_quote, words};

/// How names of functions begin that extensions have and that run SQL, reach other servers or files.
const OF_EXTENSIONS: [&str; 6] = [
    "dblink",
    "pg_file_",
    "crosstab",
    "connectby",
    "xpath_table",
    "plpy",
];

/// What every dump begins with.
const PATH: &str = "SELECT pg_catalog.set_config('search_path', '', false)";

/// The code that a stranger's statement creates or calls and that would run with our rights; `None`: there is none.
pub(in crate::store::postgresql) fn of_statement(
    statement: &str,
    dear: &HashSet<String>,
) -> Option<String> {
    if statement == PATH {
        return None;
    }
    if sets_rules(statement) {
        return Some("setting".to_owned());
    }
    let all = words(statement);
    let mut all = all.iter().map(String::as_str).filter(|word| {
        !matches!(
            *word,
            "OR" | "REPLACE" | "TRUSTED" | "PROCEDURAL" | "CONSTRAINT" | "DEFAULT"
        )
    });
    if all.next() == Some("CREATE") {
        let mut next = || all.next().unwrap_or_default();
        let (what, next, third) = (next(), next(), next());
        let makes = match what {
            "FUNCTION" | "PROCEDURE" | "AGGREGATE" | "LANGUAGE" | "CONVERSION" | "TRANSFORM"
            | "OPERATOR" | "CAST" | "SERVER" => Some(what.to_lowercase()),
            "EVENT" | "ACCESS" | "FOREIGN" | "USER" => {
                Some(format!("{} {}", what.to_lowercase(), next.to_lowercase()))
            }
            "TEXT" if matches!(third, "TEMPLATE" | "PARSER") => {
                Some(format!("text search {}", third.to_lowercase()))
            }
            "TYPE" if statement.contains("INPUT = ") => {
                Some("type with functions of its own".to_owned())
            }
            _ => None,
        };
        if makes.is_some() {
            return makes;
        }
    }
    names(statement)
        .find(|name| {
            name == STRANGE
                || dear.contains(name)
                || OF_EXTENSIONS.iter().any(|start| name.starts_with(start))
        })
        .map(|name| match name.as_str() {
            STRANGE => "a name or a string with escapes".to_owned(),
            name => format!("call of {name}"),
        })
}

/// What stands for a name or a string that nobody writes so who has nothing to hide.
const STRANGE: &str = "'";

/// The identifiers of a statement outside of strings and comments, folded as the server folds them.
fn names(statement: &str) -> impl Iterator<Item = String> + '_ {
    let mut rest = statement;
    std::iter::from_fn(move || {
        loop {
            let first = rest.chars().next()?;
            if let Some(comment) = rest.strip_prefix("--") {
                rest = after_line(comment);
            } else if rest.starts_with("/*") {
                rest = after_comment(rest);
            } else if let Some((tag, text)) = dollar_quote(rest) {
                rest = text.split_once(tag).map_or("", |(_, rest)| rest);
            } else if first == '\'' {
                rest = after_string(&rest[1..], false);
            } else if let Some(name) = rest.strip_prefix('"') {
                let end = name.find('"').unwrap_or(name.len());
                rest = name.get(end + 1..).unwrap_or_default();
                return Some(name[..end].to_owned());
            } else if first.is_alphabetic() || first == '_' {
                let end = rest
                    .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                    .unwrap_or(rest.len());
                let name = rest[..end].to_lowercase();
                rest = &rest[end..];
                if name == "u" && rest.starts_with('&') {
                    return Some(STRANGE.to_owned());
                }
                if name == "e" && rest.starts_with('\'') {
                    rest = after_string(&rest[1..], true);
                    // Behind a line break it would go on, by the same rules.
                    if without_blanks(rest).starts_with('\'') {
                        return Some(STRANGE.to_owned());
                    }
                    continue;
                }
                return Some(name);
            } else {
                rest = &rest[first.len_utf8()..];
            }
        }
    })
}

/// A text without the blanks and the comments that it begins with.
fn without_blanks(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        match text.strip_prefix("--") {
            Some(comment) => text = after_line(comment),
            None => return text,
        }
    }
}

/// What follows a string whose opening quote is cut off.
fn after_string(text: &str, escapes: bool) -> &str {
    let mut skip = false;
    let mut signs = text.char_indices().peekable();
    while let Some((at, sign)) = signs.next() {
        match sign {
            _ if skip => skip = false,
            '\\' if escapes => skip = true,
            '\'' if signs.peek().is_some_and(|(_, next)| *next == '\'') => skip = true,
            '\'' => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}

/// Client encodings in which a byte of a character may be a backslash.
const ODD_ENCODINGS: [&str; 7] = ["SJIS", "SHIFT", "BIG5", "GBK", "UHC", "GB18030", "JOHAB"];

/// Whether a statement sets something under which the others would be read in another way than here.
fn sets_rules(statement: &str) -> bool {
    let all = words(statement);
    match all
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["SET", "STANDARD_CONFORMING_STRINGS", on] => *on != "ON",
        ["SET", "CLIENT_ENCODING", encoding] => {
            ODD_ENCODINGS.iter().any(|odd| encoding.starts_with(odd))
        }
        ["SET", "SESSION", "AUTHORIZATION", ..] | ["RESET", "SESSION", "AUTHORIZATION"] => false,
        ["SET", what, ..] => !what.starts_with("DEFAULT_"),
        ["RESET", ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(statement: &str) -> Option<String> {
        let dear = ["pg_read_file", "lo_export", "query_to_xml", "set_config"];
        of_statement(statement, &dear.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn what_makes_or_calls_code_is_found_however_it_is_written() {
        for statement in [
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "CREATE OR REPLACE PROCEDURE p() LANGUAGE sql AS ''",
            "CREATE /* TABLE */ FUNCTION f() RETURNS int LANGUAGE c AS 'x', 'y'",
            "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()",
            "CREATE DEFAULT CONVERSION c FOR 'UTF8' TO 'LATIN1' FROM f",
            "CREATE TRUSTED PROCEDURAL LANGUAGE l HANDLER h",
            "CREATE TYPE public.t (\n    INTERNALLENGTH = 4,\n    INPUT = public.i,\n    OUTPUT = public.o\n)",
            "CREATE FOREIGN TABLE f (a int) SERVER s OPTIONS (program 'id')",
            "CREATE TABLE t (a text CHECK (pg_read_file('/etc/passwd') IS NULL))",
            "CREATE TABLE t (a text CHECK (pg_catalog.\"pg_read_file\"('x') IS NULL))",
            "CREATE TABLE t (a text CHECK (PG_READ_FILE/**/('x') IS NULL))",
            "CREATE TABLE t (a text CHECK (U&\"pg\\005fread_file\"('x') IS NULL))",
            "CREATE TABLE t (a text CHECK (a <> $$'$$ AND pg_read_file('x') IS NULL))",
            "CREATE TABLE t (a text CHECK (a <> E'a'\n'\\'' AND pg_read_file('x') = ''))",
            "CREATE TABLE t (a text -- it's\rCHECK (pg_read_file('x') IS NULL)\n)",
            "SET standard_conforming_strings = 'off'",
            "SET client_encoding = 'SJIS'",
            "SET search_path = odd",
            "CREATE TABLE t (a text CHECK (a <> 'it''s' AND lo_export(1, 'x') = 1))",
            "CREATE TABLE t (a text DEFAULT E'\\'' || query_to_xml('', true, true, ''))",
            "CREATE MATERIALIZED VIEW v AS SELECT public.dblink_exec('x', 'y')",
            "ALTER TABLE t ADD CONSTRAINT c CHECK (set_config('a', 'b', false) = '')",
        ] {
            assert!(found(statement).is_some(), "{statement}");
        }
    }

    #[test]
    fn what_only_says_something_is_no_code() {
        for statement in [
            "CREATE TABLE t (id int DEFAULT nextval('s'::regclass), a timestamptz DEFAULT now(), CHECK (a > '2000-01-01'))",
            "CREATE TABLE t (a text DEFAULT 'pg_read_file(''x'')', b text DEFAULT E'\\' lo_export', c uuid DEFAULT gen_random_uuid())",
            "CREATE VIEW v AS SELECT upper(a) FROM t -- pg_read_file",
            "CREATE TYPE mood AS ENUM ('CREATE FUNCTION', 'INPUT')",
            "CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
            "CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA public",
            "CREATE TEXT SEARCH DICTIONARY d (\n    TEMPLATE = pg_catalog.simple )",
            "COMMENT ON TABLE t IS 'CREATE FUNCTION'",
            "SET client_encoding = 'UTF8'",
            "SET standard_conforming_strings = 'on'",
            PATH,
        ] {
            assert_eq!(found(statement), None, "{statement}");
        }
    }
}
