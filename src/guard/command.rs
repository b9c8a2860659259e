//! An operator's program: started without a shell, its output in the log, ended with all that it started.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

pub(super) mod output;

use self::output::{Reader, Said};
use crate::config::job::Hook;
use crate::error::{Error, Kind, Result};
use crate::process::program;
use crate::sync::Mutex;
use crate::trust;

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
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
        Error::new(Kind::Hook, named(&how))
    };
    match ended {
        Ended::ByItself(Ok(status)) if status.success() => Ok(()),
        Ended::ByItself(Ok(status)) => Err(failed(&describe(status)).of_program(status)),
        Ended::ByItself(Err(error)) => {
            Err(Error::new(Kind::Internal, named("cannot be waited for")).because(error))
        }
        Ended::TimedOut => {
            let limit = humantime::format_duration(hook.timeout.unwrap_or_default());
            Err(failed(&format!("was stopped after its timeout of {limit}")))
        }
        Ended::Cancelled => Err(failed("was stopped with the run")),
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

/// Whether a program was ended by somebody's SIGTERM, and not by its own limit of time.
pub fn was_terminated(error: &Error) -> bool {
    error.program_signal() == Some(Signal::SIGTERM as i32)
}

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
