//! A source's snapshot: one session holds it, and as many as there are workers share it.

use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::error::{Error, Kind, Result};
use crate::store::Fate;
use crate::store::postgresql::connection::address::Address;
use crate::store::postgresql::connection::advice::{self, TOO_OLD};
use crate::store::postgresql::connection::connect::READING;
use crate::store::postgresql::connection::pool::Pool;
use crate::store::postgresql::connection::session::Session;
use crate::store::postgresql::schema::owner_settings;
use crate::store::postgresql::schema::properties::Properties;
use crate::store::postgresql::sql::quoting::literal;
use crate::sync::Mutex;

/// A database that is read, and its snapshot once that is taken.
pub(in crate::store::postgresql) struct Snapshot {
    address: Address,
    /// Holds the snapshot, and the locks that keep tables from being altered. `None` while it has stepped aside.
    keeper: Mutex<Option<Arc<Session>>>,
    taken: OnceCell<Taken>,
    pool: Pool,
}

/// What is known once the snapshot is taken.
pub(in crate::store::postgresql) struct Taken {
    /// Its name on the server.
    pub(in crate::store::postgresql) id: String,
    /// The server replays another one's changes.
    pub(in crate::store::postgresql) standby: bool,
    /// When it was taken, or a little before; and how old it may get before the server throws away what it needs.
    pub(in crate::store::postgresql) since: Instant,
    pub(in crate::store::postgresql) threshold: Option<Duration>,
    pub(in crate::store::postgresql) properties: Properties,
    /// Tables of which not all is copied.
    pub(in crate::store::postgresql) left_out: Vec<(String, String, Fate)>,
}

impl Snapshot {
    /// Connects; the snapshot is not taken yet.
    pub(in crate::store::postgresql) async fn open(address: Address) -> Result<Self> {
        let keeper = address.connect(None, READING).await?;
        Ok(Self {
            address,
            keeper: Mutex::new(Some(Arc::new(keeper))),
            taken: OnceCell::new(),
            pool: Pool::default(),
        })
    }

    /// Where the database is.
    pub(in crate::store::postgresql) fn address(&self) -> &Address {
        &self.address
    }

    /// The database's name.
    pub(in crate::store::postgresql) fn database(&self) -> &str {
        self.address.database()
    }

    /// Idle sessions that see the snapshot.
    pub(in crate::store::postgresql) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The session that holds it.
    pub(in crate::store::postgresql) fn keeper(&self) -> Result<Arc<Session>> {
        self.own_keeper().clone().ok_or_else(|| {
            Error::new(
                Kind::Internal,
                "the source was asked while it had stepped aside",
            )
        })
    }

    fn own_keeper(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        self.keeper.lock()
    }

    /// Leaves the database, so that the server can copy its files; only before the snapshot is taken. The server may need a
    /// moment to see that we are gone.
    pub(in crate::store::postgresql) fn step_aside(&self) {
        self.own_keeper().take();
    }

    /// Connects again.
    pub(in crate::store::postgresql) async fn come_back(&self) -> Result<()> {
        let keeper = self.address.connect(None, READING).await?;
        *self.own_keeper() = Some(Arc::new(keeper));
        Ok(())
    }

    /// Notes what was taken; once.
    pub(in crate::store::postgresql) fn set(&self, taken: Taken) -> Result<()> {
        self.taken
            .set(taken)
            .map_err(|_| Error::new(Kind::Internal, "the source was surveyed twice"))
    }

    /// What was taken.
    pub(in crate::store::postgresql) fn taken(&self) -> Result<&Taken> {
        self.taken
            .get()
            .ok_or_else(|| Error::new(Kind::Internal, "the source was not surveyed yet"))
    }

    /// A session that sees the snapshot; an idle one if there is.
    pub(in crate::store::postgresql) async fn session(&self) -> Result<Session> {
        let taken = self.taken()?;
        refuse_too_old(taken.since.elapsed(), taken.threshold)?;
        if let Some(session) = self.pool.take(|_| true) {
            return Ok(session);
        }
        let mut session = self.address.connect(None, READING).await?;
        session.has_snapshot = true;
        session
            .run(&format!(
                "SET client_encoding = {}; BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}'",
                taken.properties.client_encoding(),
                taken.id
            ))
            .await?;
        Ok(session)
    }

    /// A session that sees the snapshot and computes as one of the database's owner would.
    pub(in crate::store::postgresql) async fn owners_session(&self) -> Result<Session> {
        let taken = self.taken()?;
        refuse_too_old(taken.since.elapsed(), taken.threshold)?;
        let database = self.address.database();
        let mut session = self.address.connect_as_it_is(database, READING).await?;
        for (name, value) in owner_settings::of_owner(&session, database).await? {
            let (name, value) = (literal(&name), literal(&value));
            let set = format!("SELECT pg_catalog.set_config({name}, {value}, false)");
            if let Err(error) = session.run(&set).await {
                tracing::debug!(%error, "a setting of the source's owner cannot be had");
            }
        }
        // Whatever an owner has: nothing is written here.
        let client_encoding = taken.properties.client_encoding();
        session
            .run(&format!(
                "SET client_encoding = {client_encoding}; SET row_security = off; \
                 BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{}'",
                taken.id
            ))
            .await?;
        session.has_snapshot = true;
        Ok(session)
    }

    /// Takes a session back that [`Self::session`] gave.
    pub(in crate::store::postgresql) fn rest(&self, session: Session) {
        self.pool.rest(session);
    }

    /// Waits until the server is gone, and says so.
    pub(in crate::store::postgresql) async fn lost(&self) -> Error {
        let lost = loop {
            // Not held while we wait: who steps aside is gone at once.
            let gone = self
                .own_keeper()
                .as_ref()
                .filter(|k| k.is_closed())
                .cloned();
            if let Some(keeper) = gone {
                break keeper.lost().await;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        };
        match self.taken.get() {
            Some(taken) if taken.standby => lost.hint(advice::LOST),
            _ => lost,
        }
    }

    /// Lets go of it.
    pub(in crate::store::postgresql) async fn close(&self) {
        self.pool.clear();
        // The keeper's locks end with its transaction; its connection goes when we do.
        if let Ok(keeper) = self.keeper() {
            let _ = keeper.run("ROLLBACK").await;
        }
    }
}

/// How old a snapshot may get before the server throws away what it needs; `None`: as old as it likes.
pub(in crate::store::postgresql) async fn threshold(session: &Session) -> Result<Option<Duration>> {
    let row = session
        .query_opt(
            "SELECT setting::int FROM pg_settings WHERE name = 'old_snapshot_threshold'",
            &[],
        )
        .await
        .map_err(session.explain())?;
    let minutes: Option<i32> = row.map(|row| row.read(0)).transpose()?;
    Ok(minutes
        .and_then(|minutes| u64::try_from(minutes).ok())
        .map(|minutes| Duration::from_secs(minutes * 60)))
}

/// The server's own check goes by when a session has imported the snapshot, not by when it was taken: what was thrown away
/// in between would be missing without a word.
fn refuse_too_old(age: Duration, threshold: Option<Duration>) -> Result<()> {
    if threshold.is_none_or(|threshold| age < threshold) {
        return Ok(());
    }
    Err(Error::new(
        Kind::Statement,
        "the source may have thrown away rows that the copy needs: its snapshot is older than old_snapshot_threshold",
    )
    .hint(TOO_OLD))
}
