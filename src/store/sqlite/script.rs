//! The job's own SQL on incoming, cut into statements by SQLite itself.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Connection};
use tokio_util::sync::CancellationToken;

use super::super::redact::{self, Dialect};
use super::connection::stopped;
use super::messages;
use crate::error::{Error, Kind, Result};

/// Runs a script with foreign keys and triggers at work, as an application would.
pub(super) fn run(
    connection: &Connection,
    file: &Path,
    text: &str,
    stop: &CancellationToken,
) -> Result<()> {
    let setup = |on: bool| {
        connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, on)
            .and_then(|_| connection.pragma_update(None, "foreign_keys", on))
            .and_then(|()| connection.pragma_update(None, "ignore_check_constraints", !on))
            .map_err(|error| super::connection::explain(error, &file.display().to_string()))
    };
    setup(true)?;
    let mut done = statements(connection, file, text, stop);
    if !connection.is_autocommit() {
        // Whatever it was, it cannot be published half.
        let _ = connection.execute_batch("ROLLBACK");
        if done.is_ok() {
            done = Err(Error::new(
                Kind::Statement,
                format!("{} leaves a transaction open", file.display()),
            )
            .hint("end it with COMMIT"));
        }
    }
    if done.is_ok() && journal_mode(connection).is_ok_and(|mode| mode == "off") {
        // Without a journal nothing can be rolled back, whatever ROLLBACK says (https://sqlite.org/pragma.html#pragma_journal_mode).
        done = Err(Error::new(
            Kind::Statement,
            format!(
                "{} turns the rollback journal off, so incoming may not be whole",
                file.display()
            ),
        )
        .hint("leave PRAGMA journal_mode out of it"));
    }
    setup(false)?;
    done
}

fn journal_mode(connection: &Connection) -> rusqlite::Result<String> {
    connection.pragma_query_value(None, "journal_mode", |row| row.get(0))
}

fn statements(
    connection: &Connection,
    file: &Path,
    text: &str,
    stop: &CancellationToken,
) -> Result<()> {
    let mut batch = Batch::new(connection, text);
    // Where the statement that is prepared next begins.
    let mut at = 0;
    loop {
        stopped(stop)?;
        let mut statement = match batch.next() {
            Ok(Some(statement)) => statement,
            Ok(None) => return Ok(()),
            Err(error) => {
                let rest = text.get(at..).unwrap_or(text);
                let said = messages::told_of_preparing(&error, rest);
                return Err(failed(file, text, at, rest, &error, said));
            }
        };
        // Scripts have no parameters, so that this is the statement's own text, with what is between it and the last.
        let own = statement.expanded_sql().unwrap_or_default();
        let start = text
            .get(at..)
            .and_then(|rest| rest.find(&own))
            .map_or(at, |found| at + found);
        let outcome = (|| {
            let mut rows = statement.raw_query();
            while rows.next()?.is_some() {}
            Ok(())
        })();
        outcome.map_err(|error| {
            let said = messages::told(&error, &own);
            failed(file, text, start, &own, &error, said)
        })?;
        at = start + own.len();
    }
}

fn failed(
    file: &Path,
    text: &str,
    at: usize,
    statement: &str,
    error: &rusqlite::Error,
    said: String,
) -> Error {
    let skipped = blank(statement);
    let line = text[..at + skipped].matches('\n').count() + 1;
    let shown = redact::statement(&statement[skipped..], Dialect::Sqlite);
    let kind = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => Kind::Full,
        _ => Kind::Statement,
    };
    Error::new(kind, format!("{}:{line}: `{shown}`", file.display())).because(said)
}

/// How many bytes of white space and comments come first.
fn blank(text: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        at += rest.len() - trimmed.len();
        let skip = if trimmed.starts_with("--") {
            trimmed.find('\n')
        } else if trimmed.starts_with("/*") {
            trimmed.find("*/").map(|end| end + 2)
        } else {
            return at;
        };
        match skip {
            Some(skip) => at += skip,
            None => return at,
        }
    }
}
