//! Errors of the state store, with the advice for each.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::ErrorCode;

use crate::error::{Error, Kind};
use crate::trust::Rights;

/// How long a process waits for another one's change.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

pub(super) fn opening(file: &Path, cause: rusqlite::Error) -> Error {
    error(file, "cannot open the state store", cause)
}

/// What was being done to the state store, and what SQLite's answer means.
pub(super) fn error(file: &Path, what: &str, cause: rusqlite::Error) -> Error {
    let what = format!("{what}: {}", file.display());
    let dir = file.parent().unwrap_or(file);
    let code = cause.sqlite_error_code();
    let full = code == Some(ErrorCode::DiskFull)
        || (code == Some(ErrorCode::SystemIoFailure) && is_full(dir));
    let (kind, hint) = match code {
        _ if full => (
            Kind::Full,
            format!("free space in {} and try again", dir.display()),
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Kind::State,
            format!(
                "another process has been writing to it for more than {} seconds; find it with `fuser`",
                PATIENCE.as_secs()
            ),
        ),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
            Kind::State,
            "move it away: a new one is made, without the history".to_owned(),
        ),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
            Kind::State,
            format!(
                "run this as root, or as {}",
                owner(file).map_or_else(
                    || "the user that envsyncd runs as".to_owned(),
                    |name| { format!("the user {name}, whose it is") }
                )
            ),
        ),
        _ => (Kind::State, format!("look after {}", dir.display())),
    };
    let error = Error::new(kind, what).hint(hint);
    if code == Some(ErrorCode::SystemIoFailure) {
        // Only SQLite's extended code, one error further in, tells which.
        error.because(cause)
    } else {
        error.because(cause.to_string())
    }
}

/// The owner of a file, unless it is root.
fn owner(file: &Path) -> Option<String> {
    let uid = fs::metadata(file).ok()?.uid();
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid))
        .ok()
        .flatten();
    (uid != 0).then(|| user.map_or_else(|| uid.to_string(), |user| user.name))
}

/// SQLite calls a full disk a plain I/O error where it makes its shared memory.
fn is_full(dir: &Path) -> bool {
    nix::sys::statvfs::statvfs(dir).is_ok_and(|disk| disk.blocks_available() == 0)
}

pub(super) fn unusable(dir: &Path, cause: io::Error) -> Error {
    let what = format!("cannot use {} as the state directory", dir.display());
    if matches!(
        cause.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    ) {
        return Error::new(Kind::Full, what)
            .because(cause)
            .hint(format!("free space in {} and try again", dir.display()));
    }
    let error = Error::new(Kind::State, what).because(cause);
    if Rights::of_owner(dir).are_anothers() {
        return error.hint(format!(
            "root has no more rights there than its owner: let the owner reach it, or run: chown root {}",
            dir.display()
        ));
    }
    error.hint(
        "make it writable for this user, or set state_dir (or ENVSYNCD_STATE_DIR) to a directory that is",
    )
}
