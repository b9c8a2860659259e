//! Which large objects rows refer to: those of rows that are not copied stay where they are, and those of rows that are
//! kept are kept with them.

use std::collections::HashSet;

use super::large_objects::CLASS;
use super::search_path;
use super::survey::Table;
use crate::error::Result;
use crate::store::Fate;
use crate::store::postgresql::connection::cells::pairs;
use crate::store::postgresql::connection::session::Session;

/// Queries for what is in these tables' columns of type `oid`, of domains over it (the extension lo's), and of lists of those;
/// each with its table.
async fn columns(session: &Session, tables: &[u32]) -> Result<Vec<(u32, String)>> {
    let rows = session
        .query(
            "WITH RECURSIVE holds(oid, list) AS (
                 SELECT 26::pg_catalog.oid, false
                 UNION
                 SELECT t.oid, h.list OR t.typbasetype <> h.oid FROM holds h JOIN pg_catalog.pg_type t
                   ON t.typbasetype = h.oid OR (t.typelem = h.oid AND t.typcategory = 'A' AND t.typlen = -1))
             SELECT c.oid, pg_catalog.format(CASE WHEN h.list THEN 'SELECT pg_catalog.unnest(%I)::pg_catalog.oid FROM ONLY %I.%I'
                                                  ELSE 'SELECT %I::pg_catalog.oid FROM ONLY %I.%I' END, a.attname, n.nspname, c.relname)
             FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
             JOIN holds h ON h.oid = a.atttypid
             WHERE c.oid = ANY($1) AND c.relkind = 'r' ORDER BY c.oid, a.attnum",
            &[&tables],
        )
        .await
        .map_err(session.explain())?;
    pairs(&rows)
}

/// The large objects that are there and that these queries yield.
async fn yielded(session: &Session, queries: &[&str]) -> Result<HashSet<u32>> {
    if queries.is_empty() {
        return Ok(HashSet::new());
    }
    let query = format!(
        "SELECT coalesce(pg_catalog.array_agg(DISTINCT m.oid), '{{}}') FROM ({}) AS r (oid) \
         JOIN pg_catalog.pg_largeobject_metadata m ON m.oid = r.oid",
        queries.join(" UNION ALL ")
    );
    let row = search_path::query_one(session, &query)
        .await
        .map_err(|error| error.within("looking for what rows say of large objects"))?;
    Ok(row.read::<Vec<u32>>(0)?.into_iter().collect())
}

/// The large objects that these tables' rows refer to.
pub(in crate::store::postgresql) async fn referred_to(
    session: &Session,
    tables: &[u32],
) -> Result<HashSet<u32>> {
    let columns = columns(session, tables).await?;
    let queries: Vec<&str> = columns.iter().map(|(_, query)| query.as_str()).collect();
    yielded(session, &queries).await
}

/// Large objects with the tables whose rows refer to them.
pub(super) async fn references(session: &Session, tables: &[u32]) -> Result<Vec<(u32, u32)>> {
    let none = session
        .query_opt(
            "SELECT FROM pg_catalog.pg_largeobject_metadata LIMIT 1",
            &[],
        )
        .await
        .map_err(session.explain())?
        .is_none();
    let mut found = Vec::new();
    if none {
        return Ok(found);
    }
    for (table, query) in columns(session, tables).await? {
        let objects = yielded(session, &[&query]).await?;
        found.extend(objects.into_iter().map(|object| (object, table)));
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// The source's large objects that only rows refer to that are not copied. Where those rows may not be read, nothing is
/// copied that copied rows do not refer to.
pub(in crate::store::postgresql) async fn left_out(
    session: &Session,
    tables: &[Table],
) -> Result<HashSet<u32>> {
    if tables.iter().all(|table| table.fate == Fate::Copy) {
        return Ok(HashSet::new());
    }
    let rows = session
        .query("SELECT oid FROM pg_catalog.pg_largeobject_metadata", &[])
        .await
        .map_err(session.explain())?;
    let all: HashSet<u32> = rows.iter().map(|row| row.read(0)).collect::<Result<_>>()?;
    if all.is_empty() {
        return Ok(all);
    }
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    let columns = columns(session, &oids).await?;
    let copied: HashSet<u32> = tables
        .iter()
        .filter(|table| table.fate == Fate::Copy)
        .map(|table| table.oid)
        .collect();
    let (of_copied, of_others): (Vec<_>, Vec<_>) = columns
        .iter()
        .partition(|(table, _)| copied.contains(table));
    let others: Vec<u32> = of_others.iter().map(|(table, _)| *table).collect();
    let unread = session
        .query(
            "SELECT DISTINCT c.oid::pg_catalog.regclass::text FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS t (oid)
             JOIN pg_catalog.pg_class c ON c.oid = t.oid
             WHERE NOT pg_catalog.has_table_privilege(c.oid, 'SELECT') OR pg_catalog.row_security_active(c.oid) ORDER BY 1",
            &[&others],
        )
        .await
        .map_err(session.explain())?;
    let of_copied: Vec<&str> = of_copied.iter().map(|(_, query)| query.as_str()).collect();
    let of_others: Vec<&str> = of_others.iter().map(|(_, query)| query.as_str()).collect();
    let wanted = yielded(session, &of_copied).await?;
    let mut left = HashSet::new();
    if unread.is_empty() {
        let others = yielded(session, &of_others).await?;
        left.extend(others.difference(&wanted));
    } else {
        let names: Vec<&str> = unread
            .iter()
            .map(|row| row.read(0))
            .collect::<Result<_>>()?;
        tracing::warn!(
            tables = names.join(", "),
            "tables that are not copied cannot be read, so nobody knows which large objects are theirs: only those are copied \
             that copied rows refer to"
        );
        left.extend(all.difference(&wanted));
    }
    if !left.is_empty() {
        tracing::warn!(
            objects = left.len(),
            "large objects are left out, because only rows refer to them that are not copied"
        );
    }
    let nobodys = all.len() - left.len() - wanted.len();
    if nobodys > 0 {
        tracing::warn!(
            objects = nobodys,
            "large objects are copied that no column of type oid refers to"
        );
    }
    Ok(left)
}

/// A large object as it is filed in the catalogues.
pub(in crate::store::postgresql) fn filed(
    oids: &HashSet<u32>,
) -> impl Iterator<Item = (u32, u32)> + '_ {
    oids.iter().map(|oid| (CLASS, *oid))
}
