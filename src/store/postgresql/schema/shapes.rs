//! The shapes of tables, as masks have to know them.

use std::collections::HashMap;

use crate::error::Result;
use crate::mask::{Column, Encoding, Repertoire, Type};
use crate::store::postgresql::connection::cells::Row;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::survey::OURS;
use crate::store::{Check, Form, Reference, Selection, Shape, ShapeColumn, Truth, Unique};

/// How COPY writes truth.
const TRUTH: Truth = Truth::Letters;

/// Length and precision have this much added to them in `atttypmod`.
const HEADER: i32 = 4;

/// The shapes of all tables that are no extension's, by their oid. `encoding` is the database's.
pub(in crate::store::postgresql) async fn read(
    session: &Session,
    selection: &Selection,
    encoding: &str,
) -> Result<HashMap<u32, Shape>> {
    let mut shapes = names(session, selection).await?;
    columns(session, encoding, &mut shapes).await?;
    unique(session, &mut shapes).await?;
    references(session, &mut shapes).await?;
    checks(session, &mut shapes).await?;
    partition_keys(session, &mut shapes).await?;
    Ok(shapes)
}

/// All tables, with those that they are partitions or children of, and the masks that are for any of these names.
async fn names(session: &Session, selection: &Selection) -> Result<HashMap<u32, Shape>> {
    let query = "WITH RECURSIVE above(oid, name, depth) AS ( \
             SELECT oid, oid, 0 FROM pg_class WHERE relkind IN ('r', 'p') \
             UNION SELECT a.oid, i.inhparent, a.depth + 1 FROM above a JOIN pg_inherits i ON i.inhrelid = a.name) \
         SELECT a.oid, n.nspname::text, c.relname::text FROM above a JOIN pg_class c ON c.oid = a.name \
         JOIN pg_namespace n ON n.oid = c.relnamespace ORDER BY a.oid, a.depth, 2, 3";
    let mut shapes: HashMap<u32, Shape> = HashMap::new();
    let take = |row: &Row| {
        let shape = shapes.entry(row.read(0)?).or_insert_with(|| Shape {
            names: Vec::new(),
            masks: Vec::new(),
            columns: Vec::new(),
            unique: Vec::new(),
            references: Vec::new(),
            checks: Vec::new(),
            partitioned_by: Vec::new(),
            unmaskable: None,
        });
        shape.names.push((Some(row.read(1)?), row.read(2)?));
        Ok(())
    };
    session.each_row(query, take).await?;
    for shape in shapes.values_mut() {
        let names = shape.names.iter();
        let names = names.map(|(schema, name)| (schema.as_deref(), name.as_str()));
        shape.masks = selection.masks_of(names);
    }
    Ok(shapes)
}

/// A type as `pg_type` has it.
struct Known {
    name: String,
    kind: String,
    base: u32,
    modifier: i32,
    is_required: bool,
    words: Vec<String>,
}

async fn types(session: &Session) -> Result<HashMap<u32, Known>> {
    let query = "SELECT t.oid, t.typname::text, t.typtype::text, t.typbasetype, t.typtypmod, t.typnotnull, \
             ARRAY(SELECT e.enumlabel::text FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder) \
         FROM pg_type t";
    let mut found = HashMap::new();
    let take = |row: &Row| {
        let known = Known {
            name: row.read(1)?,
            kind: row.read(2)?,
            base: row.read(3)?,
            modifier: row.read(4)?,
            is_required: row.read(5)?,
            words: row.read(6)?,
        };
        found.insert(row.read(0)?, known);
        Ok(())
    };
    session.each_row(query, take).await?;
    Ok(found)
}

async fn columns(
    session: &Session,
    encoding: &str,
    shapes: &mut HashMap<u32, Shape>,
) -> Result<()> {
    let types = types(session).await?;
    let query = "SELECT a.attrelid, a.attname::text, a.atttypid, a.atttypmod, a.attnotnull, format_type(a.atttypid, a.atttypmod) \
         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
         WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' \
         ORDER BY a.attrelid, a.attnum";
    let take = |row: &Row| {
        if let Some(shape) = shapes.get_mut(&row.read(0)?) {
            let (mut oid, mut modifier): (u32, i32) = (row.read(2)?, row.read(3)?);
            let mut is_nullable = !row.read::<bool>(4)?;
            // A domain is what it is over, with more rules.
            while let Some(known) = types.get(&oid).filter(|known| known.kind == "d") {
                is_nullable &= !known.is_required;
                (oid, modifier) = (known.base, known.modifier.max(modifier));
            }
            let type_name: String = row.read(5)?;
            let (kind, form) = match types.get(&oid) {
                Some(known) => described(known, modifier, encoding),
                None => (Type::Other(type_name.clone()), Form::Opaque),
            };
            shape.columns.push(ShapeColumn {
                column: Column {
                    name: row.read(1)?,
                    kind,
                    is_nullable,
                },
                form,
                type_name,
                is_masked: false,
            });
        }
        Ok(())
    };
    session.each_row(query, take).await
}

/// What masks know of a type, and how COPY writes its values.
fn described(known: &Known, modifier: i32, encoding: &str) -> (Type, Form) {
    let (encoding, repertoire) = match encoding {
        "UTF8" => (Encoding::Utf8, Repertoire::Unicode),
        "LATIN1" => (Encoding::Latin1, Repertoire::Latin1),
        _ => (Encoding::Unknown, Repertoire::Ascii),
    };
    let plain = Form::Text(encoding, TRUTH);
    let longest = u32::try_from(modifier - HEADER).ok();
    let text = |longest| Type::Text {
        longest,
        repertoire,
    };
    let integer = |bits| Type::Integer {
        bits,
        is_signed: true,
    };
    let kind = match &*known.name {
        _ if known.kind == "e" => Type::Enum(known.words.clone()),
        "text" | "citext" => text(None),
        "varchar" => text(longest),
        "bpchar" => return (text(longest), Form::Padded(encoding)),
        "name" => text(Some(63)),
        "int2" => integer(16),
        "int4" => integer(32),
        "int8" => integer(64),
        "numeric" => {
            let packed = modifier.checked_sub(HEADER).filter(|packed| *packed >= 0);
            Type::Decimal {
                precision: packed.map(|packed| (packed >> 16) as u16),
                // Negative ones round in front of the point.
                scale: packed.map_or(u16::MAX, |packed| {
                    let scale = packed & 0x7ff;
                    if scale >= 1024 { 0 } else { scale as u16 }
                }),
            }
        }
        "float4" | "float8" => Type::Real,
        "date" => Type::Date,
        "time" | "timetz" => Type::Time,
        "timestamp" | "timestamptz" => Type::Timestamp,
        "bool" => Type::Boolean,
        "uuid" => Type::Uuid,
        "json" | "jsonb" => Type::Json,
        "bytea" => return (Type::Bytes { longest: None }, Form::Hex),
        "inet" => Type::Inet { is_network: false },
        "cidr" => Type::Inet { is_network: true },
        "macaddr" => Type::Mac,
        other => Type::Other(other.to_owned()),
    };
    (kind, plain)
}

/// Unique indexes, primary keys among them, and exclusion constraints. Columns of expressions and conditions count as its own.
async fn unique(session: &Session, shapes: &mut HashMap<u32, Shape>) -> Result<()> {
    let nulls = session
        .query("SELECT 1 FROM pg_attribute WHERE attrelid = 'pg_index'::regclass AND attname = 'indnullsnotdistinct'", &[])
        .await
        .map_err(session.explain())?;
    let one_null = if nulls.is_empty() {
        "false"
    } else {
        "i.indnullsnotdistinct"
    };
    let query = format!(
        "SELECT i.indrelid, x.relname::text, {one_null}, \
             ARRAY(SELECT DISTINCT a.attname::text FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum > 0 AND ( \
                 a.attnum = ANY(i.indkey[0:i.indnkeyatts - 1]) \
                 OR (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL) AND EXISTS (SELECT FROM pg_depend d \
                     WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid \
                       AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum)) ORDER BY 1) \
         FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace n ON n.oid = x.relnamespace \
         WHERE (i.indisunique OR i.indisexclusion) AND {OURS} ORDER BY i.indrelid, 2"
    );
    let take = |row: &Row| {
        if let Some(shape) = shapes.get_mut(&row.read(0)?) {
            shape.unique.push(Unique {
                name: row.read(1)?,
                is_one_null: row.read(2)?,
                columns: row.read(3)?,
            });
        }
        Ok(())
    };
    session.each_row(&query, take).await
}

async fn references(session: &Session, shapes: &mut HashMap<u32, Shape>) -> Result<()> {
    let query = "SELECT k.conrelid, k.conname::text, n.nspname::text, c.relname::text, \
             ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS o(num, at) \
                   JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = o.num ORDER BY o.at), \
             ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS o(num, at) \
                   JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = o.num ORDER BY o.at) \
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE k.contype = 'f' ORDER BY k.conrelid, 2";
    let take = |row: &Row| {
        if let Some(shape) = shapes.get_mut(&row.read(0)?) {
            shape.references.push(Reference {
                name: row.read(1)?,
                table: (Some(row.read(2)?), row.read(3)?),
                columns: row.read(4)?,
                referenced: row.read(5)?,
                condition: None,
            });
        }
        Ok(())
    };
    session.each_row(query, take).await
}

/// CHECKs of tables, and of the domains that their columns are of.
async fn checks(session: &Session, shapes: &mut HashMap<u32, Shape>) -> Result<()> {
    let query = "WITH RECURSIVE above(oid, base) AS ( \
             SELECT oid, oid FROM pg_type WHERE typtype = 'd' \
             UNION SELECT a.oid, t.typbasetype FROM above a JOIN pg_type t ON t.oid = a.base WHERE t.typtype = 'd') \
         SELECT k.conrelid, k.conname::text, ARRAY(SELECT a.attname::text FROM pg_attribute a \
                WHERE a.attrelid = k.conrelid AND a.attnum = ANY(k.conkey) ORDER BY a.attnum) \
         FROM pg_constraint k WHERE k.contype = 'c' AND k.conrelid <> 0 \
         UNION ALL SELECT a.attrelid, k.conname::text, ARRAY[a.attname::text] FROM pg_attribute a \
         JOIN above d ON d.oid = a.atttypid JOIN pg_constraint k ON k.contypid = d.base \
         WHERE k.contype = 'c' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2";
    let take = |row: &Row| {
        if let Some(shape) = shapes.get_mut(&row.read(0)?) {
            shape.checks.push(Check {
                name: row.read(1)?,
                columns: row.read(2)?,
            });
        }
        Ok(())
    };
    session.each_row(query, take).await
}

/// The columns by which a table is divided that a table is a partition of. Where a partition takes whatever there is, none.
async fn partition_keys(session: &Session, shapes: &mut HashMap<u32, Shape>) -> Result<()> {
    let query = "WITH RECURSIVE above(oid, child, parent) AS ( \
             SELECT i.inhrelid, i.inhrelid, i.inhparent FROM pg_inherits i JOIN pg_partitioned_table p ON p.partrelid = i.inhparent \
             UNION SELECT a.oid, i.inhrelid, i.inhparent FROM above a JOIN pg_inherits i ON i.inhrelid = a.parent \
             JOIN pg_partitioned_table p ON p.partrelid = i.inhparent) \
         SELECT a.oid, ARRAY(SELECT c.attname::text FROM pg_attribute c \
                WHERE c.attrelid = a.oid AND c.attnum > 0 AND NOT c.attisdropped AND EXISTS (SELECT FROM pg_attribute k \
                    WHERE k.attrelid = a.parent AND k.attname = c.attname AND (k.attnum = ANY(p.partattrs) \
                        OR p.partexprs IS NOT NULL AND position(quote_ident(k.attname) IN pg_get_partkeydef(a.parent)) > 0)) \
                ORDER BY c.attnum) \
         FROM above a JOIN pg_partitioned_table p ON p.partrelid = a.parent \
         WHERE NOT (p.partdefid = a.child AND (SELECT count(*) FROM pg_inherits o WHERE o.inhparent = a.parent) = 1) ORDER BY 1";
    let take = |row: &Row| {
        if let Some(shape) = shapes.get_mut(&row.read(0)?) {
            let columns: Vec<String> = row.read(1)?;
            shape.partitioned_by.extend(columns);
        }
        Ok(())
    };
    session.each_row(query, take).await
}
