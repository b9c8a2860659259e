//! `logs`: a run's log, as it comes if asked.

use std::io::Write;
use std::time::Duration;

use chrono::{Local, SecondsFormat};
use clap::Args;
use serde::Serialize;

use super::{Global, state_to_read};
use crate::error::{Error, Kind, Result};
use crate::state::LogLine;

const EXAMPLES: &str = "Examples:
  envsyncd logs 0199b2c3
  envsyncd logs 0199b2c3 --follow           until the run ends
  envsyncd logs 0199b2c3 --json             a JSON object a line";

/// How often new lines are looked for.
const EVERY: Duration = Duration::from_millis(250);

/// `logs RUN`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LogsArgs {
    /// A run's id, or the beginning or the end of one
    run: String,
    /// Print new lines as they come, until the run ends
    #[arg(short, long)]
    follow: bool,
    /// Print a JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    level: &'a str,
    task: &'a str,
    message: &'a str,
}

pub(super) fn logs(global: &Global, args: &LogsArgs) -> Result<u8> {
    let settings = global.settings()?;
    let state = state_to_read(global, &settings)?;
    let id = super::show::find(state.as_ref(), &args.run)?.id;
    let Some(state) = state else { return Ok(0) };
    let mut after = 0;
    loop {
        // Asked before the lines are read: what a run writes before it ends is not missed.
        let ended = state.run(&id)?.is_none_or(|run| {
            run.finished_at.is_some() || run.is_dead(&crate::guard::process::host_name())
        });
        loop {
            let lines = state.logs(&id, after, 1000)?;
            let Some((last, _)) = lines.last() else { break };
            after = *last;
            let text: String = lines
                .iter()
                .map(|(_, line)| shown(line, args.json))
                .collect();
            let mut out = std::io::stdout().lock();
            match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
                Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(0),
                Err(error) => {
                    return Err(Error::new(Kind::Io, "stdout cannot be written to").because(error));
                }
                Ok(()) => {}
            }
        }
        if !args.follow || ended {
            return Ok(0);
        }
        std::thread::sleep(EVERY);
    }
}

fn shown(line: &LogLine, json: bool) -> String {
    if json {
        let line = Line {
            at: line.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            level: &line.level,
            task: &line.task,
            message: &line.message,
        };
        return serde_json::to_string(&line).unwrap_or_default() + "\n";
    }
    let task = if line.task.is_empty() {
        String::new()
    } else {
        format!("{}: ", line.task)
    };
    format!(
        "{} {:5} {task}{}\n",
        line.at.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S"),
        line.level,
        line.message
    )
}
