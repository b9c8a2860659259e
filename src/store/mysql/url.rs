//! URLs of MySQL and MariaDB: `mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?PARAMETERS]`, or `mariadb://`.

mod parameters;
#[cfg(test)]
mod tests;

use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use self::parameters::Parameters;
use crate::config::{
    Flaw, OwnKey, ParsedUrl, Risk, StoreFormat, StoreKind, is_here, percent_decoded_text, quote,
};
use crate::store::url::{ENCODE, risk_without_tls};

pub(super) use self::parameters::MysqlTls;

/// The store's kind.
pub const KIND: StoreKind = StoreKind::new("mysql");

const FORM: &str =
    "mysql://USER@HOST[:PORT]/DATABASE, or mysql://USER@localhost/DATABASE?socket=/PATH";
/// The server's own databases.
const SYSTEM: [&str; 4] = ["mysql", "information_schema", "performance_schema", "sys"];
/// In characters (MySQL manual, "Identifier Length Limits"; MariaDB's is the same).
const LONGEST_DATABASE: usize = 64;
const DEFAULT_PORT: u16 = 3306;

/// MySQL and MariaDB as configuration files have them.
pub(in crate::store) struct Format;

impl StoreFormat for Format {
    fn kind(&self) -> StoreKind {
        KIND
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["mysql", "mariadb"]
    }

    fn forms(&self) -> &'static [&'static str] {
        &["mysql://USER@HOST/DATABASE", "mariadb://USER@HOST/DATABASE"]
    }

    fn own_keys(&self) -> &'static [OwnKey] {
        &[
            OwnKey {
                name: "definer",
                not_in_a_push: Some(
                    "as whom views and routines run is decided where they are restored",
                ),
            },
            OwnKey {
                name: "events",
                not_in_a_push: Some("whether events run is decided where they are restored"),
            },
        ]
    }

    fn read_url(&self, scheme: &str, rest: &str, directory: &Path) -> Result<ParsedUrl, Flaw> {
        let parsed = parse(rest, directory)?;
        Ok(ParsedUrl {
            text: format!("{scheme}://{}", parsed.rest),
            password: parsed.password,
            place: parsed.url.place(),
            database: Some(parsed.url.database.clone()),
            risk: parsed.url.risk(),
            bucket: None,
            has_no_swap: false,
            address: Arc::new(parsed.url),
        })
    }
}

/// A URL of MySQL or MariaDB, percent-decoded. Its password is kept apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MysqlUrl {
    /// The user.
    pub(super) user: String,
    /// A name, an IPv4 address, or an IPv6 address without brackets. `localhost` is reached by TCP like any other.
    pub(super) host: String,
    /// The TCP port.
    pub(super) port: u16,
    /// The Unix socket's absolute path: then host and port say nothing.
    pub(super) socket: Option<PathBuf>,
    /// The database.
    pub(super) database: String,
    /// Encryption.
    pub(super) tls: MysqlTls,
    /// The URL does not say so: it is the default.
    pub(super) tls_is_default: bool,
    /// Certificate authorities in PEM; `None`: the machine's own.
    pub(super) tls_ca: Option<PathBuf>,
    /// The client's certificate chain and its key, both in PEM.
    pub(super) tls_client: Option<(PathBuf, PathBuf)>,
    /// The key, in PEM, that a password is encrypted with where there is no TLS.
    pub(super) server_public_key: Option<PathBuf>,
    /// How long it may take until a session is ready.
    pub(super) connect_timeout: Duration,
}

impl MysqlUrl {
    /// Whether the server is reached without leaving this machine.
    fn is_here(&self) -> bool {
        self.socket.is_some() || is_here(&self.host)
    }

    /// What is at risk because it gives up TLS.
    fn risk(&self) -> Option<Risk> {
        let word = match self.tls {
            MysqlTls::Disable => "disable",
            MysqlTls::Prefer => "prefer",
            _ => return None,
        };
        (!self.is_here()).then(|| risk_without_tls("tls", word))
    }

    /// What identifies the database, whoever asks for it and however.
    fn place(&self) -> String {
        let database = &self.database;
        if let Some(socket) = &self.socket {
            return format!("mysql://{}?{database}", socket.display());
        }
        let host = self.host.to_ascii_lowercase();
        let host = host
            .parse::<Ipv6Addr>()
            .map_or(host, |address| address.to_string());
        format!("mysql://{host} {}/{database}", self.port)
    }
}

struct Parsed {
    url: MysqlUrl,
    /// What stands behind `SCHEME://`, without the password.
    rest: String,
    password: Option<SecretString>,
}

fn parse(rest: &str, directory: &Path) -> Result<Parsed, Flaw> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    if tail.contains(['#', '@']) || path.matches('/').count() > 1 {
        return Err(Flaw::with_help(
            "the URL has a character that splits it oddly",
            ENCODE,
        ));
    }
    // From here on nothing but the user's part can hold a password.
    let Some((login, address)) = authority.rsplit_once('@') else {
        return Err(form("the URL names no user"));
    };
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let well = |text: &str, what: &str| {
        percent_decoded_text(text).ok_or_else(|| {
            Flaw::with_help(
                format!("the URL's {what} is not well percent-encoded"),
                ENCODE,
            )
        })
    };
    let name = well(user, "user")?;
    if name.is_empty() {
        return Err(form("the URL names no user"));
    }
    let password_text = well(password, "password")?;
    let written = path.strip_prefix('/').unwrap_or_default();
    let database = well(written, "database")?;
    check_database(&database)?;

    let (host, port) = read_address(address)?;
    let parameters = Parameters::read(query, directory, &host)?;
    check_host(&host, port, parameters.socket.is_some())?;

    let mut left = format!("{user}@{address}/{written}");
    if !parameters.written.is_empty() {
        left.push('?');
        left.push_str(&parameters.written.join("&"));
    }
    Ok(Parsed {
        url: MysqlUrl {
            user: name,
            host,
            port: port.unwrap_or(DEFAULT_PORT),
            socket: parameters.socket,
            database,
            tls: parameters.tls,
            tls_is_default: parameters.tls_is_default,
            tls_ca: parameters.ca,
            tls_client: parameters.certificate.zip(parameters.key),
            server_public_key: parameters.server_key,
            connect_timeout: Duration::from_secs(parameters.patience.into()),
        },
        rest: left,
        password: (!password_text.is_empty()).then(|| SecretString::from(password_text)),
    })
}

fn check_host(host: &str, port: Option<u16>, is_by_socket: bool) -> Result<(), Flaw> {
    if is_by_socket {
        if !(host.is_empty() || host.eq_ignore_ascii_case("localhost")) || port.is_some() {
            return Err(Flaw::with_help(
                "the URL names a host and a socket",
                "with `socket`, the host is `localhost`, without a port",
            ));
        }
    } else if host.is_empty() {
        return Err(form("the URL names no host"));
    }
    Ok(())
}

fn form(message: &str) -> Flaw {
    Flaw::new(message).allowed(FORM)
}

fn check_database(name: &str) -> Result<(), Flaw> {
    if name.is_empty() {
        return Err(form("the URL names no database"));
    }
    if SYSTEM.iter().any(|one| one.eq_ignore_ascii_case(name)) {
        return Err(Flaw::with_help(
            format!("{} is the server's own database", quote(name)),
            "users, grants and the server's settings are not copied: name the application's database",
        ));
    }
    if name.chars().count() > LONGEST_DATABASE || name.ends_with(' ') {
        return Err(Flaw::with_help(
            "no database can have this name",
            "it has at most 64 characters, and no blank at its end",
        ));
    }
    Ok(())
}

/// `HOST`, `HOST:PORT`, or an IPv6 address in brackets.
fn read_address(text: &str) -> Result<(String, Option<u16>), Flaw> {
    if text.contains(',') {
        return Err(form("the URL names more than one host"));
    }
    let (host, port) = if let Some(inside) = text.strip_prefix('[') {
        let (inside, after) = inside
            .split_once(']')
            .ok_or_else(|| form("the URL's `[` is never closed"))?;
        // A link-local address may name its interface: [fe80::1%25eth0].
        let host = percent_decoded_text(inside).unwrap_or_default();
        let (address, zone) = host.split_once('%').unwrap_or((&host, "-"));
        if address.parse::<Ipv6Addr>().is_err() || zone.is_empty() {
            return Err(form("what the URL has in brackets is not an IPv6 address"));
        }
        let port = match after.strip_prefix(':') {
            Some(port) => Some(port),
            None if after.is_empty() => None,
            None => return Err(form("the URL has something between `]` and the port")),
        };
        (host, port)
    } else {
        if text.matches(':').count() > 1 {
            return Err(Flaw::with_help(
                "the URL's host has more than one colon",
                "write an IPv6 address in brackets: [::1], and `:` in a user's name or password as %3A",
            ));
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        if !host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        {
            return Err(form(
                "the URL's host has a character that no host's name has",
            ));
        }
        (host.to_owned(), port)
    };
    let port = match port {
        Some(port) => match port.parse::<u16>() {
            Ok(number) if number > 0 && !port.starts_with('+') => Some(number),
            _ => {
                return Err(Flaw::with_help(
                    "the URL's port is not a number from 1 to 65535",
                    ENCODE,
                ));
            }
        },
        None => None,
    };
    Ok((host, port))
}
