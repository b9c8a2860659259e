//! `pg_restore`: found, fed with a dump's definitions, and believed nothing but that it succeeded.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncWriteExt, BufReader};

use super::head::{Head, shown};
use crate::error::{Error, Kind, Result};
use crate::process::stderr::Lines;
use crate::store::postgresql::connection::address::Address;
use crate::store::postgresql::connection::client_program::{client, versions_of};
use crate::store::postgresql::connection::complaints::{self, ELSEWHERE};
use crate::store::redact::{self, Dialect, Names};

/// Since then `pg_restore` sets what older servers do not know, and has no option not to.
const TIMEOUTS: u32 = 17;

/// Its statement for that.
const TIMEOUT: &str = "SET transaction_timeout = 0;";

/// `pg_restore`.
pub(super) struct PgRestore {
    program: PathBuf,
    major: u32,
}

impl PgRestore {
    /// The one of this machine that is closest to the target's server, of those that read the dump's format.
    pub(super) async fn find(head: &Head, server_major: u32) -> Result<Self> {
        let least = match head.minor {
            16.. => 17,
            15 => 16,
            14 => 12,
            _ => 10,
        };
        let install = format!(
            "install the package postgresql-client-{} or newer",
            least.max(server_major)
        );
        let found = versions_of("pg_restore").await;
        let newest = found.iter().map(|(_, major)| *major).max();
        let fits = found
            .into_iter()
            .filter(|(_, major)| *major >= least)
            .min_by_key(|(_, major)| (*major < server_major, major.abs_diff(server_major)));
        match (fits, newest) {
            (Some((program, major)), _) => Ok(Self { program, major }),
            (None, None) => Err(Error::new(
                Kind::Config,
                "there is no pg_restore on this machine",
            )
            .hint(install)),
            (None, Some(newest)) => Err(Error::new(
                Kind::Config,
                format!(
                    "the newest pg_restore here is of version {newest}, and the dump was written by {}",
                    shown(&head.tool)
                ),
            )
            .hint(install)),
        }
    }

    /// Restores what is in a head into a database. Nothing may be in it that has rows behind the head.
    pub(super) async fn run(
        &self,
        address: &Address,
        server_major: u32,
        head: &Head,
    ) -> Result<()> {
        // Then errors do not stop it, and we do.
        let lenient = self.major >= TIMEOUTS && server_major < TIMEOUTS;
        let mut command = client(&self.program, address);
        command
            .args(["--no-tablespaces", "--format=custom"])
            .args((!lenient).then_some("--exit-on-error"))
            .arg(format!("--dbname={}", dbname(address.database())))
            .envs([("LC_ALL", "C"), ("PGCLIENTENCODING", "UTF8")])
            .stdin(Stdio::piped())
            .stdout(Stdio::null());
        let mut child = command.spawn().map_err(crate::error::io(format!(
            "{} cannot be started",
            self.program.display()
        )))?;
        let stdin = child.stdin.take().expect("stdin is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let definitions = head.to_bytes();
        let feeding = feed(stdin, &definitions);
        let names = names(head);
        let listening = listen(Lines::of(BufReader::new(stderr)), &names);
        // The first complaint ends it all.
        tokio::pin!(feeding, listening);
        let mut fed = None;
        let complaint = loop {
            tokio::select! {
                biased;
                outcome = &mut feeding, if fed.is_none() => {
                    outcome?;
                    fed = Some(());
                }
                complaint = &mut listening => break complaint?,
                gone = address.lost() => return Err(gone),
            }
        };
        if let Some(complaint) = complaint {
            // It may be in the middle of something long that is of no use any more.
            let _ = child.start_kill();
            let _ = child.wait().await;
            return Err(complaint);
        }
        if fed.is_none() {
            feeding.await?;
        }
        let status = child
            .wait()
            .await
            .map_err(|error| Error::new(Kind::Statement, "pg_restore got lost").because(error))?;
        if status.success() || (lenient && status.code() == Some(1)) {
            return Ok(());
        }
        Err(Error::new(
            Kind::Statement,
            format!("pg_restore failed without a word ({status})"),
        )
        .of_program(status))
    }
}

/// A database's name as a connection string: the name alone may look like one.
fn dbname(database: &str) -> String {
    let escaped = database.replace('\\', "\\\\").replace('\'', "\\'");
    format!("dbname='{escaped}'")
}

/// Writes all of it, if it is wanted.
async fn feed(mut to: tokio::process::ChildStdin, definitions: &[u8]) -> Result<()> {
    match to.write_all(definitions).await {
        Ok(()) => {
            let _ = to.shutdown().await;
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(crate::error::io("pg_restore cannot be written to")(error)),
    }
}

/// The names of what the dump has in it.
fn names(head: &Head) -> Names {
    let mut names = Names::default();
    for entry in &head.entries {
        for name in [&entry.tag, &entry.schema, &entry.owner] {
            names.add(&shown(name));
            names.add_words(&shown(name));
        }
    }
    names
}

/// Reads what it says to the end; the first error is what matters. Warnings are told.
pub(super) async fn listen(
    mut lines: Lines<impl tokio::io::AsyncBufRead + Unpin>,
    names: &Names,
) -> Result<Option<Error>> {
    let mut place = String::new();
    let mut pending: Option<String> = None;
    let broken =
        |error| Error::new(Kind::Statement, "pg_restore could not be read from").because(error);
    loop {
        let line = lines.next().await.map_err(broken)?;
        if let Some(what) = pending.take() {
            let said = line.as_deref().unwrap_or_default();
            match said.strip_prefix("Command was: ") {
                Some(statement) if statement.trim() == TIMEOUT => continue,
                Some(statement) => {
                    let mut whole = statement.to_owned();
                    // Only the beginning is told; a table's definition has its name in the first line.
                    while whole.len() < 200 {
                        let next = tokio::time::timeout(
                            std::time::Duration::from_millis(200),
                            lines.next(),
                        );
                        match next.await {
                            Ok(Ok(Some(more))) if !more.starts_with("pg_restore: ") => {
                                whole.push(' ');
                                whole.push_str(&more);
                            }
                            _ => break,
                        }
                    }
                    return Ok(Some(failed(&place, &what, &whole, names)));
                }
                // DETAIL and HINT lines may have rows in them.
                None if line.is_some() && is_more_of_it(said) => {
                    pending = Some(what);
                    continue;
                }
                None => return Ok(Some(failed(&place, &what, "", names))),
            }
        }
        let Some(line) = line else {
            return Ok(None);
        };
        if let Some(entry) = line.strip_prefix("pg_restore: from TOC entry ") {
            // "215; 1259 16385 TABLE t owner"
            let (_, what) = entry.split_once("; ").unwrap_or(("", entry));
            what.clone_into(&mut place);
        } else if let Some(what) = line.strip_prefix("pg_restore: error: ") {
            pending = Some(what.to_owned());
            if !what.starts_with("could not execute query: ") {
                return Ok(Some(failed(&place, what, "", names)));
            }
        } else if let Some(warning) = line.strip_prefix("pg_restore: warning: ")
            && !warning.starts_with("errors ignored on restore: ")
        {
            let warning = complaints::complaint(warning, names).text;
            tracing::warn!(warning, "pg_restore warns");
        }
    }
}

fn is_more_of_it(line: &str) -> bool {
    ["DETAIL:", "HINT:", "CONTEXT:", "LINE ", " ", "\t"]
        .iter()
        .any(|start| line.starts_with(start))
}

/// The error of a statement that failed, without values of rows.
fn failed(place: &str, what: &str, statement: &str, names: &Names) -> Error {
    let mut names = names.clone();
    let shown = redact::statement(statement, Dialect::Postgresql);
    names.add_words(&shown);
    let complaint = complaints::complaint(what, &names);
    let said = complaint.text.as_str();
    let from_server = what.starts_with("could not execute query: ") || what.contains("ERROR:");
    let damaged = [
        "could not read from input file",
        "could not uncompress data",
        "could not find block",
        "could not find entry",
        "unrecognized data block type",
        "unexpected end of file",
        "found unexpected block ID",
        "corrupt",
        "invalid dumpId",
        "entry ID",
    ];
    let at = if place.is_empty() {
        String::new()
    } else {
        format!(" (at {place})")
    };
    if !from_server && damaged.iter().any(|words| what.contains(words)) {
        return Error::new(
            Kind::Verify,
            format!("the dump is damaged or not whole: {said}{at}"),
        )
        .hint("take another one with `snapshot` or `at`, and look at how this one was written");
    }
    let made = Error::new(Kind::Statement, format!("pg_restore: {said}{at}"));
    if what.contains("No space left on device") {
        return made
            .with_kind(Kind::Full)
            .hint("free space on the target's disk");
    }
    match (shown.is_empty(), complaint.is_whole) {
        (true, true) => made,
        (true, false) => made.hint(ELSEWHERE),
        (false, true) => made.hint(format!("the statement was: {shown}")),
        (false, false) => made.hint(format!("the statement was: {shown}; {ELSEWHERE}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn heard(text: &'static str) -> Option<String> {
        listen(Lines::of(text.as_bytes()), &Names::default())
            .await
            .unwrap()
            .map(|error| error.to_string())
    }

    #[tokio::test]
    async fn the_first_error_is_told_with_its_statement_and_without_values() {
        let text = "pg_restore: while PROCESSING TOC:\npg_restore: from TOC entry 215; 1259 16385 TABLE t app\n\
            pg_restore: error: could not execute query: ERROR:  relation \"t\" already exists\n\
            DETAIL:  Key (email)=(a@b) exists.\nCommand was: CREATE TABLE public.t (\n    id integer\n);\n\n";
        assert_eq!(
            heard(text).await.unwrap(),
            "pg_restore: relation \"t\" already exists (at 1259 16385 TABLE t app); the statement was: CREATE TABLE public.t ( id integer );"
        );
        let text = "pg_restore: error: COPY failed for table \"t\": ERROR:  invalid input syntax for type integer: \"a@b\"\n\
            CONTEXT:  COPY t, line 1, column v: \"a@b\"\n";
        assert_eq!(
            heard(text).await.unwrap(),
            "pg_restore: COPY failed for table \"?\": invalid input syntax for type integer: \"?\""
        );
        let text = "pg_restore: error: could not read from input file: end of file\n";
        assert!(
            heard(text)
                .await
                .unwrap()
                .starts_with("the dump is damaged or not whole: could not read")
        );
    }

    #[tokio::test]
    async fn a_setting_that_older_servers_lack_is_no_error_and_anything_else_is() {
        let timeout = "pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"\nCommand was: SET transaction_timeout = 0;\n";
        assert_eq!(heard(timeout).await, None);
        let text = "pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"x\"\nCommand was: SET x = 0;\n";
        assert!(heard(text).await.unwrap().contains("SET x = ?;"));
        assert_eq!(
            heard("pg_restore: warning: errors ignored on restore: 1\n").await,
            None
        );
    }
}
