//! Errors that SQLite reports, with the advice for each.

use std::path::Path;

use rusqlite::ErrorCode;

use super::messages;
use crate::error::{Error, Kind};

/// Adds the file to an error of SQLite.
pub(in crate::store::sqlite) fn on(path: &Path) -> impl Fn(rusqlite::Error) -> Error + '_ {
    move |error| explain(error, &path.display().to_string())
}

/// An error of SQLite, with advice; `what` names the object.
#[allow(clippy::needless_pass_by_value)] // map_err hands it over
pub(in crate::store::sqlite) fn explain(error: rusqlite::Error, what: &str) -> Error {
    let (kind, message, hint) = match messages::code(&error) {
        Some(ErrorCode::DiskFull) => (
            Kind::Full,
            "no space left",
            "free space on that disk and run the job again",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Kind::Busy,
            "in use by someone else for too long",
            "`fuser FILE` tells which process has it open; end its long transaction and run the job again",
        ),
        Some(ErrorCode::ReadOnly)
            if extended(&error) == rusqlite::ffi::SQLITE_READONLY_ROLLBACK =>
        {
            (
                Kind::Permission,
                "its last writer died half-way, and we may not roll that back",
                "let its application open it once, or allow us to write to it",
            )
        }
        Some(ErrorCode::CannotOpen)
            if extended(&error) == rusqlite::ffi::SQLITE_CANTOPEN_SYMLINK =>
        {
            (
                Kind::Permission,
                "is a link by now, or lies behind one",
                "somebody has put it there since the run began: check who can write to that directory",
            )
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => (
            Kind::Permission,
            "cannot be opened or written",
            "check that the file and its directory can be read and written by the user that runs envsyncd (a database \
             in WAL mode needs its -wal and -shm files, or a directory in which they can be made)",
        ),
        Some(ErrorCode::NotADatabase) => (
            Kind::Verify,
            "not an SQLite database, or an encrypted one",
            "check the path; encrypted databases are not supported",
        ),
        Some(ErrorCode::DatabaseCorrupt) => (
            Kind::Verify,
            "damaged",
            "`PRAGMA integrity_check` tells where; restore it from a backup",
        ),
        Some(ErrorCode::SystemIoFailure) => (
            Kind::Io,
            "reading or writing failed",
            "check the disk and the kernel's log",
        ),
        Some(ErrorCode::OperationInterrupted) => (Kind::Cancelled(15), "interrupted", ""),
        _ => (Kind::Statement, "SQLite refused a statement", ""),
    };
    let made = Error::new(kind, format!("{what}: {message}")).because(own_message(&error));
    if hint.is_empty() {
        made
    } else {
        made.hint(hint)
    }
}

/// Whether someone else's lock is in the way.
pub(in crate::store::sqlite) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        messages::code(error),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

fn extended(error: &rusqlite::Error) -> i32 {
    error.sqlite_error().map_or(0, |error| error.extended_code)
}

/// SQLite's own message, as far as it may be told, where the statement is one of ours.
pub(in crate::store::sqlite) fn own_message(error: &rusqlite::Error) -> String {
    messages::told(error, "")
}

/// The error of a database that others would not let go of.
pub(in crate::store::sqlite) fn in_use(what: &str) -> Error {
    Error::new(Kind::Busy, format!("{what} is in use: nobody let go of it within 30 seconds"))
        .hint("`fuser FILE` tells which process has it open; end its long transaction and run the job again")
}
