//! `logs RUN`

use std::fmt::Write;
use std::thread;
use std::time::Duration;

use chrono::{Local, SecondsFormat};

use super::options::{Options, settings};
use super::state::state_to_read;
use super::terminal;
use crate::control::{documents, jobs};
use crate::error::{Error, Kind, Result};
use crate::state::{LogLine, Run};

/// How many lines are read at once.
const PAGE: usize = 1000;

/// How often `--follow` looks for new lines.
const PAUSE: Duration = Duration::from_millis(250);

/// Print the log of a run, or of a job's last run
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  envsyncd logs 0199d3a4-7c21\n  envsyncd logs publishing-api --follow\n  envsyncd logs publishing-api --search copied\n  envsyncd logs 0199d3a4-7c21 --json > run.jsonl"
)]
pub(super) struct Args {
    /// A run's id, or enough of its beginning or end to be unique; or a job, for its last run
    #[arg(value_name = "RUN or JOB")]
    pub(super) run: String,
    /// Keep printing until the run ends
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Print only lines that have this text in their message or in their task's name, in capitals or not
    #[arg(long, value_name = "TEXT")]
    pub(super) search: Option<String>,
    /// Print one JSON document per line
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn main(options: &Options, args: &Args) -> Result<u8> {
    let settings = settings(options)?;
    let state = state_to_read(options, &settings)?;
    let run = jobs::find_run(&args.run, &settings, state.as_ref())?;
    let state = state.ok_or_else(|| Error::new(Kind::Internal, "a run without a history"))?;
    let mut last = 0;
    loop {
        // Asked before the lines are read: what is written before the end is then printed before we stop.
        let now = state.run(&run.id)?;
        let over = now
            .as_ref()
            .is_none_or(|run| run.finished_at.is_some() || run.is_dead());
        loop {
            let lines = match &args.search {
                Some(text) => state.find_logs(&run.id, text, last, PAGE)?,
                None => state.logs(&run.id, last, PAGE)?,
            };
            let Some((newest, _)) = lines.last() else {
                break;
            };
            last = *newest;
            if !terminal::print(&text(&run, &lines, args.json)?)? {
                return Ok(0);
            }
        }
        if over || !args.follow {
            if args.follow && now.is_some_and(|run| run.is_dead()) {
                terminal::note("the run's process is gone");
            }
            return Ok(0);
        }
        thread::sleep(PAUSE);
    }
}

fn text(run: &Run, lines: &[(i64, LogLine)], as_json: bool) -> Result<String> {
    let mut text = String::new();
    for (seq, line) in lines {
        if as_json {
            let document = documents::Log {
                version: documents::VERSION,
                run_id: &run.id,
                seq: *seq,
                at: line.at.to_rfc3339_opts(SecondsFormat::Millis, true),
                level: &line.level,
                task: &line.task,
                message: &line.message,
            };
            text.push_str(&terminal::json_line(&document)?);
            text.push('\n');
            continue;
        }
        let at = line.at.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S");
        let task = if line.task.is_empty() {
            String::new()
        } else {
            format!("[{}] ", line.task)
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{at} {:5} {task}{}",
            line.level,
            terminal::one_line(&line.message)
        );
    }
    Ok(text)
}
