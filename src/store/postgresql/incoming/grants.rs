//! Whose the things on incoming are, who may use them, and where their files go.

use std::collections::HashSet;

use tokio_postgres::error::SqlState;

use super::database::Incoming;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::ownership::{self, Mapped};
use crate::store::postgresql::schema::rights_comparison::Comparison;
use crate::store::postgresql::schema::roles::DATABASE_OWNER;
use crate::store::postgresql::schema::toc::Entry;
use crate::store::postgresql::schema::{rights, survey};
use crate::store::postgresql::sql::quoting::quoted;

/// So many objects' grants are made in one go.
const GRANTS: usize = 100;

impl Incoming {
    /// Runs entries' grants, many in one go; where that fails, one by one.
    pub(in crate::store::postgresql) async fn grant(
        &self,
        session: &Session,
        entries: &[&Entry],
        mapped: &mut Mapped,
    ) -> Result<()> {
        for some in entries.chunks(GRANTS) {
            self.to.refuse_cancelled()?;
            let all: Vec<String> = some
                .iter()
                .flat_map(|entry| ownership::grants(entry, &self.roles))
                .collect();
            if session.batch_execute(&all.join("\n;\n")).await.is_ok() {
                continue;
            }
            for entry in some {
                ownership::grant(session, entry, &self.objects, &self.roles, mapped).await?;
            }
        }
        // Grants may have changed who the session is.
        session.run("RESET SESSION AUTHORIZATION").await
    }

    /// Tells what was mapped or skipped, and remembers what is excused for it.
    pub(in crate::store::postgresql) fn tell(&self, mapped: Mapped) {
        mapped.tell();
        self.excused.lock().extend(mapped.excused);
    }

    /// Compares owners and grants, as far as they are copied.
    pub(super) async fn compare_rights(&self, session: &Session) -> Result<()> {
        let exact = self.definitions.major == survey::version(session).await?.0 / 10_000;
        let excused = self.excused.lock().clone();
        let (roles, none) = (&self.roles, HashSet::new());
        let mut ours = Comparison::new(&self.definitions.rights, roles, &excused, exact);
        let mut theirs = Comparison::new(&self.preserved.rights, roles, &none, true);
        let see = |right| {
            ours.see(&right);
            theirs.see(&right);
        };
        rights::each(session, &none, see).await?;
        let mut found = ours.differences();
        found.extend(theirs.differences());
        for difference in found.iter().filter(|_| !self.is_cloned) {
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

    /// Gives `public` to its owner on the source. It is in every new database, where it belongs to whoever owns the
    /// database (before version 15, to the server's first superuser).
    pub(super) async fn own_public(&self, mapped: &mut Mapped) -> Result<()> {
        let Some((object, owner)) = rights::owner_of(&self.definitions.rights, "schema public")
        else {
            return Ok(());
        };
        let session = self.session().await?;
        let row = session
            .query_opt(
                "SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = 'public'",
                &[],
            )
            .await
            .map_err(session.explain())?;
        let Some(now) = row.map(|row| row.read::<String>(0)).transpose()? else {
            self.rest(session);
            return Ok(());
        };
        let heir = self.roles.heir(owner);
        // Whoever stands in is live's owner, and so is this.
        let is_theirs = now == heir || (heir != owner && now == DATABASE_OWNER);
        if !is_theirs {
            let alter = format!("ALTER SCHEMA public OWNER TO {}", quoted(heir));
            match session.batch_execute(&alter).await {
                Ok(()) => {}
                Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                    // Before version 15 only a superuser may, and no one misses it.
                    mapped.excused.extend(HashSet::from([object]));
                }
                Err(error) => {
                    return Err(session.explain()(error)
                        .within(format!("schema public cannot be given to {heir}")));
                }
            }
        }
        self.rest(session);
        Ok(())
    }
}
