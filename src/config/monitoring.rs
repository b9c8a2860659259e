//! `[icinga2]` and `[nsca]`: who is told how each run ended.

use std::path::PathBuf;
use std::time::Duration;

use super::diagnostics::Diagnostic;
use super::document::quote;
use super::reader::{Table, Value, optional};
use super::secrets::read_secret;
use crate::secret::Secret;

/// The port of Icinga 2's API.
const API_PORT: u16 = 5665;
/// The placeholder for the job's name in a service's name.
const JOB: &str = "{job}";

/// The receivers of passive check results.
#[derive(Debug, Clone, Default)]
pub struct Monitoring {
    /// `[icinga2]`.
    pub icinga2: Option<Icinga2>,
    /// `[nsca]`.
    pub nsca: Option<Nsca>,
}

impl Monitoring {
    /// Whether there is anybody to tell.
    pub fn is_none(&self) -> bool {
        self.icinga2.is_none() && self.nsca.is_none()
    }
}

/// Icinga 2's API.
#[derive(Debug, Clone)]
pub struct Icinga2 {
    /// `https://HOST:PORT`, without a slash at its end.
    pub url: String,
    /// As whom.
    pub login: Login,
    /// PEM file of the authorities to trust; `None`: the machine's.
    pub ca: Option<PathBuf>,
    /// Icinga's host object; `None`: this machine's name.
    pub host: Option<String>,
    /// Icinga's service object.
    pub service: ServiceName,
    /// How long a result is good for; `None`: until the job's next run should have ended.
    pub ttl: Option<Duration>,
}

/// How a client shows who it is.
#[derive(Debug, Clone)]
pub enum Login {
    /// By HTTP basic authentication.
    Password {
        /// The `ApiUser`.
        user: String,
        /// Its password.
        password: Secret,
    },
    /// By a certificate whose common name is the `ApiUser`'s `client_cn`.
    Certificate {
        /// PEM file: the certificate, and those between it and the authority.
        certificate: PathBuf,
        /// PEM file: its private key.
        key: PathBuf,
    },
}

/// An NSCA daemon, reached by `send_nsca`.
#[derive(Debug, Clone)]
pub struct Nsca {
    /// Where the daemon is.
    pub host: String,
    /// Its port; `None`: `send_nsca`'s own default.
    pub port: Option<u16>,
    /// `send_nsca`'s configuration file: password and encryption; `None`: its own default.
    pub config: Option<PathBuf>,
    /// The program.
    pub command: String,
    /// The monitoring's name of this host; `None`: this machine's.
    pub host_name: Option<String>,
    /// The monitoring's name of the service.
    pub service: ServiceName,
}

/// A service's name, in which `{job}` stands for the job's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceName(String);

impl Default for ServiceName {
    fn default() -> Self {
        Self(format!("envsyncd {JOB}"))
    }
}

impl ServiceName {
    /// The service of this job.
    pub fn of(&self, job: &str) -> String {
        self.0.replace(JOB, job)
    }
}

/// Reads both tables.
pub(super) fn read(root: &Table<'_>) -> Monitoring {
    let table = |key| root.get(key).and_then(|value| value.table());
    if cfg!(not(feature = "icinga"))
        && let Some(value) = root.get("icinga2")
    {
        value.report(
            value
                .wrong("this envsyncd was built without Icinga 2's API: nobody there is told")
                .warning(),
        );
    }
    Monitoring {
        icinga2: table("icinga2").and_then(read_icinga2),
        nsca: table("nsca").and_then(read_nsca),
    }
}

fn read_icinga2(table: Table<'_>) -> Option<Icinga2> {
    let url = table
        .required("url", "where Icinga 2's API is: \"https://HOST:5665\"")
        .and_then(|value| read_url(&value));
    let login = read_login(&table);
    let ca = table.get("ca").map(|value| value.path());
    let host = table.get("host").map(|value| read_name(&value));
    let service = read_service(&table);
    let ttl = table.get("ttl").map(|value| value.duration());
    table.finish();
    Some(Icinga2 {
        url: url?,
        login: login?,
        ca: optional(ca)?,
        host: optional(host)?,
        service: service?,
        ttl: optional(ttl)?,
    })
}

fn read_login(table: &Table<'_>) -> Option<Login> {
    let by_password = table.has("user") || table.has("password");
    let by_certificate = table.has("certificate") || table.has("key");
    match (by_password, by_certificate) {
        (true, true) => {
            let all = ["certificate", "key", "user", "password"].map(|key| table.get(key));
            let value = all.into_iter().flatten().next()?;
            value.report(
                value
                    .wrong("there are both a password and a certificate to log in with")
                    .allowed("`user` and `password` | `certificate` and `key`"),
            );
            None
        }
        (_, true) => {
            let path = |key, what| table.required(key, what).and_then(|value| value.path());
            let certificate = path("certificate", "the PEM file that belongs to `key`");
            let key = path("key", "the PEM file that belongs to `certificate`");
            Some(Login::Certificate {
                certificate: certificate?,
                key: key?,
            })
        }
        _ => {
            // Asked for, so that they are among the known ones.
            for key in ["certificate", "key"] {
                table.get(key);
            }
            let what = "log in with `user` and `password`, or with `certificate` and `key`";
            let user = table.required("user", what).and_then(|value| {
                let text = value.text()?;
                // RFC 7617, section 2: the first colon ends the user's name.
                if text.contains(':') || text.contains(char::is_control) {
                    value.report(value.wrong("a user's name has no `:` in it"));
                    return None;
                }
                Some(text.to_owned())
            });
            let secret = if by_password {
                table.required("password", "the password of `user`")
            } else {
                // One complaint is enough.
                table.get("password")
            };
            let directory = table.findings.document.directory();
            let secret = secret.and_then(|value| read_secret(&value, directory));
            Some(Login::Password {
                user: user?,
                password: secret?,
            })
        }
    }
}

fn read_nsca(table: Table<'_>) -> Option<Nsca> {
    let host = table
        .required("host", "where the NSCA daemon is")
        .and_then(|value| read_address(&value));
    let port = table.get("port").map(|value| {
        let port = value.integer(1..=65535)?;
        u16::try_from(port).ok()
    });
    let config = table.get("config").map(|value| value.path());
    let command = match table.get("command") {
        None => Some("send_nsca".to_owned()),
        Some(value) if value.is_list() => {
            value.report(
                value
                    .wrong("this is the program's path alone")
                    .help("its arguments follow from `host`, `port` and `config`"),
            );
            None
        }
        Some(value) => value.text().map(str::to_owned),
    };
    let host_name = table.get("host_name").map(|value| read_name(&value));
    let service = read_service(&table);
    table.finish();
    Some(Nsca {
        host: host?,
        port: optional(port)?,
        config: optional(config)?,
        command: command?,
        host_name: optional(host_name)?,
        service: service?,
    })
}

fn read_url(value: &Value<'_>) -> Option<String> {
    const FORM: &str = "https://HOST or https://HOST:PORT";
    let text = value.text()?;
    let report = |diagnostic: Diagnostic| {
        value.report(diagnostic.allowed(FORM));
        None
    };
    let Ok(url) = url::Url::parse(text.trim()) else {
        return report(value.wrong("this is not a URL"));
    };
    if !url.username().is_empty() || url.password().is_some() {
        return report(
            value
                .wrong("the URL has a user in it")
                .help("write user = \"...\" and password = { ... } beside it"),
        );
    }
    if url.scheme() != "https" {
        return report(value.wrong("Icinga 2's API is reached by https alone"));
    }
    let whole = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let Some(host) = url.host_str().filter(|_| whole) else {
        return report(value.wrong("a path does not belong here: only the host, and its port"));
    };
    // The url crate takes away a port that is https's own: 443 has to be written to be meant.
    let https = text.trim().trim_end_matches('/').ends_with(":443");
    let port = url.port().unwrap_or(if https { 443 } else { API_PORT });
    Some(format!("https://{host}:{port}"))
}

/// A host that a program gets as an argument.
fn read_address(value: &Value<'_>) -> Option<String> {
    let text = value.text()?.trim();
    if text.starts_with('-') || text.contains(char::is_whitespace) {
        value.report(value.wrong(format!("{} is not a host", quote(text))));
        return None;
    }
    Some(text.to_owned())
}

/// The name of a host or service. `!` parts the two in Icinga, `;` in Nagios' command file.
fn read_name(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    if text.contains(['!', ';']) || text.contains(char::is_control) {
        value.report(
            value
                .wrong(format!("{} is not a name", quote(text)))
                .help("a name has neither `!` nor `;` in it, and is one line"),
        );
        return None;
    }
    Some(text.to_owned())
}

fn read_service(table: &Table<'_>) -> Option<ServiceName> {
    let Some(value) = table.get("service") else {
        return Some(ServiceName::default());
    };
    let text = read_name(&value)?;
    if text.replace(JOB, "").contains(['{', '}']) {
        value.report(
            value
                .wrong(format!("{} has braces that mean nothing", quote(&text)))
                .help("only `{job}` stands for something: the job's name"),
        );
        return None;
    }
    if !text.contains(JOB) {
        value.report(
            value
                .wrong("all jobs report to one service, the last one wins")
                .help("put `{job}` into it, unless there is only one job")
                .warning(),
        );
    }
    Some(ServiceName(text))
}
