//! Finds `mariadb-dump` and `mysqldump`, and builds their arguments.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use secrecy::ExposeSecret;

use crate::error::{Error, Kind, Result};
use crate::process::program;
use crate::store::Fate;
use crate::store::mysql::connection::address::{Address, Encryption, Way};
use crate::store::mysql::schema::definitions::Definitions;
use crate::store::mysql::schema::objects::ObjectKind;
use crate::store::mysql::sql::version::{Flavour, Version};
use crate::tls;

/// One of the tools.
pub(super) struct Tool {
    pub(super) program: PathBuf,
    flavour: Flavour,
    pub(super) version: Option<Version>,
}

impl Tool {
    /// The first in PATH of the server's maker: another's does not know all that there is.
    pub(super) async fn find(flavour: Flavour) -> Result<Self> {
        let names = match flavour {
            Flavour::MariaDb => ["mariadb-dump", "mysqldump"],
            Flavour::MySql => ["mysqldump", "mysqldump.mysql"],
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut other = None;
        for name in names {
            for program in std::env::split_paths(&path).map(|place| place.join(name)) {
                let Some(text) = version_of(&program).await else {
                    continue;
                };
                let (maker, version) = Version::of_tool(&text);
                if maker == flavour {
                    return Ok(Self {
                        program,
                        flavour,
                        version,
                    });
                }
                other = Some(program);
            }
        }
        let [name, _] = names;
        let made = match other {
            None => format!("there is no {name} on this machine"),
            Some(other) => format!(
                "the source is {flavour}, and {} is not of its maker",
                other.display()
            ),
        };
        Err(Error::new(Kind::Config, made).hint(format!(
            "install the clients of {flavour} on this machine: {name} has to be in PATH"
        )))
    }

    /// The arguments of each call that it takes.
    pub(super) fn calls(
        &self,
        address: &Address,
        definitions: &Definitions,
        with_past: bool,
    ) -> VecDeque<Vec<OsString>> {
        let schema = &definitions.schema;
        let mut common = self.connection(address);
        common.extend(
            [
                "--single-transaction",
                "--quick",
                "--triggers",
                "--hex-blob",
                "--no-tablespaces",
                "--default-character-set=utf8mb4",
                "--max-allowed-packet=1073741824",
            ]
            .map(OsString::from),
        );
        if self.flavour == Flavour::MySql {
            // Older ones do not know them.
            common.extend(
                ["--loose-set-gtid-purged=OFF", "--loose-column-statistics=0"].map(OsString::from),
            );
        }
        let mut main = common.clone();
        main.extend(["--routines", "--events"].map(OsString::from));
        if with_past {
            main.push("--dump-history".into());
        }
        let mut bare: Vec<&str> = Vec::new();
        for (name, fate) in &definitions.left_out {
            match fate {
                Fate::Exclude => main.push(format!("--ignore-table={schema}.{name}").into()),
                // What is never dumped with rows anyway needs no word.
                _ if definitions.table(name).is_none() => {}
                _ if self.flavour == Flavour::MariaDb => {
                    main.push(format!("--ignore-table-data={schema}.{name}").into());
                }
                _ => {
                    main.push(format!("--ignore-table={schema}.{name}").into());
                    bare.push(name);
                }
            }
        }
        for object in &definitions.objects {
            if object.kind == ObjectKind::View && object.broken {
                tracing::warn!(
                    view = object.name,
                    "a view that is broken on the source cannot be dumped, and is left out"
                );
                main.push(format!("--ignore-table={schema}.{}", object.name).into());
            }
        }
        main.extend(["--", schema].map(OsString::from));
        let mut calls = VecDeque::new();
        if !bare.is_empty() {
            // Before all else, as views may be on them.
            let mut call = common;
            call.extend(["--no-data", "--", schema].map(OsString::from));
            call.extend(bare.into_iter().map(OsString::from));
            calls.push_back(call);
        }
        calls.push_back(main);
        calls
    }

    /// The error of a call.
    pub(super) fn failed(&self, how: &str) -> Error {
        Error::new(Kind::Statement, format!("{} {how}", self.program.display()))
    }

    /// How our own connections reach the server.
    fn connection(&self, address: &Address) -> Vec<OsString> {
        // It reads nothing else than what we write there.
        let mut all: Vec<OsString> = vec!["--defaults-file=/dev/stdin".into()];
        match &address.way {
            Way::Tcp(host, port) => {
                all.push("--protocol=tcp".into());
                all.push(format!("--host={host}").into());
                all.push(format!("--port={port}").into());
            }
            Way::Socket(path) => {
                all.push("--protocol=socket".into());
                all.push(option("--socket=", path));
            }
        }
        all.extend(match self.flavour {
            Flavour::MariaDb => mariadb_tls(address),
            Flavour::MySql => mysql_tls(address),
        });
        if let Some(root) = &address.tls.root {
            all.push(option("--ssl-ca=", root));
        }
        if let Some((certificate, key)) = &address.tls.client {
            all.push(option("--ssl-cert=", certificate));
            all.push(option("--ssl-key=", key));
        }
        all
    }
}

/// It checks a certificate and its host's name, or nothing.
fn mariadb_tls(address: &Address) -> Vec<OsString> {
    let check = match (&address.encryption, address.tls.trust) {
        (Encryption::Off, _) => return vec!["--skip-ssl".into()],
        (_, tls::Trust::Anybody) => "--skip-ssl-verify-server-cert",
        _ => "--ssl-verify-server-cert",
    };
    vec!["--ssl".into(), check.into()]
}

fn mysql_tls(address: &Address) -> Vec<OsString> {
    let mode = match (&address.encryption, address.tls.trust) {
        (Encryption::Off, _) => "DISABLED",
        (Encryption::Preferred, _) if address.has_been_encrypted() => "REQUIRED",
        (Encryption::Preferred, _) => "PREFERRED",
        (Encryption::Required, tls::Trust::Anybody) => "REQUIRED",
        (Encryption::Required, tls::Trust::Authority) => "VERIFY_CA",
        (Encryption::Required, tls::Trust::Host) => "VERIFY_IDENTITY",
    };
    let mut all: Vec<OsString> = vec![format!("--ssl-mode={mode}").into()];
    // As with our own logins, nobody is asked for a key where the password would go in plain.
    if let Some(key) = &address.server_key {
        all.push(option("--loose-server-public-key-path=", key));
    }
    all
}

fn option(name: &str, path: &Path) -> OsString {
    let mut made = OsString::from(name);
    made.push(path);
    made
}

async fn version_of(program: &Path) -> Option<String> {
    if !program.is_file() {
        return None;
    }
    let output = program::other(program)
        .args(["--no-defaults", "--version"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// User and password in the format of an option file, which is never written to a disk.
pub(super) fn options(address: &Address) -> Vec<u8> {
    let mut made = format!("[client]\nuser={}\n", option_value(address.user()));
    if let Some(password) = &address.password {
        made.push_str(&format!(
            "password={}\n",
            option_value(password.expose_secret())
        ));
    }
    made.into_bytes()
}

/// A value as option files have it ("Using Option Files", MySQL's manual).
fn option_value(text: &str) -> String {
    let mut made = String::from("\"");
    for letter in text.chars() {
        match letter {
            '\\' | '"' | '\'' => made.extend(['\\', letter]),
            '\n' => made.push_str("\\n"),
            '\r' => made.push_str("\\r"),
            '\t' => made.push_str("\\t"),
            letter => made.push(letter),
        }
    }
    made.push('"');
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_value_whatever_is_in_it() {
        assert_eq!(
            option_value("it's 100% \"s3cret\"\\#\n "),
            "\"it\\'s 100% \\\"s3cret\\\"\\\\#\\n \""
        );
    }
}
