//! A dump of a surveyed source, written by `pg_dump` at the survey's point in time.

use std::collections::HashSet;
use std::process::Stdio;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::task::JoinHandle;

use super::counting::Counter;
use super::fitting;
use super::head::{Head, Trouble};
use crate::error::{Error, Kind, Result};
use crate::process::stderr;
use crate::secret::redaction::Redaction;
use crate::store::dump::{Counted, Dumping};
use crate::store::postgresql::connection::address::Address;
use crate::store::postgresql::connection::client_program::{client, versions_of};
use crate::store::postgresql::connection::complaints::{self, ELSEWHERE};
use crate::store::postgresql::connection::lock_wait;
use crate::store::postgresql::rows::snapshot::Snapshot;
use crate::store::postgresql::schema::definitions::Definitions;
use crate::store::postgresql::schema::row_encodings::LARGE_OBJECTS;
use crate::store::postgresql::sql::quoting::quoted;
use crate::store::redact::Names;
use crate::store::{Fate, Part};

/// What is read at once.
const PIECE: usize = 256 * 1024;

/// Bytes of the longest head that is waited for: a schema of 100,000 tables has some 100 MB, and what is read of it takes several
/// times as much memory.
const LONGEST_HEAD: usize = 128 << 20;

/// Starts it.
pub(in crate::store::postgresql) async fn start(
    source: &Snapshot,
    definitions: &Arc<Definitions>,
    parts: &[Part],
) -> Result<Dumping> {
    let major = definitions.major;
    // Not the newest: whoever restores it may have none that is newer than their server.
    let found = versions_of("pg_dump").await;
    let closest = found
        .into_iter()
        .filter(|(_, found)| *found >= major)
        .min_by_key(|(_, found)| *found);
    let Some((program, _)) = closest else {
        return Err(Error::new(
            Kind::Config,
            format!("there is no pg_dump of version {major} or newer on this machine"),
        )
        .hint(format!(
            "install the package postgresql-client-{major} or newer"
        )));
    };
    let taken = source.taken()?;
    let named = |option: &str, schema: &str, table: &str| {
        format!("--{option}={}.{}", quoted(schema), quoted(table))
    };
    let mut command = client(&program, source.address());
    command
        .args(["--format=custom", "--compress=1"])
        // Who waits for us to finish before altering a table must not make us wait for them.
        .arg("--lock-wait-timeout=10s")
        .args(["--no-publications", "--no-subscriptions"])
        .arg(format!("--snapshot={}", taken.id))
        .args(
            taken
                .left_out
                .iter()
                .map(|(schema, table, fate)| match fate {
                    Fate::Exclude => named("exclude-table", schema, table),
                    _ => named("exclude-table-data", schema, table),
                }),
        )
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().map_err(crate::error::io(format!(
        "{} cannot be started",
        program.display()
    )))?;
    let stdout = child.stdout.take().expect("stdout is piped");
    let stderr = child.stderr.take().expect("stderr is piped");
    let rows = Counted::default();
    let mut writing = Writing {
        child,
        stdout,
        complaints: tokio::spawn(complaints(stderr)),
        definitions: definitions.clone(),
        counter: None,
        rows: rows.clone(),
        address: source.address().clone(),
        tables: parts
            .iter()
            .flat_map(|part| part.schema.iter().chain([&part.name]).cloned())
            .collect(),
    };
    let first = writing.head(parts).await?;
    let rest = stream::try_unfold(Some(writing), |writing| async move {
        match writing {
            Some(writing) => writing.next().await,
            None => Ok(None),
        }
    });
    let bytes = stream::iter([Ok(first)]).chain(rest).boxed();
    Ok(Dumping { bytes, rows })
}

/// A `pg_dump` at work.
struct Writing {
    child: Child,
    stdout: ChildStdout,
    complaints: JoinHandle<String>,
    definitions: Arc<Definitions>,
    counter: Option<Counter>,
    rows: Counted,
    address: Address,
    /// Schemas and tables.
    tables: Vec<String>,
}

impl Writing {
    /// What is in front of the rows, without what hangs on tables that are left out.
    async fn head(&mut self, parts: &[Part]) -> Result<Bytes> {
        let mut read = BytesMut::new();
        let mut try_at = 0;
        loop {
            let ended = !self.fill(&mut read).await?;
            if !ended && read.len() < try_at {
                continue;
            }
            match Head::parse(&read) {
                Ok((mut head, length)) => {
                    fitting::leave_out(&mut head, &self.definitions.gone, &self.definitions.cuts);
                    refuse_gaps(&head, parts)?;
                    self.counter = Counter::new(&head);
                    let rows = read.split_off(length);
                    if let Some(counter) = &mut self.counter {
                        counter.feed(&rows);
                    }
                    let mut bytes = head.to_bytes();
                    bytes.extend_from_slice(&rows);
                    return Ok(bytes.into());
                }
                Err(Trouble::Short) if !ended && read.len() < LONGEST_HEAD => {
                    // It is read anew each time.
                    try_at = read.len() * 2;
                }
                Err(trouble) => {
                    self.end().await?;
                    let what = match trouble {
                        Trouble::Short => "it ends too early".to_owned(),
                        Trouble::Wrong(what) => what,
                    };
                    return Err(Error::new(
                        Kind::Internal,
                        format!("pg_dump's output cannot be read: {what}"),
                    )
                    .hint("its version may be newer than this envsyncd; report it"));
                }
            }
        }
    }

    async fn fill(&mut self, into: &mut BytesMut) -> Result<bool> {
        into.reserve(PIECE);
        let read = tokio::select! {
            read = self.stdout.read_buf(into) => read,
            gone = self.address.lost() => return Err(gone),
        };
        let read = read.map_err(|error| {
            Error::new(Kind::Statement, "pg_dump could not be read from").because(error)
        })?;
        Ok(read > 0)
    }

    async fn next(mut self) -> Result<Option<(Bytes, Option<Self>)>> {
        let mut piece = BytesMut::with_capacity(PIECE);
        // A pipe has little at a time.
        while piece.len() < PIECE / 2 {
            if !self.fill(&mut piece).await? {
                break;
            }
        }
        if piece.is_empty() {
            self.end().await?;
            if let Some(counts) = self.counter.take().and_then(Counter::counts) {
                *self.rows.lock() = counts;
            }
            return Ok(None);
        }
        let piece = piece.freeze();
        if let Some(counter) = &mut self.counter {
            counter.feed(&piece);
        }
        Ok(Some((piece, Some(self))))
    }

    /// Waits for it, and fails if it did.
    async fn end(&mut self) -> Result<()> {
        let status = self
            .child
            .wait()
            .await
            .map_err(|error| Error::new(Kind::Statement, "pg_dump got lost").because(error))?;
        let complaints = (&mut self.complaints).await.unwrap_or_default();
        let error = complaints.lines().find(|line| line.contains("error:"));
        if status.success() && error.is_none() {
            for warning in complaints.lines().filter(|line| line.contains("warning:")) {
                let warning = warning.trim_start_matches("pg_dump: warning: ");
                let warning = complaints::complaint(warning, &self.names()).text;
                tracing::warn!(warning, "pg_dump warns");
            }
            return Ok(());
        }
        let complaint = error
            .or(complaints.lines().next())
            .unwrap_or("without a word")
            .trim_start_matches("pg_dump: ")
            .trim_start_matches("error: ");
        let complaint = complaints::complaint(complaint, &self.names());
        let made = Error::new(
            Kind::Statement,
            format!("pg_dump failed ({status}): {}", complaint.text),
        )
        .of_program(status);
        Err(if complaints.contains("LOCK TABLE") {
            lock_wait::told(&self.address, made).await
        } else if complaint.is_whole {
            made
        } else {
            made.hint(ELSEWHERE)
        })
    }

    /// The names of what it dumps.
    fn names(&self) -> Names {
        let mut names = Names::default();
        for name in &self.tables {
            names.add(name);
            names.add_words(name);
        }
        names
    }
}

/// Refuses a dump that has not the rows of all tables that were surveyed.
fn refuse_gaps(head: &Head, parts: &[Part]) -> Result<()> {
    let tables: HashSet<String> = head.tables().map(|(_, label)| label).collect();
    let missing = parts
        .iter()
        .find(|part| part.encoding != LARGE_OBJECTS && !tables.contains(&part.label()));
    match missing {
        None => Ok(()),
        Some(part) => Err(Error::new(
            Kind::Verify,
            format!("pg_dump leaves out the rows of {}", part.label()),
        )),
    }
}

/// All that it says, up to what anybody reads.
async fn complaints(from: ChildStderr) -> String {
    Redaction::known().text(&stderr::beginning(from).await)
}
