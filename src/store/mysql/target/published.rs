//! A copy that is live.

use std::sync::Arc;

use async_trait::async_trait;

use super::shared::Shared;
use crate::config::job::KeepPrevious;
use crate::error::Result;
use crate::store;
use crate::store::mysql::publish::confirm::{self, Seen};
use crate::store::mysql::publish::{rollback, sweep};

/// A database that was replaced.
pub(super) struct Published {
    pub(super) shared: Arc<Shared>,
    /// Something was live before.
    pub(super) had_live: bool,
    /// What incoming was when it was looked at last.
    pub(super) seen: Arc<Seen>,
}

#[async_trait]
impl store::Published for Published {
    async fn confirm(&self) -> Result<()> {
        let Shared {
            address,
            names,
            definer,
            ..
        } = &*self.shared;
        confirm::confirm(address, names, *definer, &self.seen).await
    }

    async fn revert(&self) -> Result<()> {
        rollback::revert(&self.shared.address, &self.shared.names, self.had_live).await
    }

    async fn settle(&self) -> Result<()> {
        let keep = self.shared.previous == KeepPrevious::Keep;
        sweep::settle(&self.shared.address, &self.shared.names, keep).await
    }
}
