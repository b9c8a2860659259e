//! Where a server is and who we are there: an endpoint's URL, taken apart, for our own sessions and for `pg_dump`'s.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use super::approach::Approach;
use super::url_options;
use crate::config::job::Endpoint;
use crate::error::{Error, Kind, Result};
use crate::store::Context;
use crate::store::liveness::{GONE, Keepalive, Pulse};
use crate::store::postgresql::url::{PostgresqlUrl, is_on_this_machine};
use crate::sync::Mutex;

/// How to reach a database: the endpoint's URL, taken apart.
#[derive(Clone)]
pub(in crate::store::postgresql) struct Address {
    pub(in crate::store::postgresql) config: Config,
    pub(super) approach: Approach,
    /// libpq's word for how to encrypt, for `pg_dump`.
    pub(super) ssl_mode: String,
    pub(super) password: Option<SecretString>,
    pub(super) application: String,
    /// Which side it is, for messages: `source` or `target`.
    pub(in crate::store::postgresql) side: &'static str,
    /// Databases whose sessions turned out to come through a pooler.
    pub(super) pooled: Arc<Mutex<HashSet<String>>>,
}

impl Address {
    /// An endpoint's, with its password; `side` is what messages call it.
    pub(in crate::store::postgresql) async fn of(
        endpoint: &Endpoint,
        context: &Context,
        side: &'static str,
    ) -> Result<Self> {
        let password = context.password(endpoint, side).await?;
        let url = endpoint.url.address()?;
        Ok(Self::new(url, password, side, &context.claim.application()))
    }

    /// The address in a URL, for an application of this name.
    pub(in crate::store::postgresql) fn new(
        url: &PostgresqlUrl,
        password: Option<SecretString>,
        side: &'static str,
        application: &str,
    ) -> Self {
        let mut config = url.config.clone();
        let patience = config.get_connect_timeout().copied().unwrap_or(PATIENCE);
        let keepalive = keepalive(&config);
        config.application_name(application);
        if let Some(password) = &password {
            config.password(password.expose_secret());
        }
        Self {
            config,
            approach: Approach {
                mode: url.mode,
                mode_is_default: url.mode_is_default,
                tls: url.tls.clone(),
                patience,
                keepalive,
                methods: url.methods.clone(),
                warned: Arc::default(),
                encrypted: Arc::default(),
                pulse: Pulse::default(),
            },
            ssl_mode: url.ssl_mode.clone(),
            password,
            application: application.to_owned(),
            side,
            pooled: Arc::default(),
        }
    }

    /// Another database on the same server, called `side` in messages.
    pub(in crate::store::postgresql) fn beside(&self, database: &str, side: &'static str) -> Self {
        let mut other = self.clone();
        other.config.dbname(database);
        other.side = side;
        other
    }

    /// The database that the URL names.
    pub(in crate::store::postgresql) fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }

    /// Whether the URL's own `options` speak of a setting.
    pub(in crate::store::postgresql) fn says(&self, setting: &str) -> bool {
        self.config
            .get_options()
            .is_some_and(|options| options.contains(setting))
    }

    /// What the URL's own `options` set.
    pub(in crate::store::postgresql) fn settings_of_url(&self) -> Vec<(String, String)> {
        url_options::settings_of_url(self.config.get_options().unwrap_or_default())
    }

    /// Notes that sessions in a database come through a pooler; whether that is news.
    pub(super) fn note_pooler(&self, database: &str) -> bool {
        let mut pooled = self.pooled.lock();
        pooled.insert(database.to_owned())
    }

    /// Whether any session came through a pooler.
    pub(super) fn is_through_a_pooler(&self) -> bool {
        let pooled = self.pooled.lock();
        !pooled.is_empty()
    }

    /// Whether the server is reached on this machine.
    pub(in crate::store::postgresql) fn is_here(&self) -> bool {
        is_on_this_machine(&self.config)
    }

    /// The user that the URL names.
    pub(in crate::store::postgresql) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    /// What messages call the server and a database of it.
    pub(in crate::store::postgresql) fn place(&self, database: &str) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => Cow::from(host.as_str()),
            Some(Host::Unix(path)) => path.to_string_lossy(),
            None => Cow::from("localhost"),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        format!("{} {host}:{port}/{database}", self.side)
    }

    /// Ends when the server is given up. A program that waits for it would not notice.
    pub(in crate::store::postgresql) async fn lost(&self) -> Error {
        self.approach.pulse.lost().await;
        Error::new(
            Kind::Connection,
            format!("{}: {GONE}", self.place(self.database())),
        )
        .hint("see the server's log, and run the job again")
    }
}

/// How long it may take until a session is ready, if the URL does not say so.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the URL says of it; the rest is ours.
fn keepalive(config: &Config) -> Keepalive {
    let own = Keepalive::default();
    let unsaid = Config::new();
    let idle = Some(config.get_keepalives_idle())
        .filter(|idle| *idle != unsaid.get_keepalives_idle())
        .or(own.idle);
    Keepalive {
        idle: idle.filter(|_| config.get_keepalives()),
        interval: config.get_keepalives_interval().unwrap_or(own.interval),
        count: config.get_keepalives_retries().unwrap_or(own.count),
        // libpq counts milliseconds, and tokio-postgres takes them for seconds.
        user_timeout: config
            .get_tcp_user_timeout()
            .map_or(own.user_timeout, |said| {
                Duration::from_millis(said.as_secs())
            }),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::read_url;
    use crate::store::registry::formats;

    pub(in super::super) fn at(url: &str) -> Address {
        let (url, _) = read_url(url, Path::new("/"), formats()).unwrap();
        Address::new(url.address().unwrap(), None, "source", "test")
    }

    #[test]
    fn what_a_url_says_of_the_connection_is_followed() {
        let of = |query: &str| {
            let url = format!("postgresql://u@db1/d?{query}");
            at(&url)
        };
        let own = of("");
        assert_eq!(own.approach.keepalive, Keepalive::default());
        assert_eq!(own.approach.patience, PATIENCE);
        let said = of(
            "keepalives_idle=7&keepalives_interval=2&keepalives_retries=3&tcp_user_timeout=1500&connect_timeout=4",
        );
        assert_eq!(
            said.approach.keepalive,
            Keepalive {
                idle: Some(Duration::from_secs(7)),
                interval: Duration::from_secs(2),
                count: 3,
                user_timeout: Duration::from_millis(1500),
            }
        );
        assert_eq!(said.approach.patience, Duration::from_secs(4));
        assert_eq!(of("keepalives=0").approach.keepalive.idle, None);
    }
}
