//! Writes a dump: calls `mariadb-dump` or `mysqldump`, and reads what it prints.
//!
//! What of a dump is right is decided by its exit status, by what it writes on its standard error, by the last line of what it
//! wrote, and by its rows.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::process::Stdio;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdout};
use tokio::task::JoinHandle;

use super::complaints;
use super::counts::{self, Counter};
use super::tool::{Tool, options};
use crate::config::job::{Task, Verify};
use crate::error::{Error, Kind, Result};
use crate::process::{program, stderr};
use crate::secret::redaction::Redaction;
use crate::store::dump::{Counted, Dumping};
use crate::store::liveness::GONE;
use crate::store::mysql::connection::address::Address;
use crate::store::mysql::connection::pool::Pool;
use crate::store::mysql::connection::session::Session;
use crate::store::mysql::schema::definitions::Definitions;
use crate::store::mysql::source::Source;
use crate::store::mysql::sql::version::{Flavour, Version};
use crate::store::{self, Part, Survey};

/// How much is read at a time.
const BLOCK: usize = 128 * 1024;

/// The text near the end of a whole dump, and how many of the last bytes are searched for it.
const LAST: &[u8] = b"-- Dump completed";
const TAIL: usize = 128;

/// Dumps a surveyed source.
pub(super) async fn dump(
    task: &Task,
    source: &dyn store::Source,
    survey: &Survey,
) -> Result<Dumping> {
    let source = source.native().get::<Source>().ok_or_else(|| {
        Error::new(
            Kind::Internal,
            "a dump by its own tool is of a MySQL source only",
        )
    })?;
    let (address, pool, definitions) = source.surveyed_for_dump()?;
    let tool = Tool::find(definitions.version.flavour).await?;
    refuse(&definitions, survey)?;
    let with_past = past(&tool, &definitions, survey);
    let calls = tool.calls(&address, &definitions, with_past);
    let rows = Counted::default();
    let mut writing = Writing {
        tool,
        options: options(&address),
        address: address.clone(),
        calls,
        running: None,
        held: BytesMut::new(),
        counter: Counter::new(rows.clone()),
        check: (task.verify != Verify::None).then(|| Check {
            address,
            pool,
            definitions,
            parts: survey.whole(),
            rows: rows.clone(),
            with_past,
        }),
    };
    // What is wrong from the start is said at once.
    let first = writing.next().await?;
    let rest = stream::try_unfold(writing, |mut writing| async move {
        Ok(writing.next().await?.map(|piece| (piece, writing)))
    });
    let bytes = stream::iter(first.map(Ok)).chain(rest).boxed();
    Ok(Dumping { bytes, rows })
}

/// What such tools write wrong.
fn refuse(definitions: &Definitions, survey: &Survey) -> Result<()> {
    if definitions.version.flavour == Flavour::MySql
        && let Some(part) = survey.parts.iter().find(|part| part.columns.is_empty())
    {
        return Err(Error::new(
            Kind::Verify,
            format!(
                "table `{}` has only computed columns, and mysqldump writes its rows as invalid SQL",
                part.name
            ),
        )
        .hint("put it into the task's `exclude` or `schema_only`"));
    }
    Ok(())
}

/// Whether rows that were before come along.
fn past(tool: &Tool, definitions: &Definitions, survey: &Survey) -> bool {
    let has_past = survey.parts.iter().any(|part| {
        definitions.table(&part.name).is_some_and(|table| {
            table
                .columns
                .iter()
                .any(|column| column.is_period && part.columns.contains(&column.name))
        })
    });
    let possible = tool.version.as_ref().is_some_and(Version::takes_past);
    if has_past && !possible {
        tracing::warn!(
            tool = %tool.program.display(),
            "it cannot dump what rows were before: tables with system versioning are dumped as they are now"
        );
    }
    has_past && possible
}

/// A dump that is being written.
struct Writing {
    tool: Tool,
    options: Vec<u8>,
    address: Address,
    /// What is still to be called.
    calls: VecDeque<Vec<OsString>>,
    running: Option<Running>,
    /// The last bytes that came: whether they are a dump's last ones is not known yet.
    held: BytesMut,
    counter: Counter,
    check: Option<Check>,
}

/// For a server that the tool waits for in vain.
fn gone(address: &Address) -> Error {
    Error::new(Kind::Connection, format!("{}: {GONE}", address.label()))
        .hint("see the server's log, and run the job again")
}

/// One call of the tool.
struct Running {
    child: Child,
    output: ChildStdout,
    complaints: JoinHandle<String>,
}

impl Writing {
    /// The next bytes; nothing after all of them were found to be right.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            let Some(running) = &mut self.running else {
                let Some(call) = self.calls.pop_front() else {
                    self.counter.end()?;
                    if let Some(check) = self.check.take() {
                        check.run().await?;
                    }
                    return Ok(None);
                };
                self.running = Some(self.start(&call).await?);
                continue;
            };
            self.held.reserve(BLOCK);
            let read = tokio::select! {
                read = running.output.read_buf(&mut self.held) => read,
                () = self.address.pulse.lost() => return Err(gone(&self.address)),
            };
            let read =
                read.map_err(|error| self.tool.failed("cannot be read from").because(error))?;
            let piece = if read > 0 {
                let ready = self.held.len().saturating_sub(TAIL);
                self.held.split_to(ready).freeze()
            } else {
                self.ended().await?
            };
            if !piece.is_empty() {
                self.counter.feed(&piece)?;
                return Ok(Some(piece));
            }
        }
    }

    /// The tool wrote no more: what was held back, if it did what it had to.
    async fn ended(&mut self) -> Result<Bytes> {
        let Some(mut running) = self.running.take() else {
            return Ok(Bytes::new());
        };
        let status = running.child.wait().await;
        let status = status.map_err(|error| self.tool.failed("got lost").because(error))?;
        let complaints = running.complaints.await.unwrap_or_default();
        let serious = complaints.lines().find(|line| {
            let line = line.to_ascii_lowercase();
            line.contains("error") || line.contains("couldn't")
        });
        if !status.success() || serious.is_some() {
            let complaint = serious
                .or(complaints.lines().find(|line| !line.trim().is_empty()))
                .unwrap_or("without a word");
            let complaint = complaints::told(complaint);
            let made = self.tool.failed(&format!("failed ({status}): {complaint}"));
            return Err(made.of_program(status));
        }
        for line in complaints.lines().filter(|line| !line.trim().is_empty()) {
            let line = complaints::told(line);
            tracing::warn!(tool = %self.tool.program.display(), "{line}");
        }
        let Some(last) = memchr::memmem::rfind(&self.held, LAST) else {
            return Err(self
                .tool
                .failed("ended well, and what it wrote does not end as a whole dump does"));
        };
        if !self.calls.is_empty() {
            // There is one dump, and it ends once.
            self.held.truncate(last);
        }
        Ok(self.held.split().freeze())
    }

    async fn start(&self, call: &[OsString]) -> Result<Running> {
        let mut command = program::other(&self.tool.program);
        command
            .args(call)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(crate::error::io(format!(
            "{} cannot be started",
            self.tool.program.display()
        )))?;
        let mut input = child.stdin.take().expect("stdin is piped");
        let output = child.stdout.take().expect("stdout is piped");
        let complaints = child.stderr.take().expect("stderr is piped");
        let complaints =
            tokio::spawn(
                async move { Redaction::known().text(&stderr::beginning(complaints).await) },
            );
        // One that does not read them says itself what is wrong.
        let _ = input.write_all(&self.options).await;
        drop(input);
        Ok(Running {
            child,
            output,
            complaints,
        })
    }
}

/// The row counts that a dump is compared with.
struct Check {
    address: Address,
    /// Sessions at the survey's point in time.
    pool: Pool,
    definitions: Arc<Definitions>,
    parts: Vec<Part>,
    rows: Counted,
    with_past: bool,
}

impl Check {
    async fn run(self) -> Result<()> {
        let mut then = self.pool.take().await?;
        let mut now = Session::open(&self.address, Some(self.address.database())).await?;
        for part in &self.parts {
            let Some(table) = self.definitions.table(&part.name) else {
                continue;
            };
            let dumped = {
                let rows = self.rows.lock();
                rows.get(&part.name).copied().unwrap_or(0)
            };
            counts::compare(&mut then, &mut now, table, part, dumped, self.with_past).await?;
        }
        Ok(())
    }
}
