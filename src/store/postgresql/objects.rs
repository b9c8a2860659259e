//! Which large objects rows refer to: those of rows that are not copied stay where they are, and those of rows that are
//! kept are kept with them.

use std::collections::{BTreeMap, HashSet};

use super::connection::Session;
use super::large::{self, CLASS, Described};
use super::planning;
use super::survey::Table;
use super::target::Target;
use crate::error::{Error, Kind, Result};
use crate::store::Fate;

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
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
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
    let row = planning::query_one(session, &query)
        .await
        .map_err(|error| error.within("looking for what rows say of large objects"))?;
    Ok(row.get::<_, Vec<u32>>(0).into_iter().collect())
}

/// The large objects that these tables' rows refer to.
pub(super) async fn referred_to(session: &Session, tables: &[u32]) -> Result<HashSet<u32>> {
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
pub(super) async fn left_out(session: &Session, tables: &[Table]) -> Result<HashSet<u32>> {
    if tables.iter().all(|table| table.fate == Fate::Copy) {
        return Ok(HashSet::new());
    }
    let rows = session
        .query("SELECT oid FROM pg_catalog.pg_largeobject_metadata", &[])
        .await
        .map_err(session.explain())?;
    let all: HashSet<u32> = rows.iter().map(|row| row.get(0)).collect();
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
        let names: Vec<&str> = unread.iter().map(|row| row.get(0)).collect();
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
pub(super) fn filed(oids: &HashSet<u32>) -> impl Iterator<Item = (u32, u32)> + '_ {
    oids.iter().map(|oid| (CLASS, *oid))
}

/// Bytes of large objects, as hashes.
async fn sums(session: &Session, oids: &[u32]) -> Result<BTreeMap<u32, String>> {
    let rows = session
        .query(
            "SELECT m.oid, pg_catalog.md5(pg_catalog.lo_get(m.oid)) FROM pg_catalog.pg_largeobject_metadata m WHERE m.oid = ANY($1)",
            &[&oids],
        )
        .await
        .map_err(session.explain())
        .map_err(|error| error.within("reading large objects that the target keeps"))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

impl Target {
    /// Refuses scripts that changed large objects that are the target's own.
    pub(super) async fn refuse_touched_objects(&self) -> Result<()> {
        let before = {
            let objects = &self.made().carried.objects;
            objects
                .lock()
                .expect("no one panics with this lock")
                .clone()
        };
        if before.is_empty() {
            return Ok(());
        }
        let oids: Vec<u32> = before.keys().copied().collect();
        let session = self.session().await?;
        let now = sums(&session, &oids).await?;
        self.rest(session);
        match before.iter().find(|(oid, sum)| now.get(oid) != Some(*sum)) {
            None => Ok(()),
            Some((oid, _)) => Err(Error::new(
                Kind::Verify,
                format!("the large object {oid}, which the target keeps, was changed in the copy"),
            )
            .hint("let no script write to what kept rows refer to")),
        }
    }

    /// Brings the large objects that kept rows refer to, and with overlay all that only the target has; again, if they have
    /// changed since. `live` is in the transaction in which the rows are read.
    pub(super) async fn bring_objects(&self, live: &Session, tables: &[u32]) -> Result<()> {
        let made = self.made();
        let definitions = &made.definitions;
        let from_source: HashSet<u32> = large::oids(&definitions.large).into_iter().collect();
        let mut wanted = referred_to(live, tables).await?;
        let all = large::describe(live).await?;
        if self.context.selection.overlay {
            let own = large::oids(&all).into_iter();
            wanted.extend(own.filter(|oid| !from_source.contains(oid)));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let mut oids: Vec<u32> = wanted.into_iter().collect();
        oids.sort_unstable();
        let session = self.session().await?;
        let theirs = sums(live, &oids).await?;
        let ours = sums(&session, &oids).await?;
        let unlike: Vec<u32> = oids
            .iter()
            .filter(|oid| theirs.get(*oid) != ours.get(*oid))
            .copied()
            .collect();
        if let Some(oid) = unlike.iter().find(|oid| from_source.contains(*oid)) {
            return Err(Error::new(
                Kind::Verify,
                format!(
                    "large object {oid} is one thing on the source and another on the target, where kept rows refer to it"
                ),
            )
            .hint("give the target's another oid (lo_from_bytea, and the rows that refer to it), or take the table out of `keep`"));
        }
        let again: Vec<u32> = unlike
            .iter()
            .filter(|oid| ours.contains_key(*oid))
            .copied()
            .collect();
        if !again.is_empty() {
            session
                .execute(
                    "SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.unnest($1::pg_catalog.oid[]) AS t (oid)",
                    &[&again],
                )
                .await
                .map_err(session.explain())?;
        }
        let missing: Vec<Described> = all
            .into_iter()
            .filter(|one| unlike.contains(&one.filed().1))
            .collect();
        let remember = |sums: BTreeMap<u32, String>| {
            let objects = &made.carried.objects;
            *objects.lock().expect("no one panics with this lock") = sums;
        };
        if missing.is_empty() {
            self.rest(session);
            remember(theirs);
            return Ok(());
        }
        let reader = self.live_session().await?;
        large::write(&session, large::read(reader, missing.clone()))
            .await
            .map_err(|error| error.within("keeping large objects"))?;
        let mut mapped = super::roles::Mapped::default();
        for (object, statement) in large::statements(&missing, &made.roles) {
            super::roles::grant_one(
                &session,
                &statement,
                "large objects",
                object,
                &made.roles,
                &mut mapped,
            )
            .await?;
        }
        self.tell(mapped);
        let ours = sums(&session, &oids).await?;
        if ours != theirs {
            return Err(Error::new(
                Kind::Verify,
                "large objects that kept rows refer to are not what they are on the target",
            )
            .hint("run the job again when nobody changes them"));
        }
        remember(ours);
        tracing::info!(
            objects = missing.len(),
            "kept the target's own large objects"
        );
        self.rest(session);
        Ok(())
    }
}
