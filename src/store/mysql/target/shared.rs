//! What a target and its copy know of each other, from the lock to the publish.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::config::job::{Definer, Events, KeepPrevious};
use crate::error::Result;
use crate::store::Context;
use crate::store::mysql::connection::address::Address;
use crate::store::mysql::connection::pool::Pool;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::names::Names;
use crate::store::mysql::workspace::schemas;
use crate::sync::Mutex;

/// Where the copy goes, and how the task wants it.
pub(super) struct Shared {
    pub(super) address: Address,
    pub(super) context: Context,
    pub(super) names: Names,
    pub(super) previous: KeepPrevious,
    pub(super) definer: Definer,
    pub(super) events: Events,
    /// The task has scripts.
    pub(super) has_scripts: bool,
    /// Incoming's sessions, once it is made.
    pub(super) pool: Mutex<Option<Pool>>,
    /// Incoming is live.
    pub(super) is_published: AtomicBool,
}

impl Shared {
    /// Remembers the sessions that work in incoming.
    pub(super) fn has_sessions(&self, pool: &Pool) {
        *self.pool.lock() = Some(pool.clone());
    }

    /// Lets go of them, whoever has one.
    pub(super) fn close_sessions(&self) {
        let pool = self.pool.lock();
        if let Some(pool) = pool.as_ref() {
            pool.close();
        }
    }

    /// Ends whatever still works in incoming: a statement of a session that is gone would run on, and keep its table.
    pub(super) async fn stop_workers(&self) -> Result<()> {
        self.close_sessions();
        let mut session = Session::open(&self.address, None).await?;
        schemas::stop_sessions(&mut session, &self.names.incoming).await
    }

    /// Whether incoming has become live.
    pub(super) fn is_published(&self) -> bool {
        self.is_published.load(Ordering::Acquire)
    }
}
