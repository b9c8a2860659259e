//! Sessions that wait for work, and go back when it is done.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, MutexGuard};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::session::Session;
use crate::error::{Error, Kind, Result};
use crate::sync::Mutex;

/// So many sessions, and no more.
#[derive(Clone)]
pub(in crate::store::mysql) struct Pool {
    idle: Arc<Mutex<Vec<Session>>>,
    free: Arc<Semaphore>,
    /// How many there were, and how many are lost.
    size: usize,
    lost: Arc<Mutex<usize>>,
}

impl Pool {
    pub(in crate::store::mysql) fn new(sessions: Vec<Session>) -> Self {
        Self {
            free: Arc::new(Semaphore::new(sessions.len())),
            size: sessions.len(),
            lost: Arc::default(),
            idle: Arc::new(Mutex::new(sessions)),
        }
    }

    /// Waits for a session. Of a pool whose sessions are lost or closed: an error.
    pub(in crate::store::mysql) async fn take(&self) -> Result<Lent> {
        let gone = || {
            Error::new(
                Kind::Connection,
                "the connections to the server are closed or lost",
            )
            .hint("see the server's log, and run the job again")
        };
        let permit = self.free.clone().acquire_owned().await;
        let permit = permit.map_err(|_| gone())?;
        let session = held(&self.idle).pop().ok_or_else(gone)?;
        Ok(Lent {
            session: Some(session),
            pool: self.clone(),
            permit: Some(permit),
        })
    }

    /// Closes what is idle, and lets nobody have another.
    pub(in crate::store::mysql) fn close(&self) {
        self.free.close();
        held(&self.idle).clear();
    }
}

fn held(idle: &Mutex<Vec<Session>>) -> MutexGuard<'_, Vec<Session>> {
    idle.lock()
}

/// A session out of a pool. One that was dropped in the middle of a statement is closed instead of returned.
pub(in crate::store::mysql) struct Lent {
    session: Option<Session>,
    pool: Pool,
    permit: Option<OwnedSemaphorePermit>,
}

impl Deref for Lent {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.session.as_ref().expect("it is taken by drop alone")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Session {
        self.session.as_mut().expect("it is taken by drop alone")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else {
            return;
        };
        if !session.is_usable() {
            // Those that are left go on; whoever waits when there are none gets an error.
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
            let mut lost = self.pool.lost.lock();
            *lost += 1;
            if *lost == self.pool.size {
                self.pool.free.close();
            }
        } else if !self.pool.free.is_closed() {
            held(&self.pool.idle).push(session);
        }
    }
}
