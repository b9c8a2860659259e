//! Opens sessions, with the settings that each purpose needs.

use tokio::time::timeout_at;

use super::session::Session;
use super::{login, session_settings};
use crate::error::Result;
use crate::store::postgresql::connection::address::Address;

/// Settings of every session: nothing that a database or a role has for applications ends it early.
pub(in crate::store::postgresql) const PATIENT: &[(&str, &str)] = &[
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
pub(in crate::store::postgresql) const READING: &[(&str, &str)] = &[
    ("lock_timeout", "10s"),
    ("row_security", "off"),
    ("synchronize_seqscans", "off"),
    ("default_transaction_read_only", "on"),
    NO_COMPILER,
];

/// For incoming, besides what its owner's sessions have: nobody sees it yet, so commits need not wait for the disk;
/// publish's own commit flushes them all.
pub(in crate::store::postgresql) const LOADING: &[(&str, &str)] = &[
    ("lock_timeout", "0"),
    ("synchronous_commit", "off"),
    ("default_transaction_read_only", "off"),
];

/// For the server's administration: every commit counts.
pub(in crate::store::postgresql) const ADMIN: &[(&str, &str)] = &[
    ("lock_timeout", "30s"),
    ("synchronous_commit", "on"),
    ("default_transaction_read_only", "off"),
    NO_COMPILER,
];

impl Address {
    /// Opens a session for values that travel in `database` (the URL's own if `None`), with these settings besides.
    pub(in crate::store::postgresql) async fn connect(
        &self,
        database: Option<&str>,
        settings: &[(&str, &str)],
    ) -> Result<Session> {
        let all = [TRAVELLING, settings].concat();
        self.connect_as_it_is(database.unwrap_or(self.database()), &all)
            .await
    }

    /// Opens a session that has the database's and the role's settings, but for these.
    pub(in crate::store::postgresql) async fn connect_as_it_is(
        &self,
        database: &str,
        settings: &[(&str, &str)],
    ) -> Result<Session> {
        let session = self.log_in(database).await?;
        let all = [PATIENT, settings].concat();
        timeout_at(
            session.until,
            session_settings::settle(self, &session, &all),
        )
        .await
        .unwrap_or_else(|_| Err(login::silent(&session.place, self.approach.patience)))?;
        Ok(session)
    }
}
