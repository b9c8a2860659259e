//! An address for programs of libpq, by their environment.

use secrecy::ExposeSecret;
use tokio_postgres::config::{self, Host, SslMode, SslNegotiation, TargetSessionAttrs};

use super::address::Address;
use crate::tls;

/// The same for `pg_dump` and `pg_restore`: the one writes as the database has it, for a restore that knows, and says itself
/// that it only reads; the other one writes.
const DUMPING: &str = "-c standard_conforming_strings=on -c quote_all_identifiers=off -c lc_monetary=C \
     -c default_transaction_read_only=off";

impl Address {
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
        let ports = listed(self.config.get_ports());
        let addresses = listed(self.config.get_hostaddrs());
        let mut all = vec![
            ("PGHOST", hosts.join(",")),
            (
                "PGPORT",
                if ports.is_empty() {
                    "5432".into()
                } else {
                    ports
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
            all.push(("PGHOSTADDR", addresses));
        }
        all.extend(self.secrets());
        all
    }

    /// Certificates' files, and the password.
    fn secrets(&self) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
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

/// With commas between them.
fn listed(all: &[impl ToString]) -> String {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    all.join(",")
}

#[cfg(test)]
mod tests {
    use super::super::address::tests::at;

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
