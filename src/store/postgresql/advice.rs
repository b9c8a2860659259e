//! What an operator can do about a source that could not keep the snapshot.

use std::time::Duration;

use super::connection::Session;
use crate::error::{Error, Kind, Result};

/// For a statement that a standby has cancelled.
const CONFLICT: &str = "the standby's replay wanted what the copy still reads: set hot_standby_feedback = on, or a larger \
     max_standby_streaming_delay on the standby, or take the primary as the source";

/// For a standby's connection that has ended without a word.
pub(super) const LOST: &str = "see the standby's log, and run the job again; after a conflict with recovery, set \
     hot_standby_feedback = on, or a larger max_standby_streaming_delay on the standby";

/// For rows that the server has thrown away in spite of the snapshot (up to version 16).
const TOO_OLD: &str = "the source's old_snapshot_threshold is shorter than the copy: set it to -1, or to more than the copy takes, \
     and restart the server";

/// What pgbouncer says of a parameter that it does not know.
pub(super) const UNSUPPORTED: &str = "unsupported startup parameter";

/// For that.
pub(super) const STARTUP: &str = "a pooler stands in between: connect to the server itself, or add that parameter to pgbouncer's \
     ignore_startup_parameters";

/// For a server that is not of the kind that the URL asks for.
pub(super) const SESSION_ATTRS: &str = "the URL's target_session_attrs wants another kind of server than the one that answered: a standby \
     takes no read-write; take it out of a source's URL, or name the primary";

/// Advice on an SQLSTATE whose message says more than its code. A standby's conflicts have the code of a serialization
/// failure (`ProcessInterrupts` in PostgreSQL's source).
pub(super) fn of(code: &str, message: &str) -> Option<&'static str> {
    match code {
        "72000" => Some(TOO_OLD),
        "40001" if message.contains("conflict with recovery") => Some(CONFLICT),
        _ => None,
    }
}

/// How old a snapshot may get before the server throws away what it needs; `None`: as old as it likes.
pub(super) async fn threshold(session: &Session) -> Result<Option<Duration>> {
    let minutes: Option<i32> = session
        .query_opt(
            "SELECT setting::int FROM pg_settings WHERE name = 'old_snapshot_threshold'",
            &[],
        )
        .await
        .map_err(session.explain())?
        .map(|row| row.get(0));
    Ok(minutes
        .and_then(|minutes| u64::try_from(minutes).ok())
        .map(|minutes| Duration::from_secs(minutes * 60)))
}

/// The server's own check goes by when a session has imported the snapshot, not by when it was taken: what was thrown away
/// in between would be missing without a word.
pub(super) fn refuse_too_old(age: Duration, threshold: Option<Duration>) -> Result<()> {
    if threshold.is_none_or(|threshold| age < threshold) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Statement,
        "the source may have thrown away rows that the copy needs: its snapshot is older than old_snapshot_threshold",
    )
    .hint(TOO_OLD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_with_recovery_is_told_from_a_serialization_failure() {
        let advice = of("40001", "canceling statement due to conflict with recovery").unwrap();
        assert!(advice.contains("hot_standby_feedback"));
        assert_eq!(
            of(
                "40001",
                "could not serialize access due to concurrent update"
            ),
            None
        );
        assert!(
            of("72000", "snapshot too old")
                .unwrap()
                .contains("old_snapshot_threshold")
        );
    }
}
