//! Making definitions on incoming, and which go where.

use std::collections::HashSet;

use super::toc::{Entry, Section, Toc};

/// Whether an entry of a dump is never created here: settings of a restore's session, and what leads to other servers.
pub(in crate::store::postgresql) const NEVER: [&str; 12] = [
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
pub(in crate::store::postgresql) struct Sorted {
    /// Before rows, in order.
    pub(in crate::store::postgresql) before: Vec<Entry>,
    /// Indexes and the constraints on top of them; several at a time.
    pub(in crate::store::postgresql) indexes: Vec<Entry>,
    /// What joins indexes of partitions to their parents': a foreign key to a partitioned table needs it.
    pub(in crate::store::postgresql) attach: Vec<Entry>,
    /// Foreign keys; several at a time.
    pub(in crate::store::postgresql) foreign_keys: Vec<Entry>,
    /// The rest after rows, in order.
    pub(in crate::store::postgresql) after: Vec<Entry>,
    /// Grants.
    pub(in crate::store::postgresql) grants: Vec<Entry>,
    /// At the very end.
    pub(in crate::store::postgresql) event_triggers: Vec<Entry>,
}

/// Sorts entries, leaving out what is `gone` and what hangs on that alone.
pub(in crate::store::postgresql) fn sort(toc: &Toc, gone: &HashSet<(u32, u32)>) -> Sorted {
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
        let orphan = entry.object().1 == 0 && entry.needs().any(|need| left_out.contains(&need));
        if NEVER.contains(&entry.kind.as_str()) || gone.contains(&entry.object()) || orphan {
            left_out.insert(entry.id());
            continue;
        }
        match (entry.kind.as_str(), section) {
            // What is said of something waits for it.
            ("COMMENT" | "SECURITY LABEL", _) if entry.needs().any(|need| last.contains(&need)) => {
                sorted.event_triggers.push(entry.clone());
            }
            ("ACL" | "DEFAULT ACL", _) => sorted.grants.push(entry.clone()),
            ("EVENT TRIGGER", _) => {
                last.insert(entry.id());
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
    // These are the long ones.
    sorted.before.shrink_to_fit();
    sorted.indexes.shrink_to_fit();
    sorted
}

/// How much an index costs to build, compared with a b-tree on the same rows.
pub(in crate::store::postgresql) fn weight(entry: &Entry) -> u64 {
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
