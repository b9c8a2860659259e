//! How databases change names while applications log in to them.
//!
//! `ALTER DATABASE RENAME` takes the database's exclusive lock, then looks for others up to fifty times, ten times a second
//! (`CountOtherDBBackends` in PostgreSQL's source). A login finds the database by its name, takes a weaker lock on it, and
//! looks whether it still has that name (`InitPostgres`): one that had to wait for our lock fails. An application tries again
//! at once. A pooler does not: after a login that failed, or was ended before it was done, pgbouncer lets nobody in for
//! `server_login_retry`, which is 15 s unless it was set.
//!
//! So no session is ended before its login is done. Where we may lock `pg_database` (a superuser, or `MAINTAIN` on it from
//! version 17 on), logins wait there, before they have found a database, and find the new one. Elsewhere the exclusive lock
//! is given back at once if somebody is in, for the logins behind it to go on, and is held without waiting for the disk.

use std::time::{Duration, Instant};

use tokio_postgres::error::SqlState;

use crate::error::{Kind, Result};
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::databases::clear::{clear_out, end_sessions, oids};
use crate::store::postgresql::sql::quoting::quoted;

/// How long sessions may take to end before the server itself is left to wait for them, and say what it says.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long logins to the whole server may be kept waiting in one go, and how often that is tried.
const DOOR: Duration = Duration::from_millis(300);

const DOOR_TRIES: u32 = 20;

/// Renames databases in one transaction, after `first` has run in it. `helper` is a second session, which ends the
/// sessions of whoever is there while the first one has the locks.
pub(super) async fn change_names(
    admin: &Session,
    helper: &Session,
    first: &[String],
    renames: &[(&str, &str)],
) -> Result<()> {
    let outcome = swap(admin, helper, first, renames).await;
    let Err(error) = outcome else {
        return Ok(());
    };
    // A session may not stay in a transaction that failed.
    let _ = admin.batch_execute("ROLLBACK").await;
    let what = error.within("the databases could not change names");
    Err(
        if what.kind() == Kind::Statement && what.advice().is_none() {
            what.hint("someone may be connected whom the target's user cannot disconnect, or have a prepared transaction there")
        } else {
            what
        },
    )
}

async fn swap(
    admin: &Session,
    helper: &Session,
    first: &[String],
    renames: &[(&str, &str)],
) -> Result<()> {
    let from: Vec<&str> = renames.iter().map(|(from, _)| *from).collect();
    let busy = oids(helper, &from).await?;
    let mut script = String::new();
    for (from, to) in renames {
        script.push_str(&format!(
            "ALTER DATABASE {} RENAME TO {};",
            quoted(from),
            quoted(to)
        ));
    }
    script.push_str("COMMIT");
    let swap = Swap {
        admin,
        helper,
        first: first.join(";"),
        script,
        busy,
    };
    swap.run(may_close_door(admin).await?).await?;
    // What was committed is on the disk once a later commit is.
    admin
        .run("SELECT pg_logical_emit_message(true, 'envsyncd', '')")
        .await
}

/// What is done, once or more.
struct Swap<'a> {
    admin: &'a Session,
    helper: &'a Session,
    /// Statements that come before.
    first: String,
    /// The renames, and the commit.
    script: String,
    /// The databases.
    busy: Vec<u32>,
}

impl Swap<'_> {
    async fn run(&self, has_door: bool) -> Result<()> {
        // Outside of the transaction: one only listens from its end on.
        self.admin.run("LISTEN envsyncd").await?;
        let begun = Instant::now();
        let mut tries = 0;
        while begun.elapsed() < PATIENCE {
            tries += 1;
            if self.attempt(begun, has_door && tries <= DOOR_TRIES).await? {
                return Ok(());
            }
            self.admin.run("ROLLBACK").await?;
            // For those who were waiting to come in.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.at_last().await
    }

    /// Changes names if that can be done at once.
    async fn attempt(&self, begun: Instant, has_door: bool) -> Result<bool> {
        let Self {
            admin,
            helper,
            first,
            script,
            busy,
        } = self;
        // Whoever waits for the renames waits for nothing else.
        admin
            .run("BEGIN; SET LOCAL synchronous_commit = off")
            .await?;
        let is_closed = has_door && close_door(admin).await?;
        match admin.batch_execute(first).await {
            Ok(()) => {}
            // Somebody has one of the databases' locks, and waits at the door.
            Err(error) if is_closed && is_in_the_way(&error) => return Ok(false),
            Err(error) => return Err(admin.explain_of(first)(error)),
        }
        let patience = if is_closed { DOOR } else { PATIENCE };
        if !clear_out(helper, busy, patience, begun, is_closed).await? {
            return Ok(false);
        }
        rename(admin, helper, script).await
    }

    /// With the server's own patience, five seconds a database, while whoever comes is ended.
    async fn at_last(&self) -> Result<()> {
        self.admin.run(&format!("BEGIN; {}", self.first)).await?;
        let guard = async {
            loop {
                tokio::time::sleep(Duration::from_millis(5)).await;
                if let Err(error) = end_sessions(self.helper, &self.busy, true).await {
                    return error;
                }
            }
        };
        tokio::select! {
            outcome = self.admin.run(&self.script) => outcome,
            error = guard => Err(error),
        }
    }
}

/// Whether we may let logins wait.
async fn may_close_door(admin: &Session) -> Result<bool> {
    let row = admin
        .query_one(
            "SELECT has_table_privilege('pg_catalog.pg_database', \
                    CASE WHEN current_setting('server_version_num')::int < 170000 THEN 'UPDATE' ELSE 'UPDATE, MAINTAIN' END)",
            &[],
        )
        .await
        .map_err(admin.explain())?;
    row.read(0)
}

/// Lets logins wait, unless somebody has read the list of databases in a transaction that goes on.
async fn close_door(admin: &Session) -> Result<bool> {
    let closing = "SET LOCAL lock_timeout = '100ms'; LOCK TABLE pg_catalog.pg_database IN ACCESS EXCLUSIVE MODE";
    if admin.batch_execute(closing).await.is_ok() {
        return Ok(true);
    }
    admin
        .run("ROLLBACK; BEGIN; SET LOCAL synchronous_commit = off")
        .await?;
    Ok(false)
}

/// Whether a statement failed for what will pass.
fn is_in_the_way(error: &tokio_postgres::Error) -> bool {
    [
        SqlState::QUERY_CANCELED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::OBJECT_IN_USE,
        SqlState::T_R_DEADLOCK_DETECTED,
    ]
    .iter()
    .any(|state| error.code() == Some(state))
}

/// Cuts the server's sleep short: a notification is a signal. Of sessions that are no longer seen, but not quite gone, none
/// then costs a tenth of a second.
async fn wake(helper: &Session, times: u32) -> Result<()> {
    for _ in 0..times {
        tokio::time::sleep(Duration::from_millis(3)).await;
        helper.run("NOTIFY envsyncd").await?;
    }
    Ok(())
}

/// Renames, and commits, if that can be done at once.
async fn rename(admin: &Session, helper: &Session, script: &str) -> Result<bool> {
    // A statement's timeout holds from the next message on.
    admin
        .run("SET LOCAL lock_timeout = '50ms'; SET LOCAL statement_timeout = '60ms'")
        .await?;
    let waking = async {
        match wake(helper, 10).await {
            Ok(()) => std::future::pending().await,
            Err(error) => error,
        }
    };
    let renamed = tokio::select! {
        renamed = admin.batch_execute(script) => renamed,
        error = waking => return Err(error),
    };
    match renamed {
        Ok(()) => Ok(true),
        Err(error) if is_in_the_way(&error) => Ok(false),
        Err(error) => Err(admin.explain()(error)),
    }
}
