//! Where a server is and who we are there: an endpoint's URL, already found well-formed by the configuration.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::SecretString;

use crate::config::job::Endpoint;
use crate::error::Result;
use crate::store::Context;
use crate::store::liveness::Pulse;
use crate::store::mysql::url::{MysqlTls, MysqlUrl};
use crate::tls;

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::mysql) enum Way {
    /// A host's name or address, and a port.
    Tcp(String, u16),
    /// A Unix socket.
    Socket(PathBuf),
}

/// When a connection is encrypted.
#[derive(Debug, Clone)]
pub(in crate::store::mysql) enum Encryption {
    /// Never.
    Off,
    /// If the server can.
    Preferred,
    /// Always; what has to be right about the certificate is in the settings.
    Required,
}

/// One endpoint.
#[derive(Debug, Clone)]
pub(in crate::store::mysql) struct Address {
    /// `source` or `target`.
    side: &'static str,
    pub(in crate::store::mysql) way: Way,
    user: String,
    pub(in crate::store::mysql) password: Option<SecretString>,
    database: String,
    pub(in crate::store::mysql) encryption: Encryption,
    /// The URL does not say when.
    pub(super) encryption_is_default: bool,
    pub(in crate::store::mysql) tls: tls::Settings,
    /// The server's own key, where its password is encrypted with that.
    pub(in crate::store::mysql) server_key: Option<PathBuf>,
    /// How long it may take until a session is ready.
    pub(super) patience: Duration,
    /// TLS has been seen.
    encrypted: Arc<AtomicBool>,
    pub(in crate::store::mysql) pulse: Pulse,
    /// The run's name, for the server's list of connections.
    pub(in crate::store::mysql) application: String,
}

impl Address {
    /// Where a task's endpoint is, with its password.
    pub(in crate::store::mysql) async fn of(
        endpoint: &Endpoint,
        context: &Context,
        side: &'static str,
    ) -> Result<Self> {
        let password = context.password(endpoint, side).await?;
        let url = endpoint.url.address()?;
        Ok(Self::new(url, password, side, &context.claim.application()))
    }

    /// The address in a URL, for an application of this name.
    pub(in crate::store::mysql) fn new(
        url: &MysqlUrl,
        password: Option<SecretString>,
        side: &'static str,
        application: &str,
    ) -> Self {
        let url = url.clone();
        let (encryption, trust) = match url.tls {
            MysqlTls::Disable => (Encryption::Off, tls::Trust::Anybody),
            MysqlTls::Prefer => (Encryption::Preferred, tls::Trust::Anybody),
            MysqlTls::Require => (Encryption::Required, tls::Trust::Anybody),
            MysqlTls::VerifyCa => (Encryption::Required, tls::Trust::Authority),
            MysqlTls::VerifyFull => (Encryption::Required, tls::Trust::Host),
        };
        let (way, encryption) = match url.socket {
            // What goes through it never leaves the machine.
            Some(socket) => (Way::Socket(socket), Encryption::Off),
            None => (Way::Tcp(url.host, url.port), encryption),
        };
        Self {
            side,
            way,
            user: url.user,
            password,
            database: url.database,
            encryption,
            encryption_is_default: url.tls_is_default,
            server_key: url.server_public_key,
            patience: url.connect_timeout,
            encrypted: Arc::default(),
            pulse: Pulse::default(),
            tls: tls::Settings {
                trust,
                root: url.tls_ca,
                client: url.tls_client,
            },
            application: application.to_owned(),
        }
    }

    /// The same for another schema of the server.
    pub(in crate::store::mysql) fn in_schema(&self, schema: &str) -> Self {
        Self {
            database: schema.to_owned(),
            ..self.clone()
        }
    }

    pub(in crate::store::mysql) fn database(&self) -> &str {
        &self.database
    }

    pub(in crate::store::mysql) fn user(&self) -> &str {
        &self.user
    }

    /// Notes that the server has TLS: who comes after us by another program need not do without.
    pub(super) fn note_encrypted(&self) {
        self.encrypted.store(true, Ordering::Relaxed);
    }

    /// Whether it was seen to have TLS.
    pub(in crate::store::mysql) fn has_been_encrypted(&self) -> bool {
        self.encrypted.load(Ordering::Relaxed)
    }

    /// `source db1:3306/app`, for errors.
    pub(in crate::store::mysql) fn label(&self) -> String {
        let Self { side, database, .. } = self;
        match &self.way {
            Way::Tcp(host, port) if host.contains(':') => {
                format!("{side} [{host}]:{port}/{database}")
            }
            Way::Tcp(host, port) => format!("{side} {host}:{port}/{database}"),
            Way::Socket(path) => format!("{side} {}/{database}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::read_url;
    use crate::store::registry::formats;

    fn parsed(url: &str) -> Address {
        let (url, _) = read_url(url, Path::new("/"), formats()).unwrap();
        Address::new(url.address().unwrap(), None, "source", "envsyncd job run")
    }

    #[test]
    fn every_part_of_a_url_arrives() {
        let address = parsed(
            "mysql://us%40er@db1.example:3307/my%2Fapp?tls=verify-full&tls_ca=%2Fetc%2Fca.pem",
        );
        assert_eq!(address.user(), "us@er");
        assert_eq!(address.database(), "my/app");
        assert_eq!(address.way, Way::Tcp("db1.example".to_owned(), 3307));
        assert!(matches!(address.encryption, Encryption::Required));
        assert_eq!(address.tls.trust, tls::Trust::Host);
        assert_eq!(address.label(), "source db1.example:3307/my/app");
        let address = parsed("mariadb://u@[::1]/app");
        assert_eq!(address.way, Way::Tcp("::1".to_owned(), 3306));
        let address = parsed("mysql://u@localhost/app?socket=%2Frun%2Fmysqld%2Fmysqld.sock");
        assert_eq!(address.way, Way::Socket("/run/mysqld/mysqld.sock".into()));
        assert!(matches!(address.encryption, Encryption::Off));
    }
}
