//! One point in time for all workers: writers wait for as long as it takes every worker to begin its transaction.
//!
//! Whoever asks for a lock keeps others waiting behind it, so each is asked for a few seconds at a time. `FLUSH TABLES WITH
//! READ LOCK` is not among them: it waits for every statement that runs, and whoever wants one of those statements' tables
//! waits until it ends, even when nobody asks for the lock any more.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::lock_free;
use crate::error::{Error, Kind, Result};
use crate::store::mysql::connection::address::Address;
use crate::store::mysql::connection::holders;
use crate::store::mysql::connection::server_error;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::sql::names;
use crate::store::mysql::sql::names::quoted;
use crate::store::mysql::sql::version::Flavour;

/// How long other people's statements may keep us from a lock, in seconds. Writers wait behind us for as long.
const PATIENCE: u32 = 3;
/// How often it is asked for, and how long those who waited get their turn meanwhile.
const TRIES: usize = 2;
const PAUSE: Duration = Duration::from_secs(2);

/// The workers' sessions, each in a transaction at the same point in time.
pub(in crate::store::mysql) struct Snapshot {
    pub(in crate::store::mysql) sessions: Vec<Session>,
    /// When that was.
    pub(in crate::store::mysql) taken_at: DateTime<Utc>,
    /// Keeps others from altering tables until their definitions are read, where the server has such a lock.
    pub(in crate::store::mysql) guard: Option<Session>,
}

/// What makes all snapshots one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// MariaDB's lock, which waits for no reader and stops commits alone ("BACKUP STAGE", MariaDB's documentation).
    BackupStage,
    /// A lock on the tables of the database: it waits for who writes to them, and for no reader.
    Tables,
    /// A moment in which nobody has committed anything, as is seen before and after.
    LockFree,
    /// There is one snapshot.
    One,
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::BackupStage => "BACKUP STAGE BLOCK_COMMIT",
            Self::Tables => "LOCK TABLES of the database's tables",
            Self::LockFree => "a moment without commits",
            Self::One => "one transaction",
        })
    }
}

/// What came of asking for a lock.
enum Asked {
    Got,
    /// Others were in the way all the time.
    LockedOut(Error),
    /// It is not to be had.
    No(Error),
}

/// Connects `workers` sessions and brings them to one point in time. `still`: to a schema in which nothing changes, so that nobody
/// has to be kept out.
pub(in crate::store::mysql) async fn fix(
    address: &Address,
    workers: usize,
    still: bool,
) -> Result<Snapshot> {
    let database = Some(address.database());
    let mut sessions = Vec::with_capacity(workers);
    for _ in 0..workers {
        sessions.push(Session::open(address, database).await?);
    }
    if still {
        lock_free::begin(&mut sessions).await?;
        return Ok(Snapshot {
            sessions,
            taken_at: Utc::now(),
            guard: None,
        });
    }
    let mut locker = Session::open(address, database).await?;
    locker
        .run(&format!("SET SESSION lock_wait_timeout = {PATIENCE}"))
        .await?;
    let way = begin_together(&mut locker, address, &mut sessions).await?;
    let taken_at = Utc::now();
    tracing::info!(%way, workers = sessions.len(), "the point in time is fixed");
    let guard = keep_definitions(locker).await;
    Ok(Snapshot {
        sessions,
        taken_at,
        guard,
    })
}

async fn begin_together(
    locker: &mut Session,
    address: &Address,
    sessions: &mut Vec<Session>,
) -> Result<Way> {
    let within = |error: Error| error.within("fixing the point in time");
    let mut locks: Vec<(Way, String, &str)> = Vec::new();
    let has_stages = locker.version().is_mariadb(10, 5);
    if has_stages {
        let ask = "BACKUP STAGE START; BACKUP STAGE BLOCK_COMMIT".to_owned();
        locks.push((Way::BackupStage, ask, "BACKUP STAGE END"));
    }
    if let Some(tables) = lock_tables(locker, address).await? {
        locks.push((Way::Tables, tables, "UNLOCK TABLES"));
    }
    let mut refused = None;
    let mut locked_out = None;
    for (way, ask, free) in locks {
        match insist(locker, &ask).await.map_err(within)? {
            Asked::Got => {
                let begun = lock_free::begin(sessions).await;
                locker.run(free).await?;
                return begun.map(|()| way);
            }
            Asked::LockedOut(error) => {
                tracing::info!(%way, "others hold locks for too long; taking another way to one point in time");
                locked_out = Some(error);
            }
            Asked::No(error) => refused = Some(error),
        }
    }
    // Where commits can be stopped without waiting for anyone's transaction, it is tables that somebody keeps to himself.
    if let (Some(error), true) = (&locked_out, has_stages) {
        let who = holders::of(locker, address.database(), &[])
            .await
            .unwrap_or_default();
        return Err(Error::new(
            Kind::Busy,
            format!("fixing the point in time: others hold locks on tables of the source{who}"),
        )
        .because(error.to_string())
        .hint("run the job again when LOCK TABLES, a backup or an ALTER there is over"));
    }
    if refused.is_some() || locked_out.is_some() {
        if lock_free::begin_unnoticed(sessions).await.map_err(within)? {
            return Ok(Way::LockFree);
        }
        sessions.truncate(1);
    }
    lock_free::begin(sessions).await?;
    if refused.is_none() && locked_out.is_none() {
        // There is no table.
        return Ok(Way::One);
    }
    if let Some(why) = refused.filter(|_| locked_out.is_none()) {
        tracing::warn!(
            %why,
            "the source's user may not lock anything, not even for a moment: one worker reads all tables in one transaction; grant RELOAD, or LOCK TABLES on the database"
        );
    } else {
        tracing::warn!(
            "transactions on the source stay open for so long that its tables could not be locked for a moment: one worker reads all tables in one transaction; grant PROCESS for another way"
        );
    }
    Ok(Way::One)
}

/// Asks for a lock for a few seconds at a time, so that nobody else waits behind us for long.
async fn insist(locker: &mut Session, sql: &str) -> Result<Asked> {
    let mut tries = 1;
    loop {
        let error = match locker.run(sql).await {
            Ok(_) => return Ok(Asked::Got),
            Err(error) if !locker.is_usable() || error.kind() == Kind::Connection => {
                return Err(error);
            }
            Err(error) => error,
        };
        // A stage that was reached is given up, too; the server may have done that by itself.
        if sql.starts_with("BACKUP") {
            let _ = locker.run("BACKUP STAGE END").await;
        }
        // Whoever meets an ALTER crosswise is the one who has to give way.
        if !server_error::is_locked_out(&error) {
            return Ok(Asked::No(error));
        }
        if tries == TRIES {
            return Ok(Asked::LockedOut(error));
        }
        tracing::info!(
            tries,
            "other statements keep us from locking the source for a moment; trying again"
        );
        tries += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// `LOCK TABLES` for all tables of the database; `None`: there are none.
async fn lock_tables(locker: &mut Session, address: &Address) -> Result<Option<String>> {
    let rows = locker
        .query(&format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED') \
             AND ENGINE IS NOT NULL AND ENGINE NOT IN ('FEDERATED', 'SPIDER', 'CONNECT', 'S3') ORDER BY TABLE_NAME",
            names::literal(address.database())
        ))
        .await?;
    let mut tables = Vec::with_capacity(rows.len());
    for row in rows {
        tables.push(format!("{} READ", quoted(&row.text(0)?)));
    }
    Ok((!tables.is_empty()).then(|| format!("LOCK TABLES {}", tables.join(", "))))
}

/// MySQL's lock against altering. Without the privilege for it, and later, an ALTER of a table that is not read yet makes
/// the run fail (error 1412), and publishes nothing.
async fn keep_definitions(mut locker: Session) -> Option<Session> {
    let has_it = locker.version().flavour == Flavour::MySql && locker.version().is_mysql(8, 0);
    if !has_it {
        return None;
    }
    match locker.run("LOCK INSTANCE FOR BACKUP").await {
        Ok(_) => Some(locker),
        Err(error) => {
            tracing::debug!(%error, "no backup lock");
            None
        }
    }
}

/// The error of a copy that someone's ALTER made impossible, in words of what happened.
pub(super) fn altered(error: Error) -> Error {
    match server_error::code(&error) {
        Some(1412 | 1146 | 1054) => error.hint(
            "someone altered the source's tables while they were copied; run the job again when they are done",
        ),
        _ => error,
    }
}
