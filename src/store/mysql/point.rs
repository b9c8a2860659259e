//! One point in time for all workers: writers wait for as long as it takes every worker to begin its transaction.

use std::time::{Duration, Instant};

use super::address::Address;
use super::connection::Session;
use super::errors;
use super::holders;
use super::names::quoted;
use super::version::Flavour;
use crate::error::{Error, Kind, Result};

/// How long other people's statements may keep us from the lock. Whoever asks for it keeps everybody else waiting.
const PATIENCE: u64 = 10;
/// After so long, nobody waits for MariaDB's backup stages any more: they wait for no reader, but for whoever alters or locks.
const STAGES: Duration = Duration::from_secs(10);
/// How often it is asked for.
const TRIES: usize = 6;

/// The workers' sessions, each in a transaction at the same point in time.
pub(super) struct Point {
    pub(super) sessions: Vec<Session>,
    /// Keeps others from altering tables until their definitions are read, where the server has such a lock.
    pub(super) guard: Option<Session>,
}

/// What keeps writers out for a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lock {
    /// MariaDB's, which waits for no reader and stops commits alone ("BACKUP STAGE", MariaDB's documentation).
    BackupStage,
    /// Everywhere else.
    Global,
    /// For who may not lock the whole server: the tables of the database.
    Tables,
    /// For who may lock nothing, or has no need to.
    None,
}

/// Connects `workers` sessions and brings them to one point. `still`: to a schema in which nothing changes, so that nobody
/// has to be kept out.
pub(super) async fn fix(address: &Address, workers: usize, still: bool) -> Result<Point> {
    let database = Some(address.database());
    let mut locker = Session::open(address, database).await?;
    let mut sessions = Vec::with_capacity(workers);
    for _ in 0..workers {
        sessions.push(Session::open(address, database).await?);
    }
    let lock = if still {
        Lock::None
    } else {
        take_lock(&mut locker, address, workers).await?
    };
    if lock == Lock::None && !still {
        sessions.truncate(1);
    }
    for session in &mut sessions {
        session
            .run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY; SAVEPOINT envsyncd")
            .await?;
    }
    let free = match lock {
        Lock::BackupStage => "BACKUP STAGE END",
        Lock::Global | Lock::Tables => "UNLOCK TABLES",
        Lock::None => {
            return Ok(Point {
                sessions,
                guard: None,
            });
        }
    };
    locker.run(free).await?;
    tracing::debug!(?lock, workers, "the point in time is fixed");
    let guard = keep_definitions(locker).await;
    Ok(Point { sessions, guard })
}

async fn take_lock(locker: &mut Session, address: &Address, workers: usize) -> Result<Lock> {
    locker
        .run(&format!("SET SESSION lock_wait_timeout = {PATIENCE}"))
        .await?;
    let mut ways: Vec<(Lock, String)> = Vec::new();
    if locker.version().is_mariadb(10, 5) {
        ways.push((
            Lock::BackupStage,
            "BACKUP STAGE START; BACKUP STAGE BLOCK_COMMIT".to_owned(),
        ));
    }
    ways.push((Lock::Global, "FLUSH TABLES WITH READ LOCK".to_owned()));
    if let Some(tables) = lock_tables(locker, address).await? {
        ways.push((Lock::Tables, tables));
    }
    let mut refused = None;
    for (lock, sql) in ways {
        match insist(locker, &sql, address.database()).await {
            Ok(()) => return Ok(lock),
            Err(error) if error.kind() == Kind::Permission => refused = Some(error),
            Err(error) => return Err(error.within("fixing the point in time")),
        }
    }
    let why = refused.map(|error| error.to_string()).unwrap_or_default();
    tracing::warn!(
        why,
        jobs = workers,
        "the source's user may not lock anything, not even for a moment: one worker reads all tables in one transaction; grant RELOAD, or LOCK TABLES on the database"
    );
    Ok(Lock::None)
}

/// Asks for a lock for a few seconds at a time, so that nobody else waits behind us for long.
async fn insist(locker: &mut Session, sql: &str, database: &str) -> Result<()> {
    let mut tries = 1;
    let begin = Instant::now();
    loop {
        match locker.run(sql).await {
            Ok(_) => return Ok(()),
            // A stage that was reached is given up; where none was, the server says that there is none (4146).
            Err(error) if errors::is_locked_out(&error) && sql.starts_with("BACKUP") => {
                if let Err(error) = locker.run("BACKUP STAGE END").await
                    && errors::code(&error) != Some(4146)
                {
                    return Err(error);
                }
                if begin.elapsed() > STAGES {
                    return Err(locked(locker, database, error).await);
                }
                tracing::info!(
                    "somebody's lock keeps us from the source's point in time; trying again"
                );
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            // Whoever meets an ALTER crosswise is the one who has to give way.
            Err(error) if errors::is_locked_out(&error) && tries < TRIES => {
                tracing::info!(
                    tries,
                    "other statements keep us from locking the source for a moment; trying again"
                );
                tries += 1;
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            Err(error) if errors::is_locked_out(&error) => {
                return Err(locked(locker, database, error).await);
            }
            Err(error) => return Err(error),
        }
    }
}

/// The error for a lock that somebody holds on the source, and does not let go of.
async fn locked(locker: &mut Session, database: &str, error: Error) -> Error {
    let who = holders::of(locker, database).await.unwrap_or_default();
    Error::new(
        Kind::Busy,
        format!(
            "others hold locks on tables of the source, so that no point in time can be fixed{who}"
        ),
    )
    .because(error)
}

/// `LOCK TABLES` for all tables of the database; `None`: there are none.
async fn lock_tables(locker: &mut Session, address: &Address) -> Result<Option<String>> {
    let rows = locker
        .query(&format!(
            "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_TYPE LIKE '%TABLE' OR TABLE_SCHEMA = {0} AND TABLE_TYPE = 'SYSTEM VERSIONED'",
            super::names::literal(address.database())
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
    match errors::code(&error) {
        Some(1412 | 1146 | 1054) => error.hint(
            "someone altered the source's tables while they were copied; run the job again when they are done",
        ),
        _ => error,
    }
}
