//! Sessions in incoming: such as load and compute, such as run scripts, and such as compare.

use super::database::Incoming;
use super::owner::{PLACED, WRITTEN};
use crate::error::Result;
use crate::store::postgresql::connection::connect::{LOADING, READING};
use crate::store::postgresql::connection::maintenance_settings;
use crate::store::postgresql::connection::session::Session;

impl Incoming {
    /// A session in incoming; an idle one if there is.
    pub(in crate::store::postgresql) async fn session(&self) -> Result<Session> {
        match self.to.pool.take(|session| !session.compares) {
            Some(session) => Ok(session),
            None => self.fresh_session().await,
        }
    }

    /// A new session in incoming that loads and builds.
    pub(super) async fn fresh_session(&self) -> Result<Session> {
        let session = self.loading_session().await?;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let settings =
            maintenance_settings::statements(&self.to.address, self.to.context.workers, cores);
        session.run(&settings).await?;
        Ok(session)
    }

    /// Takes a session back for its next use.
    pub(in crate::store::postgresql) fn rest(&self, session: Session) {
        self.to.pool.rest(session);
    }

    /// A new session in incoming that computes what a session of live's owner would, and reads definitions and rows as they
    /// were written.
    pub(super) async fn loading_session(&self) -> Result<Session> {
        let own = self.own().await?;
        let client_encoding = self.definitions.properties.client_encoding();
        let settings: Vec<(&str, &str)> = own
            .on_top()
            .chain(LOADING.iter().copied())
            .chain(WRITTEN)
            .chain(PLACED.iter().copied())
            .chain([
                ("client_encoding", client_encoding),
                ("search_path", &own.path),
            ])
            .collect();
        self.to
            .address
            .connect_as_it_is(&self.to.names.incoming, &settings)
            .await
    }

    /// A new session in incoming that is as one of live's owner, for a script.
    pub(in crate::store::postgresql) async fn script_session(
        &self,
        script: &str,
    ) -> Result<Session> {
        let own = self.own().await?;
        let mut settings: Vec<(&str, &str)> = own
            .on_top()
            .chain(LOADING.iter().copied())
            .chain([
                ("client_encoding", "UTF8"),
                ("search_path", &own.path_of_scripts),
            ])
            .collect();
        if script.contains('\\') {
            // It is cut into statements by this rule.
            settings.push(("standard_conforming_strings", "on"));
        }
        self.to
            .address
            .connect_as_it_is(&self.to.names.incoming, &settings)
            .await
    }

    /// A session in incoming for what is compared with the source.
    pub(super) async fn comparing_session(&self) -> Result<Session> {
        let idle = self.to.pool.take_or_close_one(|session| session.compares);
        if let Some(session) = idle {
            return Ok(session);
        }
        let client_encoding = self.definitions.properties.client_encoding();
        let settings = [READING, &[("client_encoding", client_encoding)]].concat();
        let mut session = self
            .to
            .address
            .connect(Some(&self.to.names.incoming), &settings)
            .await?;
        session.compares = true;
        Ok(session)
    }
}
