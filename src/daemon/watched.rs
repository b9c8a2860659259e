//! A run that is looked after: how it is told to end, how it is killed, and how it ended.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Instant;

use chrono::Utc;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::error::Result;
use crate::guard::process::{self, Process, Sight};
use crate::report::log::run_span;
use crate::state::{LogLine, Outcome, Run, RunState, State};

/// A run that is looked after.
pub(super) struct Watched {
    pub(super) job: String,
    pub(super) process: Process,
    /// Whether it is a child of this process, which is told how it ends.
    pub(super) child: bool,
    /// When its timeout is over, by a clock that nobody sets.
    pub(super) limit: Option<Instant>,
    /// When it was told to end, and why.
    pub(super) told: Option<(Instant, String)>,
    pub(super) killed: bool,
    /// How its process ended, until that is recorded.
    pub(super) end: Option<End>,
}

/// How a process ended.
pub(super) struct End {
    pub(super) how: String,
    pub(super) status: Option<ExitStatus>,
}

/// A run whose process ended before there was anything to record; what it said on stderr is all there is.
pub(super) fn never_began(
    state: &State,
    run: &Run,
    how: &str,
    status: Option<ExitStatus>,
    words: &[String],
) -> Result<()> {
    let code = status.and_then(|status| status.code());
    let message = error_of(words).unwrap_or_else(|| format!("{how} before it began"));
    let (ended, code) = match code {
        Some(2) => (RunState::Refused, 2),
        Some(3) => (RunState::Refused, 3),
        Some(75) => (RunState::Busy, 75),
        Some(130) => (RunState::Cancelled, 130),
        Some(143) => (RunState::Cancelled, 143),
        _ => (RunState::Failed, 1),
    };
    let lines: Vec<LogLine> = words
        .iter()
        .map(|line| LogLine {
            at: Utc::now(),
            level: "error".to_owned(),
            task: String::new(),
            message: line.clone(),
        })
        .collect();
    state.finish(
        &run.id,
        &Outcome {
            state: ended,
            message: message.clone(),
            errors: 1,
            warnings: 0,
            exit_code: code,
        },
    )?;
    tracing::error!(message, "run {ended}");
    state.add_logs(&run.id, &lines)
}

/// The error that a process ended with.
pub(super) fn error_of(words: &[String]) -> Option<String> {
    let said = |line: &String| line.strip_prefix("envsyncd: ").map(str::to_owned);
    words.iter().rev().find_map(said)
}

/// The last line of a run's log.
pub(super) fn last_line(state: &State, run: &str) -> Result<Option<String>> {
    let last = state.last_log(run)?;
    let line = state.logs(run, last - 1, 1)?.pop();
    Ok(line.map(|(_, line)| line.message))
}

pub(super) fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code} and without a word"),
        (None, Some(number)) => {
            let name = Signal::try_from(number).map_or("a signal", Signal::as_str);
            format!("was killed by {name} ({number})")
        }
        (None, None) => "ended".to_owned(),
    }
}

/// Once: a second SIGTERM would keep a run from ending cleanly.
pub(super) fn tell(id: &str, watched: &mut Watched, why: &str) {
    if watched.told.is_some() {
        return;
    }
    let _entered = run_span(&watched.job, id).entered();
    tracing::warn!(why, pid = watched.process.pid, "telling the run to end");
    watched.told = Some((Instant::now(), why.to_owned()));
    if !watched.child && !watched.process.may_be_told() {
        tracing::warn!(
            "the process that the state store names for the run is not envsyncd, and is left alone"
        );
        return;
    }
    if let Err(error) = send(&watched.process, Signal::SIGTERM) {
        tracing::warn!(%error, "the run could not be told to end");
    }
}

/// Once, with all that it started: what of it hangs on another process group is killed there.
pub(super) fn slay(id: &str, watched: &mut Watched) {
    if watched.killed {
        return;
    }
    let _entered = run_span(&watched.job, id).entered();
    tracing::error!(pid = watched.process.pid, "the run did not end; killing it");
    watched.killed = true;
    if !watched.process.is_alive() || !(watched.child || watched.process.may_be_told()) {
        return;
    }
    let tree = process::tree(watched.process.pid);
    if let Ok(pid) = i32::try_from(watched.process.pid)
        && watched.child
    {
        // It leads its group. One that a person started may share its group with that person's shell.
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
    }
    for process in &tree {
        if let Err(error) = send(process, Signal::SIGKILL)
            && process.pid == watched.process.pid
        {
            tracing::warn!(%error, "the run could not be killed");
        }
    }
}

/// To this very process, not to one that has its number now.
fn send(process: &Process, signal: Signal) -> nix::Result<()> {
    if process.look() != Sight::Alive {
        return Ok(());
    }
    let pid = i32::try_from(process.pid).map_err(|_| nix::errno::Errno::ESRCH)?;
    kill(Pid::from_raw(pid), signal)
}
