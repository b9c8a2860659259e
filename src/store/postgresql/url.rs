//! URLs of PostgreSQL: `postgresql://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?PARAMETERS]`. What no connection could be made
//! with is refused here, where its line is known.

mod auth_methods;
mod parameters;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use secrecy::SecretString;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use self::parameters::check;
use crate::config::{
    Flaw, OwnKey, ParsedUrl, Risk, StoreFormat, StoreKind, is_here, percent_decoded_text,
};
use crate::store::url::{ENCODE, risk_without_tls};
use crate::tls;

pub(super) use self::auth_methods::AuthMethods;

const FORM: &str = "postgresql://USER@HOST/DATABASE";

/// The store's kind.
pub const KIND: StoreKind = StoreKind::new("postgresql");

/// PostgreSQL as configuration files have it.
pub(in crate::store) struct Format;

impl StoreFormat for Format {
    fn kind(&self) -> StoreKind {
        KIND
    }

    fn schemes(&self) -> &'static [&'static str] {
        &["postgresql", "postgres"]
    }

    fn forms(&self) -> &'static [&'static str] {
        &[FORM]
    }

    fn own_keys(&self) -> &'static [OwnKey] {
        &[OwnKey {
            name: "trust_source",
            not_in_a_push: Some(
                "whose code runs with which rights is decided where it is restored",
            ),
        }]
    }

    fn read_url(&self, _scheme: &str, rest: &str, _directory: &Path) -> Result<ParsedUrl, Flaw> {
        read(rest)
    }
}

/// A PostgreSQL URL. Its password is kept apart.
#[derive(Debug, Clone)]
pub(super) struct PostgresqlUrl {
    /// User, hosts, database, and those of the parameters that tokio-postgres knows.
    pub(super) config: Config,
    /// When a connection by the network is encrypted.
    pub(super) mode: SslMode,
    /// The URL does not say so: it is the default.
    pub(super) mode_is_default: bool,
    /// libpq's word for it, for `pg_dump`.
    pub(super) ssl_mode: String,
    pub(super) tls: tls::Settings,
    /// How the server may ask for the password.
    pub(super) methods: Option<AuthMethods>,
}

impl PostgresqlUrl {
    /// Takes a URL without a password apart. `sslmode`, `sslrootcert`, `sslcert` and `sslkey` are libpq's.
    fn of(url: &str) -> Result<Self, Flaw> {
        let (bare, own) = cut_own(url);
        let wrong =
            |what: &dyn std::fmt::Display| Flaw::new(format!("not a PostgreSQL URL: {what}"));
        let mut config = Config::from_str(&bare).map_err(|error| {
            let cause = std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string);
            wrong(&cause)
        })?;
        if config.get_dbname().is_none_or(str::is_empty) {
            return Err(wrong(&"it names no database").help("postgresql://user@host/DATABASE"));
        }
        if config.get_user().is_none_or(str::is_empty) {
            return Err(wrong(&"it names no user").help("postgresql://USER@host/database"));
        }
        let own = Own::read(own)?;
        let (word, mode_is_default) = match own.mode {
            Some(word) => (word, false),
            None if is_on_this_machine(&config) => ("prefer".to_owned(), true),
            None => ("require".to_owned(), true),
        };
        let (mode, mut trust) = mode_and_trust(&word).ok_or_else(|| {
            wrong(&format!("sslmode={word}"))
                .help("sslmode is disable, prefer, require, verify-ca or verify-full")
        })?;
        // libpq: with a root certificate at hand, `require` verifies as `verify-ca` does.
        if mode == SslMode::Require && trust == tls::Trust::Anybody && own.root.is_some() {
            trust = tls::Trust::Authority;
        }
        let client = match (own.certificate, own.key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(wrong(&"sslcert and sslkey go together")),
        };
        fill_hosts(&mut config);
        Ok(Self {
            config,
            mode,
            mode_is_default,
            ssl_mode: word,
            tls: tls::Settings {
                trust,
                root: own.root,
                client,
            },
            methods: own.methods,
        })
    }

    /// What is at risk because it gives up TLS.
    fn risk(&self) -> Option<Risk> {
        let word = self.ssl_mode.as_str();
        let gives_up = matches!(word, "disable" | "allow" | "prefer");
        (gives_up && !is_on_this_machine(&self.config)).then(|| risk_without_tls("sslmode", word))
    }
}

/// The mode and the trust that a word of `sslmode` stands for.
fn mode_and_trust(word: &str) -> Option<(SslMode, tls::Trust)> {
    Some(match word {
        "disable" => (SslMode::Disable, tls::Trust::Anybody),
        "prefer" | "allow" => (SslMode::Prefer, tls::Trust::Anybody),
        "require" => (SslMode::Require, tls::Trust::Anybody),
        "verify-ca" => (SslMode::Require, tls::Trust::Authority),
        "verify-full" => (SslMode::Require, tls::Trust::Host),
        _ => return None,
    })
}

/// Whether all of its hosts are this machine, or sockets on it. `hostaddr` is what is connected to where it is given.
pub(super) fn is_on_this_machine(config: &Config) -> bool {
    // The parameter `host` may be a list, and is one host to tokio-postgres.
    let are_here = |hosts: &str| {
        hosts
            .split(',')
            .all(|host| host.starts_with('/') || is_here(host))
    };
    let addresses = config.get_hostaddrs();
    if !addresses.is_empty() {
        return addresses
            .iter()
            .all(|address| is_here(&address.to_string()));
    }
    config.get_hosts().iter().all(|host| match host {
        Host::Tcp(host) => are_here(host),
        Host::Unix(path) => are_here(&path.to_string_lossy()),
    })
}

/// Without a host it is the addresses' one, or the usual socket's.
fn fill_hosts(config: &mut Config) {
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

/// The parameters of libpq that tokio-postgres knows only in part, or not at all.
#[derive(Default)]
struct Own {
    mode: Option<String>,
    root: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    methods: Option<AuthMethods>,
}

impl Own {
    fn read(parameters: Vec<(String, String)>) -> Result<Self, Flaw> {
        let mut own = Self::default();
        for (name, value) in parameters {
            match name.as_str() {
                "sslmode" => own.mode = Some(value),
                "sslrootcert" if value == "system" => {}
                "sslrootcert" => own.root = Some(value.into()),
                "sslcert" => own.certificate = Some(value.into()),
                "require_auth" => {
                    let methods = AuthMethods::parse(&value).ok_or_else(|| {
                        Flaw::new(format!("not a PostgreSQL URL: require_auth={value}"))
                    })?;
                    own.methods = Some(methods);
                }
                _ => own.key = Some(value.into()),
            }
        }
        Ok(own)
    }
}

/// Splits these from a URL.
fn cut_own(url: &str) -> (String, Vec<(String, String)>) {
    let Some((head, query)) = url.split_once('?') else {
        return (url.to_owned(), Vec::new());
    };
    let (mut rest, mut own) = (Vec::new(), Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if matches!(
            name,
            "sslmode" | "sslrootcert" | "sslcert" | "sslkey" | "require_auth"
        ) {
            let value = percent_decoded_text(value).unwrap_or_default();
            own.push((name.to_owned(), value));
        } else {
            rest.push(pair);
        }
    }
    let url = if rest.is_empty() {
        head.to_owned()
    } else {
        format!("{head}?{}", rest.join("&"))
    };
    (url, own)
}

/// RFC 3986, with libpq's own: several hosts, and parameters in the query
/// (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>).
fn read(rest: &str) -> Result<ParsedUrl, Flaw> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    if tail.contains('#') || path.contains('@') || path.matches('/').count() > 1 {
        return Err(Flaw::with_help(
            "the URL has a character that splits it oddly",
            ENCODE,
        ));
    }
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (Some(user), hosts),
        None => (None, authority),
    };
    check_ports(hosts)?;
    let (user, mut password) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
        Some((user, password)) => (Some(user), (!password.is_empty()).then_some(password)),
        None => (None, None),
    };
    let parameters = read_parameters(query, &mut password)?;
    let mut url = "postgresql://".to_owned();
    if let Some(user) = user {
        url.push_str(user);
        url.push('@');
    }
    url.push_str(hosts);
    url.push_str(path);
    if !parameters.is_empty() {
        url.push('?');
        url.push_str(&parameters.join("&"));
    }
    if percent_decoded_text(&url).is_none() {
        return Err(Flaw::with_help(
            "a `%` in the URL is not followed by two digits",
            ENCODE,
        ));
    }
    whole(user, hosts, path, &parameters)?;
    let password = password.filter(|p| !p.is_empty());
    let password = password.map(|password| {
        percent_decoded_text(password)
            .map(SecretString::from)
            .ok_or_else(|| {
                Flaw::with_help("the URL's password is not well percent-encoded", ENCODE)
            })
    });
    let password = password.transpose()?;
    let address = PostgresqlUrl::of(&url)?;
    Ok(ParsedUrl {
        place: place(&url),
        database: address.config.get_dbname().map(str::to_owned),
        risk: address.risk(),
        bucket: None,
        has_no_swap: false,
        address: Arc::new(address),
        text: url,
        password,
    })
}

fn check_ports(hosts: &str) -> Result<(), Flaw> {
    for host in hosts.split(',') {
        let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
        if let Some((_, port)) = after.split_once(':')
            && port.parse::<u16>().is_err()
        {
            return Err(Flaw::with_help("the URL's port is not a number", ENCODE));
        }
    }
    Ok(())
}

/// The parameters that are kept. A password among them is taken out.
fn read_parameters<'u>(
    query: &'u str,
    password: &mut Option<&'u str>,
) -> Result<Vec<&'u str>, Flaw> {
    let mut parameters = Vec::new();
    for parameter in query.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name {
            "password" if password.is_some() => {
                return Err(Flaw::with_help(
                    "the URL has two passwords",
                    "keep one of them",
                ));
            }
            "password" => *password = Some(value),
            "sslpassword" | "passfile" => {
                return Err(Flaw::with_help(
                    format!("`{name}` is not supported in a URL"),
                    "give the password as `password = { file = \"PATH\" }` beside `url`",
                ));
            }
            _ => {
                check(name, value)?;
                parameters.push(parameter);
            }
        }
    }
    Ok(parameters)
}

/// The URL without user and parameters, as all that lead to the same database have it.
fn place(url: &str) -> String {
    let rest = url.strip_prefix("postgresql://").unwrap_or(url);
    let (rest, _) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
    // Without a host, the parameters say which server it is: then nothing can be said without them.
    if hosts.is_empty() {
        return url.to_owned();
    }
    let hosts = hosts.to_ascii_lowercase();
    let hosts = hosts.strip_suffix(":5432").unwrap_or(&hosts);
    format!("postgresql://{hosts}/{path}")
}

/// Whether it says all that is needed. `path` is what stands between hosts and parameters.
fn whole(user: Option<&str>, hosts: &str, path: &str, parameters: &[&str]) -> Result<(), Flaw> {
    let given = |wanted: &str| {
        parameters
            .iter()
            .filter_map(|one| one.split_once('='))
            .filter(|(name, value)| *name == wanted && !value.is_empty())
            .map(|(_, value)| value)
            .next_back()
    };
    if user.is_none_or(str::is_empty) && given("user").is_none() {
        return Err(Flaw::with_help("the URL names no user", FORM));
    }
    if path.trim_start_matches('/').is_empty() && given("dbname").is_none() {
        return Err(Flaw::with_help("the URL names no database", FORM));
    }
    if given("sslcert").is_some() != given("sslkey").is_some() {
        return Err(Flaw::with_help(
            "sslcert and sslkey go together",
            "give the certificate's key, too, or leave both out",
        ));
    }
    let count = |list: &str| percent_decoded_text(list).map_or(1, |list| list.split(',').count());
    let named = if hosts.is_empty() { 0 } else { count(hosts) };
    let servers = named + given("host").map_or(0, count);
    let addresses = given("hostaddr").map_or(0, count);
    if servers > 0 && addresses > 0 && servers != addresses {
        return Err(Flaw::with_help(
            "the URL has not as many hostaddr as hosts",
            "give each host one, or leave hostaddr out",
        ));
    }
    let ports = named + given("port").map_or(0, count);
    if ports > 1 && ports != servers.max(addresses).max(1) {
        return Err(Flaw::with_help(
            "the URL has not as many ports as hosts",
            "give one port for all hosts, or each host one",
        ));
    }
    Ok(())
}
