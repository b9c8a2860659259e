//! Runs the job's own SQL on incoming, cut into statements by SQLite itself.

use std::path::Path;
use std::sync::Arc;

use rusqlite::config::DbConfig;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Batch, Connection, Statement};
use tokio_util::sync::CancellationToken;

use super::split;
use crate::error::{Error, Kind, Result};
use crate::store::redact::{self, Dialect};
use crate::store::sqlite::connection::errors::{explain, on};
use crate::store::sqlite::connection::messages;
use crate::store::sqlite::connection::session::{locked, stopped};
use crate::sync::Mutex;

/// Runs a script with foreign keys and triggers at work, as an application would.
pub(in crate::store::sqlite) fn run(
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
            .map_err(|error| explain(error, &file.display().to_string()))
    };
    setup(true)?;
    let refused = keep_in(connection).map_err(on(file))?;
    let mut done = statements(connection, file, text, stop, &refused);
    connection
        .authorizer(None::<fn(AuthContext<'_>) -> Authorization>)
        .map_err(on(file))?;
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

/// Looks for what is opened in a script and never closed, and for the shell's own commands. What SQLite itself says of a
/// statement depends on the tables that there are by then.
pub(in crate::store::sqlite) fn look(file: &Path, text: &str) -> Result<()> {
    let Some((at, what)) = flaw(text) else {
        return Ok(());
    };
    let line = text[..at].matches('\n').count() + 1;
    let place = format!("{}:{line}", file.display());
    Err(Error::new(Kind::Statement, format!("{place}: {what}")))
}

/// Where, and what. The tokens are those of SQLite's `tokenize.c`: a comment may end with the text, a string may not.
pub(in crate::store::sqlite) fn flaw(text: &str) -> Option<(usize, String)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut begins = true;
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at..];
        let end_of = |mark: &[u8]| rest[2..].windows(mark.len()).position(|it| it == mark);
        let skip = match byte {
            b'-' if rest.starts_with(b"--") => end_of(b"\n").map_or(rest.len(), |end| end + 2),
            b'/' if rest.starts_with(b"/*") => end_of(b"*/").map_or(rest.len(), |end| end + 4),
            b'\'' | b'"' | b'`' | b'[' => {
                let close = if byte == b'[' { b']' } else { byte };
                // A doubled one is two strings side by side, for all that matters here.
                let Some(end) = rest[1..].iter().position(|it| *it == close) else {
                    let what = format!("`{}` is opened and never closed", char::from(byte));
                    return Some((at, what));
                };
                end + 2
            }
            b'.' if begins => {
                let word = text[at..].split_whitespace().next().unwrap_or_default();
                let what = format!("`{word}` is a command of the sqlite3 shell, and no SQL");
                return Some((at, what));
            }
            _ => 1,
        };
        // At the beginning of a statement, past blanks and comments.
        let is_comment = skip > 1 && matches!(byte, b'-' | b'/');
        begins = byte == b';' || (begins && (byte.is_ascii_whitespace() || is_comment));
        at += skip;
    }
    None
}

fn journal_mode(connection: &Connection) -> rusqlite::Result<String> {
    connection.pragma_query_value(None, "journal_mode", |row| row.get(0))
}

/// What was refused last.
type Refused = Arc<Mutex<Option<String>>>;

/// Lets a script work on its copy, and on what is gone with its session.
fn keep_in(connection: &Connection) -> rusqlite::Result<Refused> {
    let refused = Refused::default();
    let noted = Arc::clone(&refused);
    connection.authorizer(Some(move |context: AuthContext<'_>| {
        match reaching(&context.action) {
            Some(what) => {
                *locked(&noted) = Some(what);
                Authorization::Deny
            }
            None => Authorization::Allow,
        }
    }))?;
    Ok(refused)
}

/// What would reach beyond the copy, or beyond what SQLite vouches for.
fn reaching(action: &AuthAction<'_>) -> Option<String> {
    match action {
        // VACUUM attaches an empty name, which is a database of its own that goes with the session.
        AuthAction::Attach {
            filename: "" | ":memory:",
        } => None,
        // VACUUM INTO, too.
        AuthAction::Attach { .. }
        | AuthAction::Unknown {
            code: rusqlite::ffi::SQLITE_ATTACH,
            ..
        } => Some("another file".to_owned()),
        AuthAction::Function { function_name }
            if function_name.eq_ignore_ascii_case("load_extension") =>
        {
            Some("load_extension".to_owned())
        }
        AuthAction::Pragma {
            pragma_name,
            pragma_value: Some(_),
        } => [
            "writable_schema",
            "temp_store_directory",
            "data_store_directory",
            "lock_proxy_file",
            // Of the whole process.
            "soft_heap_limit",
            "hard_heap_limit",
        ]
        .into_iter()
        .find(|name| pragma_name.eq_ignore_ascii_case(name))
        .map(|name| format!("PRAGMA {name}")),
        _ => None,
    }
}

fn statements(
    connection: &Connection,
    file: &Path,
    text: &str,
    stop: &CancellationToken,
    refused: &Refused,
) -> Result<()> {
    let failed = |at: usize, statement: &str, error: &rusqlite::Error, message: String| {
        let made = failed(file, text, at, statement, error, message);
        beyond_the_copy(made, refused)
    };
    // Where the statement that is prepared next begins.
    let mut at = 0;
    let mut end = split::first(text);
    let mut batch = Batch::new(connection, &text[..end]);
    loop {
        stopped(stop)?;
        let mut statement = match batch.next() {
            Ok(Some(statement)) => statement,
            Ok(None) if end == text.len() => return Ok(()),
            Ok(None) => {
                at = end;
                end += split::first(&text[at..]);
                batch = Batch::new(connection, &text[at..end]);
                continue;
            }
            // A statement may end elsewhere than it seemed.
            Err(_) if end < text.len() && locked(refused).is_none() => {
                end = text.len();
                batch = Batch::new(connection, &text[at..]);
                continue;
            }
            Err(error) => {
                let rest = text.get(at..).unwrap_or(text);
                let message = messages::told_of_preparing(&error, rest);
                return Err(failed(at, rest, &error, message));
            }
        };
        // Scripts have no parameters, so that this is the statement's own text, with what is between it and the last.
        let own = statement.expanded_sql().unwrap_or_default();
        let start = text
            .get(at..)
            .and_then(|rest| rest.find(&own))
            .map_or(at, |found| at + found);
        step_through(&mut statement).map_err(|error| {
            let message = messages::told(&error, &own);
            failed(start, &own, &error, message)
        })?;
        at = start + own.len();
    }
}

/// Adds what the authorizer has refused to the error that came of it.
fn beyond_the_copy(error: Error, refused: &Refused) -> Error {
    match locked(refused).take() {
        Some(what) => Error::new(
            error.kind(),
            format!("{error}: {what} is beyond the copy that a script works on"),
        )
        .hint("a script sees its own copy alone: put what it needs into the script itself"),
        None => error,
    }
}

/// Runs a statement to its end.
fn step_through(statement: &mut Statement<'_>) -> rusqlite::Result<()> {
    let mut rows = statement.raw_query();
    while rows.next()?.is_some() {}
    Ok(())
}

fn failed(
    file: &Path,
    text: &str,
    at: usize,
    statement: &str,
    error: &rusqlite::Error,
    message: String,
) -> Error {
    let skipped = blank(statement);
    let line = text[..at + skipped].matches('\n').count() + 1;
    let shown = redact::statement(&statement[skipped..], Dialect::Sqlite);
    let kind = match messages::code(error) {
        Some(rusqlite::ErrorCode::DiskFull) => Kind::Full,
        _ => Kind::Statement,
    };
    Error::new(kind, format!("{}:{line}: `{shown}`", file.display())).because(message)
}

/// How many bytes of white space and comments come first.
pub(in crate::store::sqlite) fn blank(text: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        at += rest.len() - trimmed.len();
        let skip = if trimmed.starts_with("--") {
            trimmed.find('\n')
        } else if let Some(comment) = trimmed.strip_prefix("/*") {
            comment.find("*/").map(|end| end + 4)
        } else {
            return at;
        };
        match skip {
            Some(skip) => at += skip,
            None => return at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sqlite_reads_is_no_flaw_and_what_is_never_closed_is() {
        for fine in [
            "UPDATE t SET [it's] = 'masked';",
            "INSERT INTO t VALUES ('it''s', \"a ' b\", `c \" d`); -- it's\n/* don't */ SELECT 1",
            "SELECT 1 /* to the end",
            "SELECT .5; SELECT a.b FROM a",
            "",
        ] {
            assert_eq!(flaw(fine), None, "{fine}");
            let connection = Connection::open_in_memory().unwrap();
            connection
                .execute_batch("CREATE TABLE t (\"it's\", b, c); CREATE TABLE a (b)")
                .unwrap();
            connection
                .execute_batch(&fine.replace("\"a ' b\", `c \" d`", "1, 2"))
                .unwrap();
        }
        for (script, line, what) in [
            ("SELECT 1;\nSELECT 'it''s", 2, "`'` is opened"),
            ("SELECT \"a", 1, "`\"` is opened"),
            ("SELECT [a\n;", 1, "`[` is opened"),
            (
                "-- first\n.read other.sql\n",
                2,
                "`.read` is a command of the sqlite3 shell",
            ),
        ] {
            let error = look(Path::new("a.sql"), script).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("a.sql:{line}: {what}")),
                "{error}"
            );
        }
    }
}
