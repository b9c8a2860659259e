//! How an endpoint's server is reached, apart from where it is and who we are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_postgres::config::SslMode;

use crate::store::liveness::{Keepalive, Pulse};
use crate::store::postgresql::url::AuthMethods;
use crate::tls;

/// How an endpoint's server is reached, apart from where it is and who we are.
#[derive(Clone)]
pub(in crate::store::postgresql) struct Approach {
    /// Whether a connection by the network is encrypted.
    pub(super) mode: SslMode,
    /// The URL says nothing of it.
    pub(super) mode_is_default: bool,
    pub(in crate::store::postgresql) tls: tls::Settings,
    /// How long it may take until a session is ready, for each of the server's addresses.
    pub(in crate::store::postgresql) patience: Duration,
    pub(super) keepalive: Keepalive,
    /// How the server may ask for the password.
    pub(super) methods: Option<AuthMethods>,
    /// It was said that MD5 is weak.
    pub(super) warned: Arc<AtomicBool>,
    /// TLS has been seen.
    pub(super) encrypted: Arc<AtomicBool>,
    pub(super) pulse: Pulse,
}

impl Approach {
    /// Whether the server was seen to have TLS.
    pub(super) fn has_been_encrypted(&self) -> bool {
        self.encrypted.load(Ordering::Relaxed)
    }
}
