//! Errors that a MySQL or MariaDB server reports, with the advice for each. Numbers are from both servers' error references.

use std::fmt;
use std::sync::MutexGuard;

use super::messages;
use crate::error::{Error, Kind};
use crate::store::redact::Names;
use crate::sync::Mutex;

/// An error that a server sent. Of its message only what cannot be a row's value is shown.
#[derive(Debug)]
pub(in crate::store::mysql) struct ServerError {
    pub(in crate::store::mysql) code: u16,
    pub(in crate::store::mysql) state: String,
    message: String,
    /// It is about us, and not about a statement.
    is_greeting: bool,
    names: Mutex<Names>,
}

impl ServerError {
    /// One of a server that has not let us in yet: there are no rows in it.
    pub(super) fn greeting(code: u16, state: String, message: String) -> Self {
        Self {
            is_greeting: true,
            ..Self::of(code, state, message, Names::default())
        }
    }

    /// One of a statement with these names.
    pub(in crate::store::mysql) fn of(
        code: u16,
        state: String,
        message: String,
        names: Names,
    ) -> Self {
        Self {
            code,
            state,
            message,
            is_greeting: false,
            names: Mutex::new(names),
        }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock()
    }

    /// What may be told of its message.
    fn told(&self) -> Option<String> {
        if self.is_greeting {
            return Some(self.message.clone());
        }
        messages::told(self.code, &self.message, &self.names())
    }

    /// Names in it that are not known as such.
    pub(in crate::store::mysql) fn unknown(&self) -> Vec<String> {
        if self.is_greeting {
            return Vec::new();
        }
        messages::unknown(self.code, &self.message, &self.names())
    }

    /// There is something of this name.
    pub(in crate::store::mysql) fn know(&self, name: &str) {
        self.names().add(name);
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.told().unwrap_or_else(|| {
            let symbol = messages::symbol(self.code);
            symbol.unwrap_or("the server refused it").to_owned()
        });
        write!(f, "{what} (error {}", self.code)?;
        if !self.state.is_empty() && self.state != "HY000" {
            write!(f, ", SQLSTATE {}", self.state)?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for ServerError {}

/// The server's error behind an error of ours.
pub(in crate::store::mysql) fn server(error: &Error) -> Option<&ServerError> {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(server) = inner.downcast_ref::<ServerError>() {
            return Some(server);
        }
        cause = inner.source();
    }
    None
}

/// Its number.
pub(in crate::store::mysql) fn code(error: &Error) -> Option<u16> {
    server(error).map(|server| server.code)
}

/// Where a message is that may not be told.
pub(super) const ELSEWHERE: &str = "what the server said may quote a row's content, and no log has it unless MariaDB's plugin SQL_ERROR_LOG is on: \
     run the statement by hand to read it";

/// Somebody else's lock was in the way, for too long or crosswise.
pub(in crate::store::mysql) fn is_locked_out(error: &Error) -> bool {
    matches!(code(error), Some(1205 | 1213))
}

/// `label` is the side and the server: `source db1:3306/app`.
pub(super) fn explain(label: &str, error: ServerError) -> Error {
    let (kind, hint) = meaning(&error);
    let hint = hint.or(error.told().is_none().then_some(ELSEWHERE));
    let made = Error::new(kind, label).because(error);
    match hint {
        Some(hint) => made.hint(hint),
        None => made,
    }
}

fn meaning(error: &ServerError) -> (Kind, Option<&'static str>) {
    match error.code {
        1045 | 1698 | 1251 => (
            Kind::Permission,
            Some("check the endpoint's user, its password, and from where it may connect"),
        ),
        // MariaDB's and MySQL's.
        4151 | 3118 => (
            Kind::Permission,
            Some("unlock the endpoint's user (ALTER USER ... ACCOUNT UNLOCK)"),
        ),
        1820 | 1862 => (
            Kind::Permission,
            Some("give the endpoint's user a new password (ALTER USER ... IDENTIFIED BY)"),
        ),
        3159 => (
            Kind::Permission,
            Some("write tls=require, or better, in the URL"),
        ),
        1130 => (
            Kind::Permission,
            Some("the server lets nobody in from this host; check the user's host part"),
        ),
        1044 | 1142 | 1143 | 1227 | 1370 | 1410 | 1396 | 3619 => (
            Kind::Permission,
            Some("grant that privilege to the endpoint's user and run the job again"),
        ),
        1419 => (
            Kind::Permission,
            Some("set log_bin_trust_function_creators = 1 on the target, or grant its user SUPER"),
        ),
        1290 | 1836 => (
            Kind::Permission,
            Some("the server is read-only: is it a replica?"),
        ),
        1049 => (Kind::Absent, Some("check the database's name in the URL")),
        1040 | 1203 | 1226 => (
            Kind::Connection,
            Some(
                "wait until connections are free, raise max_connections, or give the task fewer `jobs`",
            ),
        ),
        1053 | 1077 | 1079 | 1080 => (
            Kind::Connection,
            Some("the server is shutting down; run the job again when it is back"),
        ),
        1317 | 1927 | 1969 | 3024 => (
            Kind::Connection,
            Some("someone or a time limit on the server ended the statement; run the job again"),
        ),
        1021 | 1041 | 1114 => (
            Kind::Full,
            Some("free space on the server's disk and run the job again"),
        ),
        _ if full(&error.message) => (
            Kind::Full,
            Some("free space on the server's disk and run the job again"),
        ),
        1153 => (
            Kind::Statement,
            Some("raise max_allowed_packet on both servers to more than the longest row"),
        ),
        1205 | 1213 => (
            Kind::Statement,
            Some("someone holds a lock on it; run the job again when they are done"),
        ),
        1412 => (
            Kind::Statement,
            Some("someone is altering the source's tables; run the job again when they are done"),
        ),
        _ => (Kind::Statement, None),
    }
}

/// ENOSPC or EDQUOT inside another error's text.
fn full(message: &str) -> bool {
    [
        "No space left on device",
        "Errcode: 28",
        "errno: 28",
        "Got error 28",
        "Disk quota exceeded",
    ]
    .iter()
    .any(|sign| message.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: u16, message: &str) -> Error {
        explain(
            "target db:3306/app",
            ServerError::of(
                code,
                "HY000".to_owned(),
                message.to_owned(),
                Names::default(),
            ),
        )
    }

    #[test]
    fn a_full_disk_is_known_by_number_and_by_text() {
        assert_eq!(error(1114, "The table 't' is full").kind(), Kind::Full);
        let wrapped = error(
            1030,
            "Got error 28 \"No space left on device\" from storage engine",
        );
        assert_eq!(wrapped.kind(), Kind::Full);
        assert!(wrapped.to_string().contains("free space"), "{wrapped}");
    }

    #[test]
    fn a_message_that_is_not_known_is_not_told() {
        let signalled = error(1644, "MARKER is no address").to_string();
        assert!(!signalled.contains("MARKER"), "{signalled}");
        assert!(
            signalled.contains("ER_SIGNAL_EXCEPTION (error 1644)"),
            "{signalled}"
        );
        assert!(signalled.contains("by hand"), "{signalled}");
    }

    #[test]
    fn the_servers_number_can_be_asked_for_through_layers() {
        let outer = error(
            1412,
            "Table definition has changed, please retry transaction",
        )
        .within("reading b");
        assert_eq!(code(&outer), Some(1412));
        assert_eq!(
            outer.to_string(),
            "reading b: target db:3306/app: Table definition has changed, please retry transaction (error 1412); someone is altering the source's tables; run the job again when they are done"
        );
        assert_eq!(code(&Error::new(Kind::Internal, "x")), None);
    }
}
