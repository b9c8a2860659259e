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

/// Whether a hook was ended by somebody's SIGTERM, and not by its own limit of time.
pub fn was_terminated(error: &Error) -> bool {
    error.to_string().contains(TERMINATED)
}

const TERMINATED: &str = "was ended by signal SIGTERM";

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
mod tests {
    use super::*;
    use crate::guard::process::Process;

    fn hook(argv: &[&str], timeout: Option<Duration>) -> Hook {
        Hook {
            argv: argv.iter().map(ToString::to_string).collect(),
            timeout,
        }
    }

    async fn sh(script: &str, timeout: Option<Duration>) -> Result<()> {
        run(
            &hook(&["/bin/sh", "-c", script], timeout),
            "maintenance_on",
            |_| {},
            &[],
            None,
        )
        .await
    }

    /// The process whose id a script wrote to this file.
    async fn written(file: &std::path::Path) -> Process {
        loop {
            if let Ok(text) = std::fs::read_to_string(file)
                && text.ends_with('\n')
            {
                return Process::of(text.trim().parse().unwrap()).expect("it runs");
            }
            tokio::task::yield_now().await;
        }
    }

    async fn gone(process: &Process) {
        while process.is_alive() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn arguments_and_environment_arrive_without_a_shell() {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let argv = [
            "/bin/sh",
            "-c",
            "printf '%s|%s|%s' \"$1\" \"$A\" \"$B\" > \"$0\"",
            out.to_str().unwrap(),
            "$(id) *",
        ];
        run(
            &hook(&argv, None),
            "x",
            |command| {
                command.env("A", "one").env("B", "lost");
            },
            &[("B", "two")],
            None,
        )
        .await
        .unwrap();
        assert_eq!(std::fs::read_to_string(out).unwrap(), "$(id) *|one|two");
    }

    #[tokio::test]
    async fn a_failure_names_the_program_its_exit_code_and_its_last_words() {
        let error = sh(
            "echo first >&2; echo no such site >&2; echo fine; exit 3",
            None,
        )
        .await
        .unwrap_err();
        assert_eq!(error.kind(), Kind::Hook);
        assert_eq!(
            error.to_string(),
            "hook maintenance_on (`/bin/sh`) ended with exit code 3: no such site"
        );
    }

    #[tokio::test]
    async fn a_secret_that_a_program_says_is_struck_out_of_its_last_words() {
        crate::secret::redaction::know("hunter2-of-command");
        let error = sh("echo the password is hunter2-of-command >&2; exit 3", None)
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "hook maintenance_on (`/bin/sh`) ended with exit code 3: the password is ***"
        );
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named() {
        let error = run(
            &hook(&["/nonexistent/hook"], None),
            "after_publish",
            |_| {},
            &[],
            None,
        )
        .await
        .unwrap_err();
        assert_eq!(error.kind(), Kind::Hook);
        assert!(
            error
                .to_string()
                .contains("hook after_publish (`/nonexistent/hook`) cannot be started"),
            "{error}"
        );
    }

    #[test]
    fn what_could_not_be_started_is_found_by_looking() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str, mode: u32| {
            let file = dir.path().join(name);
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            file.to_str().unwrap().to_owned()
        };
        let fine = put("fine", "#!/bin/sh\n", 0o755);
        let plain = put("plain", "#!/bin/sh\n", 0o644);
        let odd = put("odd", "#!/nonexistent/python4 -u\n", 0o755);
        let said = |program: &str| {
            let looked = look(
                &hook(&[program], None),
                "after_publish",
                Some(dir.path().as_os_str()),
            );
            looked.map_err(|error| error.to_string())
        };
        assert_eq!(said(&fine), Ok(()));
        assert_eq!(said("fine"), Ok(()), "found by PATH");
        for (program, why) in [
            ("/nonexistent/hook", "(`/nonexistent/hook`) is not there"),
            ("nonexistent", "(`nonexistent`) is in no directory of PATH"),
            (plain.as_str(), "may not be executed"),
            (odd.as_str(), "a script of `/nonexistent/python4`"),
            (dir.path().to_str().unwrap(), "is no file"),
        ] {
            let said = said(program).unwrap_err();
            assert!(
                said.contains(why) && said.contains("hook after_publish"),
                "{said}"
            );
        }
    }

    /// What is logged of a program's output, line by line.
    async fn logged(script: &str) -> Vec<String> {
        use tracing_subscriber::layer::SubscriberExt as _;
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<String>>>);
        impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Lines {
            fn on_event(
                &self,
                event: &tracing::Event<'_>,
                _: tracing_subscriber::layer::Context<'_, S>,
            ) {
                struct Text(String);
                impl tracing::field::Visit for Text {
                    fn record_debug(
                        &mut self,
                        field: &tracing::field::Field,
                        value: &dyn std::fmt::Debug,
                    ) {
                        self.0 += &format!("{}={value:?} ", field.name());
                    }
                }
                let mut text = Text(String::new());
                event.record(&mut text);
                self.0.lock().push(text.0);
            }
        }
        let lines = Lines::default();
        let subscriber = tracing_subscriber::registry().with(lines.clone());
        let guard = tracing::subscriber::set_default(subscriber);
        sh(script, None).await.unwrap();
        drop(guard);
        lines.0.lock().clone()
    }

    #[tokio::test]
    async fn of_a_program_that_says_too_much_the_beginning_and_the_end_are_logged() {
        let lines = logged("i=0; while [ $i -lt 5000 ]; do echo word $i; i=$((i+1)); done").await;
        assert_eq!(lines.len(), LINES + 1 + TAIL);
        assert!(lines[0].contains("word 0"), "{}", lines[0]);
        assert!(
            lines[LINES].contains("lines=3980") && lines[LINES].contains("left out"),
            "{}",
            lines[LINES]
        );
        assert!(lines.last().unwrap().contains("word 4999"));
        // Few long lines fill a disk, too.
        let long = logged("head -c 3000000 /dev/zero | tr '\\0' x").await;
        let bytes: usize = long.iter().map(String::len).sum();
        assert!(bytes < BYTES + (TAIL + 4) * LINE * 2, "{bytes}");
        assert!(long.iter().any(|line| line.contains("left out")));
    }

    #[tokio::test]
    async fn a_signal_is_named() {
        let error = sh("kill -9 $$", None).await.unwrap_err();
        assert!(
            error.to_string().ends_with("was ended by signal SIGKILL"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_timeout_ends_the_program_and_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        let running = sh(&script, Some(Duration::from_secs(2)));
        let (error, grandchild) = tokio::join!(running, written(&file));
        let error = error.unwrap_err();
        assert_eq!(error.kind(), Kind::Hook);
        assert!(
            error
                .to_string()
                .contains("was stopped after its timeout of 2s"),
            "{error}"
        );
        gone(&grandchild).await;
    }

    #[tokio::test]
    async fn a_program_that_ignores_sigterm_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!(
            "trap '' TERM; echo $$ > {}; while :; do sleep 1; done",
            file.display()
        );
        let running = sh(&script, Some(Duration::from_secs(2)));
        let (error, child) = tokio::join!(running, written(&file));
        assert!(error.is_err());
        gone(&child).await;
    }

    #[tokio::test]
    async fn cancelling_the_run_ends_its_hook() {
        let cancel = CancellationToken::new();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("echo $$ > {}; exec sleep 600", file.display());
        let hook = hook(&["/bin/sh", "-c", &script], None);
        let running = run(&hook, "x", |_| {}, &[], Some(&cancel));
        let (error, child) = tokio::join!(running, async {
            let child = written(&file).await;
            cancel.cancel();
            child
        });
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("was stopped with the run")
        );
        assert!(!child.is_alive());
    }

    #[tokio::test]
    async fn a_dropped_hook_takes_all_that_it_started_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", file.display());
        let grandchild = tokio::select! {
            _ = sh(&script, None) => panic!("it ended by itself"),
            process = written(&file) => process,
        };
        gone(&grandchild).await;
    }

    #[tokio::test]
    async fn what_a_hook_leaves_running_neither_holds_up_the_run_nor_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        sh(&format!("sleep 600 & echo $! > {}", file.display()), None)
            .await
            .unwrap();
        let left = written(&file).await;
        assert!(left.is_alive());
        nix::sys::signal::kill(
            Pid::from_raw(i32::try_from(left.pid).unwrap()),
            Signal::SIGKILL,
        )
        .unwrap();
    }
}
