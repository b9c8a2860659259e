//! Where a server is and who we are there: an endpoint's URL, taken apart, for our own sessions and for `pg_dump`'s.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::approach::Approach;
use super::url_options;
use crate::config::job::Endpoint;
use crate::config::{AuthMethods, is_here, percent_decoded, tls_is_required};
use crate::error::{Error, Kind, Result};
use crate::store::liveness::{GONE, Keepalive, Pulse};
use crate::store::{Context, tls};

/// How to reach a database: the endpoint's URL, taken apart.
#[derive(Clone)]
pub(in crate::store::postgresql) struct Address {
    pub(in crate::store::postgresql) config: Config,
    pub(in crate::store::postgresql) approach: Approach,
    /// libpq's word for how to encrypt, for `pg_dump`.
    pub(in crate::store::postgresql) ssl_mode: String,
    pub(in crate::store::postgresql) password: Option<SecretString>,
    pub(in crate::store::postgresql) application: String,
    /// Which side it is, for messages: `source` or `target`.
    pub(in crate::store::postgresql) side: &'static str,
    /// Databases whose sessions turned out to come through a pooler.
    pub(in crate::store::postgresql) pooled: Arc<Mutex<HashSet<String>>>,
}

impl Address {
    /// An endpoint's, with its password; `side` is what messages call it.
    pub(in crate::store::postgresql) async fn of(
        endpoint: &Endpoint,
        context: &Context,
        side: &'static str,
    ) -> Result<Self> {
        let password = match &endpoint.password {
            Some(secret) => {
                let what = format!("the {side}'s password");
                Some(secret.resolve(&what, &*context.lookup).await?)
            }
            None => None,
        };
        let application = format!("envsyncd {} {}", context.claim.job, context.claim.run);
        Self::parse(&endpoint.url, password, side, &application)
    }

    /// Takes a URL apart. `sslmode`, `sslrootcert`, `sslcert` and `sslkey` are libpq's.
    pub(in crate::store::postgresql) fn parse(
        url: &str,
        password: Option<SecretString>,
        side: &'static str,
        application: &str,
    ) -> Result<Self> {
        let (bare, own) = cut_own(url);
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
        let ssl = Ssl::read(own, tls_is_required(url), wrong)?;
        if config.get_dbname().is_none_or(str::is_empty) {
            return Err(wrong(&"it names no database").hint("postgresql://user@host/DATABASE"));
        }
        if config.get_user().is_none_or(str::is_empty) {
            return Err(wrong(&"it names no user").hint("postgresql://USER@host/database"));
        }
        fill_in_hosts(&mut config);
        let patience = config.get_connect_timeout().copied().unwrap_or(PATIENCE);
        let keepalive = keepalive(&config);
        config.application_name(application);
        if let Some(password) = &password {
            config.password(password.expose_secret());
        }
        Ok(Self {
            config,
            approach: Approach {
                mode: ssl.mode,
                mode_is_default: ssl.mode_is_default,
                tls: ssl.tls,
                patience,
                keepalive,
                methods: ssl.methods,
                warned: Arc::default(),
                encrypted: Arc::default(),
                pulse: Pulse::default(),
            },
            ssl_mode: ssl.word,
            password,
            application: application.to_owned(),
            side,
            pooled: Arc::default(),
        })
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
    pub(in crate::store::postgresql) fn note_pooler(&self, database: &str) -> bool {
        let mut pooled = self.pooled.lock().expect("no one panics with this lock");
        pooled.insert(database.to_owned())
    }

    /// Whether any session came through a pooler.
    pub(in crate::store::postgresql) fn is_through_a_pooler(&self) -> bool {
        let pooled = self.pooled.lock().expect("no one panics with this lock");
        !pooled.is_empty()
    }

    /// Whether the server is reached on this machine.
    pub(in crate::store::postgresql) fn is_here(&self) -> bool {
        let addresses = self.config.get_hostaddrs();
        if !addresses.is_empty() {
            return addresses
                .iter()
                .all(|address| is_here(&address.to_string()));
        }
        self.config.get_hosts().iter().all(|host| match host {
            Host::Tcp(host) => is_here(host),
            Host::Unix(_) => true,
        })
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

/// What a URL says of encryption, and of how the server may ask for the password.
struct Ssl {
    mode: SslMode,
    mode_is_default: bool,
    /// libpq's word for the mode.
    word: String,
    tls: tls::Settings,
    methods: Option<AuthMethods>,
}

impl Ssl {
    /// Reads libpq's parameters, which [`cut_own`] has cut out of a URL.
    fn read(
        own: Vec<(String, String)>,
        is_required: bool,
        wrong: impl Fn(&dyn std::fmt::Display) -> Error,
    ) -> Result<Self> {
        let (mode, word) = if is_required {
            (SslMode::Require, "require")
        } else {
            (SslMode::Prefer, "prefer")
        };
        let mut found = Self {
            mode,
            mode_is_default: true,
            word: word.to_owned(),
            tls: tls::Settings {
                trust: tls::Trust::Anybody,
                root: None,
                client: None,
            },
            methods: None,
        };
        let (mut certificate, mut key) = (None, None);
        for (name, value) in own {
            match name.as_str() {
                "sslmode" => {
                    (found.mode, found.tls.trust) = mode_of(&value).ok_or_else(|| {
                        wrong(&format!("sslmode={value}"))
                            .hint("sslmode is disable, prefer, require, verify-ca or verify-full")
                    })?;
                    (found.word, found.mode_is_default) = (value, false);
                }
                "sslrootcert" if value == "system" => {}
                "sslrootcert" => found.tls.root = Some(PathBuf::from(value)),
                "sslcert" => certificate = Some(PathBuf::from(value)),
                "require_auth" => {
                    let methods = AuthMethods::parse(&value);
                    let wrong = || wrong(&format!("require_auth={value}"));
                    found.methods = Some(methods.ok_or_else(wrong)?);
                }
                _ => key = Some(PathBuf::from(value)),
            }
        }
        // libpq: with a root certificate at hand, `require` verifies as `verify-ca` does.
        let anybody = found.tls.trust == tls::Trust::Anybody;
        if found.mode == SslMode::Require && anybody && found.tls.root.is_some() {
            found.tls.trust = tls::Trust::Authority;
        }
        found.tls.client = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(wrong(&"sslcert and sslkey go together")),
        };
        Ok(found)
    }
}

/// What `sslmode` asks for; `None`: it knows no such word.
fn mode_of(word: &str) -> Option<(SslMode, tls::Trust)> {
    Some(match word {
        "disable" => (SslMode::Disable, tls::Trust::Anybody),
        "prefer" | "allow" => (SslMode::Prefer, tls::Trust::Anybody),
        "require" => (SslMode::Require, tls::Trust::Anybody),
        "verify-ca" => (SslMode::Require, tls::Trust::Authority),
        "verify-full" => (SslMode::Require, tls::Trust::Host),
        _ => return None,
    })
}

/// A URL without a host names an address, or means the server on this machine.
fn fill_in_hosts(config: &mut Config) {
    if !config.get_hosts().is_empty() {
        return;
    }
    let addresses = config.get_hostaddrs().to_vec();
    for address in &addresses {
        config.host(address.to_string());
    }
    if addresses.is_empty() {
        config.host_path("/var/run/postgresql");
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

/// Splits those of libpq's parameters from a URL that tokio-postgres knows only in part, or not at all.
fn cut_own(url: &str) -> (String, Vec<(String, String)>) {
    let Some((head, query)) = url.split_once('?') else {
        return (url.to_owned(), Vec::new());
    };
    let (mut rest, mut ssl) = (Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if matches!(
            name,
            "sslmode" | "sslrootcert" | "sslcert" | "sslkey" | "require_auth"
        ) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssl_parameters_are_cut_out_and_decoded() {
        let (url, ssl) = cut_own(
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
    fn what_a_url_says_of_the_connection_is_followed() {
        let of = |query: &str| {
            let url = format!("postgresql://u@db1/d?{query}");
            Address::parse(&url, None, "source", "test").unwrap()
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
