//! Takes values of rows out of SQLite's messages. Errors of preparing a statement speak of its text and of the schema alone; those of
//! running one may quote values, and a RAISE says what it likes, though always with a code of its own.

use rusqlite::{Error, ErrorCode, ffi};

use crate::store::redact::{self, Dialect, Names};

/// What stands for a message that is not told.
const HELD_BACK: &str = "what SQLite says of it may quote a row's content: run the statement by hand on a copy of the file to read it";

/// While a statement runs.
const RUNNING: &[&str] = &[
    "ESCAPE expression must be a single character",
    "JSON cannot hold BLOB values",
    "JSON path error near '{*}'",
    "LIKE or GLOB pattern too complex",
    "SQL logic error",
    "bad JSON path: {*}",
    "cannot VACUUM - SQL statements in progress",
    "cannot VACUUM from within a transaction",
    "cannot commit - no transaction is active",
    "cannot rollback - no transaction is active",
    "cannot start a transaction within a transaction",
    "database table is locked",
    "fts5: syntax error near \"{*}\"",
    "integer overflow",
    "malformed JSON",
    "no such column: {}",
    "no such function: {}",
    "no such savepoint: {}",
    "no such table: {}",
    "parser stack overflow",
    "string or blob too big",
    "too many levels of trigger recursion",
    "unknown database {}",
    "wrong number of columns in row",
];

/// What may be told of an error of preparing the first statement of `sql`.
pub(in crate::store::sqlite) fn told_of_preparing(error: &Error, sql: &str) -> String {
    let (failure, message) = match error {
        Error::SqlInputError { error, msg, .. } => (error, msg),
        Error::SqliteFailure(failure, Some(text)) => (failure, text),
        _ => return told(error, sql),
    };
    if !matches!(
        failure.extended_code,
        ffi::SQLITE_ERROR | ffi::SQLITE_ERROR_MISSING_COLLSEQ
    ) {
        return ffi::code_to_str(failure.extended_code).to_owned();
    }
    // In a table's place there is a name, however it is quoted.
    let names_a_table = message.starts_with("no such table: ");
    if names_a_table || !redact::has_literal(message, sql, Dialect::Sqlite) {
        one_line(message)
    } else {
        format!("it cannot be prepared; {HELD_BACK}")
    }
}

/// SQLite's own code, also where a statement could not be prepared.
pub(in crate::store::sqlite) fn code(error: &Error) -> Option<ErrorCode> {
    match error {
        Error::SqliteFailure(error, _) | Error::SqlInputError { error, .. } => Some(error.code),
        _ => None,
    }
}

/// What may be told of an error; `sql`: the statement that ran, where it is known.
pub(in crate::store::sqlite) fn told(error: &Error, sql: &str) -> String {
    match error {
        Error::SqlInputError { sql, .. } if code(error) == Some(ErrorCode::Unknown) => {
            told_of_preparing(error, sql)
        }
        Error::SqliteFailure(failure, Some(text)) => of_running(*failure, text, sql),
        Error::SqliteFailure(failure, None) | Error::SqlInputError { error: failure, .. } => {
            ffi::code_to_str(failure.extended_code).to_owned()
        }
        Error::MultipleStatement => "it is more than one statement".to_owned(),
        Error::QueryReturnedNoRows => "no row came where one was expected".to_owned(),
        Error::InvalidColumnType(place, _, found) => {
            format!("column {} of an answer is of type {found}", place + 1)
        }
        _ => "a value of an answer cannot be read".to_owned(),
    }
}

fn of_running(failure: ffi::Error, text: &str, sql: &str) -> String {
    let code = ffi::code_to_str(failure.extended_code);
    match failure.extended_code {
        // Their texts are made of names. Only a trigger's RAISE is not, and has its own code.
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_NOTNULL
        | ffi::SQLITE_CONSTRAINT_FOREIGNKEY
        | ffi::SQLITE_CONSTRAINT_ROWID
        | ffi::SQLITE_CONSTRAINT_DATATYPE => one_line(text),
        // One without a name is told by its expression.
        ffi::SQLITE_CONSTRAINT_CHECK => match text.split_once(": ") {
            Some((what, expression)) => {
                format!("{what}: {}", redact::statement(expression, Dialect::Sqlite))
            }
            None => code.to_owned(),
        },
        ffi::SQLITE_CONSTRAINT_TRIGGER => {
            format!("a trigger's RAISE stopped it ({code}); {HELD_BACK}")
        }
        ffi::SQLITE_ERROR => {
            let names = Names::of(sql, Dialect::Sqlite);
            redact::filled(text, RUNNING, &names).unwrap_or_else(|| format!("{code}; {HELD_BACK}"))
        }
        _ => code.to_owned(),
    }
}

pub(in crate::store::sqlite) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    #[test]
    fn no_error_tells_a_value_of_a_row_or_a_literal() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(
                "CREATE TABLE users (id INTEGER PRIMARY KEY, mail TEXT UNIQUE NOT NULL, age INT CHECK (age <> 'MARKER9'));
                 CREATE TABLE strict (n INT) STRICT;
                 CREATE TABLE log (a UNIQUE);
                 CREATE TRIGGER loud BEFORE DELETE ON users BEGIN SELECT RAISE(ABORT, 'MARKER is not to go'); END;
                 CREATE VIRTUAL TABLE words USING fts5(a);
                 INSERT INTO users VALUES (1, 'MARKER', 1), (2, 'other', 2)",
            )
            .unwrap();
        for (sql, expected) in [
            (
                "UPDATE users SET mail = 'MARKER'",
                "UNIQUE constraint failed: users.mail",
            ),
            (
                "UPDATE users SET mail = NULL WHERE mail = 'MARKER'",
                "NOT NULL constraint failed: users.mail",
            ),
            (
                "UPDATE users SET age = 'MARKER9'",
                "CHECK constraint failed: age <> ?",
            ),
            ("UPDATE users SET id = mail", "mismatch"),
            (
                "INSERT INTO strict SELECT mail FROM users",
                "cannot store TEXT value in INT column strict.n",
            ),
            (
                "DELETE FROM users WHERE mail = 'MARKER'",
                "a trigger's RAISE stopped it",
            ),
            ("SELECT json(mail) FROM users", "malformed JSON"),
            (
                "SELECT json_extract('{}', mail) FROM users",
                "bad JSON path: ?",
            ),
            (
                "SELECT * FROM words WHERE words MATCH (SELECT '\"' || mail FROM users)",
                "run the statement by hand",
            ),
            (
                "SELECT abs(-9223372036854775807 - 1), 'MARKER'",
                "integer overflow",
            ),
            (
                "SELECT 'a' LIKE 'b' ESCAPE mail FROM users",
                "must be a single character",
            ),
            ("SELECT load_extension(mail) FROM users", ""),
            (
                "SELECT 'x' FROM users 'MARKER' 'MARKER'",
                "cannot be prepared",
            ),
            ("SELECT 'MARKER", "cannot be prepared"),
            ("SELECT 12MARKER", "cannot be prepared"),
            (
                "SELECT 'a' FROM missing WHERE a = 'MARKER'",
                "no such table: missing",
            ),
            (
                "SELECT missing FROM users WHERE mail = 'MARKER'",
                "no such column: missing",
            ),
            (
                "SELECT missing(mail) FROM users",
                "no such function: missing",
            ),
            (
                "SELECT mail REGEXP 'MARKER' FROM users",
                "no such function: REGEXP",
            ),
            ("SELEKT 'MARKER'", "near \"SELEKT\": syntax error"),
        ] {
            let told = match connection.prepare(sql) {
                Err(error) => told_of_preparing(&error, sql),
                Ok(mut statement) => {
                    let mut rows = statement.raw_query();
                    let error = loop {
                        match rows.next() {
                            Ok(Some(_)) => {}
                            Ok(None) => panic!("{sql} does not fail"),
                            Err(error) => break error,
                        }
                    };
                    told(&error, sql)
                }
            };
            assert!(!told.contains("MARKER"), "{told} of {sql}");
            assert!(told.contains(expected), "{told} of {sql}");
        }
    }
}
