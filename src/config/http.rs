//! `[http]` of envsyncd.toml: the API and the control panel.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::document::quote;
use super::reader::{Table, Value};

/// Where it is unless somebody says otherwise.
const LISTEN: &str = "/run/envsyncd/http.sock";

/// The API and the control panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Where it listens.
    pub listen: Listen,
    /// With TLS.
    pub tls: Option<Certificate>,
    /// Names of this host that clients may use beside those that it has itself.
    pub hosts: Vec<String>,
    /// Local users who are let in over the unix socket, each with what they may do.
    pub peer_users: BTreeMap<String, Scope>,
    /// The address of a reverse proxy, whose `user_header` is believed; [`Proxy::Socket`]: whoever connects to the unix socket.
    pub trusted_proxy: Option<Proxy>,
    /// The header that has the user's name.
    pub user_header: Option<String>,
    /// What users of the proxy may do.
    pub proxy_scope: Scope,
    /// Whether job files are written into `managed_job_dir`, which is there then.
    pub edit_jobs: bool,
}

/// An address to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A unix socket.
    Unix(PathBuf),
    /// An address and a port.
    Tcp(SocketAddr),
}

/// A certificate and its key, PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate, and those that lead to its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Whose `user_header` is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    /// Requests from this address.
    Address(IpAddr),
    /// Requests over the unix socket.
    Socket,
}

/// What somebody may do; each includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// See everything.
    Read,
    /// Start, cancel and pause runs, roll back, and hold environments.
    Run,
    /// Pause everything, manage tokens, and write job files where the settings let them.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Read, Self::Run, Self::Admin];

    /// The scope of this word.
    pub fn parse(word: &str) -> Option<Self> {
        let found = SCOPES.iter().find(|(known, _)| *known == word);
        found.map(|(_, scope)| *scope)
    }

    /// As files, the state store and the API spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Run => "run",
            Self::Admin => "admin",
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// The words of scopes.
pub const SCOPES: [(&str, Scope); 3] = [
    ("read", Scope::Read),
    ("run", Scope::Run),
    ("admin", Scope::Admin),
];

pub(super) fn read(table: Table<'_>, has_managed: bool) -> Option<Http> {
    let table = table.elsewhere(&[("managed_job_dir", "at the top of the file")]);
    let listen = match table.get("listen") {
        Some(value) => read_listen(
            &value,
            "\"unix:/run/envsyncd/http.sock\" | \"127.0.0.1:8463\" | \"[::1]:8463\"",
        )?,
        None => Listen::Unix(LISTEN.into()),
    };
    let tls = table.get("tls").map(|value| read_certificate(&value));
    if let (Listen::Tcp(address), None, Some(value)) = (&listen, &tls, table.get("listen"))
        && !address.ip().is_loopback()
    {
        let wrong = value.wrong(format!("{address} is not loopback, and there is no `tls`"));
        value.report(
            wrong.help(
                "add tls = { certificate = \"PATH\", key = \"PATH\" }, or listen at 127.0.0.1",
            ),
        );
    }
    if let (Listen::Unix(_), Some(value)) = (&listen, table.get("tls")) {
        value.report(value.wrong("a unix socket has no TLS"));
    }
    let hosts = table.get("hosts").and_then(|value| value.texts());
    let hosts = hosts.into_iter().flatten();
    let mut names = Vec::new();
    for (value, name) in hosts {
        if name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
        {
            names.push(name.to_ascii_lowercase());
        } else {
            value.report(value.wrong(format!("{} is no host's name", quote(name))));
        }
    }
    let peer_users = table.get("peer_users").map(|value| {
        if matches!(listen, Listen::Tcp(_)) {
            value.report(value.wrong("only a unix socket knows its peers"));
        }
        read_users(&value)
    });
    let trusted_proxy = table
        .get("trusted_proxy")
        .and_then(|value| read_proxy(&value, &listen));
    let user_header = table
        .get("user_header")
        .and_then(|value| read_header(&value, &table));
    if let Some(value) = table.get("trusted_proxy")
        && !table.has("user_header")
    {
        value.report(value.wrong("`user_header` is missing: the header that has the user's name"));
    }
    let proxy_scope = table.choice("proxy_scope", &SCOPES, Scope::Read);
    let edit_jobs = (table.get("edit_jobs"))
        .is_some_and(|value| read_edit_jobs(&value, has_managed) == Some(true));
    table.finish();
    Some(Http {
        listen,
        tls: tls.flatten(),
        hosts: names,
        peer_users: peer_users.unwrap_or_default(),
        trusted_proxy,
        user_header,
        proxy_scope: proxy_scope?,
        edit_jobs,
    })
}

fn read_edit_jobs(value: &Value<'_>, has_managed: bool) -> Option<bool> {
    let wanted = value.boolean()?;
    if wanted && !has_managed {
        let wrong =
            value.wrong("`managed_job_dir` is missing: the directory that jobs are written into");
        value.report(
            wrong.help("add managed_job_dir = \"/var/lib/envsyncd/jobs\" at the top of the file"),
        );
    }
    Some(wanted)
}

/// An address; `examples` are shown where it is none.
pub(super) fn read_listen(value: &Value<'_>, examples: &'static str) -> Option<Listen> {
    let text = value.text()?;
    if let Some(path) = text.strip_prefix("unix:") {
        let directory = value.findings.document.directory();
        return Some(Listen::Unix(directory.join(path)));
    }
    let address = text.parse().ok().map(Listen::Tcp);
    if address.is_none() {
        value.report(
            value
                .wrong(format!("{} is no address to listen at", quote(text)))
                .allowed(examples),
        );
    }
    address
}

fn read_certificate(value: &Value<'_>) -> Option<Certificate> {
    let table = value.table()?;
    let path = |key, what| table.required(key, what).and_then(|value| value.path());
    let certificate = path("certificate", "the PEM file of the certificate");
    let key = path("key", "the PEM file of its key");
    table.finish();
    Some(Certificate {
        certificate: certificate?,
        key: key?,
    })
}

fn read_users(value: &Value<'_>) -> BTreeMap<String, Scope> {
    let mut users = BTreeMap::new();
    for (name, _, value) in value.table().iter().flat_map(Table::entries) {
        if let Some(scope) = value.choice(&SCOPES, &[]) {
            users.insert(name.to_owned(), scope);
        }
    }
    users
}

fn read_proxy(value: &Value<'_>, listen: &Listen) -> Option<Proxy> {
    let text = value.text()?;
    match (text, listen) {
        ("unix", Listen::Unix(_)) => return Some(Proxy::Socket),
        ("unix", Listen::Tcp(_)) => {
            value.report(value.wrong("`listen` is no unix socket"));
            return None;
        }
        _ => {}
    }
    let address = text.parse().ok().map(Proxy::Address);
    if address.is_none() {
        let wrong = value.wrong(format!("{} is no address", quote(text)));
        value.report(wrong.allowed("the proxy's IP address | \"unix\""));
    }
    address
}

fn read_header(value: &Value<'_>, table: &Table<'_>) -> Option<String> {
    let text = value.text()?;
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        value.report(value.wrong(format!("{} is no header's name", quote(text))));
        return None;
    }
    if !table.has("trusted_proxy") {
        value.report(
            value
                .wrong("`trusted_proxy` is missing: a header that anybody can send says nothing")
                .help("add trusted_proxy = \"IP ADDRESS\""),
        );
        return None;
    }
    Some(text.to_ascii_lowercase())
}
