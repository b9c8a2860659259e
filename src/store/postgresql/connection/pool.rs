//! Idle sessions that wait for their next use.

use std::sync::{Arc, MutexGuard};

use super::session::Session;
use crate::sync::Mutex;

/// Idle sessions; clones share them.
#[derive(Clone, Default)]
pub(in crate::store::postgresql) struct Pool(Arc<Mutex<Vec<Session>>>);

impl Pool {
    fn sessions(&self) -> MutexGuard<'_, Vec<Session>> {
        self.0.lock()
    }

    /// Takes a session back.
    pub(in crate::store::postgresql) fn rest(&self, session: Session) {
        self.sessions().push(session);
    }

    /// The session that rests for the shortest time among those that are wanted.
    pub(in crate::store::postgresql) fn take(
        &self,
        is_wanted: impl Fn(&Session) -> bool,
    ) -> Option<Session> {
        let mut sessions = self.sessions();
        let place = sessions.iter().rposition(is_wanted);
        place.map(|place| sessions.remove(place))
    }

    /// The same; if there is none, another session is closed, so that its place on the server is free.
    pub(in crate::store::postgresql) fn take_or_close_one(
        &self,
        is_wanted: impl Fn(&Session) -> bool,
    ) -> Option<Session> {
        let mut sessions = self.sessions();
        match sessions.iter().position(is_wanted) {
            Some(place) => Some(sessions.swap_remove(place)),
            None => sessions.pop().and(None),
        }
    }

    /// Closes all of them.
    pub(in crate::store::postgresql) fn clear(&self) {
        self.sessions().clear();
    }
}
