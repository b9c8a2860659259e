//! Which definitions come from live: of what only the target has, and of kept tables whose rows the source's cannot hold.

use std::collections::{HashMap, HashSet};

use super::restore_order::NEVER;
use super::survey::Name;
use super::toc::{BY_DROP, Entry, Toc};

/// Kinds of entries that are never there by themselves: what they hang on decides.
const HANGING: [&str; 16] = [
    "INDEX",
    "CONSTRAINT",
    "FK CONSTRAINT",
    "CHECK CONSTRAINT",
    "TRIGGER",
    "DEFAULT",
    "SEQUENCE OWNED BY",
    "COMMENT",
    "ACL",
    "POLICY",
    "ROW SECURITY",
    "STATISTICS",
    "TABLE ATTACH",
    "INDEX ATTACH",
    "RULE",
    "SECURITY LABEL",
];

/// What makes a relation or a type: they share their names.
pub(in crate::store::postgresql) fn is_relation(kind: &str) -> bool {
    matches!(
        kind,
        "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE" | "SEQUENCE" | "TYPE" | "DOMAIN"
    )
}

/// The kind, schema and name by which two entries make the same object.
fn called(entry: &Entry) -> (&str, Option<&str>, String) {
    let schema = entry.schema.as_deref();
    match entry.kind.as_str() {
        kind if is_relation(kind) => ("relation", schema, entry.tag().to_owned()),
        kind if BY_DROP.contains(&kind) => (kind, schema, entry.drop().to_string()),
        kind @ "DEFAULT ACL" => (
            kind,
            schema,
            format!("{} {}", entry.owner.as_str(), entry.tag()),
        ),
        kind => (kind, schema, entry.tag().to_owned()),
    }
}

/// Entries by their numbers.
fn by_id(toc: &Toc) -> HashMap<i64, &Entry> {
    let entries = toc.entries.iter();
    entries.map(|entry| (entry.id(), entry)).collect()
}

/// Whether an entry that hangs on something hangs on one of these.
fn hangs_on(entry: &Entry, picked: &HashSet<i64>, all: &HashMap<i64, &Entry>) -> bool {
    let mut needed = entry
        .needs()
        .filter(|need| picked.contains(need))
        .filter_map(|need| all.get(&need).copied());
    let tag = entry.tag();
    match entry.kind.as_str() {
        "COMMENT" | "ACL" | "SECURITY LABEL" => needed.next().is_some(),
        "INDEX" => needed.any(|on| matches!(on.kind.as_str(), "TABLE" | "MATERIALIZED VIEW")),
        "STATISTICS" => needed.any(|on| on.kind == "TABLE"),
        "SEQUENCE OWNED BY" => needed.any(|on| on.kind == "SEQUENCE"),
        "INDEX ATTACH" => needed.any(|on| {
            on.schema == entry.schema
                && (on.tag() == tag
                    || on.kind == "CONSTRAINT" && on.tag().ends_with(&format!(" {tag}")))
        }),
        "ROW SECURITY" | "TABLE ATTACH" => {
            needed.any(|on| on.schema == entry.schema && on.tag() == tag)
        }
        // Its tag has the name of what it is on in front.
        _ => needed.any(|on| {
            on.schema == entry.schema
                && tag
                    .strip_prefix(on.tag())
                    .is_some_and(|rest| rest.starts_with(' '))
        }),
    }
}

/// Whether an entry hangs on one of these, which are given by their numbers, too.
pub(in crate::store::postgresql) fn hangs(
    entry: &Entry,
    ids: &HashSet<i64>,
    all: &HashMap<i64, &Entry>,
) -> bool {
    HANGING.contains(&entry.kind.as_str()) && hangs_on(entry, ids, all)
}

/// A sequence that belongs to a table's column.
fn is_owned(entry: &Entry, all: &HashMap<i64, &Entry>) -> bool {
    entry.kind == "SEQUENCE"
        && entry
            .needs()
            .any(|need| all.get(&need).is_some_and(|on| on.kind == "TABLE"))
}

/// Adds all that hangs on these, and the sequences of their columns.
fn add_belongings(toc: &Toc, picked: &mut HashSet<i64>, all: &HashMap<i64, &Entry>) {
    loop {
        let before = picked.len();
        for entry in &toc.entries {
            let is_of_picked =
                || is_owned(entry, all) && entry.needs().any(|need| picked.contains(&need));
            if hangs(entry, picked, all) || is_of_picked() {
                picked.insert(entry.id());
            }
        }
        if picked.len() == before {
            return;
        }
    }
}

fn is_table_of(entry: &Entry, tables: &HashSet<Name>) -> bool {
    entry.kind == "TABLE"
        && entry
            .schema
            .as_ref()
            .is_some_and(|schema| tables.contains(&(schema.to_string(), entry.tag().to_owned())))
}

/// The entries of live's dump that make these tables, with `all` everything that the source does not bring, and what
/// hangs on it and what it needs.
pub(in crate::store::postgresql) fn pick(
    theirs: &Toc,
    source: &Toc,
    tables: &HashSet<Name>,
    all: bool,
) -> Toc {
    let brought: HashSet<_> = source.entries.iter().map(|entry| called(entry)).collect();
    let numbers = by_id(theirs);
    let is_new = |entry: &Entry| {
        // Every database has that one.
        let is_public = entry.kind == "SCHEMA" && entry.tag() == "public";
        !is_public && !NEVER.contains(&entry.kind.as_str()) && !brought.contains(&called(entry))
    };
    let is_hanging = |entry: &Entry| HANGING.contains(&entry.kind.as_str());
    let mut picked: HashSet<i64> = theirs
        .entries
        .iter()
        .filter(|entry| {
            is_table_of(entry, tables)
                || all && !is_hanging(entry) && !is_owned(entry, &numbers) && is_new(entry)
        })
        .map(Entry::id)
        .collect();
    loop {
        let before = picked.len();
        add_belongings(theirs, &mut picked, &numbers);
        let needed: Vec<&Entry> = theirs
            .entries
            .iter()
            .filter(|entry| picked.contains(&entry.id()))
            .flat_map(Entry::needs)
            .filter_map(|need| numbers.get(&need).copied())
            .filter(|entry| !is_hanging(entry) && is_new(entry))
            .collect();
        picked.extend(needed.iter().map(|entry| entry.id()));
        // A schema is no dependency of a table in a dump.
        let schemas: HashSet<&str> = theirs
            .entries
            .iter()
            .filter(|entry| picked.contains(&entry.id()))
            .filter_map(|entry| entry.schema.as_deref())
            .collect();
        let schemas: Vec<i64> = theirs
            .entries
            .iter()
            .filter(|entry| {
                entry.kind == "SCHEMA" && schemas.contains(entry.tag()) && is_new(entry)
            })
            .map(Entry::id)
            .collect();
        picked.extend(schemas);
        if picked.len() == before {
            break;
        }
    }
    let entries = theirs.entries.iter();
    Toc {
        entries: entries
            .filter(|entry| picked.contains(&entry.id()))
            .cloned()
            .collect(),
    }
}

/// An entry that was taken out with its table.
pub(in crate::store::postgresql) struct TakenOut {
    pub(in crate::store::postgresql) entry: Entry,
    pub(in crate::store::postgresql) table: Name,
}

/// Takes tables out of the source's definitions, with all that hangs on them.
pub(in crate::store::postgresql) fn take_out(
    source: &mut Toc,
    tables: &HashSet<Name>,
) -> Vec<TakenOut> {
    let mut taken = Vec::new();
    for table in tables {
        let numbers = by_id(source);
        let one = HashSet::from([table.clone()]);
        let mut picked: HashSet<i64> = source
            .entries
            .iter()
            .filter(|entry| is_table_of(entry, &one))
            .map(Entry::id)
            .collect();
        add_belongings(source, &mut picked, &numbers);
        drop(numbers);
        source.entries.retain(|entry| {
            let goes = picked.contains(&entry.id());
            if goes {
                taken.push(TakenOut {
                    entry: entry.clone(),
                    table: table.clone(),
                });
            }
            !goes
        });
    }
    taken
}

/// A table with the partitions of the tree that it is in.
pub(in crate::store::postgresql) fn family(toc: &Toc, table: &Name) -> HashSet<Name> {
    let numbers = by_id(toc);
    let name = |entry: &Entry| -> Option<Name> {
        Some((entry.schema.as_deref()?.to_owned(), entry.tag().to_owned()))
    };
    let mut found = HashSet::from([table.clone()]);
    loop {
        let before = found.len();
        for attach in toc.entries.iter().filter(|e| e.kind == "TABLE ATTACH") {
            let both: Vec<Name> = attach
                .needs()
                .filter_map(|need| numbers.get(&need).copied())
                .filter(|entry| entry.kind == "TABLE")
                .filter_map(name)
                .collect();
            if both.iter().any(|one| found.contains(one)) {
                found.extend(both);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

/// The kept tables whose definitions on the two sides are not the same, as far as rows have to fit into them.
pub(in crate::store::postgresql) fn unlike(
    source: &Toc,
    theirs: &Toc,
    kept: &HashSet<Name>,
) -> HashSet<Name> {
    let (ours, others) = (by_id(source), by_id(theirs));
    let shapes = |toc: &Toc, numbers: &HashMap<i64, &Entry>| -> HashMap<Name, Vec<String>> {
        let tables: HashSet<i64> = toc
            .entries
            .iter()
            .filter(|entry| is_table_of(entry, kept))
            .map(Entry::id)
            .collect();
        let mut on: HashMap<i64, Vec<&Entry>> = HashMap::new();
        for entry in &toc.entries {
            let restricts = match entry.kind.as_str() {
                "CONSTRAINT" | "CHECK CONSTRAINT" => true,
                "INDEX" => entry.definition().starts_with("CREATE UNIQUE "),
                _ => false,
            };
            for need in entry
                .needs()
                .filter(|need| restricts && tables.contains(need))
            {
                if hangs_on(entry, &HashSet::from([need]), numbers) {
                    on.entry(need).or_default().push(entry);
                }
            }
        }
        let mut found = HashMap::new();
        for table in &toc.entries {
            if !tables.contains(&table.id()) {
                continue;
            }
            let mut all = vec![table.definition().to_string()];
            let others = on.get(&table.id()).into_iter().flatten();
            all.extend(others.map(|entry| entry.definition().to_string()));
            // Types, and what their values have to be.
            let mut next: Vec<i64> = table.needs().collect();
            let mut seen = HashSet::new();
            while let Some(need) = next.pop() {
                let Some(entry) = numbers.get(&need).filter(|_| seen.insert(need)) else {
                    continue;
                };
                if matches!(entry.kind.as_str(), "TYPE" | "DOMAIN") {
                    all.push(entry.definition().to_string());
                    next.extend(entry.needs());
                }
            }
            all.sort();
            all.dedup();
            let schema = table.schema.as_deref().unwrap_or_default().to_owned();
            found.insert((schema, table.tag().to_owned()), all);
        }
        found
    };
    let (here, there) = (shapes(source, &ours), shapes(theirs, &others));
    kept.iter()
        .filter(|name| {
            there
                .get(*name)
                .is_some_and(|shape| here.get(*name).is_some_and(|other| other != shape))
        })
        .cloned()
        .collect()
}
