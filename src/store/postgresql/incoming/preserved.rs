//! What the target itself contributes to incoming: rows of tables in `keep`, and with `overlay` all that only it has.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::error::Result;
use crate::store::postgresql::connection::cells::pairs;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::catalogue;
use crate::store::postgresql::schema::picked::{self, TakenOut};
use crate::store::postgresql::schema::rights::{self, Right};
use crate::store::postgresql::schema::survey::{self, Name, OURS, Table};
use crate::store::postgresql::schema::toc::{Entry, Toc};
use crate::store::{Checksum, Fate, Part, Selection};
use crate::sync::Mutex;

/// What comes from live.
#[derive(Default)]
pub(in crate::store::postgresql) struct Preserved {
    /// Live was asked for what it contributes.
    pub(in crate::store::postgresql) is_of_live: bool,
    /// Tables whose rows are taken from live.
    pub(in crate::store::postgresql) parts: Vec<Part>,
    /// All columns of a part's table, those that are computed, too.
    pub(in crate::store::postgresql) columns: HashMap<usize, Vec<String>>,
    /// Their oids in live.
    pub(in crate::store::postgresql) oids: Vec<u32>,
    /// The rows of parts as they were brought, by the part's number.
    pub(super) sums: Mutex<HashMap<usize, Checksum>>,
    /// The large objects that were brought, with hashes of their bytes.
    pub(in crate::store::postgresql) objects: Mutex<BTreeMap<u32, String>>,
    /// Definitions of what only live has, and of kept tables that cannot be as on the source.
    pub(in crate::store::postgresql) toc: Toc,
    /// The objects that they create, by their names in a catalogue, with live's definitions.
    pub(in crate::store::postgresql) words: HashMap<String, String>,
    /// Owners, grants and comments of these objects on live.
    pub(in crate::store::postgresql) rights: Vec<Right>,
    /// Materialized views among it that have rows.
    pub(in crate::store::postgresql) populated: HashSet<Name>,
    /// Sequences among it.
    pub(in crate::store::postgresql) sequences: Vec<Name>,
    /// What makes publications.
    pub(in crate::store::postgresql) publications: Vec<Entry>,
    /// The source's definitions that were taken out in favour of live's.
    pub(super) taken_out: Vec<TakenOut>,
}

impl Preserved {
    /// The tables whose rows are taken from live.
    pub(in crate::store::postgresql) fn tables(&self) -> Vec<Name> {
        self.parts.iter().map(name_of).collect()
    }

    /// Whether an object of the source's catalogue gave way to what live has.
    pub(in crate::store::postgresql) fn gave_way(&self, object: &str) -> bool {
        self.taken_out.iter().any(|out| {
            let Some((what, rest)) = object.split_once(' ') else {
                return false;
            };
            let (schema, table) = &out.table;
            let of_table = rest
                .strip_prefix(&format!("{schema}.{table}"))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            if of_table {
                return matches!(
                    what,
                    "relation" | "column" | "constraint" | "trigger" | "rule"
                );
            }
            let tag = out.entry.tag();
            let own = match out.entry.kind.as_str() {
                "CONSTRAINT" => tag.strip_prefix(&format!("{table} ")).unwrap_or(tag),
                "INDEX" | "SEQUENCE" | "STATISTICS" => tag,
                _ => return false,
            };
            matches!(what, "index" | "relation" | "statistics") && rest == format!("{schema}.{own}")
        })
    }
}

/// Schema and name of a part's table.
pub(super) fn name_of(part: &Part) -> Name {
    (part.schema.clone().unwrap_or_default(), part.name.clone())
}

/// Finds out what live contributes: `kept` are the source's tables whose rows stay, `source` the source's definitions that
/// are made; `own` are kept tables that are made as live has them, and are no longer among those.
pub(in crate::store::postgresql) async fn plan(
    live: &Session,
    selection: &Selection,
    source: &Toc,
    kept: &[Name],
    theirs: &Toc,
    own: &HashSet<Name>,
) -> Result<Preserved> {
    let tables = survey::tables(live, selection).await?;
    let made: HashSet<(&str, &str)> = source
        .entries
        .iter()
        .filter(|entry| picked::is_relation(&entry.kind))
        .filter_map(|entry| Some((entry.schema.as_deref()?, entry.tag())))
        .collect();
    let kept: HashSet<(&str, &str)> = kept
        .iter()
        .map(|(schema, name)| (schema.as_str(), name.as_str()))
        .collect();
    let only_live = |table: &Table| !made.contains(&(table.schema.as_str(), table.name.as_str()));
    let extra: HashSet<u32> = tables
        .iter()
        .filter(|table| {
            let name = (table.schema.clone(), table.name.clone());
            own.contains(&name)
                || only_live(table) && (selection.overlay || table.fate == Fate::Keep)
        })
        .map(|table| table.oid)
        .collect();
    let there: HashSet<(&str, &str)> = tables
        .iter()
        .map(|table| (table.schema.as_str(), table.name.as_str()))
        .collect();
    for (schema, name) in kept.difference(&there) {
        tracing::warn!(
            table = format!("{schema}.{name}"),
            "the target has no such table to keep: it starts empty"
        );
    }
    let rows_from_live: Vec<Table> = tables
        .iter()
        .filter(|table| {
            kept.contains(&(table.schema.as_str(), table.name.as_str()))
                || extra.contains(&table.oid)
        })
        .map(|table| Table {
            fate: Fate::Keep,
            ..table.clone()
        })
        .collect();
    let columns = survey::columns(live).await?;
    // Text: incoming is on the same server, but its types are not the same oids.
    let parts = survey::parts(&rows_from_live, &columns, false, Fate::Keep);
    let all = all_columns(live).await?;
    let names: HashSet<Name> = tables
        .iter()
        .filter(|table| extra.contains(&table.oid))
        .map(|table| (table.schema.clone(), table.name.clone()))
        .collect();
    let mut preserved = Preserved {
        is_of_live: true,
        columns: parts
            .iter()
            .map(|(oid, part)| (part.id, all.get(oid).cloned().unwrap_or_default()))
            .collect(),
        oids: parts.iter().map(|(oid, _)| *oid).collect(),
        parts: parts.into_iter().map(|(_, part)| part).collect(),
        ..Preserved::default()
    };
    if !names.is_empty() || selection.overlay {
        preserved.toc = picked::pick(theirs, source, &names, selection.overlay);
    }
    if !preserved.toc.entries.is_empty() {
        preserved.describe(live).await?;
    }
    Ok(preserved)
}

/// All columns of each table.
async fn all_columns(session: &Session) -> Result<HashMap<u32, Vec<String>>> {
    let rows = session
        .query(
            &format!(
                "SELECT a.attrelid, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a \
                 JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind = 'r' AND {OURS} AND a.attnum > 0 AND NOT a.attisdropped GROUP BY 1"
            ),
            &[],
        )
        .await
        .map_err(session.explain())?;
    pairs(&rows)
}

impl Preserved {
    /// Asks live for what its definitions make, all that is a part of it included.
    async fn describe(&mut self, live: &Session) -> Result<()> {
        let (classes, oids): (Vec<u32>, Vec<u32>) = self
            .toc
            .entries
            .iter()
            .map(Entry::object)
            .filter(|(class, oid)| *class != 0 && *oid != 0)
            .unzip();
        let rows = live
            .query(
                "WITH RECURSIVE own(classid, objid) AS (
                     SELECT * FROM unnest($1::oid[], $2::oid[])
                     UNION
                     SELECT d.classid, d.objid FROM own o JOIN pg_depend d ON d.refclassid = o.classid AND d.refobjid = o.objid
                     WHERE d.deptype IN ('a', 'i', 'P', 'S'))
                 SELECT classid, objid FROM own",
                &[&classes, &oids],
            )
            .await
            .map_err(live.explain())?;
        let own: HashSet<(u32, u32)> = pairs(&rows)?;
        let mut words = HashMap::new();
        catalogue::each(live, &HashSet::new(), |id, object, definition| {
            if own.contains(&id) {
                words.insert(object.to_owned(), definition.to_owned());
            }
        })
        .await?;
        self.words = words;
        self.rights = rights::read(live, &HashSet::new()).await?;
        self.rights.retain(|right| own.contains(&right.object));
        self.populated = survey::populated(live).await?;
        let made: HashSet<(&str, &str)> = self
            .toc
            .entries
            .iter()
            .filter_map(|entry| Some((entry.schema.as_deref()?, entry.tag())))
            .collect();
        self.populated
            .retain(|(schema, name)| made.contains(&(schema.as_str(), name.as_str())));
        self.sequences = self
            .toc
            .entries
            .iter()
            .filter(|entry| entry.kind == "SEQUENCE")
            .filter_map(|entry| Some((entry.schema.as_deref()?.to_owned(), entry.tag().to_owned())))
            .collect();
        Ok(())
    }
}
