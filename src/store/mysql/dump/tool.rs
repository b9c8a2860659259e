//! `mariadb-dump` and `mysqldump`: found, called, and read as they write.
//!
//! What of a dump is right is decided by their exit status, by what they write on their standard error, by the last line of
//! what they wrote, and by its rows.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, PoisonError};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream;
use secrecy::ExposeSecret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdout};
use tokio::task::JoinHandle;

use super::super::address::{Address, Encryption, Way};
use super::super::connection::Session;
use super::super::definitions::Definitions;
use super::super::fitness;
use super::super::objects::ObjectKind;
use super::super::pool::Pool;
use super::super::source::Source;
use super::super::version::{Flavour, Version};
use super::complaints;
use super::counts::{self, Counter};
use crate::config::job::{Task, Verify};
use crate::error::{Error, Kind, Result};
use crate::process::program;
use crate::secret::redaction::Redaction;
use crate::store::dump::{Counted, Dumping};
use crate::store::liveness::GONE;
use crate::store::tls;
use crate::store::{self, Context, Fate, Part, Survey};

/// How much is read at a time.
const BLOCK: usize = 128 * 1024;

/// What a whole dump ends with, and in how many bytes at its end it is looked for.
const LAST: &[u8] = b"-- Dump completed";
const TAIL: usize = 128;

/// Of what the tool complains of, as much is kept.
const COMPLAINTS: u64 = 64 * 1024;

/// Dumps a surveyed source.
pub(in crate::store) async fn dump(
    task: &Task,
    _context: &Context,
    source: &dyn store::Source,
    survey: &Survey,
) -> Result<Dumping> {
    let source = source.as_any().downcast_ref::<Source>().ok_or_else(|| {
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
                "table `{}` has computed columns alone, and what mysqldump writes of its rows is no SQL",
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
    let possible = tool.version.as_ref().is_some_and(fitness::takes_past);
    if has_past && !possible {
        tracing::warn!(
            tool = %tool.program.display(),
            "it cannot dump what rows were before: tables with system versioning are dumped as they are now"
        );
    }
    has_past && possible
}

/// One of the tools.
struct Tool {
    program: PathBuf,
    flavour: Flavour,
    version: Option<Version>,
}

impl Tool {
    /// The first in PATH of the server's maker: another's does not know all that there is.
    async fn find(flavour: Flavour) -> Result<Self> {
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
                let is_mariadb = text.contains("MariaDB");
                if is_mariadb == (flavour == Flavour::MariaDb) {
                    let version = text
                        .split([' ', ','])
                        .find(|word| word.contains("-MariaDB"))
                        .and_then(|word| Version::parse(word).ok());
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
    fn calls(
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

/// Who we are, as an option file that never is a file.
fn options(address: &Address) -> Vec<u8> {
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
            return Err(self.tool.failed(&format!("failed ({status}): {complaint}")));
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
        let complaints = tokio::spawn(async move {
            let mut kept = Vec::new();
            let mut limited = complaints.take(COMPLAINTS);
            let _ = limited.read_to_end(&mut kept).await;
            // The tool shall not wait for who does not listen.
            let _ = tokio::io::copy(&mut limited.into_inner(), &mut tokio::io::sink()).await;
            Redaction::known().text(&String::from_utf8_lossy(&kept))
        });
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

impl Tool {
    fn failed(&self, how: &str) -> Error {
        Error::new(Kind::Statement, format!("{} {how}", self.program.display()))
    }
}

/// What a dump's rows are compared with.
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
                let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
                rows.get(&part.name).copied().unwrap_or(0)
            };
            counts::compare(&mut then, &mut now, table, part, dumped, self.with_past).await?;
        }
        Ok(())
    }
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
