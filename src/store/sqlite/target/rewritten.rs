//! Incoming written anew: with other pages, or without what scripts removed.

use std::sync::Arc;

use super::SqliteTarget;
use crate::error::Result;
use crate::store::sqlite::connection::errors::on;
use crate::store::sqlite::connection::open::{self, open_write, page_size};
use crate::store::sqlite::connection::session::{blocking, held};
use crate::store::sqlite::incoming::rewrite;

impl SqliteTarget {
    /// SQLite cannot change the page size of a live file in WAL mode, so incoming follows it.
    pub(super) async fn wanted_page_size(&self) -> Result<Option<i64>> {
        if !self.location.exists() {
            return Ok(None);
        }
        let live = self.location.file.clone();
        blocking(&self.context.cancel, move |_| {
            let theirs = open_write(&live)?;
            if open::is_wal(&theirs).map_err(on(&live))? {
                page_size(&theirs).map(Some).map_err(on(&live))
            } else {
                Ok(None)
            }
        })
        .await
    }

    pub(super) async fn fit_pages(&self) -> Result<()> {
        let Some(wanted) = self.wanted_page_size().await? else {
            return Ok(());
        };
        let incoming = self.incoming();
        let has = self
            .session()?
            .run(move |connection, _| page_size(connection).map_err(on(&incoming)))
            .await?;
        if has == wanted {
            return Ok(());
        }
        self.rewrite(Some(wanted)).await
    }

    /// Writes incoming anew, and opens what was written.
    pub(in crate::store::sqlite) async fn rewrite(&self, page_size: Option<i64>) -> Result<()> {
        self.reopen().await?;
        let incoming = self.incoming();
        let made = self
            .session()?
            .run(move |connection, _| rewrite::rewrite(connection, &incoming, page_size))
            .await?;
        drop(held(&self.session).take());
        let made = rewrite::take_place(made, &self.incoming())?;
        held(&self.state).made = Some(Arc::new(made));
        self.reopen().await
    }
}
