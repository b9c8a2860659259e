//! Lag: how far a source's replication is behind, as the server itself has it.

use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::address::Address;
use super::connect::READING;
use super::session::Session;
use crate::error::{Error, Kind, Result};
use crate::store::postgresql::sql::quoting;

/// A session of its own: one in a transaction sees the statistics of its beginning.
pub(in crate::store::postgresql) struct LagProbe {
    address: Address,
    session: Mutex<Option<Session>>,
}

/// On a standby: nothing that was received waits to be replayed, or how old the last commit is that was. Replay that waits
/// for readers, ours perhaps, is no lag to pause for: a session that we do not read from cannot be cancelled by the server
/// either, and each would wait for the other.
const OF_STANDBY: &str = "SELECT CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 \
     WHEN EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup' AND wait_event LIKE 'RecoveryConflict%') THEN 0 \
     ELSE extract(epoch FROM clock_timestamp() - coalesce(pg_last_xact_replay_timestamp(), pg_postmaster_start_time())) \
     END::float8";

/// On a primary: the worst of its standbys and subscribers. One that has replayed everything has no lag (NULL).
const OF_PRIMARY: &str =
    "SELECT coalesce(extract(epoch FROM max(replay_lag)), 0)::float8 FROM pg_stat_replication";

/// Without this privilege, what concerns others is NULL.
const MAY_SEE: &str = "SELECT pg_is_in_recovery(), pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), current_user::text";

impl LagProbe {
    /// For the server at this address; it is asked later.
    pub(in crate::store::postgresql) fn new(address: Address) -> Self {
        Self {
            address,
            session: Mutex::new(None),
        }
    }

    async fn ask(session: &Session) -> Result<Duration> {
        let row = session
            .query_one(MAY_SEE, &[])
            .await
            .map_err(session.explain())?;
        let (standby, may, me): (bool, bool, String) = (row.read(0)?, row.read(1)?, row.read(2)?);
        if !may {
            return Err(Error::new(
                Kind::Permission,
                format!("the source's user {me} may not see how far replication is behind"),
            )
            .hint(format!(
                "GRANT pg_monitor TO {}, or take max_replication_lag out of the job",
                quoting::quoted(&me)
            )));
        }
        let query = if standby { OF_STANDBY } else { OF_PRIMARY };
        let seconds: f64 = session
            .query_one(query, &[])
            .await
            .map_err(session.explain())?
            .read(0)?;
        Ok(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX))
    }
}

#[async_trait]
impl crate::store::LagProbe for LagProbe {
    async fn lag(&self) -> Result<Duration> {
        let mut kept = self.session.lock().await;
        let session = match kept.take() {
            Some(session) if !session.is_closed() => session,
            _ => self.address.connect(None, READING).await?,
        };
        let lag = Self::ask(&session).await?;
        *kept = Some(session);
        Ok(lag)
    }
}
