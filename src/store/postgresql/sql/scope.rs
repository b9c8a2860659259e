//! What a definition may be about: its own database, and nothing else.

use super::words::words;
use crate::error::{Error, Kind, Result};
use crate::store::redact::{self, Dialect};
use crate::store::statements;

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

/// Functions that `pg_dump` calls in definitions.
const CALLED: [&str; 5] = [
    "PG_CATALOG.SET_CONFIG",
    "PG_CATALOG.SETVAL",
    "PG_CATALOG.LO_CREATE",
    "PG_CATALOG.LO_UNLINK",
    "PG_CATALOG.PG_EXTENSION_CONFIG_DUMP",
];

/// Whether a statement makes, alters or describes something in its own database.
pub(in crate::store::postgresql) fn belongs(statement: &str) -> bool {
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
}
