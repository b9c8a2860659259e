//! An operator's program: started without a shell, its output in the log, ended with all that it started.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::job::Hook;
use crate::error::{Error, Kind, Result};
use crate::process::program;
use crate::secret::redaction::Redaction;
use crate::sync::Mutex;
use crate::trust;

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// How long a program's output is read after it ended: what it left running may hold the pipe open for ever.
const DRAIN: Duration = Duration::from_secs(2);
/// A longer line is logged in pieces.
const LINE: usize = 4096;
/// How much of what one call of a program says is logged: one that prints without end must not fill the state store's disk.
const LINES: usize = 1000;
const BYTES: usize = 256 * 1024;
/// How many of its last lines are logged where it says more.
const TAIL: usize = 20;

static GROUPS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// A process group of ours; what is left of it is killed when this is dropped before [`Group::release`].
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    /// Of a child that was started as its own group's leader, and not yet waited for.
    fn of(child: &Child) -> Self {
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .map(Pid::from_raw);
        if let Some(pid) = pid {
            lock().insert(pid.as_raw());
        }
        Self(pid)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // ESRCH: it went by itself.
            let _ = killpg(pid, signal);
        }
    }

    /// It ended by itself: what it left running was meant to.
    fn release(mut self) {
        self.forget();
    }

    fn forget(&mut self) {
        if let Some(pid) = self.0.take() {
            lock().remove(&pid.as_raw());
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        self.forget();
    }
}

fn lock() -> std::sync::MutexGuard<'static, BTreeSet<i32>> {
    GROUPS.lock()
}

/// Kills every program that runs now, for an exit without clean-up.
pub(super) fn kill_all() {
    for group in lock().iter() {
        let _ = killpg(Pid::from_raw(*group), Signal::SIGKILL);
    }
}

#[cfg(test)]
pub(super) fn groups() -> Vec<i32> {
    lock().iter().copied().collect()
}

/// Runs a hook to its end. `what` is its key in the job's file; `envs` and then `extra` add to the environment that every
/// program has ([`program::other`]).
///
/// `Kind::Hook` if it cannot be started, ends with anything but 0, or is stopped: after its timeout, or because
/// `cancel` was (the caller knows why that was, and says so). Dropping the future kills it and what it started.
pub async fn run(
    hook: &Hook,
    what: &str,
    envs: impl Fn(&mut Command),
    extra: &[(&str, &str)],
    cancel: Option<&CancellationToken>,
) -> Result<()> {
    let name = hook.argv.first().map(String::as_str).unwrap_or_default();
    let named = |how: &str| format!("hook {what} (`{name}`) {how}");
    let mut command = program::other(name);
    command.args(hook.argv.iter().skip(1));
    envs(&mut command);
    command
        .envs(extra.iter().copied())
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| {
        Error::new(Kind::Hook, named("cannot be started"))
            .because(error)
            .hint("hooks are argv lists, never a shell: check the program's path and its mode")
    })?;
    let group = Group::of(&child);
    let said = Arc::new(Mutex::new(Said::by(what)));
    let stdout = Reader::start(child.stdout.take(), &said, false);
    let stderr = Reader::start(child.stderr.take(), &said, true);

    let ended = tokio::select! {
        ended = child.wait() => Ended::ByItself(ended),
        () = timer(hook.timeout) => Ended::TimedOut,
        () = cancelled(cancel) => Ended::Cancelled,
    };
    let ended = match ended {
        Ended::ByItself(status) => {
            group.release();
            Ended::ByItself(status)
        }
        early => {
            group.signal(Signal::SIGTERM);
            // Whether it goes or not: dropping the group kills what is left.
            let _ = tokio::time::timeout(GRACE, child.wait()).await;
            drop(group);
            early
        }
    };
    for reader in [stdout, stderr] {
        reader.finish().await;
    }
    let last = said.lock().end();
    let failed = |how: &str| {
        let how = if last.is_empty() {
            how.to_owned()
        } else {
            format!("{how}: {last}")
        };
        Err(Error::new(Kind::Hook, named(&how)))
    };
    match ended {
        Ended::ByItself(Ok(status)) if status.success() => Ok(()),
        Ended::ByItself(Ok(status)) => failed(&describe(status)),
        Ended::ByItself(Err(error)) => {
            Err(Error::new(Kind::Internal, named("cannot be waited for")).because(error))
        }
        Ended::TimedOut => {
            let limit = humantime::format_duration(hook.timeout.unwrap_or_default());
            failed(&format!("was stopped after its timeout of {limit}"))
        }
        Ended::Cancelled => failed("was stopped with the run"),
    }
}

enum Ended {
    ByItself(std::io::Result<ExitStatus>),
    TimedOut,
    Cancelled,
}

async fn timer(timeout: Option<Duration>) {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

async fn cancelled(cancel: Option<&CancellationToken>) {
    match cancel {
        Some(cancel) => cancel.cancelled().await,
        None => std::future::pending().await,
    }
}

/// Whether a program was ended by somebody's SIGTERM, and not by its own limit of time. Shells say 143 of one that they
/// waited for; the standard library's words are those of the stores' programs.
pub fn was_terminated(error: &Error) -> bool {
    let text = error.to_string();
    TERMINATED.iter().any(|words| text.contains(words))
}

const TERMINATED: [&str; 3] = [
    "was ended by signal SIGTERM",
    "ended with exit code 143",
    "signal: 15 (SIGTERM)",
];

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => {
            let name =
                Signal::try_from(signal).map_or_else(|_| signal.to_string(), |s| s.to_string());
            format!("was ended by signal {name}")
        }
        (None, None) => "ended in an unknown way".to_owned(),
    }
}

/// Puts one stream into the log; dropped with the future that waits for the program.
struct Reader(JoinHandle<()>);

impl Reader {
    fn start(
        stream: Option<impl AsyncRead + Unpin + Send + 'static>,
        said: &Arc<Mutex<Said>>,
        is_stderr: bool,
    ) -> Self {
        use tracing::Instrument as _;
        let said = Arc::clone(said);
        let log = move |line: &str| {
            let mut said = said.lock();
            said.line(line, is_stderr);
        };
        let reading = async move {
            let mut stream = BufReader::with_capacity(LINE, stream?);
            let mut line = Vec::new();
            let mut redaction = Redaction::known();
            loop {
                let (taken, whole) = match stream.fill_buf().await {
                    Ok([]) | Err(_) => (0, true),
                    Ok(bytes) => {
                        let end = bytes.iter().position(|byte| *byte == b'\n');
                        line.extend_from_slice(&bytes[..end.unwrap_or(bytes.len())]);
                        (end.map_or(bytes.len(), |end| end + 1), end.is_some())
                    }
                };
                stream.consume(taken);
                if whole {
                    log(&redaction.line(&line));
                    line.clear();
                } else if line.len() >= LINE + redaction.longest() {
                    // A secret at the end of a piece is struck out by its beginning, and by its rest in the next.
                    let blank = line[..LINE].iter().rposition(|byte| *byte == b' ');
                    let end = blank.filter(|at| *at > LINE / 2).unwrap_or(LINE);
                    let piece: Vec<u8> = line.drain(..end).collect();
                    log(&redaction.line(&piece));
                }
                if taken == 0 {
                    return Some(());
                }
            }
        };
        Self(tokio::spawn(
            async move {
                reading.await;
            }
            .in_current_span(),
        ))
    }

    async fn finish(mut self) {
        let _ = tokio::time::timeout(DRAIN, &mut self.0).await;
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What one call of a program says, on its way into the log.
struct Said {
    what: String,
    lines: usize,
    bytes: usize,
    /// The end of what is not logged as it comes.
    tail: VecDeque<String>,
    left_out: u64,
    /// The last line on its stderr.
    last: String,
}

impl Said {
    fn by(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            lines: 0,
            bytes: 0,
            tail: VecDeque::new(),
            left_out: 0,
            last: String::new(),
        }
    }

    fn line(&mut self, line: &str, is_stderr: bool) {
        let text = line.trim();
        if text.is_empty() {
            return;
        }
        if is_stderr {
            self.last = text.chars().take(200).collect();
        }
        if self.lines < LINES && self.bytes < BYTES {
            self.lines += 1;
            self.bytes += text.len();
            tracing::info!(hook = self.what, output = text, "hook said");
            return;
        }
        self.tail.push_back(text.to_owned());
        if self.tail.len() > TAIL {
            self.tail.pop_front();
            self.left_out += 1;
        }
    }

    /// Logs the end of what it said; returns its last words.
    fn end(&mut self) -> String {
        if self.left_out > 0 {
            tracing::warn!(
                hook = self.what,
                lines = self.left_out,
                "the hook said too much: so many lines are left out here"
            );
        }
        for text in self.tail.drain(..) {
            tracing::info!(hook = self.what, output = text, "hook said");
        }
        std::mem::take(&mut self.last)
    }
}

/// Looks for a hook's program, so that one that is missing is not found after hours of copying. `what` is its key in the job's
/// file; `path` is where a name without a slash is looked for, as `$PATH` has it.
///
/// `Kind::Hook` if it could not be started; `Kind::Permission` if this user may not even look.
pub fn look(hook: &Hook, what: &str, path: Option<&OsStr>) -> Result<()> {
    let program = hook.argv.first().map(String::as_str).unwrap_or_default();
    let files: Vec<PathBuf> = if program.contains('/') {
        vec![PathBuf::from(program)]
    } else {
        // What execvp(3) takes where there is no PATH.
        let path = path.unwrap_or(OsStr::new("/bin:/usr/bin"));
        std::env::split_paths(path)
            .map(|directory| directory.join(program))
            .collect()
    };
    let mut why: Option<(Kind, String)> = None;
    for file in files {
        match runnable(&file) {
            Ok(()) => return Ok(()),
            Err(Some(found)) => why = why.or(Some(found)),
            Err(None) => {}
        }
    }
    let absent = if program.contains('/') {
        "is not there"
    } else {
        "is in no directory of PATH"
    };
    let (kind, why) = why.unwrap_or((Kind::Hook, absent.to_owned()));
    Err(Error::new(kind, format!("hook {what} (`{program}`) {why}"))
        .hint("hooks are argv lists, never a shell: check the program's path and its mode"))
}

/// Why a file cannot be run by this user; `None`: it is not there.
fn runnable(file: &Path) -> Result<(), Option<(Kind, String)>> {
    let cannot = |why: &str| Err(Some((Kind::Hook, why.to_owned())));
    let found = match fs::metadata(file) {
        Ok(found) => found,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Err(None);
        }
        Err(error) => {
            let why = format!("cannot be looked at: {error}");
            return Err(Some((Kind::Permission, why)));
        }
    };
    if !found.is_file() {
        return cannot("is no file");
    }
    if nix::unistd::access(file, nix::unistd::AccessFlags::X_OK).is_err() {
        return cannot("may not be executed by this user");
    }
    if let Some(doubt) = trust::of_file(file, &found) {
        return Err(Some((
            Kind::Hook,
            format!(
                "{}, and root does not run it; run: {}",
                doubt.what, doubt.advice
            ),
        )));
    }
    // The kernel says of a script whose interpreter is missing that the script is.
    let mut head = [0; 256];
    let read = fs::File::open(file).and_then(|mut file| file.read(&mut head));
    if let Ok(read) = read
        && let Some(line) = head[..read].strip_prefix(b"#!")
    {
        let line = String::from_utf8_lossy(line.split(|byte| *byte == b'\n').next().unwrap_or(b""));
        let interpreter = line.split_whitespace().next().unwrap_or_default();
        if interpreter.starts_with('/') && !Path::new(interpreter).exists() {
            return cannot(&format!(
                "is a script of `{interpreter}`, which is not there"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
