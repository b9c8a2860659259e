//! Errors that a PostgreSQL server reports, and the advice for each.

use std::ffi::OsStr;
use std::path::Path;

use tokio_postgres::error::{ErrorPosition, SqlState};

use super::complaints::ELSEWHERE;
use super::{advice, harmless, sqlstates};
use crate::error::{Error, Kind};
use crate::store::redact::{self, Dialect, Names};

/// What a server's error means to an operator. Of what it says only what cannot hold a row's value is told.
pub(in crate::store::postgresql) fn explain(error: &tokio_postgres::Error, place: &str) -> Error {
    explain_of(error, place, "")
}

/// The same for a statement, whose names may be told.
pub(in crate::store::postgresql) fn explain_of(
    error: &tokio_postgres::Error,
    place: &str,
    sql: &str,
) -> Error {
    let Some(said) = error.as_db_error() else {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        let text = cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
        let kind = if error.is_closed()
            || text.contains("communicating")
            || text.contains("connecting")
            || text.contains("timed out")
            || text.contains("timeout")
        {
            Kind::Connection
        } else if text.contains("password missing") || text.contains("authentication") {
            Kind::Permission
        } else {
            Kind::Connection
        };
        let made = Error::new(kind, format!("{place}: {text}"));
        // What the library says of `target_session_attrs`.
        if ["does not allow writes", "is not read only"]
            .iter()
            .any(|said| text.contains(said))
        {
            return made.hint(advice::SESSION_ATTRS);
        }
        return match kind {
            Kind::Permission => made.hint("give the endpoint a `password`"),
            _ => made.hint("check that the server is up and can be reached from here"),
        };
    };
    ServerError::of(said).explain_of(place, sql)
}

/// What an error at the start of a session means. Nothing of a row can be in it yet.
pub(super) fn explain_start(error: &tokio_postgres::Error, place: &str) -> Error {
    let said = error
        .as_db_error()
        .map(tokio_postgres::error::DbError::message);
    match said.filter(|said| said.starts_with(advice::UNSUPPORTED)) {
        Some(said) => Error::new(Kind::Config, format!("{place}: {said}")).hint(advice::STARTUP),
        None => explain(error, place),
    }
}

/// Adds the statement that it was about, without its literals.
pub(in crate::store::postgresql) fn about(error: Error, sql: &str) -> Error {
    redact::about(error, sql, Dialect::Postgresql)
}

/// An error or a notice of a server.
pub(in crate::store::postgresql) struct ServerError {
    code: SqlState,
    message: String,
    context: Option<String>,
    /// The server's source file that it comes from.
    file: String,
    /// It is about a statement inside of what we sent.
    is_inside: bool,
    /// The objects that it is about, from the fields that servers have for names.
    objects: Vec<(&'static str, String)>,
}

impl ServerError {
    /// Takes what the library has read.
    pub(in crate::store::postgresql) fn of(said: &tokio_postgres::error::DbError) -> Self {
        let table = said.table().map(|table| match said.schema() {
            Some(schema) => format!("{schema}.{table}"),
            None => table.to_owned(),
        });
        Self {
            code: said.code().clone(),
            message: said.message().to_owned(),
            context: said.where_().map(str::to_owned),
            file: said.file().unwrap_or_default().to_owned(),
            is_inside: matches!(said.position(), Some(ErrorPosition::Internal { .. })),
            objects: [
                ("table", table.as_deref()),
                ("column", said.column()),
                ("type", said.datatype()),
                ("constraint", said.constraint()),
            ]
            .into_iter()
            .filter_map(|(what, name)| Some((what, name?.to_owned())))
            .collect(),
        }
    }

    /// Reads the fields of a message (PostgreSQL manual, "Error and Notice Message Fields").
    pub(in crate::store::postgresql) fn parse(body: &[u8]) -> Self {
        let mut said = Self {
            code: SqlState::INTERNAL_ERROR,
            message: String::new(),
            context: None,
            file: String::new(),
            is_inside: false,
            objects: Vec::new(),
        };
        let mut schema = None;
        for field in body.split(|byte| *byte == 0) {
            let Some((name, value)) = field.split_first() else {
                break;
            };
            let value = String::from_utf8_lossy(value).into_owned();
            match name {
                b'C' => said.code = SqlState::from_code(&value),
                b'M' => said.message = value,
                b'W' => said.context = Some(value),
                b'F' => said.file = value,
                b'q' => said.is_inside = true,
                b's' => schema = Some(value),
                b't' => {
                    let table = schema.as_ref().map(|schema| format!("{schema}.{value}"));
                    said.objects.push(("table", table.unwrap_or(value)));
                }
                b'c' => said.objects.push(("column", value)),
                b'd' => said.objects.push(("type", value)),
                b'n' => said.objects.push(("constraint", value)),
                _ => {}
            }
        }
        said
    }

    /// What may be told of it, in one line; whether that is all of it.
    pub(in crate::store::postgresql) fn told(&self, sql: &str) -> (String, bool) {
        let code = self.code.code();
        let file = Path::new(&self.file).file_name().and_then(OsStr::to_str);
        let names = Names::of(sql, Dialect::Postgresql);
        let harmless = harmless::told(
            &harmless::Message {
                code,
                text: &self.message,
                file: file.unwrap_or_default(),
                has_context: self.context.is_some() || self.is_inside,
            },
            &names,
        );
        let is_whole = harmless.is_some();
        let what = harmless.unwrap_or_else(|| self.by_name());
        let mut text = format!("{what} (SQLSTATE {code})");
        if let Some(context) = self.context.as_deref().and_then(named_context) {
            text = format!("{text} in {context}");
        }
        (text, is_whole)
    }

    /// Its code's name, and what it is about.
    fn by_name(&self) -> String {
        let code = self.code.code();
        let what = if code.starts_with("22") {
            "a value was not accepted: "
        } else {
            ""
        };
        let condition = sqlstates::of(code).unwrap_or("an error of the server");
        let mut text = format!("{what}{condition}");
        // Of a RAISE they are what its author wanted.
        if !self.is_raised() {
            for (what, name) in &self.objects {
                text.push_str(&format!(", {what} {name}"));
            }
        }
        text
    }

    /// Whether it comes from a function's own RAISE or the like, and not from the server.
    fn is_raised(&self) -> bool {
        let file = self.file.as_str();
        file.is_empty()
            || ["pl_", "plpy_", "plperl", "pltcl", "dblink", "plv8"]
                .iter()
                .any(|start| file.starts_with(start))
    }

    /// The error for an operator, with advice.
    pub(in crate::store::postgresql) fn explain(&self, place: &str) -> Error {
        self.explain_of(place, "")
    }

    fn explain_of(&self, place: &str, sql: &str) -> Error {
        let code = &self.code;
        let class = code.code().get(..2).unwrap_or_default();
        let (text, is_whole) = self.told(sql);
        let (kind, hint) = match class {
            "28" => (
                Kind::Permission,
                Some("check the endpoint's user, its password and the server's pg_hba.conf"),
            ),
            "57" | "08" => (
                Kind::Connection,
                Some("the server ended the connection; see its log"),
            ),
            "53" if *code == SqlState::DISK_FULL => (
                Kind::Full,
                Some("free space on the server's disk and run the job again"),
            ),
            "53" if *code == SqlState::TOO_MANY_CONNECTIONS => (
                Kind::Connection,
                Some("give the task fewer `jobs`, or the server more max_connections"),
            ),
            // Of "out of shared memory", this is the only cause that a client has (as the server's own hint says).
            "53" if *code == SqlState::OUT_OF_MEMORY && self.message.contains("shared memory") => (
                Kind::Full,
                Some(
                    "raise the server's max_locks_per_transaction and restart it: a copy holds a lock on every table",
                ),
            ),
            "42" if *code == SqlState::INSUFFICIENT_PRIVILEGE => (Kind::Permission, None),
            "23" | "40" | "72" if advice::of(code.code(), &self.message).is_some() => {
                (Kind::Statement, advice::of(code.code(), &self.message))
            }
            "3D" => (Kind::Absent, Some("check the database's name in the URL")),
            "55" if *code == SqlState::LOCK_NOT_AVAILABLE => (
                Kind::Statement,
                Some("someone is altering that table; run the job again when they are done"),
            ),
            _ => (Kind::Statement, None),
        };
        let made = Error::new(kind, format!("{place}: {text}"));
        match hint {
            Some(hint) => made.hint(hint),
            None if !is_whole => made.hint(ELSEWHERE),
            None => made,
        }
    }
}

/// Which function it was, and where in it; or the place of a COPY.
fn named_context(context: &str) -> Option<&str> {
    copy_context(context).or_else(|| {
        let first = context.lines().next()?;
        let (function, rest) = first
            .strip_prefix("PL/pgSQL function ")?
            .rsplit_once(" line ")?;
        let (line, doing) = rest.split_once(" at ")?;
        let is_plain = !function.is_empty()
            && line.bytes().all(|byte| byte.is_ascii_digit())
            && doing
                .chars()
                .all(|c| c.is_ascii_alphabetic() || " ./%".contains(c));
        is_plain.then_some(first)
    })
}

/// The part of a COPY's context that names the place and not the value: `COPY users, line 3, column email`.
fn copy_context(context: &str) -> Option<&str> {
    let first = context.lines().next()?;
    first
        .starts_with("COPY ")
        .then(|| first.split(": ").next().unwrap_or(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_context_loses_its_value() {
        assert_eq!(
            copy_context("COPY users, line 3, column email: \"a@b\""),
            Some("COPY users, line 3, column email")
        );
        assert_eq!(copy_context("SQL function \"f\""), None);
    }
}
