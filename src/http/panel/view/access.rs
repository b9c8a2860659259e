//! Logging in, tokens, the audit list, and snapshots.

use askama::Template;
use chrono::{DateTime, Utc};

use super::super::words;
use super::{Frame, Pages};
use crate::report::units;

/// `/login`
#[derive(Template)]
#[template(path = "login.html")]
pub(in super::super) struct Login {
    pub(in super::super) frame: Frame,
    /// Where to go then.
    pub(in super::super) then: String,
}

/// A token in the list.
#[derive(Debug, Clone)]
pub(in super::super) struct TokenLine {
    pub(in super::super) name: String,
    pub(in super::super) scope: String,
    /// The environments that it may write to; empty: all.
    pub(in super::super) to: Vec<String>,
    pub(in super::super) site: Option<String>,
    pub(in super::super) by: String,
    pub(in super::super) created: DateTime<Utc>,
    pub(in super::super) expires: Option<DateTime<Utc>>,
    pub(in super::super) used: Option<DateTime<Utc>>,
}

impl TokenLine {
    fn revoke(&self) -> String {
        format!("/tokens/{}/revoke", words::encoded(&self.name))
    }
}

/// A token that has just been made.
pub(in super::super) struct Fresh {
    pub(in super::super) name: String,
    pub(in super::super) secret: String,
}

/// `/tokens`
#[derive(Template)]
#[template(path = "tokens.html")]
pub(in super::super) struct Tokens {
    pub(in super::super) frame: Frame,
    pub(in super::super) all: Vec<TokenLine>,
    pub(in super::super) fresh: Option<Fresh>,
    /// What a token can be limited to.
    pub(in super::super) environments: Vec<String>,
    pub(in super::super) sites: Vec<String>,
}

/// Something that somebody did.
#[derive(Debug, Clone)]
pub(in super::super) struct AuditLine {
    pub(in super::super) at: DateTime<Utc>,
    pub(in super::super) who: String,
    pub(in super::super) via: String,
    pub(in super::super) address: String,
    pub(in super::super) action: String,
    pub(in super::super) object: String,
    /// `ok`, or why not.
    pub(in super::super) outcome: String,
}

impl AuditLine {
    fn is_good(&self) -> bool {
        matches!(self.outcome.as_str(), "ok" | crate::state::BEGUN)
    }
}

/// `/audit`
#[derive(Template)]
#[template(path = "audit.html")]
pub(in super::super) struct Audit {
    pub(in super::super) frame: Frame,
    pub(in super::super) lines: Vec<AuditLine>,
    pub(in super::super) pages: Pages,
}

/// A run that pushed a snapshot into an archive.
#[derive(Debug, Clone)]
pub(in super::super) struct SnapshotLine {
    /// The run.
    pub(in super::super) id: String,
    pub(in super::super) job: String,
    /// The environment that its rows are of.
    pub(in super::super) origin: String,
    pub(in super::super) at: DateTime<Utc>,
    pub(in super::super) bytes: u64,
    /// The archive's URL.
    pub(in super::super) place: String,
}

impl SnapshotLine {
    fn link(&self) -> String {
        format!("/runs/{}", words::encoded(&self.id))
    }

    fn size(&self) -> String {
        units::bytes(self.bytes)
    }
}

/// `/snapshots`
#[derive(Template)]
#[template(path = "snapshots.html")]
pub(in super::super) struct Snapshots {
    pub(in super::super) frame: Frame,
    pub(in super::super) all: Vec<SnapshotLine>,
}
