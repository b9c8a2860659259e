//! Shells: empty databases that stand in live's place while it is loaded in place.

use super::destination::Destination;
use super::marks::EMPTIED;
use crate::error::Result;
use crate::store::postgresql::connection::connect::ADMIN;
use crate::store::postgresql::connection::session::Session;

/// Whether a database is a shell. One that somebody has opened by hand is none any more.
pub(in crate::store::postgresql) async fn is_shell(
    admin: &Session,
    database: &str,
) -> Result<bool> {
    let row = admin
        .query_opt(
            "SELECT 1 FROM pg_database WHERE datname = $1 AND NOT datallowconn \
               AND starts_with(shobj_description(oid, 'pg_database'), $2)",
            &[&database, &EMPTIED],
        )
        .await
        .map_err(admin.explain())?;
    Ok(row.is_some())
}

impl Destination {
    /// Whether live is a shell; over a new connection if ours is gone.
    pub(in crate::store::postgresql) async fn live_is_shell(&self) -> Result<bool> {
        if !self.admin.is_closed() {
            return is_shell(&self.admin, &self.names.live).await;
        }
        let admin = self
            .address
            .connect(Some(self.admin.database()), ADMIN)
            .await?;
        is_shell(&admin, &self.names.live).await
    }
}
