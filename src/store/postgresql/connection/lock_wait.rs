//! Who is in the way of a lock that did not come in time: whoever alters a table keeps its readers out, and so does one who
//! waits to alter it.

use super::address::Address;
use super::connect::ADMIN;
use super::session::Session;
use crate::error::{Error, Result};

const AGAIN: &str = "someone is altering a table; run the job again when they are done";

/// The part of an error that stands for a lock that did not come in time (`lock_not_available`).
const LATE: &str = "SQLSTATE 55P03";

/// Adds to an error, if it is about a lock, who was in the way.
pub(in crate::store::postgresql) async fn if_so(address: &Address, error: Error) -> Error {
    if error.to_string().contains(LATE) {
        told(address, error).await
    } else {
        error
    }
}

/// Adds to an error about a lock what it was waited for, as far as that can still be seen.
pub(in crate::store::postgresql) async fn told(address: &Address, error: Error) -> Error {
    let looked = async {
        let session = address.connect(None, ADMIN).await?;
        look(&session).await
    };
    match looked.await {
        Ok(Some(who)) => error.within(who).hint(AGAIN),
        Ok(None) => error.hint(AGAIN),
        Err(other) => {
            tracing::debug!(error = %other, "who has the lock cannot be asked");
            error.hint(AGAIN)
        }
    }
}

async fn look(session: &Session) -> Result<Option<String>> {
    let row = session
        .query_opt(
            "SELECT n.nspname::text, c.relname::text, l.pid, coalesce(a.usename::text, '?'), coalesce(a.application_name, ''), \
                    coalesce(to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), '?'), \
                    (SELECT string_agg(pid::text, ', ') FROM unnest(pg_blocking_pids(l.pid)) pid) \
             FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_stat_activity a ON a.pid = l.pid \
             WHERE l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
               AND l.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname !~ '^pg_' \
             ORDER BY l.granted DESC, a.xact_start LIMIT 1",
            &[],
        )
        .await
        .map_err(session.explain())?;
    let Some(row) = row else {
        return Ok(None);
    };
    let (schema, table, pid): (String, String, i32) = (row.read(0)?, row.read(1)?, row.read(2)?);
    let (user, application, since): (String, String, String) =
        (row.read(3)?, row.read(4)?, row.read(5)?);
    let behind: Option<String> = row.read(6)?;
    let application = match application.as_str() {
        "" => String::new(),
        name => format!(", `{name}`"),
    };
    let behind = behind.map_or_else(String::new, |pids| {
        format!(" and itself waits for server process {pids}")
    });
    Ok(Some(format!(
        "{schema}.{table} is locked by server process {pid} (user {user}{application}), whose transaction began at {since}{behind}"
    )))
}
