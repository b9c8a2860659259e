//! What a target has to be and to have, asked before anything is made.

use super::connection::quoted;
use super::publish;
use super::roles::Roles;
use super::target::Target;
use super::{Definitions, collations, survey};
use crate::config::job::Roles as Wanted;
use crate::error::{Error, Kind, Result};
use crate::store::{self, Survey};

impl Target {
    /// Refuses what could never be published, and warns of what may not be.
    pub(super) async fn refuse_unfit(&self, survey: &Survey) -> Result<()> {
        let store::Definitions::Postgresql(definitions) = &survey.definitions else {
            return Err(Error::new(
                Kind::Config,
                "the source is no PostgreSQL database",
            ));
        };
        let row = self
            .admin
            .query_one(
                "SELECT rolcreatedb OR rolsuper, rolname::text, \
                        (SELECT pg_has_role(current_user, datdba, 'MEMBER') FROM pg_database WHERE datname = $1), \
                        (SELECT datistemplate FROM pg_database WHERE datname = $1) \
                 FROM pg_roles WHERE rolname = current_user",
                &[&self.names.live],
            )
            .await
            .map_err(self.admin.explain())?;
        let (may, me, owner, template): (bool, String, Option<bool>, Option<bool>) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        if !may {
            return Err(Error::new(
                Kind::Permission,
                format!("the target's user {me} may not create databases"),
            )
            .hint(format!("ALTER ROLE {} CREATEDB", quoted(&me))));
        }
        if owner == Some(false) {
            return Err(Error::new(
                Kind::Permission,
                format!(
                    "the target's user {me} does not own the database {}",
                    self.names.live
                ),
            )
            .hint(format!(
                "ALTER DATABASE {} OWNER TO {}, or make {me} a member of its owner",
                quoted(&self.names.live),
                quoted(&me)
            )));
        }
        if template == Some(true) {
            return Err(Error::new(
                Kind::Config,
                format!(
                    "the database {} is a template and is never a target",
                    self.names.live
                ),
            ));
        }
        publish::refuse_if_bound(&self.admin, &self.names.live).await?;
        let others = publish::untouchable(&self.admin, &self.names.live).await?;
        if !others.is_empty() {
            tracing::warn!(
                users = others.join(", "),
                "sessions in the live database that the target's user cannot end; publish fails unless they leave"
            );
        }
        let number = survey::version(&self.admin).await?.0;
        collations::check(
            &self.admin,
            number,
            &definitions.traits,
            &definitions.collations,
        )
        .await?;
        self.refuse_roles(definitions).await?;
        let wanted: Vec<String> = definitions
            .toc
            .lock()
            .expect("no one panics with this lock")
            .entries
            .iter()
            .filter(|entry| entry.kind == "EXTENSION")
            .map(|entry| entry.tag().to_owned())
            .collect();
        let missing: Vec<String> = self
            .admin
            .query("SELECT name FROM unnest($1::text[]) AS name WHERE name NOT IN (SELECT a.name::text FROM pg_available_extensions a)", &[&wanted])
            .await
            .map_err(self.admin.explain())?
            .iter()
            .map(|row| row.get(0))
            .collect();
        if !missing.is_empty() {
            return Err(Error::new(
                Kind::Verify,
                format!(
                    "the target's server lacks the extensions {}",
                    missing.join(", ")
                ),
            )
            .hint("install their packages on the target's host"));
        }
        definitions.needs.check(&self.admin).await
    }

    /// With `roles = "fail"`: every role has to be there.
    async fn refuse_roles(&self, definitions: &Definitions) -> Result<()> {
        if self.roles != Wanted::Fail {
            return Ok(());
        }
        let number = survey::version(&self.admin).await?.0;
        let roles = Roles::load(&self.admin, number, None, self.roles).await?;
        roles.refuse_missing(&definitions.rights)
    }
}
