//! Definitions by `pg_dump`: found, called, and read without a file in between.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::connection::{Address, quoted};
use super::toc::Toc;
use super::{advice, waited};
use crate::error::{Error, Kind, Result};
use crate::process::program;
use crate::secret::redaction::Redaction;

/// One of the server's own programs that is to connect to this address, and to nothing that the machine's own settings say;
/// it does not outlive us.
pub(super) fn client(program: &Path, address: &Address) -> Command {
    let mut command = program::other(program);
    command
        .arg("--no-password")
        .envs(address.environment())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// `pg_dump` and its major version.
#[derive(Debug, Clone)]
pub(super) struct PgDump {
    program: PathBuf,
    major: u32,
}

impl PgDump {
    /// The newest `pg_dump` of this machine; it has to be at least as new as the server.
    pub(super) async fn find(server_major: u32) -> Result<Self> {
        let mut newest: Option<Self> = None;
        for (program, major) in versions_of("pg_dump").await {
            if newest.as_ref().is_none_or(|best| best.major < major) {
                newest = Some(Self { program, major });
            }
        }
        let install = format!("install the package postgresql-client-{server_major} or newer");
        match newest {
            None => Err(Error::new(Kind::Config, "there is no pg_dump on this machine").hint(install)),
            Some(found) if found.major < server_major => Err(Error::new(
                Kind::Config,
                format!(
                    "the newest pg_dump here is {} of version {}, and the source is of version {server_major}",
                    found.program.display(),
                    found.major
                ),
            )
            .hint(install)),
            Some(found) => Ok(found),
        }
    }

    /// The definitions of a database as `snapshot` sees it, without these tables, in this encoding; `own`: publications are
    /// among them.
    pub(super) async fn definitions(
        &self,
        address: &Address,
        snapshot: Option<&str>,
        without: &[(String, String)],
        encoding: &str,
        own: bool,
    ) -> Result<Toc> {
        let mut command = client(&self.program, address);
        command
            .args(["--schema-only", "--format=custom", "--compress=0"])
            // Who waits for us to finish before altering a table must not make us wait for them.
            .arg("--lock-wait-timeout=10s")
            .arg("--no-subscriptions")
            .args((!own).then_some("--no-publications"))
            .arg(format!("--encoding={encoding}"))
            .args(snapshot.map(|snapshot| format!("--snapshot={snapshot}")))
            .args(without.iter().map(|(schema, table)| {
                format!("--exclude-table={}.{}", quoted(schema), quoted(table))
            }))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let failed = |what: &str| Error::new(Kind::Statement, format!("pg_dump {what}"));
        let mut child = command.spawn().map_err(crate::error::io(format!(
            "{} cannot be started",
            self.program.display()
        )))?;
        let (mut stdout, mut stderr) = (
            child.stdout.take().expect("stdout is piped"),
            child.stderr.take().expect("stderr is piped"),
        );
        let mut complaints = String::new();
        // Taken apart as it comes: as a whole it would be kept twice.
        let parsing = async {
            let parsed = Toc::read(&mut stdout).await;
            // Who has been read from to the end does not complain of a broken pipe.
            tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await?;
            std::io::Result::Ok(parsed)
        };
        let reading = async { tokio::join!(parsing, stderr.read_to_string(&mut complaints)) };
        let (parsed, complained) = tokio::select! {
            read = reading => read,
            gone = address.lost() => return Err(gone),
        };
        let parsed = parsed
            .and_then(|parsed| complained.map(|_| parsed))
            .map_err(|error| failed("could not be read from").because(error))?;
        let status = child
            .wait()
            .await
            .map_err(|error| failed("got lost").because(error))?;
        if !status.success() {
            // It reads catalogues, and no row of any table: nothing that it says can be a value of one. What follows the
            // line is not told.
            let complaints = Redaction::known().text(&complaints);
            let complaint = complaints
                .lines()
                .find(|line| line.contains("error:"))
                .or(complaints.lines().next())
                .unwrap_or("without a word")
                .trim_start_matches("pg_dump: ");
            // It waits for nothing but the tables' locks; what it quotes of that is in no language.
            let waited = complaints.contains("LOCK TABLE");
            let made = failed(&format!("failed ({status}): {complaint}"));
            return Err(if waited {
                waited::told(address, made).await
            } else if complaints.contains(advice::UNSUPPORTED) {
                made.hint(advice::STARTUP)
            } else {
                made
            });
        }
        parsed
    }
}

/// All of this machine's programs of this name that say their major version.
pub(super) async fn versions_of(name: &str) -> Vec<(PathBuf, u32)> {
    let mut found = Vec::new();
    for program in candidates(name) {
        if let Some(major) = major_of(&program).await {
            found.push((program, major));
        }
    }
    found
}

fn candidates(name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // Debian's and Red Hat's places for several versions side by side.
    for (root, depth) in [("/usr/lib/postgresql", "bin"), ("/usr", "bin")] {
        if let Ok(entries) = std::fs::read_dir(root) {
            found.extend(
                entries
                    .flatten()
                    .filter(|entry| {
                        root != "/usr" || entry.file_name().to_string_lossy().starts_with("pgsql-")
                    })
                    .map(|entry| entry.path().join(depth).join(name)),
            );
        }
    }
    if let Some(path) = std::env::var_os("PATH") {
        found.extend(std::env::split_paths(&path).map(|dir| dir.join(name)));
    }
    found.retain(|program| program.is_file());
    found
}

async fn major_of(program: &Path) -> Option<u32> {
    let output = program::other(program)
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()?;
    // "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.split_whitespace().nth(2)?;
    version
        .chars()
        .take_while(char::is_ascii_digit)
        .collect::<String>()
        .parse()
        .ok()
}
