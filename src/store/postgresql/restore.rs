//! Making definitions on incoming, and which go where.

use std::collections::HashSet;
use std::sync::Arc;

use tokio_postgres::error::SqlState;

use super::connection::Session;
use super::said;
use super::toc::{Entry, Section, Toc};
use crate::error::{Error, Result};

/// What of a dump is never made here: settings of the session that a restore would have, and what leads elsewhere.
pub(super) const NEVER: [&str; 12] = [
    "ENCODING",
    "STDSTRINGS",
    "SEARCHPATH",
    "DATABASE",
    "DATABASE PROPERTIES",
    "PUBLICATION",
    "PUBLICATION TABLE",
    "PUBLICATION TABLES IN SCHEMA",
    "SUBSCRIPTION",
    "SUBSCRIPTION TABLE",
    "TABLE DATA",
    "SEQUENCE SET",
];

/// A dump's entries in the order of a restore.
#[derive(Default)]
pub(super) struct Sorted {
    /// Before rows, in order.
    pub(super) before: Vec<Arc<Entry>>,
    /// Indexes and the constraints on top of them; several at a time.
    pub(super) indexes: Vec<Arc<Entry>>,
    /// What joins indexes of partitions to their parents': a foreign key to a partitioned table needs it.
    pub(super) attach: Vec<Arc<Entry>>,
    /// Foreign keys; several at a time.
    pub(super) foreign_keys: Vec<Arc<Entry>>,
    /// The rest after rows, in order.
    pub(super) after: Vec<Arc<Entry>>,
    /// Grants.
    pub(super) grants: Vec<Arc<Entry>>,
    /// At the very end.
    pub(super) event_triggers: Vec<Arc<Entry>>,
}

/// Sorts entries, leaving out what is `gone` and what hangs on that alone.
pub(super) fn sort(toc: &Toc, gone: &HashSet<(u32, u32)>) -> Sorted {
    let mut sorted = Sorted {
        before: Vec::new(),
        indexes: Vec::new(),
        attach: Vec::new(),
        foreign_keys: Vec::new(),
        after: Vec::new(),
        grants: Vec::new(),
        event_triggers: Vec::new(),
    };
    let mut section = Section::Before;
    let mut left_out: HashSet<i64> = HashSet::new();
    let mut last: HashSet<i64> = HashSet::new();
    for entry in &toc.entries {
        if entry.section != Section::Along {
            section = entry.section;
        }
        // Comments and grants have no oid of their own, and hang on one thing.
        let orphan = entry.object.1 == 0 && entry.needs().any(|need| left_out.contains(&need));
        if NEVER.contains(&entry.kind.as_str()) || gone.contains(&entry.object) || orphan {
            left_out.insert(entry.id);
            continue;
        }
        match (entry.kind.as_str(), section) {
            // What is said of something waits for it.
            ("COMMENT" | "SECURITY LABEL", _) if entry.needs().any(|need| last.contains(&need)) => {
                sorted.event_triggers.push(entry.clone());
            }
            ("ACL" | "DEFAULT ACL", _) => sorted.grants.push(entry.clone()),
            ("EVENT TRIGGER", _) => {
                last.insert(entry.id);
                sorted.event_triggers.push(entry.clone());
            }
            ("INDEX" | "CONSTRAINT", _) => sorted.indexes.push(entry.clone()),
            ("INDEX ATTACH", _) => sorted.attach.push(entry.clone()),
            ("FK CONSTRAINT", _) => sorted.foreign_keys.push(entry.clone()),
            (_, Section::Before | Section::Along) => sorted.before.push(entry.clone()),
            // Comments on indexes and the like come along here.
            _ => sorted.after.push(entry.clone()),
        }
    }
    sorted
}

/// How much an index costs to build, compared with a b-tree on the same rows.
pub(super) fn weight(entry: &Entry) -> u64 {
    let slow = [" USING gin ", " USING gist ", " USING spgist "];
    if slow
        .iter()
        .any(|method| entry.definition().contains(method))
    {
        5
    } else {
        1
    }
}

/// Makes one entry. `false`: it is a comment that the target's user may not make.
pub(super) async fn make(session: &Session, entry: &Entry) -> Result<bool> {
    if entry.definition().trim().is_empty() {
        return Ok(true);
    }
    match session.batch_execute(entry.definition()).await {
        Ok(()) => Ok(true),
        // A comment on what an extension or initdb made needs its owner.
        Err(error)
            if entry.kind == "COMMENT"
                && error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) =>
        {
            tracing::warn!(
                entry = entry.tag(),
                "the target's user may not comment on this"
            );
            Ok(false)
        }
        Err(error) => Err(failed(session, entry, error)),
    }
}

/// The error of a definition that the target refused: names the object and the statement.
fn failed(session: &Session, entry: &Entry, error: tokio_postgres::Error) -> Error {
    let statement = entry.definition();
    let made = session.explain_of(statement)(error);
    let said = said::about(made, statement);
    if entry.id > 0 {
        return said.within(format!("{} cannot be made", entry.label()));
    }
    said.within(format!(
        "{} is the target's own, and cannot stay as it is beside what comes from the source",
        entry.label()
    ))
    .hint("drop or change it on the target; or take what it hangs on out of `keep`, or the task out of overlay")
}
