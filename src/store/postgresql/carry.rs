//! What the target itself contributes to incoming: rows of tables in `keep`, and with `overlay` whole tables.

use std::collections::{HashMap, HashSet};

use super::connection::{Session, quoted};
use super::sequences::{self, Sequence};
use super::survey::{self, Table};
use super::toc::{Entry, Toc};
use super::{checksum, column_list, relay, table_name};
use crate::error::{Error, Kind, Result};
use crate::store::{Encoding, Fate, Part, Selection};

/// What comes from live.
#[derive(Default)]
pub(super) struct Carried {
    /// Tables whose rows are taken from live.
    pub(super) parts: Vec<Part>,
    /// Definitions of tables that only live has, and of what they need.
    pub(super) toc: Toc,
    /// Sequences whose values are live's.
    pub(super) sequences: Vec<Sequence>,
    /// The tables that only live has: schema and name.
    pub(super) tables: HashSet<(String, String)>,
}

/// Kinds of entries that belong to a table.
const OF_TABLES: [&str; 17] = [
    "INDEX",
    "CONSTRAINT",
    "FK CONSTRAINT",
    "CHECK CONSTRAINT",
    "TRIGGER",
    "DEFAULT",
    "SEQUENCE",
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

/// Finds out what live contributes: `kept` are the source's tables whose rows stay, `source` the source's definitions,
/// `theirs` live's.
pub(super) async fn plan(
    live: &Session,
    selection: &Selection,
    source: &Toc,
    kept: &[(String, String)],
    theirs: Option<&Toc>,
) -> Result<Carried> {
    let tables = survey::tables(live, selection).await?;
    let made: HashSet<(&str, &str)> = source
        .entries
        .iter()
        .filter(|entry| {
            matches!(
                entry.kind.as_str(),
                "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FOREIGN TABLE" | "SEQUENCE"
            )
        })
        .filter_map(|entry| Some((entry.schema.as_deref()?, entry.tag())))
        .collect();
    let kept: HashSet<(&str, &str)> = kept
        .iter()
        .map(|(schema, name)| (schema.as_str(), name.as_str()))
        .collect();
    let only_live = |table: &Table| !made.contains(&(table.schema.as_str(), table.name.as_str()));
    let extra: Vec<&Table> = tables
        .iter()
        .filter(|table| only_live(table) && (selection.overlay || table.fate == Fate::Keep))
        .collect();
    let mut carried = Carried {
        tables: extra
            .iter()
            .map(|t| (t.schema.clone(), t.name.clone()))
            .collect(),
        ..Carried::default()
    };
    let rows_from_live: Vec<Table> = tables
        .iter()
        .filter(|table| {
            kept.contains(&(table.schema.as_str(), table.name.as_str()))
                || extra.iter().any(|other| other.oid == table.oid)
        })
        .map(|table| Table {
            fate: Fate::Keep,
            ..table.clone()
        })
        .collect();
    let columns = survey::columns(live).await?;
    // Text: incoming is on the same server, but its types are not the same oids.
    carried.parts = survey::parts(&rows_from_live, &columns, false, Fate::Keep)
        .into_iter()
        .map(|(_, part)| part)
        .collect();
    if !extra.is_empty() {
        let theirs =
            theirs.ok_or_else(|| Error::new(Kind::Internal, "live's definitions are missing"))?;
        carried.toc = pick(theirs, source, &carried.tables);
    }
    let oids: Vec<u32> = rows_from_live.iter().map(|table| table.oid).collect();
    let owned: Vec<(String, String)> = live
        .query(
            "SELECT n.nspname::text, c.relname::text FROM pg_depend d JOIN pg_class c ON c.oid = d.objid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND c.relkind = 'S' \
               AND d.deptype IN ('a', 'i') AND d.refobjid = ANY($1)",
            &[&oids],
        )
        .await
        .map_err(live.explain())?
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    carried.sequences = sequences::values(live, &owned).await?;
    Ok(carried)
}

/// The entries of live's dump that make these tables, all that belongs to them, and what they need and the source
/// does not bring.
fn pick(theirs: &Toc, source: &Toc, tables: &HashSet<(String, String)>) -> Toc {
    fn name(entry: &Entry) -> (&str, Option<&str>, &str) {
        (&entry.kind, entry.schema.as_deref(), entry.tag())
    }
    let brought: HashSet<_> = source.entries.iter().map(|entry| name(entry)).collect();
    let by_id: HashMap<i64, &Entry> = theirs
        .entries
        .iter()
        .map(|entry| (entry.id, &**entry))
        .collect();
    let mut picked: HashSet<i64> = theirs
        .entries
        .iter()
        .filter(|entry| {
            entry.kind == "TABLE"
                && entry.schema.as_ref().is_some_and(|schema| {
                    tables.contains(&(schema.to_string(), entry.tag().to_owned()))
                })
        })
        .map(|entry| entry.id)
        .collect();
    loop {
        let before = picked.len();
        for entry in &theirs.entries {
            let belongs = OF_TABLES.contains(&entry.kind.as_str())
                && entry.needs().any(|need| picked.contains(&need));
            if belongs && !brought.contains(&name(entry)) {
                picked.insert(entry.id);
            }
        }
        let needs: Vec<i64> = theirs
            .entries
            .iter()
            .filter(|entry| picked.contains(&entry.id))
            .flat_map(|entry| entry.needs())
            .collect();
        for need in needs {
            if by_id
                .get(&need)
                .is_some_and(|entry| !brought.contains(&name(entry)))
            {
                picked.insert(need);
            }
        }
        if picked.len() == before {
            break;
        }
    }
    // A schema is no dependency of a table in a dump.
    let schemas: HashSet<&str> = tables.iter().map(|(schema, _)| schema.as_str()).collect();
    Toc {
        entries: theirs
            .entries
            .iter()
            .filter(|entry| {
                picked.contains(&entry.id)
                    || (entry.kind == "SCHEMA"
                        && schemas.contains(entry.tag())
                        && !brought.contains(&name(entry)))
            })
            .cloned()
            .collect(),
    }
}

/// Copies a part's rows from live into incoming; the columns are live's, and incoming must have them all.
pub(super) async fn copy(live: &Session, incoming: &Session, part: &Part) -> Result<u64> {
    debug_assert_eq!(part.encoding, Encoding::CopyText);
    let have: HashSet<String> = incoming
        .query(
            "SELECT a.attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped",
            &[&part.schema, &part.name],
        )
        .await
        .map_err(incoming.explain())?
        .iter()
        .map(|row| row.get(0))
        .collect();
    let lost: Vec<&str> = part
        .columns
        .iter()
        .filter(|column| !have.contains(*column))
        .map(String::as_str)
        .collect();
    if !lost.is_empty() {
        return Err(Error::new(
            Kind::Verify,
            format!(
                "the rows of {} cannot be kept: the source's table has no column {}",
                part.label(),
                lost.join(", ")
            ),
        )
        .hint("drop the columns on the target, or take the table out of `keep`"));
    }
    let columns = if part.columns.is_empty() {
        String::new()
    } else {
        format!(" ({})", column_list(&part.columns))
    };
    let name = table_name(part);
    let mut out =
        relay::Out::start(live, &format!("COPY {name}{columns} TO STDOUT"), false).await?;
    let mut copy = relay::In::start(incoming, &format!("COPY {name}{columns} FROM STDIN")).await?;
    while let Some(chunk) = out.next().await? {
        copy.send(chunk.data).await?;
    }
    copy.finish()
        .await
        .map_err(|error| error.within(format!("keeping the rows of {}", part.label())))
}

/// Rows that changed on live since they were copied are copied again, all in one transaction.
/// `comparing` is in incoming as well.
pub(super) async fn refresh(
    live: &Session,
    comparing: &Session,
    incoming: &Session,
    parts: &[Part],
) -> Result<()> {
    for part in parts {
        if checksum(live, part, "", None).await? == checksum(comparing, part, "", None).await? {
            continue;
        }
        tracing::info!(
            table = part.label(),
            "rows that the target keeps have changed meanwhile; taking them again"
        );
        incoming.run("BEGIN; SET CONSTRAINTS ALL DEFERRED").await?;
        let again = async {
            incoming
                .run(&format!("DELETE FROM ONLY {}", table_name(part)))
                .await?;
            copy(live, incoming, part).await?;
            incoming.run("COMMIT").await
        };
        if let Err(error) = again.await {
            let _ = incoming.run("ROLLBACK").await;
            return Err(error
                .within(format!("rows of {} changed during the run and cannot be taken again", part.label()))
                .hint(format!("run the job again, and keep {} from being written meanwhile with maintenance_on", quoted(&part.name))));
        }
    }
    Ok(())
}
