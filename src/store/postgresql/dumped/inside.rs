//! What a dump's statements may be about: their own database, and nothing else.

use super::head::{Entry, shown};
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::roles::BY_DROP;
use crate::store::redact::{self, Dialect};
use crate::store::statements;

/// Refuses an entry with a statement that `pg_dump` never writes for what is in a database: restored, it would run with
/// all the rights of the target's user.
pub(super) fn stay(entry: &Entry) -> Result<()> {
    let refused = |statement: &str, why: &str| {
        Error::new(Kind::Verify, format!("{} of the dump {why}", entry.label())).hint(format!(
            "no dump of one database has that; the statement was: {}",
            redact::statement(statement, Dialect::Postgresql)
        ))
    };
    let definition = shown(&entry.definition);
    let kind = shown(&entry.kind);
    if kind == "BLOB METADATA" {
        // No statements, but the numbers of large objects.
        if !definition
            .split_whitespace()
            .all(|oid| oid.parse::<u32>().is_ok())
        {
            return Err(refused(
                &definition,
                "has something else than large objects' numbers",
            ));
        }
    } else {
        for statement in cut(entry, &definition)? {
            if !belongs(statement) {
                return Err(refused(
                    statement,
                    "has a statement that reaches out of its database",
                ));
            }
        }
    }
    // Of some kinds the name is taken from there.
    if BY_DROP.contains(&kind.as_ref()) {
        let drop = shown(&entry.drop);
        let drops = cut(entry, &drop)?;
        let is_one = drops.len() <= 1;
        if !is_one || drops.iter().any(|drop| !drop.starts_with("DROP ")) {
            return Err(refused(&drop, "is not dropped by one DROP"));
        }
    }
    let copy = shown(&entry.copy);
    let copy = copy.trim();
    if !copy.is_empty() && !takes_the_dump_s_rows(copy) {
        return Err(refused(copy, "has rows that do not come from the dump"));
    }
    Ok(())
}

/// Refuses definitions of a snapshot with a statement that is not about what is in a database.
pub(in crate::store::postgresql) fn refuse_outside(label: &str, definition: &str) -> Result<()> {
    let refused = |why: String| Error::new(Kind::Verify, format!("{label} of the snapshot {why}"));
    let cut =
        statements::split(definition).map_err(|flaw| refused(format!("cannot be read: {flaw}")))?;
    match cut.iter().find(|statement| !belongs(statement.text)) {
        None => Ok(()),
        Some(statement) => Err(refused(
            "has a statement that reaches out of its database".to_owned(),
        )
        .hint(format!(
            "no snapshot of one database has that; the statement was: {}",
            redact::statement(statement.text, Dialect::Postgresql)
        ))),
    }
}

/// Whether a statement is `COPY table (columns) FROM stdin;` and nothing beside it.
fn takes_the_dump_s_rows(copy: &str) -> bool {
    let table = copy
        .strip_prefix("COPY ")
        .and_then(|rest| rest.strip_suffix(" FROM stdin;"));
    let Some(table) = table else {
        return false;
    };
    // Quoted names may have anything in them; outside of them no string, comment or end of a statement can begin.
    let outside: Vec<&str> = table.split('"').step_by(2).collect();
    let is_plain =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.' | ',' | ' ' | '(' | ')');
    table.matches('"').count() % 2 == 0 && outside.iter().all(|part| part.chars().all(is_plain))
}

fn cut<'a>(entry: &Entry, text: &'a str) -> Result<Vec<&'a str>> {
    let cut = statements::split(text).map_err(|flaw| {
        Error::new(
            Kind::Verify,
            format!("{} of the dump cannot be read: {flaw}", entry.label()),
        )
    })?;
    Ok(cut.into_iter().map(|statement| statement.text).collect())
}

/// A statement's first words, in upper case, without comments between them.
pub(in crate::store::postgresql) fn words(statement: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut text = statement;
    while found.len() < 8 && !text.is_empty() {
        if let Some(comment) = text.strip_prefix("--") {
            text = after_line(comment);
        } else if text.starts_with("/*") {
            text = after_comment(text);
        } else {
            let end = text
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
                .unwrap_or(text.len());
            if end > 0 {
                found.push(text[..end].to_ascii_uppercase());
                text = &text[end..];
            } else {
                let mut rest = text.chars();
                rest.next();
                text = rest.as_str();
            }
        }
    }
    found
}

/// What follows a comment's line, which a carriage return ends, too.
pub(in crate::store::postgresql) fn after_line(text: &str) -> &str {
    text.split_once(['\n', '\r']).map_or("", |(_, rest)| rest)
}

/// What follows a comment, which may have others in it.
pub(in crate::store::postgresql) fn after_comment(text: &str) -> &str {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(found) = text[at..].find(['/', '*']) {
        at += found;
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return &text[at..];
            }
        } else {
            at += 1;
        }
    }
    ""
}

/// Functions that `pg_dump` calls in definitions.
const CALLED: [&str; 5] = [
    "PG_CATALOG.SET_CONFIG",
    "PG_CATALOG.SETVAL",
    "PG_CATALOG.LO_CREATE",
    "PG_CATALOG.LO_UNLINK",
    "PG_CATALOG.PG_EXTENSION_CONFIG_DUMP",
];

/// Whether a statement makes, alters or describes something in its own database.
fn belongs(statement: &str) -> bool {
    let all = words(statement);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let is_on_ours = |all: &[&str]| {
        let on = all.iter().position(|word| *word == "ON");
        on.is_some_and(|at| all.get(at + 1).is_none_or(|what| !is_outside(what)))
    };
    match all.as_slice() {
        ["COMMENT" | "SECURITY", ..] => is_on_ours(&all),
        ["SET" | "RESET", what, ..] => *what != "ROLE",
        ["SELECT", called, ..] => CALLED.contains(called),
        ["REFRESH", "MATERIALIZED", ..] | ["CREATE" | "ALTER", "USER", "MAPPING", ..] => true,
        ["CREATE", rest @ ..] => rest
            .iter()
            .find(|word| {
                !matches!(
                    **word,
                    "OR" | "REPLACE" | "TRUSTED" | "PROCEDURAL" | "UNIQUE"
                )
            })
            .is_some_and(|what| !is_outside(what)),
        ["ALTER", what, ..] => !is_outside(what),
        // Without ON it is membership of a role. A list of columns may stand before it.
        ["GRANT" | "REVOKE", ..] => {
            let on = statement.find(" ON ");
            on.is_some_and(|at| {
                let what = words(&statement[at + 4..]);
                !matches!(
                    what.first().map(String::as_str),
                    None | Some("DATABASE" | "TABLESPACE" | "PARAMETER")
                )
            })
        }
        _ => false,
    }
}

/// What belongs to a server, and not to one database.
fn is_outside(what: &str) -> bool {
    matches!(
        what,
        "ROLE" | "USER" | "GROUP" | "DATABASE" | "TABLESPACE" | "SYSTEM" | "SUBSCRIPTION"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_of_a_database_belong_and_those_of_a_server_do_not() {
        for statement in [
            "CREATE TABLE public.t (a int)",
            "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'DROP DATABASE x'",
            "CREATE UNIQUE INDEX i ON public.t USING btree (a)",
            "CREATE USER MAPPING FOR a SERVER s",
            "ALTER TABLE ONLY public.t ADD CONSTRAINT p PRIMARY KEY (a)",
            "ALTER DEFAULT PRIVILEGES FOR ROLE a GRANT SELECT ON TABLES TO b",
            "GRANT SELECT(a),UPDATE(b) ON TABLE public.t TO c",
            "REVOKE ALL ON SCHEMA public FROM PUBLIC",
            "COMMENT ON COLUMN public.t.a IS 'DATABASE'",
            "SELECT pg_catalog.set_config('search_path', '', false)",
            "SELECT pg_catalog.setval('public.s', 3, true)",
            "SET client_encoding = 'UTF8'",
        ] {
            assert!(belongs(statement), "{statement}");
        }
        for statement in [
            "DROP DATABASE app",
            "DROP TABLE public.t",
            "CREATE DATABASE x",
            "CREATE ROLE x SUPERUSER",
            "CREATE /* TABLE /* x */ t */ USER x",
            "CREATE -- TABLE\nROLE x",
            "CREATE --\rROLE x SUPERUSER PASSWORD --\n'TABLE'",
            "ALTER SYSTEM SET archive_command = 'x'",
            "ALTER DATABASE app RENAME TO x",
            "ALTER ROLE x SUPERUSER",
            "ALTER USER x SUPERUSER",
            "-- CREATE TABLE\nDO $$ BEGIN END $$",
            "COPY public.t FROM PROGRAM 'id'",
            "GRANT postgres TO app",
            "GRANT ALL ON DATABASE app TO x",
            "SELECT pg_terminate_backend(1)",
            "SELECT dblink_exec('x')",
            "CALL f()",
            "SET ROLE postgres",
            "COMMENT ON DATABASE app IS 'x'",
            "INSERT INTO t VALUES (1)",
        ] {
            assert!(!belongs(statement), "{statement}");
        }
    }

    #[test]
    fn rows_come_from_the_dump_and_from_nowhere_else() {
        for copy in [
            "COPY public.users (id, name) FROM stdin;",
            "COPY public.\"odd; \"\"name' --\" (\"a b\", größe) FROM stdin;",
            "COPY public.t  FROM stdin;",
        ] {
            assert!(takes_the_dump_s_rows(copy), "{copy}");
        }
        for copy in [
            "COPY public.t FROM PROGRAM 'id'; -- FROM stdin;",
            "COPY public.t FROM '/etc/passwd';",
            "COPY public.t FROM stdin; DROP DATABASE x;",
            "COPY public.t FROM stdin; DROP DATABASE x; COPY public.t FROM stdin;",
            "COPY public.\"t FROM stdin;",
            "SELECT 1; COPY public.t FROM stdin;",
        ] {
            assert!(!takes_the_dump_s_rows(copy), "{copy}");
        }
    }
}
