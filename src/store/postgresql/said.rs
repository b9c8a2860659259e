//! What a server's errors mean to an operator.

use tokio_postgres::error::SqlState;

use super::advice;
use crate::error::{Error, Kind};

/// What a server's error means to an operator. Details and, for errors about values, messages too are left out: they
/// may quote rows.
pub(super) fn explain(error: &tokio_postgres::Error, place: &str) -> Error {
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
        return match kind {
            Kind::Permission => made.hint("give the endpoint a `password`"),
            _ => made.hint("check that the server is up and can be reached from here"),
        };
    };
    Said {
        code: said.code().clone(),
        message: said.message().to_owned(),
        context: said.where_().map(str::to_owned),
    }
    .explain(place)
}

/// An error or a notice of a server.
pub(super) struct Said {
    code: SqlState,
    pub(super) message: String,
    context: Option<String>,
}

impl Said {
    /// Reads the fields of a message (PostgreSQL manual, "Error and Notice Message Fields").
    pub(super) fn parse(body: &[u8]) -> Self {
        let mut said = Self {
            code: SqlState::INTERNAL_ERROR,
            message: String::new(),
            context: None,
        };
        for field in body.split(|byte| *byte == 0) {
            let Some((name, value)) = field.split_first() else {
                break;
            };
            let value = String::from_utf8_lossy(value);
            match name {
                b'C' => said.code = SqlState::from_code(&value),
                b'M' => said.message = value.into_owned(),
                b'W' => said.context = Some(value.into_owned()),
                _ => {}
            }
        }
        said
    }

    /// What it means to an operator.
    pub(super) fn explain(&self, place: &str) -> Error {
        let code = &self.code;
        let class = code.code().get(..2).unwrap_or_default();
        let mut text = if class == "22" {
            format!("a value was not accepted (SQLSTATE {})", code.code())
        } else {
            format!("{} (SQLSTATE {})", self.message, code.code())
        };
        if let Some(context) = self.context.as_deref().and_then(copy_context) {
            text = format!("{text} in {context}");
        }
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
            "40" | "72" if advice::of(code.code(), &self.message).is_some() => {
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
            None => made,
        }
    }
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
