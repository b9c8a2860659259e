//! Definitions by `pg_dump`: found, called, and read without a file in between.

use std::path::PathBuf;
use std::process::Stdio;

use super::toc::Toc;
use crate::error::{Error, Kind, Result};
use crate::process::stderr;
use crate::secret::redaction::Redaction;
use crate::store::postgresql::connection::address::Address;
use crate::store::postgresql::connection::client_program::{client, versions_of};
use crate::store::postgresql::connection::{advice, lock_wait};
use crate::store::postgresql::sql::quoting::quoted;

/// `pg_dump` and its major version.
#[derive(Debug, Clone)]
pub(in crate::store::postgresql) struct PgDump {
    program: PathBuf,
    major: u32,
}

impl PgDump {
    /// The newest `pg_dump` of this machine; it has to be at least as new as the server.
    pub(in crate::store::postgresql) async fn find(server_major: u32) -> Result<Self> {
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
    pub(in crate::store::postgresql) async fn definitions(
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
        let (mut stdout, complaints) = (
            child.stdout.take().expect("stdout is piped"),
            child.stderr.take().expect("stderr is piped"),
        );
        // Taken apart as it comes: as a whole it would be kept twice.
        let parsing = async {
            let parsed = Toc::read(&mut stdout).await;
            // Who has been read from to the end does not complain of a broken pipe.
            tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await?;
            std::io::Result::Ok(parsed)
        };
        let reading = async { tokio::join!(parsing, stderr::beginning(complaints)) };
        let (parsed, complaints) = tokio::select! {
            read = reading => read,
            gone = address.lost() => return Err(gone),
        };
        let parsed = parsed.map_err(|error| failed("could not be read from").because(error))?;
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
            let made = failed(&format!("failed ({status}): {complaint}")).of_program(status);
            return Err(if waited {
                lock_wait::told(address, made).await
            } else if complaints.contains(advice::UNSUPPORTED) {
                made.hint(advice::STARTUP)
            } else {
                made
            });
        }
        parsed
    }
}
