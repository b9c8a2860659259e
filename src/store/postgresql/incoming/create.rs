//! Incoming: a database of its own beside the live one, created with everything that comes before rows.

use std::collections::HashSet;
use std::sync::Arc;

use super::database::Incoming;
use super::plan::{Created, Plan};
use crate::error::Result;
use crate::store::Survey;
use crate::store::postgresql::connection::{server_error, session_settings};
use crate::store::postgresql::databases::attributes;
use crate::store::postgresql::databases::destination::Destination;
use crate::store::postgresql::databases::marks::{self, Standing};
use crate::store::postgresql::schema::definitions::Definitions;
use crate::store::postgresql::schema::picked;
use crate::store::postgresql::schema::survey::Name;
use crate::store::postgresql::schema::toc::Toc;
use crate::store::postgresql::sql::quoting::quoted;

impl Destination {
    /// Makes incoming with everything that comes before rows. Where it is not certain that kept tables hold live's rows as
    /// the source defines them, that is tried, and those that do not are made as live has them.
    pub(in crate::store::postgresql) async fn create_incoming(
        self: &Arc<Self>,
        survey: &Survey,
        definitions: &Arc<Definitions>,
    ) -> Result<Incoming> {
        let created = self.create_database(definitions).await?;
        // What is made need not be kept: it goes with the lists that it is sorted into.
        let toc = definitions.take_toc();
        let theirs = self
            .look_at_live(definitions, created.owner.is_some())
            .await?;
        let kept: HashSet<Name> = definitions.preserved.iter().cloned().collect();
        let doubtful = match &theirs {
            Some(theirs) => picked::unlike(&toc, theirs, &kept),
            None => HashSet::new(),
        };
        let live = theirs.as_ref();
        let plan = |own| Plan {
            to: self,
            survey,
            definitions,
            live,
            own,
        };
        if doubtful.is_empty() {
            return plan(HashSet::new()).create_all(toc, &created).await;
        }
        let again = toc.clone();
        let tried = plan(HashSet::new()).create_all(toc, &created).await?;
        let failing = tried.try_rows(&doubtful).await?;
        if failing.is_empty() {
            return Ok(tried);
        }
        drop(tried);
        let own = families(&failing, &again, live);
        self.pool.clear();
        self.drop_leftover(&self.names.incoming).await?;
        let created = self.create_database(definitions).await?;
        let names: Vec<String> = own.iter().map(|(s, t)| format!("{s}.{t}")).collect();
        plan(own.into_iter().collect())
            .create_all(again, &created)
            .await
            .map_err(|error| {
                error.within(format!(
                    "the source's definition does not hold the rows of {}, and it cannot be as it is on the target, either",
                    names.join(", ")
                ))
            })
    }

    /// Creates the database.
    async fn create_database(&self, definitions: &Definitions) -> Result<Created> {
        let (mut tablespace, mut owner) = (String::new(), None);
        if let Some(live) = self.place_and_owner_of_live().await? {
            // The default needs no privilege unless it is named.
            if live.0 != "pg_default" {
                tablespace = format!(" TABLESPACE {}", quoted(&live.0));
            }
            owner = Some(live.1);
        }
        let incoming = quoted(&self.names.incoming);
        self.admin
            .run(&format!(
                "CREATE DATABASE {incoming} TEMPLATE template0 {}{tablespace}{}",
                definitions.properties.clause(),
                marks::birth(owner.as_deref())
            ))
            .await
            .map_err(|error| {
                error.within(format!(
                    "the database {} cannot be created",
                    self.names.incoming
                ))
            })?;
        let oid = self.close_and_set(owner.is_some()).await?;
        Ok(Created { oid, owner })
    }

    /// Keeps others out of an incoming that was just created, and gives it live's settings, if there is a live; returns its
    /// oid.
    pub(super) async fn close_and_set(&self, live: bool) -> Result<Option<u32>> {
        // Nobody looks at what is not published yet, or by mistake.
        let own = marks::own_comment_of(&self.admin, &self.names.live).await?;
        let mark = self.mark(Standing::Incoming);
        let [comment, limit] = marks::christened(&self.names.incoming, &mark, own.as_deref());
        let first = [attributes::closed(&self.names.incoming), comment, limit];
        self.admin.run(&first.join(";")).await?;
        let oid = self.oid_of_incoming().await?;
        if live {
            // Now, so that what cannot be carried over fails the run before hours of copying.
            for statement in
                attributes::settings_of(&self.admin, &self.names.live, &self.names.incoming).await?
            {
                self.admin.run(&statement).await.map_err(|error| {
                    server_error::about(error, &statement)
                        .within("a setting of the live database cannot be carried over")
                })?;
            }
        }
        Ok(oid)
    }

    /// Live's definitions, where something of it stays.
    async fn look_at_live(&self, definitions: &Definitions, live: bool) -> Result<Option<Toc>> {
        if !live && !definitions.preserved.is_empty() {
            tracing::warn!("there is no live database yet: tables in `keep` start empty");
        }
        let shell = self.live_is_shell().await?;
        if shell && !self.in_place {
            tracing::warn!(
                "live was emptied by a run that did not load it: nothing of its own is kept"
            );
        }
        let selection = &self.context.selection;
        if !live || shell || (selection.is_everything() && !selection.overlay) {
            return Ok(None);
        }
        let session = self.live_session().await?;
        let dump = definitions.dump().await?;
        session_settings::refuse_other_words(&self.address, &session).await?;
        let theirs = dump
            .definitions(
                &self.address,
                None,
                &[],
                definitions.properties.client_encoding(),
                selection.overlay,
            )
            .await?;
        Ok(Some(theirs))
    }
}

/// Tables that are made as live has them: those whose rows do not fit, and all that belongs to them on both sides.
fn families(failing: &HashSet<Name>, source: &Toc, live: Option<&Toc>) -> Vec<Name> {
    let mut own: HashSet<Name> = HashSet::new();
    for table in failing {
        own.extend(picked::family(source, table));
        own.extend(
            live.map(|live| picked::family(live, table))
                .unwrap_or_default(),
        );
    }
    let mut own: Vec<Name> = own.into_iter().collect();
    own.sort();
    for (schema, table) in &own {
        tracing::warn!(
            table = format!("{schema}.{table}"),
            "the source's definition does not hold the rows that are kept; the table is made as it is on the target"
        );
    }
    own
}
