//! Whose the things on incoming are, who may use them, and where their files go.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::connection::{Session, quoted};
use super::restore::Sorted;
use super::roles::{self, Mapped};
use super::survey::OURS;
use super::target::Target;
use super::toc::Entry;
use super::{rights, survey};
use crate::error::{Error, Kind, Result};

/// So many objects' grants are made in one go.
const GRANTS: usize = 100;

/// Where things are that are not in the database's own tablespace, by schema and name.
pub(super) type Places = HashMap<(String, String), String>;

impl Target {
    pub(super) async fn grant(
        &self,
        session: &Session,
        entries: &[&Arc<Entry>],
        mapped: &mut Mapped,
    ) -> Result<()> {
        let made = self.made();
        for some in entries.chunks(GRANTS) {
            self.go_on()?;
            let all: Vec<String> = some
                .iter()
                .flat_map(|entry| roles::grants(entry, &made.roles))
                .collect();
            if session.batch_execute(&all.join("\n;\n")).await.is_ok() {
                continue;
            }
            for entry in some {
                roles::grant(session, entry, &made.objects, &made.roles, mapped).await?;
            }
        }
        // Grants may have changed who the session is.
        session.run("RESET SESSION AUTHORIZATION").await
    }

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
            .map(|row| row.get(0))
            .collect();
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
                        entry.definition()
                    );
                    Arc::make_mut(entry).redefine(&definition);
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

    /// Compares where the files of tables, indexes and materialized views are with where they should be.
    pub(super) async fn compare_places(&self, session: &Session) -> Result<()> {
        let made = self.made();
        if made.is_adopted {
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
                &[&made
                    .places
                    .keys()
                    .map(|(schema, name)| format!("{schema}.{name}"))
                    .collect::<Vec<_>>()],
            )
            .await
            .map_err(session.explain())?;
        let own = self.place_and_owner_of(&self.names.incoming).await?;
        let own = own.map(|(place, _)| place);
        for row in rows {
            let object: (String, String) = (row.get(0), row.get(1));
            let is = row.get::<_, Option<String>>(2).or_else(|| own.clone());
            let should = made.places.get(&object).cloned().or_else(|| own.clone());
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

    pub(super) fn tell(&self, mapped: Mapped) {
        let made = self.made();
        mapped.tell();
        made.excused
            .lock()
            .expect("no one panics with this lock")
            .extend(mapped.excused);
    }

    /// Compares owners and grants, as far as they are copied.
    pub(super) async fn compare_rights(&self, session: &Session) -> Result<()> {
        let made = self.made();
        let target = rights::read(session, &HashSet::new()).await?;
        let exact = made.definitions.major == survey::version(session).await?.0 / 10_000;
        let excused = made
            .excused
            .lock()
            .expect("no one panics with this lock")
            .clone();
        let mut found = rights::differences(
            &made.definitions.rights,
            &target,
            &made.roles,
            &excused,
            exact,
        );
        found.extend(rights::differences(
            &made.carried.rights,
            &target,
            &made.roles,
            &HashSet::new(),
            true,
        ));
        for difference in found.iter().filter(|_| !made.is_adopted) {
            tracing::error!(
                difference = difference.as_str(),
                "not the same on both sides"
            );
        }
        if found.is_empty() {
            return Ok(());
        }
        let (named, more) = found.split_at(found.len().min(3));
        let rest = match more.len() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        Err(Error::new(
            Kind::Verify,
            format!(
                "the copy is not equal to the source: {}{rest}",
                named.join("; ")
            ),
        )
        .hint("the run's log names every difference"))
    }
}
