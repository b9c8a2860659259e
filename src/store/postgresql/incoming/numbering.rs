//! Where the numbers of kept tables' next rows come from, and that they stand past the rows that are kept.

use std::collections::HashMap;

use crate::error::Result;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::search_path;
use crate::store::postgresql::schema::sequences::{self, Sequence};
use crate::store::postgresql::schema::survey::Name;
use crate::store::postgresql::sql::quoting::{literal, quoted};

/// A column and a sequence that numbers it: by its default, or as an identity.
struct Numbered {
    table: Name,
    column: String,
    sequence: Name,
    increment: i64,
    bounds: (i64, i64),
    /// It is this column's own.
    is_owned: bool,
    /// Its values can be held against the sequence's.
    is_number: bool,
}

impl Numbered {
    /// Whether one value of the sequence is further than another.
    fn is_further(&self, one: &Sequence, other: &Sequence) -> bool {
        let next = |value: &Sequence| {
            let step = if value.is_called { self.increment } else { 0 };
            value.last_value.saturating_add(step)
        };
        if self.increment < 0 {
            next(one) < next(other)
        } else {
            next(one) > next(other)
        }
    }
}

/// The sequences of these tables' columns, and of those of the tables that they are partitions of.
async fn of(session: &Session, tables: &[Name]) -> Result<Vec<Numbered>> {
    let (schemas, names): (Vec<&str>, Vec<&str>) = tables
        .iter()
        .map(|(schema, name)| (schema.as_str(), name.as_str()))
        .unzip();
    let rows = session
        .query(
            "WITH RECURSIVE tables(oid) AS (
                 SELECT c.oid FROM unnest($1::text[], $2::text[]) AS k (schema, name)
                 JOIN pg_catalog.pg_namespace n ON n.nspname = k.schema
                 JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = k.name
                 UNION SELECT i.inhparent FROM tables t JOIN pg_catalog.pg_inherits i ON i.inhrelid = t.oid
                 JOIN pg_catalog.pg_class c ON c.oid = i.inhparent AND c.relkind = 'p'),
             used(tab, col, seq, owned) AS (
                 SELECT d.refobjid, d.refobjsubid, d.objid, true FROM tables t JOIN pg_catalog.pg_depend d
                   ON d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = t.oid AND d.refobjsubid > 0
                 WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype = 'i'
                 UNION ALL
                 SELECT f.adrelid, f.adnum, d.refobjid, EXISTS (SELECT FROM pg_catalog.pg_depend o
                        WHERE o.classid = d.refclassid AND o.objid = d.refobjid AND o.refclassid = d.refclassid AND o.refobjid = f.adrelid
                          AND o.refobjsubid = f.adnum AND o.deptype = 'a')
                 FROM tables t JOIN pg_catalog.pg_attrdef f ON f.adrelid = t.oid
                 JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = f.oid
                   AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass)
             SELECT tn.nspname::text, t.relname::text, a.attname::text, sn.nspname::text, s.relname::text, q.seqincrement, q.seqmin, q.seqmax,
                    bool_or(u.owned), a.atttypid IN (20, 21, 23)
             FROM used u JOIN pg_catalog.pg_class s ON s.oid = u.seq AND s.relkind = 'S' JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
             JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
             JOIN pg_catalog.pg_class t ON t.oid = u.tab JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
             JOIN pg_catalog.pg_attribute a ON a.attrelid = u.tab AND a.attnum = u.col
             GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 10 ORDER BY 1, 2, 3, 4, 5",
            &[&schemas, &names],
        )
        .await
        .map_err(session.explain())?;
    rows.iter()
        .map(|row| {
            Ok(Numbered {
                table: (row.read(0)?, row.read(1)?),
                column: row.read(2)?,
                sequence: (row.read(3)?, row.read(4)?),
                increment: row.read(5)?,
                bounds: (row.read(6)?, row.read(7)?),
                is_owned: row.read(8)?,
                is_number: row.read(9)?,
            })
        })
        .collect()
}

/// The values that sequences of kept tables get: of a column's own sequence live's; of one that others use, too, whichever
/// is further; and where live numbers the column by none, past the rows. `incoming` has the rows.
pub(super) async fn past(
    live: &Session,
    incoming: &Session,
    tables: &[Name],
) -> Result<Vec<Sequence>> {
    let here = of(incoming, tables).await?;
    if here.is_empty() {
        return Ok(Vec::new());
    }
    let there = of(live, tables).await?;
    let now = values(incoming, here.iter()).await?;
    let theirs = values(live, there.iter()).await?;
    let mut found: HashMap<&Name, Sequence> = HashMap::new();
    for one in &here {
        let Some(now) = now.get(&one.sequence) else {
            continue;
        };
        let mut before = found.get(&one.sequence).cloned();
        let numbered = there
            .iter()
            .filter(|other| other.table == one.table && other.column == one.column);
        let live: Vec<&Sequence> = numbered
            .filter_map(|other| theirs.get(&other.sequence))
            .collect();
        if before.is_none() && (!one.is_owned || live.is_empty()) {
            before = Some(now.clone());
        }
        let mut candidates: Vec<Sequence> = live.into_iter().cloned().collect();
        if candidates.is_empty()
            && one.is_number
            && let Some(last_value) = furthest(incoming, one).await?
            && (one.bounds.0..=one.bounds.1).contains(&last_value)
        {
            candidates.push(Sequence {
                last_value,
                is_called: true,
                ..now.clone()
            });
        }
        for candidate in candidates {
            let candidate = Sequence {
                schema: one.sequence.0.clone(),
                name: one.sequence.1.clone(),
                ..candidate
            };
            let is_further = before
                .as_ref()
                .is_none_or(|before| one.is_further(&candidate, before));
            if is_further {
                before = Some(candidate);
            }
        }
        if let Some(value) = before {
            found.insert(&one.sequence, value);
        }
    }
    Ok(found.into_values().collect())
}

async fn values(
    session: &Session,
    numbered: impl Iterator<Item = &Numbered>,
) -> Result<HashMap<Name, Sequence>> {
    let mut names: Vec<Name> = numbered.map(|one| one.sequence.clone()).collect();
    names.sort();
    names.dedup();
    let values = sequences::values(session, &names).await?;
    Ok(values
        .into_iter()
        .map(|value| ((value.schema.clone(), value.name.clone()), value))
        .collect())
}

/// The largest value in a column, or the smallest where the sequence counts down.
async fn furthest(session: &Session, one: &Numbered) -> Result<Option<i64>> {
    let what = if one.increment < 0 { "min" } else { "max" };
    let query = format!(
        "SELECT pg_catalog.{what}({})::pg_catalog.int8 FROM {}.{}",
        quoted(&one.column),
        quoted(&one.table.0),
        quoted(&one.table.1)
    );
    let row = search_path::query_one(session, &query).await?;
    row.read(0)
}

/// The statement that sets a sequence.
pub(in crate::store::postgresql) fn setting(one: &Sequence) -> String {
    let name = format!("{}.{}", quoted(&one.schema), quoted(&one.name));
    format!(
        "SELECT pg_catalog.setval({}, {}, {})",
        literal(&name),
        one.last_value,
        one.is_called
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_further_by_its_next_value_in_its_own_direction() {
        let value = |last_value, is_called| Sequence {
            schema: "public".to_owned(),
            name: "s".to_owned(),
            last_value,
            is_called,
        };
        let by = |increment| Numbered {
            table: ("public".to_owned(), "t".to_owned()),
            column: "id".to_owned(),
            sequence: ("public".to_owned(), "s".to_owned()),
            increment,
            bounds: (i64::MIN, i64::MAX),
            is_owned: false,
            is_number: true,
        };
        assert!(by(1).is_further(&value(50, true), &value(3, true)));
        assert!(by(1).is_further(&value(1, true), &value(1, false)));
        assert!(!by(1).is_further(&value(1, false), &value(1, false)));
        assert!(by(-1).is_further(&value(-50, true), &value(-3, true)));
        assert!(!by(-5).is_further(&value(-3, true), &value(-50, true)));
        assert!(by(1).is_further(&value(i64::MAX, true), &value(3, true)));
    }
}
