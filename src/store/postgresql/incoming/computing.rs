//! Settings of sessions of live's owner: asked for, tried, and set for steps that compute.

use super::database::Incoming;
use super::owner::{Own, PLAIN, WRITTEN, Writing};
use crate::error::Result;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::connection::session_settings;
use crate::store::postgresql::schema::owner_settings::{Sides, Stored};
use crate::store::postgresql::schema::properties::DEFAULT_PATH;
use crate::store::postgresql::schema::search_path::path_of;
use crate::store::postgresql::sql::quoting::literal;

impl Incoming {
    /// The settings of a session of live's owner in incoming.
    pub(in crate::store::postgresql) async fn own(&self) -> Result<&Own> {
        self.own.get_or_try_init(|| self.ask_own()).await
    }

    async fn ask_own(&self) -> Result<Own> {
        let sides = Sides::ask(&self.to.admin, &self.to.names.live).await?;
        let mut own = Own {
            on_top: sides.on_top(&self.to.admin).await,
            ..Own::default()
        };
        self.look_at(
            &mut own,
            &sides.owners,
            sides.is_there,
            (&sides.me, &sides.owner),
        )
        .await?;
        Ok(own)
    }

    /// Tries the settings in a session, and asks for the rest there.
    async fn look_at(
        &self,
        own: &mut Own,
        owners: &Stored,
        live: bool,
        (me, owner): (&str, &str),
    ) -> Result<()> {
        let incoming = &self.to.names.incoming;
        let session = self.to.address.connect_as_it_is(incoming, &[]).await?;
        let on_top: Vec<(&str, &str)> = own.on_top().collect();
        if !on_top.is_empty()
            && session_settings::settle(&self.to.address, &session, &on_top)
                .await
                .is_err()
        {
            let mut kept = Vec::new();
            for (name, value) in std::mem::take(&mut own.on_top) {
                match session_settings::settle(&self.to.address, &session, &[(&name, &value)]).await
                {
                    Ok(()) => kept.push((name, value)),
                    Err(error) => tracing::warn!(
                        %error,
                        setting = name,
                        "the target's user cannot have this setting of live's owner; the copy is computed without it"
                    ),
                }
            }
            own.on_top = kept;
        }
        let names: Vec<&str> = WRITTEN.iter().map(|(name, _)| *name).collect();
        let rows = session
            .query(
                "SELECT pg_catalog.current_setting(name) FROM pg_catalog.unnest($1::pg_catalog.text[]) AS name \
                 UNION ALL SELECT pg_catalog.current_setting('search_path')",
                &[&names],
            )
            .await
            .map_err(session.explain())?;
        for ((name, written), row) in WRITTEN.iter().zip(&rows) {
            let value: String = row.read(0)?;
            let plain = *name == "lc_monetary" && PLAIN.contains(&value.as_str());
            if value != *written && !plain {
                own.others.push((name, value));
            }
        }
        let path: String = rows
            .last()
            .map(|row| row.read(0))
            .transpose()?
            .unwrap_or_default();
        let path = path_of(&path, (me != owner).then_some(owner));
        let source = &self.definitions.properties.search_path;
        let says = live && owners.contains_key("search_path");
        own.path = if says || source == DEFAULT_PATH {
            path.clone()
        } else {
            source.clone()
        };
        own.path_of_scripts = if live { path } else { own.path.clone() };
        Ok(())
    }

    /// For a step that computes: what else the owner's sessions have, but for what the step was written for. Whether there
    /// is anything to take back afterwards.
    pub(super) async fn compute(&self, session: &Session, writing: &Writing<'_>) -> Result<bool> {
        let own = self.own().await?;
        let others = own.others.iter();
        let script: Vec<String> = others
            .filter(|(name, _)| !writing.needs(name))
            .map(|(name, value)| format!("SET {name} = {}", literal(value)))
            .collect();
        if script.is_empty() {
            return Ok(false);
        }
        session.run(&script.join("; ")).await?;
        Ok(true)
    }

    /// Whether a step is written for a setting that the owner's sessions have otherwise.
    pub(super) fn is_written_for(&self, writing: &Writing<'_>) -> bool {
        let own = self.own.get();
        own.is_some_and(|own| own.others.iter().any(|(name, _)| writing.needs(name)))
    }

    /// Takes that back.
    pub(super) async fn read_again(&self, session: &Session, is_changed: bool) -> Result<()> {
        if !is_changed {
            return Ok(());
        }
        let script = WRITTEN.map(|(name, value)| format!("SET {name} = {}", literal(value)));
        session.run(&script.join("; ")).await
    }
}
