//! Ends the sessions in a database, and drops it.

use std::time::{Duration, Instant};

use super::attributes::exists;
use crate::error::Result;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::sql::quoting::quoted;

/// Drops a database with whoever is in it.
pub(in crate::store::postgresql) async fn drop_database(
    admin: &Session,
    database: &str,
) -> Result<()> {
    if !exists(admin, database).await? {
        return Ok(());
    }
    clear(admin, &[database], Duration::from_secs(5)).await?;
    admin
        .run(&format!("DROP DATABASE IF EXISTS {}", quoted(database)))
        .await
        .map_err(|error| {
            let hint = format!("drop database {} by hand", quoted(database));
            error.within("clearing up").hint(hint)
        })
}

/// How long a login may take before it is ended all the same.
const LOGIN: Duration = Duration::from_secs(2);

/// The sessions that were found in some databases.
pub(in crate::store::postgresql) struct Seen {
    /// Sessions, those included that were ended just now.
    sessions: i64,
    /// Logins that have found their database and are not done.
    logins: i64,
}

impl Seen {
    fn is_nobody(&self) -> bool {
        self.sessions == 0 && self.logins == 0
    }
}

/// Ends every session in these databases but our own one, and with `force` those that are still logging in.
///
/// A login has its database's lock until its first transaction ends, and no state until it is done. `pg_stat_activity` is not
/// asked: it reads `pg_database`, which may be locked.
pub(in crate::store::postgresql) async fn end_sessions(
    admin: &Session,
    databases: &[u32],
    force: bool,
) -> Result<Seen> {
    let row = admin
        .query_one(
            "WITH login AS ( \
                 SELECT DISTINCT pid FROM pg_locks \
                 WHERE locktype = 'object' AND database = 0 AND classid = 'pg_catalog.pg_database'::regclass \
                   AND objid = ANY($1) AND mode = 'RowExclusiveLock' AND pid <> pg_backend_pid()), \
             here AS ( \
                 SELECT pid, pid NOT IN (SELECT pid FROM login) \
                             AND (state <> 'starting' OR backend_type <> 'client backend' \
                                  OR state IS NULL AND query = '<insufficient privilege>') AS is_in \
                 FROM pg_stat_get_activity(NULL) \
                 WHERE datid = ANY($1) AND pid <> pg_backend_pid() AND usesysid IS NOT NULL) \
             SELECT (SELECT count(*) FROM here), (SELECT count(*) FROM login), \
                    (SELECT count(pg_terminate_backend(pid)) FROM here WHERE is_in OR $2)",
            &[&databases, &force],
        )
        .await
        .map_err(admin.explain())
        .map_err(|error| {
            error
                .within("sessions in the live database cannot be ended")
                .hint("make the target's user a member of pg_signal_backend and of the roles that are connected, or let maintenance_on disconnect them")
        })?;
    Ok(Seen {
        sessions: row.read(0)?,
        logins: row.read(1)?,
    })
}

/// The oids of databases.
pub(in crate::store::postgresql) async fn oids(
    admin: &Session,
    databases: &[&str],
) -> Result<Vec<u32>> {
    let rows = admin
        .query(
            "SELECT oid FROM pg_database WHERE datname = ANY($1)",
            &[&databases],
        )
        .await
        .map_err(admin.explain())?;
    rows.iter().map(|row| row.read(0)).collect()
}

/// Ends sessions until there are none, for as long as `patience`. Whoever is left will be told by the server's own error.
pub(in crate::store::postgresql) async fn clear(
    admin: &Session,
    databases: &[&str],
    patience: Duration,
) -> Result<()> {
    let busy = oids(admin, databases).await?;
    clear_out(admin, &busy, patience, Instant::now(), false).await?;
    Ok(())
}

/// The same; whether nobody is left. Behind a closed door a login cannot end, so it is not waited for.
pub(in crate::store::postgresql) async fn clear_out(
    admin: &Session,
    busy: &[u32],
    patience: Duration,
    begun: Instant,
    is_closed: bool,
) -> Result<bool> {
    let start = Instant::now();
    loop {
        let seen = end_sessions(admin, busy, begun.elapsed() > LOGIN).await?;
        if seen.is_nobody() {
            return Ok(true);
        }
        if start.elapsed() > patience || is_closed && seen.logins > 0 {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
