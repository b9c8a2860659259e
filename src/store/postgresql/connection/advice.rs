//! Advice for an operator: standbys that cancel, snapshots that are too old, poolers in between.

/// For a statement that a standby has cancelled.
const CONFLICT: &str = "the standby's replay wanted what the copy still reads: set hot_standby_feedback = on, or a larger \
     max_standby_streaming_delay on the standby, or take the primary as the source";

/// For a standby's connection that has ended without a word.
pub(in crate::store::postgresql) const LOST: &str = "see the standby's log, and run the job again; after a conflict with recovery, set \
     hot_standby_feedback = on, or a larger max_standby_streaming_delay on the standby";

/// For rows that the server has thrown away in spite of the snapshot (up to version 16).
pub(in crate::store::postgresql) const TOO_OLD: &str = "the source's old_snapshot_threshold is shorter than the copy: set it to -1, or to more than the copy takes, \
     and restart the server";

/// The message of pgbouncer for a parameter that it does not know.
pub(in crate::store::postgresql) const UNSUPPORTED: &str = "unsupported startup parameter";

/// For that.
pub(in crate::store::postgresql) const STARTUP: &str = "a pooler stands in between: connect to the server itself, or add that parameter to pgbouncer's \
     ignore_startup_parameters";

/// For a server that is not of the kind that the URL asks for.
pub(super) const SESSION_ATTRS: &str = "the URL's target_session_attrs wants another kind of server than the one that answered: a standby \
     takes no read-write; take it out of a source's URL, or name the primary";

/// For a row that does not belong to the partition that it was read from any more.
const PARTITION: &str = "a row must not leave its partition: take the mask off the column that the table is partitioned by, or choose a \
     kind that keeps rows where they are";

/// Advice on an SQLSTATE whose message says more than its code. A standby's conflicts have the code of a serialization
/// failure (`ProcessInterrupts` in PostgreSQL's source).
pub(in crate::store::postgresql) fn of(code: &str, message: &str) -> Option<&'static str> {
    match code {
        "72000" => Some(TOO_OLD),
        "23514" if message.contains("violates partition constraint") => Some(PARTITION),
        "40001" if message.contains("conflict with recovery") => Some(CONFLICT),
        _ => None,
    }
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
