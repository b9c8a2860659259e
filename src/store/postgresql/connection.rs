//! Sessions, and what they are set to.

use std::ops::Deref;
use std::time::Duration;

use futures_util::stream::{StreamExt, poll_fn};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::{AsyncMessage, Client};

pub(super) use super::address::Address;
use super::login;
use super::said::{Said, explain, explain_of};
use super::settled;
use super::wire::{Borrowed, Holder};
use crate::error::{Error, Kind, Result};
use crate::store::liveness::{GONE, Pulse};

/// A session on a server. The connection's task ends with it.
pub(super) struct Session {
    client: Client,
    connection: JoinHandle<()>,
    /// The stream that it is on.
    wire: Holder,
    /// Until when it has to be ready.
    until: Instant,
    pulse: Pulse,
    database: String,
    /// Where it leads, for messages.
    place: String,
    /// Whether its settings are those for values that are compared.
    pub(super) compares: bool,
    /// Whether it is in a transaction for as long as it lives.
    pub(super) has_snapshot: bool,
}

impl Deref for Session {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Without this, a connection that waits for a busy server would outlive its run.
        self.connection.abort();
    }
}

impl Session {
    /// The database it is in.
    pub(super) fn database(&self) -> &str {
        &self.database
    }

    /// Where it leads, for messages.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Its stream, for a COPY.
    pub(super) fn borrow(&self) -> Result<Borrowed> {
        self.wire.borrow().ok_or_else(|| self.gone())
    }

    fn gone(&self) -> Error {
        let what = if self.pulse.is_gone() {
            GONE
        } else {
            "the server closed the connection"
        };
        Error::new(Kind::Connection, format!("{}: {what}", self.place))
            .hint("see the server's log, and run the job again")
    }

    /// Waits until the server is gone, and says so. Work that waits for the other side would not notice.
    pub(super) async fn lost(&self) -> Error {
        while !self.client.is_closed() {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        self.gone()
    }

    /// Runs statements, ignoring what they return.
    pub(super) async fn run(&self, sql: &str) -> Result<()> {
        self.client
            .batch_execute(sql)
            .await
            .map_err(self.explain_of(sql))
    }

    /// Adds the place to an error of this session.
    pub(super) fn explain(&self) -> impl Fn(tokio_postgres::Error) -> Error + '_ {
        self.explain_of("")
    }

    /// The same for an error of this statement.
    pub(super) fn explain_of<'a>(
        &'a self,
        sql: &'a str,
    ) -> impl Fn(tokio_postgres::Error) -> Error + 'a {
        move |error| {
            if error.as_db_error().is_none() && self.pulse.is_gone() {
                return self.gone();
            }
            explain_of(&error, &self.place, sql)
        }
    }
}

/// Settings of every session: nothing that a database or a role has for applications ends it early.
pub(super) const PATIENT: &[(&str, &str)] = &[
    ("statement_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("transaction_timeout", "0"),
    ("default_transaction_isolation", "read committed"),
];

/// Settings of a session whose values only travel, or are compared: what a database or a role has set for applications
/// must not touch them. They are `pg_dump`'s own (`setup_connection` in its source).
const TRAVELLING: &[(&str, &str)] = &[
    ("DateStyle", "ISO"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("TimeZone", "UTC"),
    ("xmloption", "content"),
    ("search_path", ""),
    // What `pg_dump` leaves to the database, and would change what a value or a definition means on the other side.
    ("standard_conforming_strings", "on"),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    ("quote_all_identifiers", "off"),
    ("lc_monetary", "C"),
];

/// Queries of the catalogue look dear and are not: compiling one takes a third of a second, and to run it a millisecond.
/// Checksums are no slower without, either.
const NO_COMPILER: (&str, &str) = ("jit", "off");

/// For the source: nothing is written, nothing hides rows, a table that someone is altering is not waited for long, so
/// that we never stand between production and its own migrations.
pub(super) const READING: &[(&str, &str)] = &[
    ("lock_timeout", "10s"),
    ("row_security", "off"),
    ("synchronize_seqscans", "off"),
    ("default_transaction_read_only", "on"),
    NO_COMPILER,
];

/// For incoming, besides what its owner's sessions have: nobody sees it yet, so commits need not wait for the disk;
/// publish's own commit flushes them all.
pub(super) const LOADING: &[(&str, &str)] = &[
    ("lock_timeout", "0"),
    ("synchronous_commit", "off"),
    ("default_transaction_read_only", "off"),
];

/// For the server's administration: every commit counts.
pub(super) const ADMIN: &[(&str, &str)] = &[
    ("lock_timeout", "30s"),
    ("synchronous_commit", "on"),
    ("default_transaction_read_only", "off"),
    NO_COMPILER,
];

impl Address {
    /// Opens a session for values that travel in `database` (the URL's own if `None`), with these settings besides.
    pub(super) async fn connect(
        &self,
        database: Option<&str>,
        settings: &[(&str, &str)],
    ) -> Result<Session> {
        let all = [TRAVELLING, settings].concat();
        self.connect_as_it_is(database.unwrap_or(self.database()), &all)
            .await
    }

    /// Opens a session that has the database's and the role's settings, but for these.
    pub(super) async fn connect_as_it_is(
        &self,
        database: &str,
        settings: &[(&str, &str)],
    ) -> Result<Session> {
        let session = self.log_in(database).await?;
        let all = [PATIENT, settings].concat();
        timeout_at(session.until, settled::settle(self, &session, &all))
            .await
            .unwrap_or_else(|_| Err(login::silent(&session.place, self.approach.patience)))?;
        Ok(session)
    }

    /// A session as it is when nothing was set yet.
    pub(super) async fn log_in(&self, database: &str) -> Result<Session> {
        let mut config = self.config.clone();
        config.dbname(database);
        let place = self.place(database);
        let wire = Holder::default();
        let login::Begun {
            client,
            connection,
            until,
        } = login::enter(&config, &self.approach, &wire, &place).await?;
        let (approach, place_asked) = (self.approach.clone(), place.clone());
        self.approach.pulse.watch(move || {
            let (config, approach, place) = (config.clone(), approach.clone(), place_asked.clone());
            async move {
                // Whatever the server says to it, it has said something.
                let _ = login::enter(&config, &approach, &Holder::default(), &place).await;
            }
        });
        Ok(Session {
            client,
            connection,
            wire,
            until,
            pulse: self.approach.pulse.clone(),
            database: database.to_owned(),
            place,
            compares: false,
            has_snapshot: false,
        })
    }
}

/// Moves a connection's bytes; the server's notices are its own affair.
pub(super) async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut messages = poll_fn(move |cx| connection.poll_message(cx));
    while let Some(message) = messages.next().await {
        match message {
            Ok(AsyncMessage::Notice(notice)) => {
                let (notice, _) = Said::of(&notice).told("");
                tracing::debug!(notice, "the server remarks");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(error = %explain(&error, "a session"), "a connection ended");
                return;
            }
        }
    }
}

/// An identifier as SQL wants it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string as SQL wants it, whatever `standard_conforming_strings` says.
pub(super) fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!(" E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_strings_are_quoted() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\b"), " E'a\\\\b'");
    }
}
