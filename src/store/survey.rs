//! What a source has at one consistent point in time, and who is to take it.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::definitions::Definitions;
use super::part::{Part, joined};
use super::selection::Fate;
use crate::config::job::StoreKind;

/// A consistent point in time of a source: what there is to copy.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The server that was asked.
    pub server: Server,
    /// When the point in time was fixed, by this machine's clock; of an archive, when its rows' was.
    pub taken_at: DateTime<Utc>,
    /// The parts of a copy, biggest first.
    pub parts: Arc<[Part]>,
    /// What is there and is not copied, or only its structure, or the target's own, with the reason; for `plan`.
    pub left_out: Vec<(String, Fate)>,
    /// How to make the tables and all around them: a value of the store's own.
    pub definitions: Arc<dyn Definitions>,
}

impl Survey {
    /// A survey that was taken now; the biggest parts first.
    pub fn new(
        server: Server,
        mut parts: Vec<Part>,
        left_out: Vec<(String, Fate)>,
        definitions: Arc<dyn Definitions>,
    ) -> Self {
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
        Self {
            server,
            taken_at: Utc::now(),
            parts: parts.into(),
            left_out,
            definitions,
        }
    }

    /// Its parts, but for tables in slices: each of them whole, where its first slice is.
    pub fn whole(&self) -> Vec<Part> {
        joined(self.parts.iter().cloned(), |_| true)
    }
}

/// What is known of a source before it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prospect {
    /// The file that it is made of.
    pub name: String,
    /// The file's bytes.
    pub bytes: u64,
}

/// A server's store and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Which store.
    pub kind: StoreKind,
    /// Its version as it prints it.
    pub version: String,
    /// Its major version as a number, to compare (PostgreSQL: 15; SQLite: 3).
    pub major: u32,
}

impl Server {
    /// One of this version.
    pub fn of(kind: StoreKind, version: impl Into<String>, major: u32) -> Self {
        Self {
            kind,
            version: version.into(),
            major,
        }
    }
}

/// The receiver of a source's rows: it decides how they are encoded, and what cannot work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taker {
    /// A server.
    Server(Server),
    /// An archive: rows come to it in an encoding that its files can have, whatever server they go to one day.
    Archive,
}

impl Taker {
    /// The server, if it is one.
    pub fn server(&self) -> Option<&Server> {
        match self {
            Self::Server(server) => Some(server),
            Self::Archive => None,
        }
    }

    /// Whether it is a server of this major version.
    pub fn is_of(&self, major: u32) -> bool {
        self.server().is_some_and(|server| server.major == major)
    }
}

impl fmt::Display for Taker {
    /// The server's version, or `archive`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => f.write_str(&server.version),
            Self::Archive => f.write_str("archive"),
        }
    }
}
