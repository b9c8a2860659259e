//! The target's lock on its server: an advisory lock of the admin session, which dies with it.

use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::store::postgresql::databases::destination::Destination;
use crate::store::postgresql::databases::names::lock_number;

/// How long the lock is waited for: long enough for what a killed run may still be at, short enough for who is in the way
/// of another host's run.
const PATIENCE: Duration = Duration::from_secs(10);

impl Destination {
    /// Takes the lock, or says who has it.
    pub(in crate::store::postgresql) async fn lock(&self) -> Result<()> {
        let number = lock_number(&self.names.live);
        // The server notices that a killed run's sessions are gone only at the end of the statement that they are at.
        let start = Instant::now();
        loop {
            let row = self
                .admin
                .query_one("SELECT pg_try_advisory_lock($1)", &[&number])
                .await
                .map_err(self.admin.explain())?;
            if row.read(0)? {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let who = self.holder(number).await?;
        Err(Error::new(
            Kind::Busy,
            format!(
                "the target {} is locked on its server by {who}",
                self.names.live
            ),
        )
        .hint("run the job again when that run has ended"))
    }

    /// The holder of the lock, for errors.
    async fn holder(&self, number: i64) -> Result<String> {
        let holder = self
            .admin
            .query_opt(
                "SELECT a.pid, coalesce(a.application_name, '?'), coalesce(host(a.client_addr), 'this server'), \
                        coalesce(to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '?') \
                 FROM pg_locks l JOIN pg_stat_activity a USING (pid) \
                 WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 \
                   AND (l.classid::bigint << 32) | l.objid::bigint = $1",
                &[&number],
            )
            .await
            .map_err(self.admin.explain())?;
        let Some(row) = holder else {
            return Ok("someone".to_owned());
        };
        let (pid, name): (i32, String) = (row.read(0)?, row.read(1)?);
        let (host, since): (String, String) = (row.read(2)?, row.read(3)?);
        Ok(format!(
            "`{name}` from {host} (server process {pid}), since {since}"
        ))
    }
}
