//! The other end of a connection.

use std::net::IpAddr;

use crate::config::http::{Http, Proxy};

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Peer {
    /// An address.
    Address(IpAddr),
    /// A local user, by the socket.
    User(u32),
}

impl Peer {
    /// Whether it is the reverse proxy that the settings trust: others stand behind it.
    pub(super) fn is_proxy(&self, http: &Http) -> bool {
        match (http.trusted_proxy, self) {
            (Some(Proxy::Address(proxy)), Self::Address(address)) => {
                proxy.to_canonical() == *address
            }
            (Some(Proxy::Socket), Self::User(_)) => true,
            _ => false,
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::User(uid) => write!(f, "uid {uid}"),
        }
    }
}
