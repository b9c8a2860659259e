//! What a database needs of its server beyond the server's version: libraries that one is built with or without, and
//! extensions of a certain age.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::cells::{Row, pairs};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::survey::OURS;

/// A column, and the table or view that it is of.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Column {
    relation: u32,
    /// For people: `public.users.email`.
    label: String,
}

/// What the source's database needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::store::postgresql) struct Requirements {
    /// Columns of tables with rows that hold `xml`: its values are read by libxml.
    xml: Vec<Column>,
    /// Columns that compress with lz4.
    lz4: Vec<Column>,
    /// Extensions with the versions that they have there.
    extensions: Vec<(String, String)>,
}

impl Requirements {
    /// Asks the source; `copied` are the tables whose rows are copied, `gone` is what is not made at all.
    pub(in crate::store::postgresql) async fn of(
        session: &Session,
        version: u32,
        copied: &[u32],
        gone: &HashSet<(u32, u32)>,
    ) -> Result<Self> {
        let without: Vec<u32> = gone.iter().map(|(_, oid)| *oid).collect();
        let xml = session
            .query(
                "WITH RECURSIVE holds(oid) AS (
                     SELECT 'pg_catalog.xml'::regtype::oid
                     UNION
                     SELECT t.oid FROM holds h JOIN pg_type t ON t.typbasetype = h.oid OR t.typelem = h.oid OR EXISTS (
                         SELECT FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.atttypid = h.oid AND NOT a.attisdropped))
                 SELECT c.oid, n.nspname || '.' || c.relname || '.' || a.attname
                 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE a.atttypid IN (SELECT oid FROM holds) AND NOT a.attisdropped AND c.relkind = 'r' AND c.oid = ANY($1)
                   AND pg_relation_size(c.oid) > 0 ORDER BY 2",
                &[&copied],
            )
            .await
            .map_err(session.explain())?;
        let lz4 = if version >= 140_000 {
            session
                .query(
                    &format!(
                        "SELECT c.oid, n.nspname || '.' || c.relname || '.' || a.attname
                         FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                         WHERE a.attcompression = 'l' AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'm') AND {OURS}
                           AND c.oid <> ALL($1) ORDER BY 2"
                    ),
                    &[&without],
                )
                .await
                .map_err(session.explain())?
        } else {
            Vec::new()
        };
        let extensions = session
            .query(
                "SELECT extname::text, extversion FROM pg_extension ORDER BY 1",
                &[],
            )
            .await
            .map_err(session.explain())?;
        Ok(Self {
            xml: xml.iter().map(column).collect::<Result<_>>()?,
            lz4: lz4.iter().map(column).collect::<Result<_>>()?,
            extensions: pairs(&extensions)?,
        })
    }

    /// What is needed where only the rows of `copied` relations arrive, and others are not `there` at all.
    pub(in crate::store::postgresql) fn keep(
        &mut self,
        copied: impl Fn(u32) -> bool,
        there: impl Fn(u32) -> bool,
    ) {
        self.xml.retain(|column| copied(column.relation));
        self.lz4.retain(|column| there(column.relation));
    }

    /// Refuses what the target's server does not have.
    pub(in crate::store::postgresql) async fn check(&self, target: &Session) -> Result<()> {
        // The type is always there; only its values are not.
        if !self.xml.is_empty()
            && let Err(error) = target.query_one("SELECT xml '<a/>'", &[]).await
        {
            return Err(match error.code() {
                Some(&tokio_postgres::error::SqlState::FEATURE_NOT_SUPPORTED) => lacks(
                    "was built without libxml, which reads the values of",
                    &labels(&self.xml),
                    "use a server with libxml for the target, or exclude the tables",
                ),
                _ => target.explain()(error),
            });
        }
        if !self.lz4.is_empty() {
            let row = target
                .query_one(
                    "SELECT EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY(enumvals))",
                    &[],
                )
                .await
                .map_err(target.explain())?;
            if !row.read::<bool>(0)? {
                return Err(lacks(
                    "was built without lz4, which compresses",
                    &labels(&self.lz4),
                    "use a server with lz4 for the target, or ALTER TABLE ... ALTER COLUMN ... SET COMPRESSION pglz at the source",
                ));
            }
        }
        self.check_extensions(target).await
    }

    /// An extension is made in the version that its server has: an older one lacks what the source's objects may use.
    async fn check_extensions(&self, target: &Session) -> Result<()> {
        let rows = target
            .query(
                "SELECT name::text, default_version FROM pg_available_extensions",
                &[],
            )
            .await
            .map_err(target.explain())?;
        let there: HashMap<&str, Option<&str>> = pairs(&rows)?;
        let mut older = Vec::new();
        for (name, ours) in &self.extensions {
            if let Some(theirs) = there.get(name.as_str()).copied().flatten()
                && is_older(theirs, ours)
            {
                older.push(format!("{name} {theirs} (the source has {ours})"));
            }
        }
        if older.is_empty() {
            return Ok(());
        }
        Err(lacks(
            "has older versions of extensions:",
            &older,
            "update their packages on the target's host",
        ))
    }
}

/// Extensions that their server has in the one database that a setting names, and that cannot be made in another one; each
/// with what to do instead.
const BOUND: [(&str, &str); 1] = [(
    "pg_cron",
    "have pg_cron in a database of its own (cron.database_name), which schedules jobs for this one by \
     cron.schedule_in_database, and drop it here",
)];

/// Refuses extensions that cannot be made in a database beside live.
pub(in crate::store::postgresql) fn refuse_bound<'a>(
    mut wanted: impl Iterator<Item = &'a str>,
) -> Result<()> {
    let found = wanted.find_map(|name| BOUND.iter().find(|(bound, _)| *bound == name));
    match found {
        None => Ok(()),
        Some((name, hint)) => Err(Error::new(
            Kind::Verify,
            format!(
                "the source has the extension {name}, which can be made in one database of a server only, by its name: \
                 not in a copy that is built beside live"
            ),
        )
        .hint(*hint)),
    }
}

fn column(row: &Row) -> Result<Column> {
    Ok(Column {
        relation: row.read(0)?,
        label: row.read(1)?,
    })
}

fn labels(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| column.label.clone()).collect()
}

fn lacks(what: &str, names: &[String], hint: &str) -> Error {
    let shown = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let more = match names.len().saturating_sub(5) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Error::new(
        Kind::Verify,
        format!("the target's server {what} {shown}{more}"),
    )
    .hint(hint)
}

/// Whether one version is older than another; what is no series of numbers cannot be told.
fn is_older(one: &str, other: &str) -> bool {
    let numbers = |version: &str| -> Option<Vec<u32>> {
        version.split('.').map(|part| part.parse().ok()).collect()
    };
    matches!((numbers(one), numbers(other)), (Some(one), Some(other)) if one < other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers_and_not_at_all_if_they_are_none() {
        assert!(is_older("1.9", "1.10"));
        assert!(is_older("3.4", "3.4.1"));
        assert!(!is_older("1.10", "1.9"));
        assert!(!is_older("1.0", "1.0"));
        assert!(!is_older("1.0", "unpackaged"));
        assert!(!is_older("3.4.0dev", "3.5.0"));
    }
}
