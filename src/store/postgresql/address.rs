//! Where a server is and who we are there, for our own sessions and for `pg_dump`'s.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::Config;
use tokio_postgres::config::{self, Host, SslMode, SslNegotiation, TargetSessionAttrs};

use super::login::Approach;
use super::settled;
use crate::error::{Error, Kind};
use crate::store::liveness::{GONE, Keepalive, Pulse};
use crate::store::postgresql::url::{PostgresqlUrl, is_on_this_machine};
use crate::store::tls;

/// How to reach a database.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) approach: Approach,
    /// libpq's word for how to encrypt, for `pg_dump`.
    ssl_mode: String,
    password: Option<SecretString>,
    application: String,
    /// Which side it is, for messages: `source` or `target`.
    side: &'static str,
    /// Databases whose sessions turned out to come through a pooler.
    pooled: Arc<Mutex<HashSet<String>>>,
}

/// The same for `pg_dump` and `pg_restore`: the one writes as the database has it, for a restore that knows, and says itself
/// that it only reads; the other one writes.
const DUMPING: &str = "-c standard_conforming_strings=on -c quote_all_identifiers=off -c lc_monetary=C \
     -c default_transaction_read_only=off";

impl Address {
    /// What a URL says, and who is asking.
    pub(super) fn new(
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
        is_on_this_machine(&self.config)
    }

    /// libpq's words for how the server may ask for the password. A program that comes after us is held to what we have found:
    /// nobody takes TLS away in between.
    fn methods(&self) -> Option<String> {
        if let Some(methods) = &self.approach.methods {
            return Some(methods.to_string());
        }
        let by_socket = matches!(self.config.get_hosts().first(), Some(Host::Unix(_)));
        let encrypted =
            self.approach.mode == SslMode::Require || self.approach.has_been_encrypted();
        if by_socket || encrypted {
            return None;
        }
        Some(
            if self.is_here() {
                "!password"
            } else {
                "!password,!md5"
            }
            .to_owned(),
        )
    }

    fn ssl_mode(&self) -> &str {
        if self.approach.mode == SslMode::Prefer && self.approach.has_been_encrypted() {
            "require"
        } else {
            &self.ssl_mode
        }
    }

    /// The user that the URL names.
    pub(super) fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    /// What messages call the server and a database of it.
    pub(super) fn place(&self, database: &str) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => Cow::from(host.as_str()),
            Some(Host::Unix(path)) => path.to_string_lossy(),
            None => Cow::from("localhost"),
        };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        format!("{} {host}:{port}/{database}", self.side)
    }

    /// Ends when the server is given up. A program that waits for it would not notice.
    pub(super) async fn lost(&self) -> Error {
        self.approach.pulse.lost().await;
        Error::new(
            Kind::Connection,
            format!("{}: {GONE}", self.place(self.database())),
        )
        .hint("see the server's log, and run the job again")
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
            ("PGSSLMODE", self.ssl_mode().to_owned()),
            // Neither do we.
            ("PGGSSENCMODE", "disable".to_owned()),
            (
                "PGCONNECT_TIMEOUT",
                self.approach.patience.as_secs().to_string(),
            ),
            (
                "PGCHANNELBINDING",
                match self.config.get_channel_binding() {
                    config::ChannelBinding::Disable => "disable",
                    config::ChannelBinding::Require => "require",
                    _ => "prefer",
                }
                .to_owned(),
            ),
            (
                "PGTARGETSESSIONATTRS",
                match self.config.get_target_session_attrs() {
                    TargetSessionAttrs::ReadWrite => "read-write",
                    TargetSessionAttrs::ReadOnly => "read-only",
                    _ => "any",
                }
                .to_owned(),
            ),
        ];
        // Those that are older than 17 and 16 do not know them, and go by what else there is.
        if self.config.get_ssl_negotiation() == SslNegotiation::Direct {
            all.push(("PGSSLNEGOTIATION", "direct".to_owned()));
        }
        if let Some(methods) = self.methods() {
            all.push(("PGREQUIREAUTH", methods));
        }
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
        if let Some(root) = &self.approach.tls.root {
            all.push(("PGSSLROOTCERT", root.to_string_lossy().into_owned()));
        } else if self.approach.tls.trust != tls::Trust::Anybody {
            all.push(("PGSSLROOTCERT", "system".to_owned()));
        }
        if let Some((certificate, key)) = &self.approach.tls.client {
            all.push(("PGSSLCERT", certificate.to_string_lossy().into_owned()));
            all.push(("PGSSLKEY", key.to_string_lossy().into_owned()));
        }
        if let Some(password) = &self.password {
            all.push(("PGPASSWORD", password.expose_secret().to_owned()));
        }
        all
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
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::read_url;
    use crate::store::formats;

    fn at(url: &str) -> Address {
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

    #[test]
    fn a_program_is_told_what_the_url_says() {
        let told = |url: &str, name: &str| {
            let address = at(url);
            let all = address.environment();
            let found = all.into_iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value)
        };
        for (url, name, expected) in [
            ("u@db1/d", "PGSSLMODE", Some("require")),
            ("u@db1/d?sslmode=allow", "PGSSLMODE", Some("allow")),
            ("u@localhost/d", "PGSSLMODE", Some("prefer")),
            ("u@db1/d", "PGREQUIREAUTH", None),
            ("u@localhost/d", "PGREQUIREAUTH", Some("!password")),
            (
                "u@db1/d?sslmode=prefer",
                "PGREQUIREAUTH",
                Some("!password,!md5"),
            ),
            ("u@/d?host=/run/pg", "PGREQUIREAUTH", None),
            ("u@db1/d?require_auth=md5", "PGREQUIREAUTH", Some("md5")),
            ("u@db1/d", "PGCHANNELBINDING", Some("prefer")),
            (
                "u@db1/d?channel_binding=require",
                "PGCHANNELBINDING",
                Some("require"),
            ),
            ("u@db1/d?connect_timeout=4", "PGCONNECT_TIMEOUT", Some("4")),
            ("u@db1/d", "PGGSSENCMODE", Some("disable")),
            (
                "u@db1/d?target_session_attrs=read-only",
                "PGTARGETSESSIONATTRS",
                Some("read-only"),
            ),
            (
                "u@db1/d?sslnegotiation=direct",
                "PGSSLNEGOTIATION",
                Some("direct"),
            ),
        ] {
            let value = told(&format!("postgresql://{url}"), name);
            assert_eq!(value.as_deref(), expected, "{url} {name}");
        }
        // Who has been seen to have TLS has it for a program, too.
        let address = at("postgresql://u@localhost/d");
        address
            .approach
            .encrypted
            .store(true, std::sync::atomic::Ordering::Relaxed);
        let all = address.environment();
        assert!(all.contains(&("PGSSLMODE", "require".to_owned())));
        assert!(all.iter().all(|(name, _)| *name != "PGREQUIREAUTH"));
    }
}
