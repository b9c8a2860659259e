//! URLs of PostgreSQL: `postgresql://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?PARAMETERS]`. What no connection could be made
//! with is refused here, where its line is known.

use std::net::IpAddr;

use secrecy::SecretString;

use super::{ENCODE, Flaw, Found, Location, decode, flaw, is_here};
use crate::config::diagnostics::did_you_mean;
use crate::config::document::quote;
use crate::config::job::StoreKind;

/// What a parameter may be.
enum Values {
    Any,
    Number,
    /// What `require_auth` may be.
    Methods,
    /// IP addresses, with commas between.
    Addresses,
    Ports,
    Words(&'static [&'static str]),
}

const PARAMETERS: &[(&str, Values)] = &[
    ("application_name", Values::Any),
    (
        "channel_binding",
        Values::Words(&["disable", "prefer", "require"]),
    ),
    ("connect_timeout", Values::Number),
    ("dbname", Values::Any),
    ("host", Values::Any),
    ("hostaddr", Values::Addresses),
    ("keepalives", Values::Words(&["0", "1"])),
    ("keepalives_idle", Values::Number),
    ("keepalives_interval", Values::Number),
    ("keepalives_retries", Values::Number),
    ("load_balance_hosts", Values::Words(&["disable", "random"])),
    ("options", Values::Any),
    ("port", Values::Ports),
    ("require_auth", Values::Methods),
    ("sslcert", Values::Any),
    ("sslkey", Values::Any),
    (
        "sslmode",
        Values::Words(&[
            "disable",
            "allow",
            "prefer",
            "require",
            "verify-ca",
            "verify-full",
        ]),
    ),
    ("sslnegotiation", Values::Words(&["postgres", "direct"])),
    ("sslrootcert", Values::Any),
    (
        "target_session_attrs",
        Values::Words(&["any", "read-write", "read-only"]),
    ),
    ("tcp_user_timeout", Values::Number),
    ("user", Values::Any),
];

const FORM: &str = "postgresql://USER@HOST/DATABASE";

/// Their names, for people.
const NAMES: &str = "application_name | channel_binding | connect_timeout | dbname | host | hostaddr | keepalives | keepalives_idle | keepalives_interval | keepalives_retries | load_balance_hosts | options | port | require_auth | sslcert | sslkey | sslmode | sslnegotiation | sslrootcert | target_session_attrs | tcp_user_timeout | user";

/// Those of libpq's that lead elsewhere, with what to do instead.
const NOT_HERE: &[(&str, &str)] = &[
    (
        "service",
        "pg_service.conf is not read: write user, host, port and database into the URL",
    ),
    (
        "gssencmode",
        "there is no encryption by GSSAPI here: leave it out, and encrypt with sslmode",
    ),
    (
        "krbsrvname",
        "nobody logs in by GSSAPI here: leave it out, and give a password or a certificate",
    ),
    (
        "requirepeer",
        "leave it out: who owns a Unix socket is not asked",
    ),
];

/// RFC 3986, with libpq's own: several hosts, and parameters in the query
/// (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS>).
pub(super) fn read(rest: &str) -> Result<Location, Flaw> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    if tail.contains('#') || path.contains('@') || path.matches('/').count() > 1 {
        return Err(flaw("the URL has a character that splits it oddly", ENCODE));
    }
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (Some(user), hosts),
        None => (None, authority),
    };
    for host in hosts.split(',') {
        let after = host.rsplit_once(']').map_or(host, |(_, after)| after);
        if let Some((_, port)) = after.split_once(':')
            && port.parse::<u16>().is_err()
        {
            return Err(flaw("the URL's port is not a number", ENCODE));
        }
    }
    let (user, mut password) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
        Some((user, password)) => (Some(user), (!password.is_empty()).then_some(password)),
        None => (None, None),
    };
    let mut parameters = Vec::new();
    for parameter in query.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name {
            "password" if password.is_some() => {
                return Err(flaw("the URL has two passwords", "keep one of them"));
            }
            "password" => password = Some(value),
            "sslpassword" | "passfile" => {
                return Err(flaw(
                    &format!("`{name}` is not supported in a URL"),
                    "give the password as `password = { file = \"PATH\" }` beside `url`",
                ));
            }
            _ => {
                check(name, value)?;
                parameters.push(parameter);
            }
        }
    }
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
    if decode(&url).is_none() {
        return Err(flaw(
            "a `%` in the URL is not followed by two digits",
            ENCODE,
        ));
    }
    whole(user, hosts, path, &parameters)?;
    let password = match password.filter(|p| !p.is_empty()) {
        Some(password) => Some(
            decode(password)
                .map(SecretString::from)
                .ok_or_else(|| flaw("the URL's password is not well percent-encoded", ENCODE))?,
        ),
        None => None,
    };
    Ok(Location {
        found: Found::Store(StoreKind::Postgresql),
        url,
        password,
    })
}

/// Whether a parameter is one that can be followed.
fn check(name: &str, value: &str) -> Result<(), Flaw> {
    if let Some((_, instead)) = NOT_HERE.iter().find(|(other, _)| *other == name) {
        return Err(flaw(
            &format!("`{name}` is not supported in a PostgreSQL URL"),
            instead,
        ));
    }
    let Some((_, values)) = PARAMETERS.iter().find(|(known, _)| *known == name) else {
        // Its name may be a part of a password, and is not repeated.
        return Err(Flaw {
            message: "the URL has a parameter that is not PostgreSQL's".to_owned(),
            allowed: Some(NAMES),
            help: did_you_mean(name, PARAMETERS.iter().map(|(known, _)| *known)),
        });
    };
    let Some(value) = decode(value) else {
        return Ok(());
    };
    let each = |fine: fn(&str) -> bool| value.split(',').all(fine);
    let (fine, allowed) = match values {
        Values::Any => (true, String::new()),
        Values::Number => (value.parse::<u32>().is_ok(), "a number".to_owned()),
        Values::Methods => (
            AuthMethods::parse(&value).is_some(),
            format!(
                "one or more of: {}, with commas between, or all of them with `!` before",
                AuthMethods::WORDS.join(", ")
            ),
        ),
        Values::Addresses => (
            each(|one| one.parse::<IpAddr>().is_ok()),
            "an IP address".to_owned(),
        ),
        Values::Ports => (
            each(|one| one.parse::<u16>().is_ok()),
            "a port's number".to_owned(),
        ),
        Values::Words(words) => (
            words.contains(&value.as_str()),
            format!("one of: {}", words.join(", ")),
        ),
    };
    if fine {
        return Ok(());
    }
    let guess = match values {
        Values::Words(words) => did_you_mean(&value, words.iter().copied()),
        _ => None,
    };
    let guess = guess.map(|guess| format!("; {guess}")).unwrap_or_default();
    Err(Flaw {
        message: format!("{name} cannot be {}", quote(&value)),
        allowed: None,
        help: Some(format!("{name} is {allowed}{guess}")),
    })
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
        return Err(flaw("the URL names no user", FORM));
    }
    if path.trim_start_matches('/').is_empty() && given("dbname").is_none() {
        return Err(flaw("the URL names no database", FORM));
    }
    if given("sslcert").is_some() != given("sslkey").is_some() {
        return Err(flaw(
            "sslcert and sslkey go together",
            "give the certificate's key, too, or leave both out",
        ));
    }
    let count = |list: &str| decode(list).map_or(1, |list| list.split(',').count());
    let named = if hosts.is_empty() { 0 } else { count(hosts) };
    let servers = named + given("host").map_or(0, count);
    let addresses = given("hostaddr").map_or(0, count);
    if servers > 0 && addresses > 0 && servers != addresses {
        return Err(flaw(
            "the URL has not as many hostaddr as hosts",
            "give each host one, or leave hostaddr out",
        ));
    }
    let ports = named + given("port").map_or(0, count);
    if ports > 1 && ports != servers.max(addresses).max(1) {
        return Err(flaw(
            "the URL has not as many ports as hosts",
            "give one port for all hosts, or each host one",
        ));
    }
    Ok(())
}

/// How a server may ask for the password: libpq's `require_auth`
/// (<https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNECT-REQUIRE-AUTH>).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthMethods {
    methods: Vec<&'static str>,
    /// They are the ones that may not be.
    are_refused: bool,
}

impl AuthMethods {
    /// Its words.
    pub const WORDS: [&str; 6] = ["password", "md5", "gss", "sspi", "scram-sha-256", "none"];

    /// Words with commas between, all of them with a `!` before or none; each once.
    pub fn parse(text: &str) -> Option<Self> {
        let are_refused = text.starts_with('!');
        let mut methods = Vec::new();
        for word in text.split(',') {
            let bare = word.strip_prefix('!');
            if bare.is_some() != are_refused {
                return None;
            }
            let bare = bare.unwrap_or(word);
            let known = Self::WORDS.into_iter().find(|known| *known == bare)?;
            if methods.contains(&known) {
                return None;
            }
            methods.push(known);
        }
        Some(Self {
            methods,
            are_refused,
        })
    }

    /// Whether the server may ask by this one of [`Self::WORDS`].
    pub fn allow(&self, method: &str) -> bool {
        self.methods.contains(&method) != self.are_refused
    }
}

impl std::fmt::Display for AuthMethods {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sign = if self.are_refused { "!" } else { "" };
        let words: Vec<String> = self
            .methods
            .iter()
            .map(|method| format!("{sign}{method}"))
            .collect();
        f.write_str(&words.join(","))
    }
}

/// Whether TLS is required because a URL says nothing of it and its server is, or may be, on another machine.
pub fn tls_is_required(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("postgresql://") else {
        return false;
    };
    let found = Transport::of(rest);
    found.mode.is_none() && !found.is_here
}

/// How a URL's server is reached.
pub(super) struct Transport {
    /// `sslmode`, if it is said: the last one counts.
    pub(super) mode: Option<String>,
    /// All of its hosts are this machine, or sockets on it. `hostaddr` is what is connected to where it is given.
    pub(super) is_here: bool,
}

impl Transport {
    /// Reads what stands behind `postgresql://`.
    pub(super) fn of(rest: &str) -> Self {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = rest.split('/').next().unwrap_or_default();
        let named = authority
            .rsplit_once('@')
            .map_or(authority, |(_, hosts)| hosts);
        let mut hosts: Vec<String> = Vec::new();
        for host in named.split(',').filter(|_| !named.is_empty()) {
            let port = host
                .rfind(':')
                .filter(|at| !host[*at..].contains(']'))
                .unwrap_or(host.len());
            hosts.extend(decode(&host[..port]));
        }
        let (mut addresses, mut mode) = (Vec::new(), None);
        for parameter in query.split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = decode(value).unwrap_or_default();
            let list = value.split(',').map(str::to_owned);
            match name {
                "host" => hosts.extend(list),
                "hostaddr" => addresses.extend(list),
                "sslmode" => mode = Some(value),
                _ => {}
            }
        }
        let reached = if addresses.is_empty() {
            hosts
        } else {
            addresses
        };
        Self {
            mode,
            is_here: reached
                .iter()
                .all(|host| host.starts_with('/') || is_here(host)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaw_of(rest: &str) -> String {
        match read(rest) {
            Ok(location) => panic!("{rest} became {}", location.url),
            Err(flaw) => [
                Some(flaw.message),
                flaw.allowed.map(str::to_owned),
                flaw.help,
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("; "),
        }
    }

    #[test]
    fn what_no_connection_could_be_made_with_is_refused_with_what_is_allowed() {
        for (rest, said) in [
            ("u@h", "names no database"),
            ("h/d", "names no user"),
            ("u@h/d?sslmode=nonsense", "disable, allow, prefer, require"),
            ("u@h/d?sslmode=verify_full", "verify-full"),
            ("u@h/d?ssmode=require", "sslmode"),
            ("u@h/d?connect_timeout=abc", "connect_timeout is a number"),
            ("u@h/d?service=app", "pg_service.conf is not read"),
            ("u@h/d?gssencmode=disable", "sslmode"),
            ("u@h/d?target_session_attrs=primary", "read-write"),
            ("u@h/d?channel_binding=never", "disable, prefer, require"),
            ("u@h/d?require_auth=scram", "scram-sha-256"),
            ("u@h/d?require_auth=md5,!password", "with `!` before"),
            ("u@h/d?require_auth=", "one or more of"),
            ("u@h/d?sslcert=/a.pem", "sslkey"),
            ("u@h/d?hostaddr=nowhere", "an IP address"),
            ("u@a,b/d?hostaddr=127.0.0.1", "as many hostaddr as hosts"),
            ("u@/d?host=a,b&port=1,2,3", "as many ports as hosts"),
        ] {
            let text = flaw_of(rest);
            assert!(text.contains(said), "{rest}: {text}");
        }
    }

    #[test]
    fn every_parameter_that_is_allowed_can_be_read() {
        for (name, words) in PARAMETERS {
            let value = match *name {
                "hostaddr" => "127.0.0.1",
                "sslcert" => "/c.pem&sslkey=/k.pem",
                "sslkey" => "/k.pem&sslcert=/c.pem",
                "host" => "/run/postgresql",
                _ => match words {
                    Values::Words(words) => words[0],
                    Values::Methods => "scram-sha-256",
                    _ => "10",
                },
            };
            let before = if matches!(*name, "host" | "port") {
                "u@"
            } else {
                "u@h"
            };
            if let Err(flaw) = read(&format!("{before}/d?{name}={value}")) {
                panic!("{name}: {}", flaw.message);
            }
            assert!(NAMES.split(" | ").any(|one| one == *name), "{name}");
        }
    }

    #[test]
    fn require_auth_allows_what_it_names_or_all_but_that() {
        let allowed = |text: &str| -> Vec<&str> {
            let methods = AuthMethods::parse(text).unwrap();
            assert_eq!(methods.to_string(), text);
            AuthMethods::WORDS
                .into_iter()
                .filter(|word| methods.allow(word))
                .collect()
        };
        assert_eq!(allowed("scram-sha-256"), ["scram-sha-256"]);
        assert_eq!(allowed("md5,none"), ["md5", "none"]);
        assert_eq!(
            allowed("!password,!md5"),
            ["gss", "sspi", "scram-sha-256", "none"]
        );
        for text in ["", ",", "md5,md5", "!md5,none", "md5,", "MD5", "! md5"] {
            assert_eq!(AuthMethods::parse(text), None, "{text}");
        }
    }

    #[test]
    fn tls_is_required_of_who_is_elsewhere_unless_the_url_says_otherwise() {
        for url in [
            "u@db1/d",
            "u@a,localhost/d",
            "u@localhost/d?hostaddr=10.0.0.1",
            "/d?host=db1",
        ] {
            assert!(tls_is_required(&format!("postgresql://{url}")), "{url}");
            let said = if url.contains('?') { '&' } else { '?' };
            assert!(!tls_is_required(&format!(
                "postgresql://{url}{said}sslmode=prefer"
            )));
        }
        for url in [
            "u@localhost/d",
            "u@[::1]:1/d",
            "u@/d?host=/run/x",
            "u@db1/d?hostaddr=127.0.0.1",
            "/d",
        ] {
            assert!(!tls_is_required(&format!("postgresql://{url}")), "{url}");
        }
    }
}
