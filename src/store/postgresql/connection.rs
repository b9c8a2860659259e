//! Connections: URLs and sessions.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Deref;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::stream::{StreamExt, poll_fn};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio_postgres::config::{Host, SslMode, SslNegotiation, TargetSessionAttrs};
use tokio_postgres::tls::{ChannelBinding, NoTls};
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::said::{Said, explain, explain_of, explain_start};
use super::wire::{Borrowed, Connector, Holder};
use super::{advice, settled};
use crate::config::percent_decoded;
use crate::error::{Error, Kind, Result};
use crate::store::tls;

/// How to reach a database: the endpoint's URL, taken apart.
#[derive(Clone)]
pub(super) struct Address {
    config: Config,
    tls: tls::Settings,
    /// libpq's word for how to encrypt, for `pg_dump`.
    ssl_mode: String,
    password: Option<SecretString>,
    application: String,
    /// Which side it is, for messages: `source` or `target`.
    side: &'static str,
    /// Databases whose sessions turned out to come through a pooler.
    pooled: Arc<Mutex<HashSet<String>>>,
}

/// A session on a server. The connection's task ends with it.
pub(super) struct Session {
    client: Client,
    connection: JoinHandle<()>,
    /// The stream that it is on.
    wire: Holder,
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
        Error::new(
            Kind::Connection,
            format!("{}: the server closed the connection", self.place),
        )
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
            .map_err(|error| explain_of(&error, &self.place, sql))
    }

    /// Adds the place to an error of this session.
    pub(super) fn explain(&self) -> impl Fn(tokio_postgres::Error) -> Error + '_ {
        |error| explain(&error, &self.place)
    }

    /// The same for an error of this statement.
    pub(super) fn explain_of<'a>(
        &'a self,
        sql: &'a str,
    ) -> impl Fn(tokio_postgres::Error) -> Error + 'a {
        move |error| explain_of(&error, &self.place, sql)
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

/// The same for `pg_dump` and `pg_restore`: the one writes as the database has it, for a restore that knows, and says itself
/// that it only reads; the other one writes.
const DUMPING: &str = "-c standard_conforming_strings=on -c quote_all_identifiers=off -c lc_monetary=C \
     -c default_transaction_read_only=off";

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
    /// Takes a URL apart. `sslmode`, `sslrootcert`, `sslcert` and `sslkey` are libpq's.
    pub(super) fn parse(
        url: &str,
        password: Option<SecretString>,
        side: &'static str,
        application: &str,
    ) -> Result<Self> {
        let (bare, ssl) = cut_ssl(url);
        let wrong = |error: &dyn std::fmt::Display| {
            Error::new(
                Kind::Config,
                format!("{side}: not a PostgreSQL URL: {error}"),
            )
        };
        let mut config = Config::from_str(&bare).map_err(|error| {
            let cause = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string);
            wrong(&cause)
        })?;
        let (mut trust, mut mode, mut word) =
            (tls::Trust::Anybody, SslMode::Prefer, "prefer".to_owned());
        let (mut root, mut certificate, mut key) = (None, None, None);
        for (name, value) in ssl {
            match name.as_str() {
                "sslmode" => {
                    (mode, trust) = match value.as_str() {
                        "disable" => (SslMode::Disable, tls::Trust::Anybody),
                        "prefer" | "allow" => (SslMode::Prefer, tls::Trust::Anybody),
                        "require" => (SslMode::Require, tls::Trust::Anybody),
                        "verify-ca" => (SslMode::Require, tls::Trust::Authority),
                        "verify-full" => (SslMode::Require, tls::Trust::Host),
                        other => {
                            return Err(wrong(&format!("sslmode={other}")).hint(
                                "sslmode is disable, prefer, require, verify-ca or verify-full",
                            ));
                        }
                    };
                    word = value;
                }
                "sslrootcert" if value == "system" => {}
                "sslrootcert" => root = Some(PathBuf::from(value)),
                "sslcert" => certificate = Some(PathBuf::from(value)),
                _ => key = Some(PathBuf::from(value)),
            }
        }
        // libpq: with a root certificate at hand, `require` verifies as `verify-ca` does.
        if mode == SslMode::Require && trust == tls::Trust::Anybody && root.is_some() {
            trust = tls::Trust::Authority;
        }
        config.ssl_mode(mode);
        if config.get_dbname().is_none_or(str::is_empty) {
            return Err(wrong(&"it names no database").hint("postgresql://user@host/DATABASE"));
        }
        if config.get_user().is_none_or(str::is_empty) {
            return Err(wrong(&"it names no user").hint("postgresql://USER@host/database"));
        }
        if config.get_hosts().is_empty() {
            let addresses = config.get_hostaddrs().to_vec();
            for address in &addresses {
                config.host(address.to_string());
            }
            if addresses.is_empty() {
                config.host_path("/var/run/postgresql");
            }
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(15));
        }
        // A peer that vanished without a word is noticed within two minutes.
        config.keepalives_idle(Duration::from_secs(60));
        config.keepalives_interval(Duration::from_secs(10));
        config.keepalives_retries(6);
        config.tcp_user_timeout(Duration::from_secs(120));
        config.application_name(application);
        if let Some(password) = &password {
            config.password(password.expose_secret());
        }
        let client = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(wrong(&"sslcert and sslkey go together")),
        };
        Ok(Self {
            config,
            tls: tls::Settings {
                trust,
                root,
                client,
            },
            ssl_mode: word,
            password,
            application: application.to_owned(),
            side,
            pooled: Arc::default(),
        })
    }

    /// Another database on the same server, called `side` in messages.
    pub(super) fn beside(&self, database: &str, side: &'static str) -> Self {
        let mut other = self.clone();
        other.config.dbname(database);
        other.side = side;
        other
    }

    /// The database that the URL names.
    pub(super) fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }

    /// Whether the URL's own `options` speak of a setting.
    pub(super) fn says(&self, setting: &str) -> bool {
        self.config
            .get_options()
            .is_some_and(|options| options.contains(setting))
    }

    /// What the URL's own `options` set.
    pub(super) fn spoken(&self) -> Vec<(String, String)> {
        settled::spoken(self.config.get_options().unwrap_or_default())
    }

    /// Notes that sessions in a database come through a pooler; whether that is news.
    pub(super) fn note_pooler(&self, database: &str) -> bool {
        let mut pooled = self.pooled.lock().expect("no one panics with this lock");
        pooled.insert(database.to_owned())
    }

    /// Whether any session came through a pooler.
    pub(super) fn is_through_a_pooler(&self) -> bool {
        let pooled = self.pooled.lock().expect("no one panics with this lock");
        !pooled.is_empty()
    }

    /// Whether the server is reached on this machine.
    pub(super) fn is_here(&self) -> bool {
        self.config.get_hosts().iter().all(|host| match host {
            Host::Tcp(host) => crate::store::room::is_here(host),
            Host::Unix(_) => true,
        })
    }

    /// The user that the URL names.
    pub(super) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    fn place(&self, database: &str) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => Cow::from(host.as_str()),
            Some(Host::Unix(path)) => path.to_string_lossy(),
            None => Cow::from("localhost"),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        format!("{} {host}:{port}/{database}", self.side)
    }

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
        settled::settle(self, &session, &all).await?;
        Ok(session)
    }

    /// A session as it is when nothing was set yet.
    pub(super) async fn log_in(&self, database: &str) -> Result<Session> {
        let mut config = self.config.clone();
        config.dbname(database);
        let place = self.place(database);
        let wire = Holder::default();
        let (client, connection) = if matches!(config.get_hosts().first(), Some(Host::Unix(_))) {
            self.connect_here(config, &wire, &place).await?
        } else {
            let tls = match config.get_ssl_mode() {
                SslMode::Disable => None,
                _ => Some(MakeRustlsConnect::new(tls::config(&self.tls)?)),
            };
            let connector = Connector {
                holder: wire.clone(),
                mode: config.get_ssl_mode(),
                direct: config.get_ssl_negotiation() == SslNegotiation::Direct,
                tls,
            };
            // The connector decides.
            config.ssl_mode(SslMode::Require);
            config.ssl_negotiation(SslNegotiation::Direct);
            let (client, connection) = config
                .connect(connector)
                .await
                .map_err(|error| explain_start(&error, &place))?;
            (client, tokio::spawn(drive(connection)))
        };
        Ok(Session {
            client,
            connection,
            wire,
            database: database.to_owned(),
            place,
            compares: false,
            has_snapshot: false,
        })
    }

    /// By a Unix socket: the first one that answers. There is no TLS on them.
    async fn connect_here(
        &self,
        mut config: Config,
        wire: &Holder,
        place: &str,
    ) -> Result<(Client, JoinHandle<()>)> {
        config.ssl_mode(SslMode::Disable);
        let ports = config.get_ports().to_vec();
        let port = |at: usize| *ports.get(at).or(ports.first()).unwrap_or(&5432);
        let limit = config.get_connect_timeout().copied();
        let mut failed = None;
        for (at, host) in self.config.get_hosts().iter().enumerate() {
            let Host::Unix(directory) = host else {
                continue;
            };
            let file = directory.join(format!(".s.PGSQL.{}", port(at)));
            let connecting = UnixStream::connect(file);
            let connected = match limit {
                Some(limit) => tokio::time::timeout(limit, connecting)
                    .await
                    .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into())),
                None => connecting.await,
            };
            let error = match connected {
                Ok(stream) => {
                    let tap = wire.tap(Box::new(stream), ChannelBinding::none());
                    match config.connect_raw(tap, NoTls).await {
                        Ok((client, connection)) => {
                            let driven = tokio::spawn(drive(connection));
                            match self.suits(&client).await {
                                Ok(()) => return Ok((client, driven)),
                                Err(error) => {
                                    Error::new(Kind::Connection, format!("{place}: {error}"))
                                        .hint(advice::SESSION_ATTRS)
                                }
                            }
                        }
                        Err(error) => explain_start(&error, place),
                    }
                }
                Err(error) => Error::new(
                    Kind::Connection,
                    format!("{place}: error connecting to server: {error}"),
                )
                .hint("check that the server is up and can be reached from here"),
            };
            failed = Some(error);
        }
        Err(failed
            .unwrap_or_else(|| Error::new(Kind::Config, format!("{place}: no host is named"))))
    }

    /// `target_session_attrs`, which tokio-postgres itself sees to on TCP.
    async fn suits(&self, client: &Client) -> std::result::Result<(), String> {
        let wanted = match self.config.get_target_session_attrs() {
            TargetSessionAttrs::ReadWrite => "off",
            TargetSessionAttrs::ReadOnly => "on",
            _ => return Ok(()),
        };
        let row = client
            .query_one("SELECT current_setting('transaction_read_only')", &[])
            .await
            .map_err(|error| explain(&error, "session").to_string())?;
        if row.get::<_, &str>(0) == wanted {
            Ok(())
        } else {
            Err("the server is not of the kind that target_session_attrs wants".to_owned())
        }
    }

    /// The same address for a libpq program, by its environment: nothing of it can be seen in a list of processes.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .map(|host| match host {
                Host::Tcp(host) => host.clone(),
                Host::Unix(path) => path.to_string_lossy().into_owned(),
            })
            .collect();
        let ports: Vec<String> = self
            .config
            .get_ports()
            .iter()
            .map(ToString::to_string)
            .collect();
        let addresses: Vec<String> = self
            .config
            .get_hostaddrs()
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut all = vec![
            ("PGHOST", hosts.join(",")),
            (
                "PGPORT",
                if ports.is_empty() {
                    "5432".into()
                } else {
                    ports.join(",")
                },
            ),
            ("PGUSER", self.user().to_owned()),
            ("PGDATABASE", self.database().to_owned()),
            ("PGAPPNAME", self.application.clone()),
            ("PGSSLMODE", self.ssl_mode.clone()),
            ("PGCONNECT_TIMEOUT", "15".to_owned()),
        ];
        // A pooler takes none, or drops them.
        let dumping = if self.is_through_a_pooler() {
            ""
        } else {
            DUMPING
        };
        let options = format!(
            "{} {dumping}",
            self.config.get_options().unwrap_or_default()
        );
        if !options.trim().is_empty() {
            all.push(("PGOPTIONS", options));
        }
        if !addresses.is_empty() {
            all.push(("PGHOSTADDR", addresses.join(",")));
        }
        if let Some(root) = &self.tls.root {
            all.push(("PGSSLROOTCERT", root.to_string_lossy().into_owned()));
        } else if self.tls.trust != tls::Trust::Anybody {
            all.push(("PGSSLROOTCERT", "system".to_owned()));
        }
        if let Some((certificate, key)) = &self.tls.client {
            all.push(("PGSSLCERT", certificate.to_string_lossy().into_owned()));
            all.push(("PGSSLKEY", key.to_string_lossy().into_owned()));
        }
        if let Some(password) = &self.password {
            all.push(("PGPASSWORD", password.expose_secret().to_owned()));
        }
        all
    }
}

/// Moves a connection's bytes; the server's notices are its own affair.
async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>)
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

/// Splits libpq's `ssl*` parameters, which tokio-postgres knows only in part, from a URL.
fn cut_ssl(url: &str) -> (String, Vec<(String, String)>) {
    let Some((head, query)) = url.split_once('?') else {
        return (url.to_owned(), Vec::new());
    };
    let (mut rest, mut ssl) = (Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if matches!(name, "sslmode" | "sslrootcert" | "sslcert" | "sslkey") {
            let value = percent_decoded(value).and_then(|bytes| String::from_utf8(bytes).ok());
            ssl.push((name.to_owned(), value.unwrap_or_default()));
        } else {
            rest.push(pair);
        }
    }
    let url = if rest.is_empty() {
        head.to_owned()
    } else {
        format!("{head}?{}", rest.join("&"))
    };
    (url, ssl)
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
    fn ssl_parameters_are_cut_out_and_decoded() {
        let (url, ssl) = cut_ssl(
            "postgresql://u@h/d?sslmode=verify-full&application_name=x&sslrootcert=%2Fetc%2Fca.pem",
        );
        assert_eq!(url, "postgresql://u@h/d?application_name=x");
        assert_eq!(ssl[1], ("sslrootcert".into(), "/etc/ca.pem".into()));
    }

    #[test]
    fn a_url_without_database_or_user_is_refused() {
        for url in [
            "postgresql://u@h",
            "postgresql://h/d",
            "postgresql://u@h/d?sslmode=maybe",
        ] {
            assert!(
                Address::parse(url, None, "source", "test").is_err(),
                "{url}"
            );
        }
        assert!(
            Address::parse(
                "postgresql://u%40x@h:1/d%20b?sslmode=require",
                None,
                "source",
                "test"
            )
            .is_ok()
        );
    }

    #[test]
    fn names_and_strings_are_quoted() {
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\b"), " E'a\\\\b'");
    }
}
