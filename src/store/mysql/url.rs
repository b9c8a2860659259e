//! URLs of MySQL and MariaDB: `mysql://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?PARAMETERS]`, or `mariadb://`.

#[cfg(test)]
mod tests;

use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::config::{
    Flaw, ParsedUrl, Risk, StoreFormat, StoreKind, did_you_mean, is_here, percent_decoded_text,
    percent_encoded, quote,
};
use crate::store::url::{ENCODE, risk_without_tls};

/// The store's kind.
pub const KIND: StoreKind = StoreKind::new("mysql");

const FORM: &str =
    "mysql://USER@HOST[:PORT]/DATABASE, or mysql://USER@localhost/DATABASE?socket=/PATH";
const PARAMETERS: [&str; 7] = [
    "connect_timeout",
    "server_public_key",
    "socket",
    "tls",
    "tls_ca",
    "tls_cert",
    "tls_key",
];
const ALL_PARAMETERS: &str =
    "connect_timeout | server_public_key | socket | tls | tls_ca | tls_cert | tls_key";
const TLS: [(&str, MysqlTls); 5] = [
    ("disable", MysqlTls::Disable),
    ("prefer", MysqlTls::Prefer),
    ("require", MysqlTls::Require),
    ("verify-ca", MysqlTls::VerifyCa),
    ("verify-full", MysqlTls::VerifyFull),
];
/// The server's own databases.
const SYSTEM: [&str; 4] = ["mysql", "information_schema", "performance_schema", "sys"];
/// In characters (MySQL manual, "Identifier Length Limits"; MariaDB's is the same).
const LONGEST_DATABASE: usize = 64;
const DEFAULT_PORT: u16 = 3306;
/// In seconds.
const DEFAULT_PATIENCE: u32 = 30;

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

    fn own_keys(&self) -> &'static [&'static str] {
        &["definer", "events"]
    }

    fn read_url(&self, scheme: &str, rest: &str, directory: &Path) -> Result<ParsedUrl, Flaw> {
        let parsed = parse(rest, directory)?;
        Ok(ParsedUrl {
            text: format!("{scheme}://{}", parsed.rest),
            password: parsed.password,
            place: parsed.url.place(),
            database: Some(parsed.url.database.clone()),
            risk: parsed.url.risk(),
            address: Arc::new(parsed.url),
        })
    }
}

/// Whether a connection is encrypted, and what the server has to prove. A Unix socket is never encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MysqlTls {
    /// Never.
    Disable,
    /// If the server can; the default on this machine.
    Prefer,
    /// Always; whoever the server is. The default for other machines.
    Require,
    /// Always, and the server's certificate is signed by a known authority.
    VerifyCa,
    /// And it is for the host in the URL.
    VerifyFull,
}

/// What a URL of MySQL or MariaDB says, percent-decoded. Its password is kept apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MysqlUrl {
    /// Who logs in.
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
    if parameters.socket.is_some() {
        if !(host.is_empty() || host.eq_ignore_ascii_case("localhost")) || port.is_some() {
            return Err(Flaw::with_help(
                "the URL names a host and a socket",
                "with `socket`, the host is `localhost`, without a port",
            ));
        }
    } else if host.is_empty() {
        return Err(form("the URL names no host"));
    }

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

struct Parameters {
    socket: Option<PathBuf>,
    tls: MysqlTls,
    tls_is_default: bool,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    server_key: Option<PathBuf>,
    /// In seconds.
    patience: u32,
    /// All of them, with absolute files.
    written: Vec<String>,
}

impl Parameters {
    fn read(query: &str, directory: &Path, host: &str) -> Result<Self, Flaw> {
        let mut all = Self {
            socket: None,
            tls: MysqlTls::Prefer,
            tls_is_default: true,
            ca: None,
            certificate: None,
            key: None,
            server_key: None,
            patience: DEFAULT_PATIENCE,
            written: Vec::new(),
        };
        let mut seen: Vec<&str> = Vec::new();
        for parameter in query.split('&').filter(|p| !p.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            if seen.contains(&name) {
                return Err(Flaw::with_help(
                    format!("the URL says {} twice", quote(name)),
                    "keep one of them",
                ));
            }
            seen.push(name);
            match name {
                "socket" => {
                    let path = value_of(name, value)?;
                    if !path.starts_with('/') {
                        return Err(Flaw::with_help(
                            "`socket` is not an absolute path",
                            "write it as socket=/run/mysqld/mysqld.sock",
                        ));
                    }
                    all.socket = Some(path.into());
                    all.written.push(parameter.to_owned());
                }
                "tls" => {
                    (all.tls, all.tls_is_default) = (read_tls(value)?, false);
                    all.written.push(parameter.to_owned());
                }
                "connect_timeout" => {
                    all.patience = read_seconds(value)?;
                    all.written.push(parameter.to_owned());
                }
                "server_public_key" => {
                    all.server_key = Some(all.file("server_public_key", value, directory)?);
                }
                "tls_ca" => all.ca = Some(all.file("tls_ca", value, directory)?),
                "tls_cert" => all.certificate = Some(all.file("tls_cert", value, directory)?),
                "tls_key" => all.key = Some(all.file("tls_key", value, directory)?),
                _ => return Err(unknown(name)),
            }
        }
        if all.tls_is_default && all.socket.is_none() && !is_here(host) {
            all.tls = MysqlTls::Require;
        }
        all.check()?;
        Ok(all)
    }

    /// A relative file starts in the job file's directory.
    fn file(&mut self, name: &str, value: &str, directory: &Path) -> Result<PathBuf, Flaw> {
        let path = value_of(name, value)?;
        let absolute = directory.join(&path);
        if path.starts_with('/') {
            self.written.push(format!("{name}={value}"));
        } else {
            let text = absolute.to_str().ok_or_else(|| {
                Flaw::with_help(
                    "a relative file cannot be reached from a directory whose name is not UTF-8",
                    "write the file's absolute path",
                )
            })?;
            self.written.push(format!("{name}={}", encode(text)));
        }
        Ok(absolute)
    }

    fn check(&self) -> Result<(), Flaw> {
        let files = self.ca.is_some() || self.certificate.is_some() || self.key.is_some();
        let plain = matches!(self.tls, MysqlTls::Disable | MysqlTls::Prefer);
        if self.socket.is_some() && self.server_key.is_some() {
            return Err(Flaw::with_help(
                "`server_public_key` is of no use through a socket",
                "what goes through a Unix socket never leaves the machine: leave it out",
            ));
        }
        if self.server_key.is_some() && !plain {
            return Err(Flaw::with_help(
                "`server_public_key` is for a connection without TLS, and TLS is required",
                "leave it out, or write tls=prefer or tls=disable beside it",
            ));
        }
        if self.socket.is_some() && (files || !plain) {
            return Err(Flaw::with_help(
                "the URL asks for TLS through a socket",
                "what goes through a Unix socket never leaves the machine: leave `tls` and its files out",
            ));
        }
        if self.ca.is_some() && !matches!(self.tls, MysqlTls::VerifyCa | MysqlTls::VerifyFull) {
            return Err(Flaw::with_help(
                "`tls_ca` says whom to trust, but `tls` trusts anybody",
                "add tls=verify-full, or tls=verify-ca",
            ));
        }
        if self.certificate.is_some() != self.key.is_some() {
            return Err(Flaw::with_help(
                "`tls_cert` and `tls_key` belong together",
                "give both of them, or none",
            ));
        }
        if self.certificate.is_some() && plain {
            return Err(Flaw::with_help(
                "`tls_cert` would not always be shown to the server",
                "add tls=verify-full, tls=verify-ca or tls=require",
            ));
        }
        Ok(())
    }
}

fn value_of(name: &str, value: &str) -> Result<String, Flaw> {
    let text = percent_decoded_text(value).ok_or_else(|| {
        Flaw::with_help(
            format!("`{name}` in the URL is not well percent-encoded"),
            ENCODE,
        )
    })?;
    if text.is_empty() || text.ends_with('/') {
        return Err(Flaw::with_help(
            format!("`{name}` in the URL names no file"),
            format!("write it as {name}=/PATH/TO/FILE"),
        ));
    }
    Ok(text)
}

fn read_tls(value: &str) -> Result<MysqlTls, Flaw> {
    TLS.iter()
        .find(|(word, _)| *word == value)
        .map(|(_, tls)| *tls)
        .ok_or_else(|| {
            Flaw::new(format!("tls={} is not possible in a URL", quote(value)))
                .allowed("disable | prefer | require | verify-ca | verify-full")
                .maybe_help(did_you_mean(value, TLS.map(|(word, _)| word)))
        })
}

fn read_seconds(value: &str) -> Result<u32, Flaw> {
    match value.parse() {
        Ok(seconds) if seconds > 0 && !value.starts_with('+') => Ok(seconds),
        _ => Err(Flaw::with_help(
            "`connect_timeout` is not a number of seconds",
            "write it as connect_timeout=30",
        )),
    }
}

fn unknown(name: &str) -> Flaw {
    let lower = name.to_ascii_lowercase();
    let help = if lower.starts_with("ssl") {
        Some("TLS is asked for with tls=require or tls=verify-full".to_owned())
    } else if lower.starts_with("pass") || lower.starts_with("pwd") {
        Some("give the password as `password = { file = \"PATH\" }` beside `url`".to_owned())
    } else {
        did_you_mean(name, PARAMETERS)
    };
    Flaw::new(format!("{} is not a parameter of a MySQL URL", quote(name)))
        .allowed(ALL_PARAMETERS)
        .maybe_help(help)
}

/// A path as a parameter's value.
fn encode(path: &str) -> String {
    percent_encoded(path, &['%', '&', '?', '#', '@', ' '])
}
