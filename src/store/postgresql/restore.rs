//! Making definitions on incoming: which go where, whose they become, and who may use them.

use std::collections::{HashMap, HashSet};

use tokio_postgres::error::SqlState;

use super::connection::{Session, quoted};
use super::toc::{Entry, Section, Toc};
use crate::error::{Error, Result};

/// What of a dump is never made here: settings of the session that a restore would have, and what leads elsewhere.
const NEVER: [&str; 12] = [
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

/// Kinds whose owner is set as `ALTER KIND name OWNER TO` (`_getObjectDescription` in `pg_backup_archiver.c`).
const BY_NAME: [&str; 18] = [
    "COLLATION",
    "CONVERSION",
    "DOMAIN",
    "FOREIGN TABLE",
    "MATERIALIZED VIEW",
    "SEQUENCE",
    "STATISTICS",
    "TABLE",
    "TEXT SEARCH DICTIONARY",
    "TEXT SEARCH CONFIGURATION",
    "TYPE",
    "VIEW",
    "PROCEDURAL LANGUAGE",
    "SCHEMA",
    "EVENT TRIGGER",
    "FOREIGN DATA WRAPPER",
    "SERVER",
    "LANGUAGE",
];

/// Kinds whose full name is only in their DROP statement.
const BY_DROP: [&str; 6] = [
    "AGGREGATE",
    "FUNCTION",
    "OPERATOR",
    "OPERATOR CLASS",
    "OPERATOR FAMILY",
    "PROCEDURE",
];

/// A dump's entries in the order of a restore.
pub(super) struct Sorted {
    /// Before rows, in order.
    pub(super) before: Vec<Entry>,
    /// Indexes and the constraints on top of them; several at a time.
    pub(super) indexes: Vec<Entry>,
    /// What joins indexes of partitions to their parents': a foreign key to a partitioned table needs it.
    pub(super) attach: Vec<Entry>,
    /// Foreign keys; several at a time.
    pub(super) foreign_keys: Vec<Entry>,
    /// The rest after rows, in order.
    pub(super) after: Vec<Entry>,
    /// Grants.
    pub(super) grants: Vec<Entry>,
    /// At the very end.
    pub(super) event_triggers: Vec<Entry>,
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
    for entry in &toc.entries {
        if entry.section != Section::Along {
            section = entry.section;
        }
        // Comments and grants have no oid of their own, and hang on one thing.
        let orphan = entry.object.1 == 0 && entry.needs.iter().any(|need| left_out.contains(need));
        if NEVER.contains(&entry.kind.as_str()) || gone.contains(&entry.object) || orphan {
            left_out.insert(entry.id);
            continue;
        }
        match (entry.kind.as_str(), section) {
            ("ACL" | "DEFAULT ACL", _) => sorted.grants.push(entry.clone()),
            ("EVENT TRIGGER", _) => sorted.event_triggers.push(entry.clone()),
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

/// Who can own what on the target.
pub(super) struct Roles {
    me: String,
    superuser: bool,
    /// Roles that we may hand things to.
    usable: HashSet<String>,
    /// Who gets what belongs to a role that is not usable.
    fallback: String,
}

impl Roles {
    /// Asks the target; `live_owner` is who owns the live database.
    pub(super) async fn load(
        session: &Session,
        version: u32,
        live_owner: Option<&str>,
    ) -> Result<Self> {
        let right = if version >= 160_000 { "SET" } else { "MEMBER" };
        let rows = session
            .query(
                &format!(
                    "SELECT rolname::text, rolname = current_user, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \
                     FROM pg_roles WHERE pg_has_role(current_user, oid, '{right}')"
                ),
                &[],
            )
            .await
            .map_err(session.explain())?;
        let mut roles = Self {
            me: String::new(),
            superuser: false,
            usable: HashSet::new(),
            fallback: String::new(),
        };
        for row in rows {
            if row.get(1) {
                roles.me = row.get(0);
                roles.superuser = row.get(2);
            }
            roles.usable.insert(row.get(0));
        }
        roles.fallback = live_owner
            .filter(|owner| roles.usable.contains(*owner))
            .unwrap_or(&roles.me)
            .to_owned();
        Ok(roles)
    }

    /// Who we are.
    pub(super) fn me(&self) -> &str {
        &self.me
    }

    /// Who shall own what `owner` owns on the source.
    fn heir<'a>(&'a self, owner: &'a str) -> &'a str {
        if self.usable.contains(owner) {
            owner
        } else {
            &self.fallback
        }
    }
}

/// What could not be made as it is on the source, and is no reason to fail: counted, then told in a line each.
#[derive(Default)]
pub(super) struct Mapped {
    owners: HashMap<String, usize>,
    grants: HashMap<String, usize>,
}

impl Mapped {
    /// Tells what was mapped or skipped.
    pub(super) fn tell(&self, roles: &Roles) {
        let mut owners: Vec<_> = self.owners.iter().collect();
        owners.sort();
        for (owner, objects) in owners {
            let (owner, to) = (owner.as_str(), roles.fallback.as_str());
            tracing::warn!(
                objects,
                owner,
                to,
                "the target's user cannot give objects to their owner; mapped to another role"
            );
        }
        let mut grants: Vec<_> = self.grants.iter().collect();
        grants.sort();
        for (reason, statements) in grants {
            tracing::warn!(statements, reason = reason.as_str(), "grants were skipped");
        }
    }
}

/// How much an index costs to build, compared with a b-tree on the same rows.
pub(super) fn weight(entry: &Entry) -> u64 {
    let slow = [" USING gin ", " USING gist ", " USING spgist "];
    if slow.iter().any(|method| entry.definition.contains(method)) {
        5
    } else {
        1
    }
}

/// Makes one entry.
pub(super) async fn make(session: &Session, entry: &Entry) -> Result<()> {
    if entry.definition.trim().is_empty() {
        return Ok(());
    }
    match session.batch_execute(&entry.definition).await {
        Ok(()) => Ok(()),
        // A comment on what an extension or initdb made needs its owner.
        Err(error)
            if entry.kind == "COMMENT"
                && error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) =>
        {
            tracing::warn!(
                entry = entry.tag.as_str(),
                "the target's user may not comment on this"
            );
            Ok(())
        }
        Err(error) => Err(failed(session, entry, error)),
    }
}

/// The error of a definition that the target refused: names the object and the statement.
fn failed(session: &Session, entry: &Entry, error: tokio_postgres::Error) -> Error {
    let statement = shortened(&entry.definition);
    let made = session.explain()(error).within(format!("{} cannot be made", entry.label()));
    if made.advice().is_some() {
        made
    } else {
        made.hint(format!("the statement was: {statement}"))
    }
}

/// A statement in one short line.
pub(super) fn shortened(statement: &str) -> String {
    let line = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() > 200 {
        line.chars().take(200).chain("...".chars()).collect()
    } else {
        line
    }
}

/// Gives an entry's object to its owner on the source, or to who stands in.
pub(super) async fn own(
    session: &Session,
    entry: &Entry,
    roles: &Roles,
    mapped: &mut Mapped,
) -> Result<()> {
    if entry.owner.is_empty() {
        return Ok(());
    }
    let kind = if entry.kind == "PROCEDURAL LANGUAGE" {
        "LANGUAGE"
    } else {
        entry.kind.as_str()
    };
    let object = if BY_NAME.contains(&entry.kind.as_str()) {
        match &entry.schema {
            Some(schema) => format!("{kind} {}.{}", quoted(schema), quoted(&entry.tag)),
            None => format!("{kind} {}", quoted(&entry.tag)),
        }
    } else if BY_DROP.contains(&entry.kind.as_str()) {
        let Some(object) = entry.drop.strip_prefix("DROP ") else {
            return Ok(());
        };
        object.trim_end().trim_end_matches(';').to_owned()
    } else {
        return Ok(());
    };
    let heir = roles.heir(&entry.owner);
    let count = |mapped: &mut Mapped| *mapped.owners.entry(entry.owner.clone()).or_default() += 1;
    if heir != entry.owner {
        count(mapped);
    }
    if heir == roles.me || (entry.kind == "SCHEMA" && entry.tag == "public" && !roles.superuser) {
        return Ok(());
    }
    let alter = format!("ALTER {object} OWNER TO {}", quoted(heir));
    match session.batch_execute(&alter).await {
        Ok(()) => Ok(()),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
            if heir == entry.owner {
                count(mapped);
            }
            Ok(())
        }
        Err(error) => {
            Err(session.explain()(error)
                .within(format!("{} cannot be given to {heir}", entry.label())))
        }
    }
}

/// Runs an entry's grants; those for roles that the target lacks are counted and skipped.
pub(super) async fn grant(session: &Session, entry: &Entry, mapped: &mut Mapped) -> Result<()> {
    for statement in entry
        .definition
        .split_inclusive(";\n")
        .filter(|s| !s.trim().is_empty())
    {
        grant_one(session, statement, &entry.label(), mapped).await?;
    }
    Ok(())
}

/// Runs one statement about rights; one that the target has no role or privilege for is counted and skipped.
pub(super) async fn grant_one(
    session: &Session,
    statement: &str,
    label: &str,
    mapped: &mut Mapped,
) -> Result<()> {
    let Err(error) = session.batch_execute(statement).await else {
        return Ok(());
    };
    let reason = match error.code() {
        Some(code) if *code == SqlState::UNDEFINED_OBJECT => error
            .as_db_error()
            .map_or_else(String::new, |e| e.message().to_owned()),
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            "the target's user may not grant them".to_owned()
        }
        _ => {
            return Err(session.explain()(error)
                .within(format!("{label} cannot be granted"))
                .hint(format!("the statement was: {}", shortened(statement))));
        }
    };
    *mapped.grants.entry(reason).or_default() += 1;
    Ok(())
}
