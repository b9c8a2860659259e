//! The rows of a dump, as a survey of a database that has nothing but the dump's definitions wants to know them.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::cells::Row;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::large_objects;
use crate::store::postgresql::schema::row_encodings::COPY_TEXT;
use crate::store::{Part, Shape};

/// A table, by its schema and name.
pub(in crate::store::postgresql) type Name = (String, String);

/// What a dump says of its rows.
#[derive(Debug, Default)]
pub(in crate::store::postgresql) struct Dumped {
    /// The encoding that they are in.
    pub(in crate::store::postgresql) encoding: String,
    pub(in crate::store::postgresql) tables: HashMap<Name, Rows>,
}

/// A table's rows.
#[derive(Debug)]
pub(in crate::store::postgresql) struct Rows {
    /// Which in a row of all.
    pub(in crate::store::postgresql) place: usize,
    /// The table that they are to be copied into: itself, or one that it is a partition of.
    pub(in crate::store::postgresql) into: Name,
    pub(in crate::store::postgresql) columns: Vec<String>,
    /// About how many bytes, as they are in the dump; 0: it does not say.
    pub(in crate::store::postgresql) bytes: u64,
}

impl Dumped {
    /// The rows of a part, if the dump has any.
    pub(in crate::store::postgresql) fn rows(&self, part: &Part) -> Option<&Rows> {
        // Tables are few that are asked for; a key of borrowed names would need a type of its own.
        let name = (part.schema.clone().unwrap_or_default(), part.name.clone());
        self.tables.get(&name)
    }

    /// Has parts come as their rows do: in the dump's order, with the dump's columns, as text.
    pub(in crate::store::postgresql) fn arrange(
        &self,
        parts: &mut [(u32, Part)],
        shapes: &mut HashMap<u32, Shape>,
    ) -> Result<()> {
        for (oid, part) in parts.iter_mut() {
            (part.rows, part.bytes) = (0, 0);
            if large_objects::is(part) {
                continue;
            }
            part.encoding = COPY_TEXT;
            let Some(rows) = self.rows(part) else {
                continue;
            };
            part.bytes = rows.bytes;
            if *rows.columns == *part.columns {
                continue;
            }
            let (there, here): (HashSet<&String>, HashSet<&String>) =
                (rows.columns.iter().collect(), part.columns.iter().collect());
            if there != here || rows.columns.len() != part.columns.len() {
                let what = format!(
                    "the rows of {} in the dump have other columns than its definition there",
                    part.label()
                );
                return Err(Error::new(Kind::Verify, what)
                    .hint("look at how the dump was made, and take another one"));
            }
            part.columns = rows.columns.clone().into();
            if let Some(shape) = shapes.get_mut(oid) {
                let place = |name: &String| rows.columns.iter().position(|one| one == name);
                shape.columns.sort_by_key(|one| place(&one.column.name));
            }
        }
        Ok(())
    }

    /// Which comes first. Large objects are the last, and what the dump has no rows of costs nothing wherever it is.
    pub(in crate::store::postgresql) fn place(&self, part: &Part) -> usize {
        if large_objects::is(part) {
            return usize::MAX;
        }
        self.rows(part).map_or(usize::MAX - 1, |rows| rows.place)
    }

    /// Adds the tables whose rows go through one that they are a partition of, as the dump has it; by their oid.
    pub(in crate::store::postgresql) async fn through_roots(
        &self,
        session: &Session,
        parts: &[(u32, Part)],
        roots: &mut HashMap<u32, Name>,
    ) -> Result<()> {
        for (oid, part) in parts {
            let Some(rows) = self.rows(part) else {
                continue;
            };
            let is_itself = Some(&rows.into.0) == part.schema.as_ref() && rows.into.1 == part.name;
            if is_itself || roots.get(oid) == Some(&rows.into) {
                continue;
            }
            if !is_above(session, *oid, &rows.into).await? {
                let what = format!(
                    "the rows of {} in the dump are for another table",
                    part.label()
                );
                return Err(Error::new(Kind::Verify, what)
                    .hint("no pg_dump writes that: look at how the dump was made"));
            }
            roots.insert(*oid, rows.into.clone());
        }
        Ok(())
    }
}

/// Types whose text is the same whatever the settings of the session that it is read in: `pg_dump` sets those of dates, but no time
/// zone, and no form of bytes.
const PLAIN: &str = "'bool', 'int2', 'int4', 'int8', 'numeric', 'float4', 'float8', 'text', 'varchar', 'bpchar', 'name', 'uuid', \
    'date', 'time', 'timestamp', 'json', 'jsonb', 'inet', 'cidr', 'macaddr'";

/// Tables whose rows are not read back in the words in which a dump has them, by their oid.
pub(in crate::store::postgresql) async fn in_other_words(
    session: &Session,
) -> Result<HashSet<u32>> {
    let query = format!(
        "SELECT DISTINCT a.attrelid FROM pg_catalog.pg_attribute a \
         JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind = 'r' \
         JOIN pg_catalog.pg_type d ON d.oid = a.atttypid \
         JOIN pg_catalog.pg_type t ON t.oid = CASE d.typtype WHEN 'd' THEN d.typbasetype ELSE d.oid END \
         WHERE a.attnum > 0 AND NOT a.attisdropped AND t.typtype <> 'e' \
           AND NOT (t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace AND t.typname IN ({PLAIN}))"
    );
    let mut found = HashSet::new();
    let take = |row: &Row| {
        found.insert(row.read(0)?);
        Ok(())
    };
    session.each_row(&query, take).await?;
    Ok(found)
}

/// Whether a table is a partition of the other one, or of a partition of it.
async fn is_above(session: &Session, oid: u32, (schema, name): &Name) -> Result<bool> {
    let query = "WITH RECURSIVE above(oid) AS ( \
             SELECT inhparent FROM pg_catalog.pg_inherits WHERE inhrelid = $1 \
             UNION SELECT i.inhparent FROM above a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid) \
         SELECT 1 FROM above a JOIN pg_catalog.pg_class c ON c.oid = a.oid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'p' AND n.nspname = $2 AND c.relname = $3";
    let found = session.query(query, &[&oid, schema, name]).await;
    Ok(!found.map_err(session.explain())?.is_empty())
}
