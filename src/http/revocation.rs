//! Whether those who watch for long still may: a token that is revoked, or a session that ends, ends what they watch.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::app::App;
use super::auth::{How, Identity};
use super::bearers::Bearer;
use crate::state::hash_of;

/// How often the state store is asked, for each token and session that somebody watches with.
const EVERY: Duration = Duration::from_secs(2);

/// What somebody watches with; `None`: it is nothing that could be revoked.
pub(super) struct Watch(Option<Arc<Bearer>>);

impl Watch {
    /// Looks after what somebody was known by, as long as this is kept.
    pub(super) fn of(app: &App, identity: &Identity) -> Self {
        let hash = match &identity.how {
            How::Token(hash) => *hash,
            How::Session(cookie) => hash_of(cookie),
            How::Peer | How::Proxy => return Self(None),
        };
        let (bearer, is_new) = app.bearers().of(hash);
        if is_new {
            tokio::spawn(look_after(app.clone(), hash, Arc::downgrade(&bearer)));
        }
        Self(Some(bearer))
    }

    /// Whether it is of no use any more.
    pub(super) fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(|bearer| bearer.is_over())
    }

    /// Ends once it is of no use any more.
    pub(super) async fn over(&self) {
        match &self.0 {
            Some(bearer) => bearer.over().await,
            None => std::future::pending().await,
        }
    }
}

/// Asks again and again, as long as somebody watches.
async fn look_after(app: App, hash: [u8; 32], bearer: Weak<Bearer>) {
    while bearer.strong_count() > 0 {
        let found = app.ask(move |look| look.state.token(&hash)).await;
        // A state store that cannot be read for a moment revokes nothing.
        if matches!(found, Ok(None)) {
            if let Some(bearer) = bearer.upgrade() {
                bearer.end();
            }
            return;
        }
        tokio::time::sleep(EVERY).await;
    }
}
