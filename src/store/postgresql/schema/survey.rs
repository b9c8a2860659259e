//! What a database consists of, asked of its catalogues under one snapshot.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::cells::Row;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::row_encodings::{COPY_BINARY, COPY_TEXT};
use crate::store::{Fate, Interner, List, Part, Selection, Taker, Unit};

/// A table, partitioned or not, that belongs to no extension.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::store::postgresql) struct Table {
    pub(in crate::store::postgresql) oid: u32,
    pub(in crate::store::postgresql) schema: String,
    pub(in crate::store::postgresql) name: String,
    /// A partitioned table has no rows of its own.
    pub(in crate::store::postgresql) partitioned: bool,
    /// The table it is a partition of.
    pub(in crate::store::postgresql) parent: Option<u32>,
    pub(in crate::store::postgresql) rows: u64,
    pub(in crate::store::postgresql) bytes: u64,
    pub(in crate::store::postgresql) fate: Fate,
}

/// An object: the catalogue it is in, and its oid there.
pub(in crate::store::postgresql) type Object = (u32, u32);

/// The oid of `pg_class`, in every database (`pg_class.h`).
pub(in crate::store::postgresql) const CLASS: u32 = 1259;

/// That of `pg_attrdef` (`pg_attrdef.h`).
pub(in crate::store::postgresql) const DEFAULT: u32 = 2604;

/// Schemas of applications.
pub(in crate::store::postgresql) const OURS: &str =
    "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// How many rows a table has that nobody has counted yet, by its size: as the server's planner guesses it, with 32 bytes for a
/// column without a fixed width (`get_rel_data_width` in its source).
const BY_SIZE: &str = "coalesce(pg_relation_size(c.oid) / (28 + (SELECT coalesce(sum(CASE WHEN a.attlen > 0 THEN a.attlen ELSE 32 END), 0) \
     FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)), 0)::float8";

/// The server's version as a number: 150018.
pub(in crate::store::postgresql) async fn version(session: &Session) -> Result<(u32, String)> {
    let row = session
        .query_one(
            "SELECT current_setting('server_version_num')::int, current_setting('server_version')",
            &[],
        )
        .await
        .map_err(session.explain())?;
    let number = u32::try_from(row.read::<i32>(0)?).unwrap_or_default();
    if number < 120_000 {
        return Err(Error::new(
            Kind::Config,
            format!("PostgreSQL {} is not supported", row.read::<String>(1)?),
        )
        .hint("version 12 is the oldest that works"));
    }
    Ok((number, row.read(1)?))
}

/// Refuses a target that is older than the data's server.
pub(in crate::store::postgresql) fn refuse_older(
    major: u32,
    version: &str,
    target: &Taker,
) -> Result<()> {
    match target.server() {
        Some(server) if major > server.major => Err(Error::new(
            Kind::Verify,
            format!(
                "the target's PostgreSQL {} is older than the source's {version}",
                server.version
            ),
        )
        .hint(
            "upgrade the target first: what the newer version has cannot be copied into the older one",
        )),
        _ => Ok(()),
    }
}

/// All tables, with what the selection makes of them. What is said of a partitioned table holds for its partitions.
pub(in crate::store::postgresql) async fn tables(
    session: &Session,
    selection: &Selection,
) -> Result<Vec<Table>> {
    let query = format!(
        "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'p', \
                        CASE WHEN c.relispartition THEN (SELECT inhparent FROM pg_inherits WHERE inhrelid = c.oid) END, \
                        CASE WHEN c.reltuples > 0 THEN c.reltuples::float8 WHEN c.relkind = 'p' THEN 0 \
                             ELSE {BY_SIZE} END, \
                        CASE WHEN c.relkind = 'p' THEN 0 ELSE coalesce(pg_table_size(c.oid), 0) END \
                 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {OURS} \
                   AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
                 ORDER BY c.oid"
    );
    let mut tables = Vec::new();
    let take = |row: &Row| {
        let (schema, name): (String, String) = (row.read(1)?, row.read(2)?);
        tables.push(Table {
            oid: row.read(0)?,
            fate: selection.fate(Some(&schema), &name),
            schema,
            name,
            partitioned: row.read(3)?,
            parent: row.read(4)?,
            rows: row.read::<f64>(5)? as u64,
            bytes: row.read::<i64>(6)? as u64,
        });
        Ok(())
    };
    session.each_row(&query, take).await?;
    inherit(&mut tables);
    Ok(tables)
}

/// What is said of a partitioned table holds for its partitions.
pub(in crate::store::postgresql) fn inherit(tables: &mut [Table]) {
    let said: HashMap<u32, (Option<u32>, Fate)> =
        tables.iter().map(|t| (t.oid, (t.parent, t.fate))).collect();
    for table in tables {
        let mut above = table.parent;
        while let Some((parent, fate)) = above.and_then(|oid| said.get(&oid)) {
            if table.fate == Fate::Copy {
                table.fate = *fate;
            }
            above = *parent;
        }
    }
}

/// Indexes that were never finished, or are still being built, by `CREATE INDEX` or `REINDEX` `CONCURRENTLY`: schema and name.
/// `pg_dump` leaves them out (`getIndexes` in its source). Those of partitioned tables are not among them: they are not
/// valid until all partitions have theirs.
pub(in crate::store::postgresql) async fn invalid_indexes(
    session: &Session,
) -> Result<Vec<(String, String)>> {
    session.names(&format!(
                "SELECT n.nspname::text, c.relname::text FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
                 JOIN pg_class r ON r.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE NOT (i.indisready AND (i.indisvalid OR r.relkind = 'p')) AND r.relpersistence <> 't' AND {OURS} ORDER BY 1, 2"
            )).await
}

/// Materialized views that have rows.
pub(in crate::store::postgresql) async fn populated(
    session: &Session,
) -> Result<HashSet<(String, String)>> {
    session.names("SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind = 'm' AND c.relispopulated").await
}

/// Columns of each table.
pub(in crate::store::postgresql) type Columns = HashMap<u32, (List<String>, bool)>;

/// Columns that a COPY moves, of each table, and whether all of their types read the same in binary on another server.
pub(in crate::store::postgresql) async fn columns(session: &Session) -> Result<Columns> {
    let types = Types::load(session).await?;
    let query = format!(
        "SELECT a.attrelid, a.attname::text, a.atttypid FROM pg_attribute a \
                 JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE c.relkind = 'r' AND {OURS} AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' \
                 ORDER BY a.attrelid, a.attnum"
    );
    let (mut found, mut alike) = (Columns::new(), Interner::default());
    let mut coming: Option<(u32, Vec<String>, bool)> = None;
    let mut put_away = |whole: Option<(u32, Vec<String>, bool)>| {
        if let Some((oid, columns, binary)) = whole {
            let mut columns: List<String> = columns.into();
            alike.intern_list(&mut columns);
            found.insert(oid, (columns, binary));
        }
    };
    let take = |row: &Row| {
        let oid = row.read(0)?;
        if coming.as_ref().is_none_or(|(table, ..)| *table != oid) {
            put_away(coming.replace((oid, Vec::new(), true)));
        }
        if let Some((_, columns, binary)) = &mut coming {
            columns.push(row.read(1)?);
            *binary &= types.same_everywhere(row.read(2)?);
        }
        Ok(())
    };
    session.each_row(&query, take).await?;
    put_away(coming);
    Ok(found)
}

/// Which types have a binary form without an oid in it.
struct Types(HashMap<u32, Type>);

struct Type {
    kind: String,
    base: u32,
    element: u32,
    category: String,
    sends: bool,
}

/// Types whose binary form is an oid of this very server; `xml`, whose binary form has an encoding in it; and `tsquery`, whose
/// empty value some servers send and do not take ("malformed tsquery: operand not found", 15.18).
const NOT_IN_BINARY: [u32; 14] = [
    24, 142, 2202, 2203, 2204, 2205, 2206, 3615, 3734, 3769, 4089, 4096, 4191, 2249,
];

/// Oids below this one are the same in every cluster (`FirstNormalObjectId`).
const FIRST_OWN_OID: u32 = 16_384;

impl Types {
    async fn load(session: &Session) -> Result<Self> {
        let rows = session
            .query(
                "SELECT oid, typtype::text, typbasetype, CASE WHEN typlen = -1 THEN typelem ELSE 0 END, typcategory::text, typsend <> 0 \
                 FROM pg_type WHERE typtype <> 'c' AND typrelid = 0 AND (typelem < 16384 OR typlen <> -1)",
                &[],
            )
            .await
            .map_err(session.explain())?;
        let all: Result<_> = rows
            .iter()
            .map(|row| {
                let of = Type {
                    kind: row.read(1)?,
                    base: row.read(2)?,
                    element: row.read(3)?,
                    category: row.read(4)?,
                    sends: row.read(5)?,
                };
                Ok((row.read(0)?, of))
            })
            .collect();
        all.map(Self)
    }

    fn same_everywhere(&self, oid: u32) -> bool {
        let Some(of) = self.0.get(&oid) else {
            return false;
        };
        if !of.sends || NOT_IN_BINARY.contains(&oid) {
            return false;
        }
        match of.kind.as_str() {
            "d" => self.same_everywhere(of.base),
            "e" => true,
            "b" if of.category == "A" && of.element != 0 => {
                // An array carries its element's type oid.
                of.element < FIRST_OWN_OID && self.same_everywhere(of.element)
            }
            _ => oid < FIRST_OWN_OID,
        }
    }
}

/// Tables and sequences that an extension has marked as the user's data, with the condition on their rows.
pub(in crate::store::postgresql) async fn extension_data(
    session: &Session,
) -> Result<Vec<(u32, String, String, bool, String)>> {
    let rows = session
        .query(
            "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'S', coalesce(e.condition, '') \
             FROM pg_extension x, unnest(x.extconfig, x.extcondition) AS e(relation, condition) \
             JOIN pg_class c ON c.oid = e.relation JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind IN ('r', 'S') ORDER BY c.oid",
            &[],
        )
        .await
        .map_err(session.explain())?;
    rows.iter()
        .map(|row| {
            Ok((
                row.read(0)?,
                row.read(1)?,
                row.read(2)?,
                row.read(3)?,
                row.read(4)?,
            ))
        })
        .collect()
}

/// Tables of extensions that the selection wants without rows: the extension makes them all the same.
pub(in crate::store::postgresql) async fn of_extensions(
    session: &Session,
    selection: &Selection,
) -> Result<Vec<(String, Fate)>> {
    if selection.is_everything() {
        return Ok(Vec::new());
    }
    let rows = session
        .query(
            "SELECT n.nspname::text, c.relname::text FROM pg_depend d JOIN pg_class c ON c.oid = d.objid \
             JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e' AND c.relkind IN ('r', 'p') ORDER BY 1, 2",
            &[],
        )
        .await
        .map_err(session.explain())?;
    let mut found = Vec::new();
    for row in &rows {
        let (schema, name): (String, String) = (row.read(0)?, row.read(1)?);
        let fate = selection.fate(Some(&schema), &name);
        if matches!(fate, Fate::Exclude | Fate::SchemaOnly) {
            found.push((format!("{schema}.{name}"), Fate::SchemaOnly));
        }
    }
    Ok(found)
}

/// The oid of `pg_class` itself.
pub(in crate::store::postgresql) async fn class_oid(session: &Session) -> Result<u32> {
    let row = session
        .query_one("SELECT 'pg_class'::regclass::oid", &[])
        .await
        .map_err(session.explain())?;
    row.read(0)
}

/// The error of tables or sequences that the source's user may not read.
pub(super) fn unreadable_error(what: &str, names: &[String]) -> Error {
    let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(5);
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Error::new(
        Kind::Permission,
        format!(
            "the source's user may not read {} {what}: {shown}{rest}",
            names.len()
        ),
    )
    .hint("grant SELECT on them (or the role pg_read_all_data), or exclude them")
}

/// Tables that would be copied but cannot be read, or only in part.
pub(in crate::store::postgresql) async fn readable(
    session: &Session,
    tables: &[Table],
) -> Result<()> {
    let oids: Vec<u32> = tables
        .iter()
        .filter(|table| table.fate == Fate::Copy)
        .map(|table| table.oid)
        .collect();
    let rows = session
        .query(
            "SELECT n.nspname || '.' || c.relname, has_table_privilege(c.oid, 'SELECT'), row_security_active(c.oid) \
             FROM unnest($1::oid[]) AS t(oid) JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE NOT has_table_privilege(c.oid, 'SELECT') OR row_security_active(c.oid) ORDER BY 1",
            &[&oids],
        )
        .await
        .map_err(session.explain())?;
    let mut unreadable: Vec<String> = Vec::new();
    for row in &rows {
        if !row.read::<bool>(1)? {
            unreadable.push(row.read(0)?);
        }
    }
    if !unreadable.is_empty() {
        return Err(unreadable_error("tables", &unreadable));
    }
    if let Some(row) = rows.first() {
        return Err(Error::new(
            Kind::Permission,
            format!(
                "row-level security would hide rows of {} from the source's user",
                row.read::<&str>(0)?
            ),
        )
        .hint("read as the table's owner or as a role with BYPASSRLS"));
    }
    Ok(())
}

/// The parts of a copy, biggest first.
pub(in crate::store::postgresql) fn parts(
    tables: &[Table],
    columns: &Columns,
    binary: bool,
    fate: Fate,
) -> Vec<(u32, Part)> {
    let of_fate = tables
        .iter()
        .filter(|table| table.fate == fate && !table.partitioned);
    // As many as there are, and no room for twice as many.
    let mut parts: Vec<(u32, Part)> = Vec::with_capacity(of_fate.clone().count());
    parts.extend(of_fate.map(|table| {
        let (columns, same) = columns.get(&table.oid).cloned().unwrap_or_default();
        let encoding = if binary && same && !columns.is_empty() {
            COPY_BINARY
        } else {
            COPY_TEXT
        };
        let part = Part {
            id: 0,
            schema: Some(table.schema.clone()),
            name: table.name.clone(),
            columns,
            unit: Unit::Rows,
            encoding,
            rows: table.rows,
            bytes: table.bytes,
            slice: None,
            condition: None,
        };
        (table.oid, part)
    }));
    parts.sort_by_key(|(_, part)| std::cmp::Reverse(part.bytes));
    for (id, (_, part)) in parts.iter_mut().enumerate() {
        part.id = id;
    }
    parts
}

/// Partitions by the hash of something whose hash depends on the server it is on (an enum's is its oid's): each with the
/// topmost such table, through which its rows have to go.
pub(in crate::store::postgresql) async fn by_root(
    session: &Session,
) -> Result<HashMap<u32, (String, String)>> {
    let rows = session
        .query(
            "WITH RECURSIVE below(root, oid) AS (
                 SELECT p.partrelid, i.inhrelid FROM pg_partitioned_table p JOIN pg_inherits i ON i.inhparent = p.partrelid
                 WHERE p.partstrat = 'h' AND EXISTS (
                     SELECT FROM unnest(p.partattrs::int2[]) AS key(attnum)
                     LEFT JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = key.attnum
                     LEFT JOIN pg_type t ON t.oid = a.atttypid
                     WHERE key.attnum = 0 OR t.typtype IN ('e', 'c', 'd', 'r') OR t.typcategory = 'A')
                 UNION ALL
                 SELECT b.root, i.inhrelid FROM below b JOIN pg_inherits i ON i.inhparent = b.oid)
             SELECT DISTINCT ON (b.oid) b.oid, n.nspname::text, c.relname::text
             FROM below b JOIN pg_class c ON c.oid = b.root JOIN pg_namespace n ON n.oid = c.relnamespace
             ORDER BY b.oid, c.relispartition",
            &[],
        )
        .await
        .map_err(session.explain())?;
    rows.iter()
        .map(|row| Ok((row.read(0)?, (row.read(1)?, row.read(2)?))))
        .collect()
}

/// Schema and name of a relation.
pub(in crate::store::postgresql) type Name = (String, String);
