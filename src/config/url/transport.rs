//! How a server is reached: on this machine or by the network, and whether that is encrypted.

use std::net::IpAddr;

use super::{Flaw, MysqlTls, MysqlUrl, flaw, postgresql};

/// Whether a host, as a URL has it, is this machine: by no name but `localhost`, and by no address but loopback's.
pub fn is_here(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let address: Option<IpAddr> = bare.parse().ok();
    bare.eq_ignore_ascii_case("localhost")
        || address.is_some_and(|address| address.to_canonical().is_loopback())
}

/// What is at risk because a server's URL gives up TLS on the network: what, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Risk {
    /// One sentence.
    pub what: String,
    /// What to do.
    pub help: String,
}

/// What a server's URL risks; `None`: nothing, or it is of no server.
pub fn risk(url: &str) -> Option<Risk> {
    let (key, word) = if let Some(mysql) = MysqlUrl::parse(url) {
        let word = match mysql.tls {
            MysqlTls::Disable => "disable",
            MysqlTls::Prefer => "prefer",
            _ => return None,
        };
        if mysql.is_here() {
            return None;
        }
        ("tls", word)
    } else {
        let found = postgresql::Transport::of(url.strip_prefix("postgresql://")?);
        let word = match found.mode.as_deref() {
            Some("disable") => "disable",
            Some("allow") => "allow",
            Some("prefer") => "prefer",
            _ => return None,
        };
        if found.is_here {
            return None;
        }
        ("sslmode", word)
    };
    let what = match word {
        "disable" => format!(
            "{key}=disable: whoever is on the way to this server reads and changes the rows, and sees the login"
        ),
        word => format!(
            "{key}={word}: whoever is on the way to this server can take TLS away, and then reads and changes the rows, and sees the login"
        ),
    };
    Some(Risk {
        what,
        help: format!(
            "write {key}=require, or better {key}=verify-full; without `{key}`, TLS is required"
        ),
    })
}

/// The same for who reads files.
pub(super) fn risky(url: &str) -> Option<Flaw> {
    risk(url).map(|risk| flaw(&risk.what, &risk.help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_told_from_others() {
        for (host, here) in [
            ("localhost", true),
            ("LocalHost", true),
            ("127.0.0.1", true),
            ("127.0.0.2", true),
            ("::1", true),
            ("[::1]", true),
            ("::ffff:127.0.0.1", true),
            ("db2", false),
            ("10.0.0.1", false),
            ("::ffff:10.0.0.1", false),
            ("localhost.example", false),
            ("127.0.0.1.example", false),
            ("0.0.0.0", false),
            ("", false),
        ] {
            assert_eq!(is_here(host), here, "{host}");
        }
    }

    #[test]
    fn tls_that_is_given_up_on_the_network_is_a_risk_and_on_this_machine_none() {
        for (url, key) in [
            ("postgresql://u@db1/d?sslmode=prefer", "sslmode=prefer"),
            ("postgresql://u@db1/d?sslmode=allow", "sslmode=allow"),
            ("postgresql://u@db1/d?sslmode=disable", "sslmode=disable"),
            ("postgresql://u@localhost,db1/d?sslmode=disable", "disable"),
            (
                "postgresql://u@localhost/d?hostaddr=10.0.0.1&sslmode=prefer",
                "prefer",
            ),
            (
                "postgresql://u@/d?host=/run/pg,db1&sslmode=prefer",
                "prefer",
            ),
            ("postgresql://u@10.0.0.1:1/d?sslmode=prefer", "prefer"),
            ("mysql://u@db1/d?tls=prefer", "tls=prefer"),
            ("mariadb://u@10.0.0.1/d?tls=disable", "tls=disable"),
        ] {
            let found = risk(url).unwrap_or_else(|| panic!("{url}"));
            assert!(found.what.contains(key), "{url}: {found:?}");
        }
        for url in [
            "postgresql://u@db1/d",
            "postgresql://u@db1/d?sslmode=require",
            "postgresql://u@db1/d?sslmode=prefer&sslmode=verify-full",
            "postgresql://u@localhost/d?sslmode=disable",
            "postgresql://u@[::1]:5433/d?sslmode=prefer",
            "postgresql://u@db1/d?hostaddr=127.0.0.1&sslmode=disable",
            "postgresql://u@/d?host=/run/postgresql&sslmode=disable",
            "postgresql://u@%2Frun%2Fpostgresql/d?sslmode=disable",
            "postgresql:///d?user=u&sslmode=prefer",
            "mysql://u@db1/d",
            "mysql://u@db1/d?tls=require",
            "mysql://u@127.0.0.1/d?tls=disable",
            "mysql://u@localhost/d?socket=/run/x&tls=disable",
            "sqlite:///srv/a.db",
            "s3://bucket/x",
        ] {
            assert_eq!(risk(url), None, "{url}");
        }
    }
}
