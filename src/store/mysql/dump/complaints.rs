//! Error messages of `mysqldump`, without what may be a row's value. Pure.
//!
//! It repeats a server's message in three ways (`DB_error` and `maybe_die` in its source); all else are words of its own.

use crate::store::mysql::connection::messages;
use crate::store::redact;
use crate::store::redact::{Dialect, Names};

/// A line that may be told.
pub(super) fn told(line: &str) -> String {
    refused(line)
        .or_else(|| failed(line))
        .or_else(|| while_dumping(line))
        .unwrap_or_else(|| line.to_owned())
}

/// `Got error: 1045: "Access denied for ..." when trying to connect`
fn failed(line: &str) -> Option<String> {
    let (before, rest) = line.split_once("Got error: ")?;
    let (code, rest) = rest.split_once(": ")?;
    let (message, when) = rest.rsplit_once(" when ")?;
    if when.trim() == "trying to connect" {
        return Some(line.to_owned());
    }
    let said = said(code, message.trim_matches('"'), &Names::default())?;
    Some(format!("{before}Got error: {code}: {said}"))
}

/// `Couldn't execute 'SELECT ...': Unknown column ... (1054)`
fn refused(line: &str) -> Option<String> {
    let (before, rest) = line.split_once("Couldn't execute '")?;
    // The message may have anything in it, and so may the statement: what is between them need not be the first.
    let (rest, code) = rest.trim_end().strip_suffix(')')?.rsplit_once(" (")?;
    let (sql, message) = rest.split_once("': ")?;
    let names = Names::of(sql, Dialect::Mysql);
    let sql = redact::statement(sql, Dialect::Mysql);
    let said = said(code, message, &names)?;
    Some(format!("{before}Couldn't execute '{sql}': {said} ({code})"))
}

/// `Error 2013: Lost connection to server during query when dumping table `users` at row: 5`
fn while_dumping(line: &str) -> Option<String> {
    let (before, rest) = line.split_once("Error ")?;
    let (code, rest) = rest.split_once(": ")?;
    let (message, rest) = rest.rsplit_once(" when dumping table ")?;
    let (table, _) = rest.split_once(" at row: ")?;
    let mut names = Names::default();
    names.add(table.trim_matches('`'));
    let said = said(code, message, &names)?;
    Some(format!(
        "{before}Error {code}: {said} when dumping table {table}"
    ))
}

fn said(code: &str, message: &str, names: &Names) -> Option<String> {
    let number: u16 = code.parse().ok()?;
    // Those of the client itself (its manual's "Client Error Message Reference").
    if (2000..3000).contains(&number) {
        return Some(message.to_owned());
    }
    Some(
        messages::told(number, message, names)
            .or_else(|| messages::symbol(number).map(str::to_owned))
            .unwrap_or_else(|| "the server refused it".to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_said_is_told_without_values() {
        for (line, expected) in [
            (
                "mysqldump: Couldn't execute 'SELECT a FROM `users` WHERE b = 'MARKER'': Unknown column 'a' in 'SELECT' (1054)",
                "mysqldump: Couldn't execute 'SELECT a FROM `users` WHERE b = ?': Unknown column 'a' in 'SELECT' (1054)",
            ),
            (
                "mysqldump: Error 3141: Invalid JSON text in argument 1 to function json_extract: \"MARKER\" at position 0. when dumping table `users` at row: 0",
                "mysqldump: Error 3141: Invalid JSON text in argument 1 to function ?: \"?\" at position ?. when dumping table `users`",
            ),
            (
                "mysqldump: Error 1105: MARKER when dumping table `users` at row: 0",
                "mysqldump: Error 1105: ER_UNKNOWN_ERROR when dumping table `users`",
            ),
            (
                "mysqldump: Error 2013: Lost connection to server during query when dumping table `users` at row: 5",
                "mysqldump: Error 2013: Lost connection to server during query when dumping table `users`",
            ),
            (
                "mysqldump: Got error: 1044: \"Access denied for user 'MARKER'@'x' to database 'y'\" when selecting the database",
                "mysqldump: Got error: 1044: Access denied for user '?'@'?' to database '?'",
            ),
            (
                "mysqldump: Got error: 1045: \"Access denied for user 'me'@'x' (using password: YES)\" when trying to connect",
                "mysqldump: Got error: 1045: \"Access denied for user 'me'@'x' (using password: YES)\" when trying to connect",
            ),
        ] {
            assert_eq!(told(line), expected);
        }
    }
}
