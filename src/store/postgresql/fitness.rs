//! What a target has to be and to have, asked before anything is made.

use super::publish;
use super::roles::Roles;
use super::target::Target;
use super::{Definitions, collations, needs, ownership, survey};
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
        let number = survey::version(&self.admin).await?.0;
        ownership::refuse_unfit_user(&self.admin, &self.names.live, number).await?;
        publish::refuse_if_bound(&self.admin, &self.names.live).await?;
        let others = publish::untouchable(&self.admin, &self.names.live).await?;
        if !others.is_empty() {
            tracing::warn!(
                users = others.join(", "),
                "sessions in the live database that the target's user cannot end; publish fails unless they leave"
            );
        }
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
        needs::refuse_bound(wanted.iter().map(String::as_str))?;
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
