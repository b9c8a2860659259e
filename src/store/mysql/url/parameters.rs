//! The parameters of a URL of MySQL or MariaDB.

use std::path::{Path, PathBuf};

use crate::config::{Flaw, did_you_mean, is_here, percent_decoded_text, percent_encoded, quote};
use crate::store::url::ENCODE;

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
/// In seconds.
const DEFAULT_PATIENCE: u32 = 30;

/// Whether a connection is encrypted, and what the server has to prove. A Unix socket is never encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store::mysql) enum MysqlTls {
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

pub(super) struct Parameters {
    pub(super) socket: Option<PathBuf>,
    pub(super) tls: MysqlTls,
    pub(super) tls_is_default: bool,
    pub(super) ca: Option<PathBuf>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) server_key: Option<PathBuf>,
    /// In seconds.
    pub(super) patience: u32,
    /// All of them, with absolute files.
    pub(super) written: Vec<String>,
}

impl Parameters {
    pub(super) fn read(query: &str, directory: &Path, host: &str) -> Result<Self, Flaw> {
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
