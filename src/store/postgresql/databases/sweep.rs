//! Databases beside live that a run or a dead one has made: found, and dropped.

use std::sync::atomic::Ordering;

use super::destination::Destination;
use super::identity::identity;
use super::{clear, marks};
use crate::error::Result;
use crate::policy::Identity;
use crate::store::postgresql::connection::connect::ADMIN;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::sql::quoting::literal;

impl Destination {
    /// The databases beside live that a run replaces, renames or drops.
    pub(in crate::store::postgresql) async fn displaced(&self) -> Result<Vec<Identity>> {
        let mut all = Vec::new();
        for one in marks::beside(&self.admin, &self.names).await? {
            all.push(identity(&self.admin, &one.name).await?);
        }
        Ok(all)
    }

    /// Drops what dead runs left; returns what that was.
    pub(in crate::store::postgresql) async fn sweep(&self) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        for one in marks::beside(&self.admin, &self.names).await? {
            if one.is_ours && one.name != self.names.previous {
                self.drop_leftover(&one.name).await?;
                removed.push(format!("database {}", one.name));
            }
        }
        marks::refuse_strangers(&self.admin, &self.names).await?;
        Ok(removed)
    }

    /// Drops this run's incoming, and what a dump was restored into, unless incoming is live.
    pub(in crate::store::postgresql) async fn discard(&self) -> Result<()> {
        self.pool.clear();
        if self.is_published.load(Ordering::SeqCst) {
            return Ok(());
        }
        // The session that has the lock may be the one that broke.
        if self.admin.is_closed() {
            let admin = self.another_admin().await?;
            clear::drop_database(&admin, &self.names.staging).await?;
            return clear::drop_database(&admin, &self.names.incoming).await;
        }
        // Whoever was restoring a dump may have been stopped half-way.
        clear::drop_database(&self.admin, &self.names.staging).await?;
        self.drop_leftover(&self.names.incoming).await
    }

    /// Drops a database that a run has made, with the transactions that a script has prepared in it: nobody else ends them,
    /// and the server drops no database that has any.
    pub(in crate::store::postgresql) async fn drop_leftover(&self, database: &str) -> Result<()> {
        let names = prepared(&self.admin, database).await?;
        if !names.is_empty() {
            let session = self.address.connect(Some(database), ADMIN).await?;
            for name in names {
                session
                    .run(&format!("ROLLBACK PREPARED {}", literal(&name)))
                    .await?;
            }
        }
        clear::drop_database(&self.admin, database).await
    }
}

/// Transactions that are prepared in a database.
pub(in crate::store::postgresql) async fn prepared(
    admin: &Session,
    database: &str,
) -> Result<Vec<String>> {
    let rows = admin
        .query(
            "SELECT gid FROM pg_prepared_xacts WHERE database = $1 ORDER BY gid",
            &[&database],
        )
        .await
        .map_err(admin.explain())?;
    rows.iter().map(|row| row.read(0)).collect()
}
