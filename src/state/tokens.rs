//! Tokens of the API, the panel's sessions, and links that log in once. Their secrets are nowhere but with who has them:
//! here are hashes.

use std::fs::File;
use std::io::Read as _;

use chrono::{DateTime, Duration, Utc};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use rusqlite::{OptionalExtension as _, ToSql, Transaction, params};
use sha2::{Digest as _, Sha256};

use super::run::spelt;
use super::strict::{self, Strict};
use super::{Durable, State, stored};
pub use crate::config::http::Scope;
use crate::error::{Error, Kind, Result};

/// Where the system's randomness comes from.
const RANDOM: &str = "/dev/urandom";

const COLUMNS: &str =
    "name, kind, scope, environments, site, by, created_at, expires_at, last_used_at";

impl FromSql for Scope {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Self::parse(value.as_str()?).ok_or(FromSqlError::InvalidType)
    }
}

impl ToSql for Scope {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

spelt! {
    /// What it is.
    TokenKind {
        /// Somebody's token for the API.
        Token = "token",
        /// A browser that has logged in.
        Session = "session",
        /// A link that logs in once.
        Link = "link",
    }
}

/// A right to use the API or the panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its name; a session has that of the token that it was opened with.
    pub name: String,
    /// What it is.
    pub kind: TokenKind,
    /// What its bearer may do.
    pub scope: Scope,
    /// The environments that its bearer may do something to; empty: every one.
    pub to: Vec<String>,
    /// The site that it is for; `None`: for every one, and for jobs.
    pub site: Option<String>,
    /// Who made it.
    pub by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself; `None`: it stays until it is revoked.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A new secret: 32 bytes of the system's randomness as it is shown to who may have it.
pub fn secret() -> Result<String> {
    let mut bytes = [0; 32];
    File::open(RANDOM)
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(|error| {
            Error::new(Kind::Internal, format!("{RANDOM} cannot be read")).because(error)
        })?;
    let mut text = String::from("envsyncd_");
    for byte in bytes {
        text.push_str(&format!("{byte:02x}"));
    }
    Ok(text)
}

/// What is kept of a secret, and compared.
pub fn hash_of(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

impl State {
    /// Adds a token, a session or a link. `Kind::Usage` where a token of the same name is there.
    pub fn add_token(&self, token: &Token, hash: &[u8; 32]) -> Result<()> {
        self.write("cannot record a token", Durable::Power, |t| {
            if token.kind == TokenKind::Token {
                t.execute(
                    "DELETE FROM tokens WHERE name = ?1 AND kind = ?2 AND expires_at <= ?3",
                    params![token.name, token.kind, stored(Utc::now())],
                )?;
                let there: bool = t.query_row(
                    "SELECT EXISTS (SELECT 1 FROM tokens WHERE name = ?1 AND kind = ?2)",
                    params![token.name, token.kind],
                    |row| row.get(0),
                )?;
                if there {
                    return Ok(Err(Error::new(
                        Kind::Usage,
                        format!("there is a token `{}` already", token.name),
                    )
                    .hint(format!(
                        "take another name, or `envsyncd token revoke {}` first",
                        token.name
                    ))));
                }
            }
            insert(t, token, hash)?;
            Ok(Ok(()))
        })
    }

    /// What has this hash, unless it has expired.
    pub fn token(&self, hash: &[u8; 32]) -> Result<Option<Token>> {
        self.read("cannot read the tokens", |t| living(t, hash))
    }

    /// Notes that it was used. What was noted less than a minute before stays.
    pub fn token_used(&self, hash: &[u8; 32], at: DateTime<Utc>) -> Result<()> {
        let is_noted = self.read("cannot read the tokens", |t| {
            let noted: Option<Option<i64>> = t
                .prepare_cached("SELECT last_used_at FROM tokens WHERE hash = ?1")?
                .query_row([hash.as_slice()], |row| row.get(0))
                .optional()?;
            let minute_before = stored(at - Duration::minutes(1));
            // None that could be noted: it was revoked.
            Ok(noted.is_none_or(|noted| noted.is_some_and(|noted| noted > minute_before)))
        })?;
        if is_noted {
            return Ok(());
        }
        self.write("cannot record a token's use", Durable::Process, |t| {
            t.execute(
                "UPDATE tokens SET last_used_at = ?2 WHERE hash = ?1",
                params![hash.as_slice(), stored(at)],
            )?;
            Ok(Ok(()))
        })
    }

    /// All tokens that have not expired, sorted by name; neither sessions nor links.
    pub fn tokens(&self) -> Result<Vec<Token>> {
        let mut all = self.read("cannot read the tokens", |t| {
            let mut statement = t.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM tokens WHERE kind = ?1 ORDER BY name"
            ))?;
            strict::rows(statement.query([TokenKind::Token])?, "token", read)
        })?;
        all.retain(Token::is_alive);
        Ok(all)
    }

    /// Ends a token, and the sessions that were opened with it. False: there is no such token.
    pub fn revoke(&self, name: &str) -> Result<bool> {
        self.write("cannot revoke a token", Durable::Power, |t| {
            let gone = t.execute(
                "DELETE FROM tokens WHERE name = ?1 AND kind = ?2",
                params![name, TokenKind::Token],
            )?;
            t.execute(
                "DELETE FROM tokens WHERE name = ?1 AND kind = ?2",
                params![name, TokenKind::Session],
            )?;
            Ok(Ok(gone > 0))
        })
    }

    /// Opens a session, whose secret has the hash `key`, with what has the hash `opener` and is of this kind; a link is used
    /// up by it. `None`: there is no such token or link (any more).
    ///
    /// All in one step: a token that is revoked at this moment either has a session that is ended with it, or none.
    pub fn open_session(
        &self,
        opener: &[u8; 32],
        kind: TokenKind,
        key: &[u8; 32],
        lasts: Duration,
    ) -> Result<Option<Token>> {
        self.write("cannot open a session", Durable::Power, |t| {
            let known = living(t, opener)?.filter(|found| found.kind == kind);
            if kind == TokenKind::Link {
                t.execute(
                    "DELETE FROM tokens WHERE hash = ?1 AND kind = ?2",
                    params![opener.as_slice(), TokenKind::Link],
                )?;
            }
            let Some(known) = known else {
                return Ok(Ok(None));
            };
            let now = Utc::now();
            let ends = now + lasts;
            // A link's own end is that of its use.
            let until = known.expires_at.filter(|_| kind == TokenKind::Token);
            let session = Token {
                kind: TokenKind::Session,
                created_at: now,
                expires_at: Some(until.map_or(ends, |at| at.min(ends))),
                last_used_at: None,
                ..known
            };
            insert(t, &session, key)?;
            Ok(Ok(Some(session)))
        })
    }

    /// Ends what has this hash: a session at its logout.
    pub fn drop_token(&self, hash: &[u8; 32]) -> Result<()> {
        self.write("cannot end a session", Durable::Power, |t| {
            t.execute("DELETE FROM tokens WHERE hash = ?1", [hash.as_slice()])?;
            Ok(Ok(()))
        })
    }
}

impl Token {
    fn is_alive(&self) -> bool {
        self.expires_at.is_none_or(|end| Utc::now() < end)
    }
}

/// Takes out those that have expired; how many.
pub(super) fn prune(t: &Transaction<'_>, most: usize) -> rusqlite::Result<usize> {
    t.execute(
        "DELETE FROM tokens WHERE hash IN (SELECT hash FROM tokens WHERE expires_at <= ?1 LIMIT ?2)",
        params![stored(Utc::now()), most as i64],
    )
}

fn insert(t: &Transaction<'_>, token: &Token, hash: &[u8; 32]) -> rusqlite::Result<()> {
    let environments = (!token.to.is_empty()).then(|| serde_json::Value::from(token.to.clone()));
    t.execute(
        "INSERT INTO tokens (hash, kind, name, scope, environments, site, by, created_at, expires_at, last_used_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            hash.as_slice(),
            token.kind,
            token.name,
            token.scope,
            environments.map(|names| names.to_string()),
            token.site,
            token.by,
            stored(token.created_at),
            token.expires_at.map(stored),
            token.last_used_at.map(stored),
        ],
    )?;
    Ok(())
}

fn living(t: &Transaction<'_>, hash: &[u8; 32]) -> rusqlite::Result<Option<Token>> {
    let mut statement =
        t.prepare_cached(&format!("SELECT {COLUMNS} FROM tokens WHERE hash = ?1"))?;
    let found = strict::first(statement.query([hash.as_slice()])?, "token", read)?;
    Ok(found.filter(Token::is_alive))
}

fn read(row: &Strict<'_, '_>) -> rusqlite::Result<Token> {
    Ok(Token {
        name: row.word("name")?,
        kind: row.get("kind")?,
        scope: row.get("scope")?,
        to: row.environments("environments")?,
        site: row.optional_word("site")?,
        by: row.word("by")?,
        created_at: row.time("created_at")?,
        expires_at: row.optional_time("expires_at")?,
        last_used_at: row.optional_time("last_used_at")?,
    })
}

#[cfg(test)]
mod tests;
