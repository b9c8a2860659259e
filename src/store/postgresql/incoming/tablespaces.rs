//! Tablespaces: where the files of tables, indexes and materialized views go, and whether they are there.

use std::collections::{BTreeMap, HashSet};

use super::database::{Incoming, Places};
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::databases::destination::Destination;
use crate::store::postgresql::schema::restore_order::Sorted;
use crate::store::postgresql::schema::survey::OURS;
use crate::store::postgresql::sql::quoting::quoted;

impl Destination {
    /// What has a tablespace of its own on the source gets it on the target, if there is one of that name.
    pub(super) async fn place_files(&self, sorted: &mut Sorted) -> Result<Places> {
        let there: HashSet<String> = self
            .admin
            .query(
                "SELECT spcname::text FROM pg_tablespace WHERE has_tablespace_privilege(oid, 'CREATE')",
                &[],
            )
            .await
            .map_err(self.admin.explain())?
            .iter()
            .map(|row| row.read(0))
            .collect::<Result<_>>()?;
        let mut elsewhere = BTreeMap::<String, usize>::new();
        let mut places = Places::new();
        for entries in [&mut sorted.before, &mut sorted.indexes, &mut sorted.after] {
            for entry in entries.iter_mut() {
                let Some(name) = &entry.tablespace else {
                    continue;
                };
                if there.contains(name.as_str()) {
                    let schema = entry.schema.as_deref().unwrap_or_default();
                    let tag = entry.tag();
                    let mut note = |own: &str| {
                        places.insert((schema.to_owned(), own.to_owned()), name.to_string());
                    };
                    if entry.kind == "CONSTRAINT" {
                        // The table's name and its own, which its index has, too; either may have a space in it.
                        tag.match_indices(' ')
                            .for_each(|(at, _)| note(&tag[at + 1..]));
                    } else {
                        note(tag);
                    }
                    let definition = format!(
                        "SET default_tablespace = {};\n{};\nSET default_tablespace = ''",
                        quoted(name),
                        &*entry.definition()
                    );
                    entry.redefine(&definition);
                } else {
                    *elsewhere.entry(name.to_string()).or_default() += 1;
                }
            }
        }
        for (tablespace, objects) in elsewhere {
            tracing::warn!(
                objects,
                tablespace,
                "the target has no such tablespace to use; they are in the database's own"
            );
        }
        Ok(places)
    }
}

impl Incoming {
    /// Compares where the files of tables, indexes and materialized views are with where they should be.
    pub(super) async fn compare_places(&self, session: &Session) -> Result<()> {
        if self.is_cloned {
            return Ok(());
        }
        let rows = session
            .query(
                &format!(
                    "SELECT n.nspname::text, c.relname::text, t.spcname::text
                     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace
                     WHERE c.relkind IN ('r', 'p', 'm', 'i', 'I') AND c.relpersistence <> 't' AND {OURS}
                       AND (c.reltablespace <> 0 OR n.nspname || '.' || c.relname = ANY($1)) ORDER BY 1, 2"
                ),
                &[&self.places
                    .keys()
                    .map(|(schema, name)| format!("{schema}.{name}"))
                    .collect::<Vec<_>>()],
            )
            .await
            .map_err(session.explain())?;
        let own = self.to.place_and_owner_of(&self.to.names.incoming).await?;
        let own = own.map(|(place, _)| place);
        for row in rows {
            let object: (String, String) = (row.read(0)?, row.read(1)?);
            let is = row.read::<Option<String>>(2)?.or_else(|| own.clone());
            let should = self.places.get(&object).cloned().or_else(|| own.clone());
            if is != should {
                let (schema, name) = object;
                let (is, should) = (is.unwrap_or_default(), should.unwrap_or_default());
                return Err(Error::new(
                    Kind::Verify,
                    format!("{schema}.{name} is in the tablespace {is} instead of {should}"),
                ));
            }
        }
        Ok(())
    }
}
