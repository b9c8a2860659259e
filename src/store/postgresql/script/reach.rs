//! Scripts work on their copy alone. What reaches beyond it by a statement of its own is refused before anything is made; what
//! a function or another connection does is looked for afterwards, as far as it is about live.

use std::path::Path;

use crate::error::{Error, Kind, Result, io};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::databases::destination::Destination;
use crate::store::postgresql::sql::words::{after_comment, after_line, dollar_quote, words};
use crate::store::statements::{self, Statement};

const ROLES: &str = "the server's roles, which live has, too";

/// The thing outside of its database that a statement reaches, if it does.
pub(in crate::store::postgresql) fn reached(statement: &str) -> Option<&'static str> {
    let all = words(statement);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    match all.as_slice() {
        ["CREATE" | "DROP" | "ALTER", "DATABASE", ..] => Some("a database"),
        ["CREATE" | "DROP" | "ALTER", "TABLESPACE", ..] => Some("a tablespace of the server"),
        ["ALTER", "SYSTEM", ..] => Some("the server's settings"),
        ["ALTER" | "CREATE" | "DROP", "USER", "MAPPING", ..] => None,
        ["CREATE" | "DROP" | "ALTER", "ROLE" | "USER" | "GROUP", ..]
        | ["REASSIGN" | "DROP", "OWNED", ..]
        | ["COMMENT" | "SECURITY", "ON", "ROLE", ..]
        | ["SECURITY", "LABEL", "ON", "ROLE", ..] => Some(ROLES),
        ["COMMENT", "ON", "DATABASE" | "TABLESPACE", ..] => Some("the server"),
        ["GRANT" | "REVOKE", ..] if !has_word(statement, "ON") => Some(ROLES),
        ["GRANT" | "REVOKE", rest @ ..]
            if rest.windows(2).any(|pair| {
                pair[0] == "ON" && matches!(pair[1], "DATABASE" | "TABLESPACE" | "PARAMETER")
            }) =>
        {
            Some("the server")
        }
        ["CREATE" | "ALTER" | "DROP", "SUBSCRIPTION", ..] => Some("another server"),
        ["COPY", ..] if runs_program(statement) => Some("a program on the server's host"),
        ["COPY", ..] if writes_file(statement) => Some("a file on the server's host"),
        _ => None,
    }
}

/// A statement's words outside of quotes and comments; a string is `'`, however it is quoted.
fn bare_words(statement: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = statement;
    while let Some(first) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("--") {
            rest = after_line(after);
        } else if rest.starts_with("/*") {
            rest = after_comment(rest);
        } else if let Some((tag, text)) = dollar_quote(rest) {
            rest = text.split_once(tag).map_or("", |(_, rest)| rest);
            found.push("'".to_owned());
        } else if first == '\'' || first == '"' {
            rest = rest[1..].split_once(first).map_or("", |(_, rest)| rest);
            found.push(first.to_string());
        } else if first.is_alphabetic() || first == '_' {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                .unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            // E'...' and its like are strings, too.
            if !behind.starts_with('\'') {
                found.push(word.to_ascii_uppercase());
            }
            rest = behind;
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    found
}

fn has_word(statement: &str, word: &str) -> bool {
    bare_words(statement).iter().any(|one| one == word)
}

/// COPY ... PROGRAM 'command'.
fn runs_program(statement: &str) -> bool {
    let all = bare_words(statement);
    all.windows(3).any(|three| {
        matches!(three[0].as_str(), "FROM" | "TO") && three[1] == "PROGRAM" && three[2] == "'"
    })
}

/// COPY ... TO 'file'.
fn writes_file(statement: &str) -> bool {
    let all = bare_words(statement);
    all.windows(2).any(|pair| pair[0] == "TO" && pair[1] == "'")
}

/// Refuses a script's statement that reaches beyond its database.
fn refuse(file: &Path, statement: &Statement<'_>) -> Result<()> {
    match reached(statement.text) {
        None => Ok(()),
        Some(what) => Err(Error::new(
            Kind::Statement,
            format!(
                "script {}:{} is about {what}: a script works on its copy alone, before anyone sees it",
                file.display(),
                statement.line
            ),
        )
        .hint("do it in a hook, or by hand")),
    }
}

/// What is looked at before and after scripts: live's own entry among the server's databases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::postgresql) struct Outside {
    /// By the words for it.
    facts: Vec<(&'static str, Option<String>)>,
}

impl Outside {
    async fn look(admin: &Session, live: &str, previous: &str) -> Result<Self> {
        let row = admin
            .query_opt(
                "SELECT d.oid::text, d.datdba::text, concat_ws(' ', d.datallowconn, d.datistemplate, d.datconnlimit), d.datacl::text, \
                        shobj_description(d.oid, 'pg_database'), \
                        (SELECT string_agg(concat_ws(' ', s.setrole, s.setconfig::text), ' ' ORDER BY s.setrole) FROM pg_db_role_setting s \
                         WHERE s.setdatabase = d.oid), \
                        (SELECT p.oid::text FROM pg_database p WHERE p.datname = $2) \
                 FROM pg_database d WHERE d.datname = $1",
                &[&live, &previous],
            )
            .await
            .map_err(admin.explain())?;
        let words = [
            "the database itself",
            "its owner",
            "whether and for how many it is open",
            "its grants",
            "its comment",
            "its settings",
            "what was live before it",
        ];
        let mut facts = Vec::with_capacity(words.len());
        for (at, word) in words.iter().enumerate() {
            let fact = match &row {
                Some(row) => row.read(at)?,
                None => None,
            };
            facts.push((*word, fact));
        }
        Ok(Self { facts })
    }
}

impl Destination {
    /// Refuses scripts with statements that reach beyond their database; one that cannot be read is told of by who runs it.
    pub(in crate::store::postgresql) async fn refuse_reaching_scripts(&self) -> Result<()> {
        for file in &self.scripts {
            let text = tokio::fs::read_to_string(file)
                .await
                .map_err(io(format!("script {} cannot be read", file.display())))?;
            for statement in statements::split(&text).unwrap_or_default() {
                refuse(file, &statement)?;
            }
        }
        Ok(())
    }

    /// Reads the state of live before a script.
    pub(super) async fn look_outside(&self) -> Result<Outside> {
        Outside::look(&self.admin, &self.names.live, &self.names.previous).await
    }

    /// Holds it against what it is afterwards.
    pub(super) async fn refuse_reached(&self, before: &Outside, file: &Path) -> Result<()> {
        let after = self.look_outside().await?;
        let changed = before
            .facts
            .iter()
            .zip(&after.facts)
            .find(|(one, other)| one != other);
        let Some(((what, was), (_, is))) = changed else {
            return Ok(());
        };
        let live = &self.names.live;
        let happened = match (was, is) {
            (Some(_), None) if *what == "the database itself" => {
                format!("the live database {live} is gone")
            }
            _ => format!("the live database {live} is not as it was: {what} has changed"),
        };
        Err(Error::new(
            Kind::Statement,
            format!(
                "while script {} ran on the copy, {happened}",
                file.display()
            ),
        )
        .hint("a script works on its copy alone; if it was the script, mend live by hand"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_beyond_the_copy_is_known_by_its_words() {
        for statement in [
            "DROP DATABASE live",
            "drop /* the */ database if exists live",
            "ALTER DATABASE live RENAME TO other",
            "ALTER SYSTEM SET fsync = off",
            "CREATE ROLE r",
            "ALTER USER app PASSWORD 'x'",
            "GRANT admin TO app",
            "REVOKE admin FROM app",
            "GRANT CONNECT ON DATABASE live TO app",
            "DROP OWNED BY app",
            "COPY t TO PROGRAM 'rm -rf /'",
            "COPY t TO PROGRAM E'rm -rf /'",
            "COPY t FROM PROGRAM $$rm -rf /$$",
            "COPY t FROM /* a /* b */ c */ PROGRAM $x$rm$x$",
            "COPY t TO $$/tmp/x$$",
            "COPY (SELECT 1) TO '/tmp/x'",
            "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p",
            "COMMENT ON DATABASE live IS 'x'",
        ] {
            assert!(reached(statement).is_some(), "{statement}");
        }
        for statement in [
            "UPDATE users SET database = 'DROP DATABASE live'",
            "GRANT SELECT ON users TO app",
            "ALTER TABLE role ADD COLUMN a int",
            "COPY t TO STDOUT",
            "COPY t FROM '/srv/x.csv'",
            "CREATE USER MAPPING FOR app SERVER s",
            "DROP TABLE owned",
            "DO $$ BEGIN EXECUTE 'x'; END $$",
            "COPY t (program) FROM '/srv/x'",
            "COPY (SELECT * FROM program) TO STDOUT",
        ] {
            assert_eq!(reached(statement), None, "{statement}");
        }
    }
}
