//! What goes to another host's daemon, and what comes back: tokens, paths, problems, and texts that are fit for a terminal.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use serde_json::Value;

use super::super::pause::What;
use super::super::table::{Cell, Table, Tone};
use super::super::terminal;
use super::super::terminal::Screen;
use crate::config::percent_encoded;
use crate::error::{Error, Kind, Result};
use crate::limits;
use crate::state::RunState;

/// More than a token is long.
const TOKEN: u64 = 4096;

/// The token: of a file, or of the environment.
pub(super) fn token(file: Option<&Path>) -> Result<String> {
    let text = match file {
        Some(path) => {
            let failed =
                crate::error::io(format!("the token in {} cannot be read", path.display()));
            let read = std::fs::File::open(path).and_then(|file| limits::read_all(file, TOKEN));
            String::from_utf8_lossy(&read.map_err(failed)?)
                .trim()
                .to_owned()
        }
        None => std::env::var("ENVSYNCD_TOKEN")
            .unwrap_or_default()
            .trim()
            .to_owned(),
    };
    if text.is_empty() || text.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(Error::new(Kind::Usage, "--server takes a token")
            .hint("set ENVSYNCD_TOKEN, or write it to a file and name that with --token-file"));
    }
    Ok(text)
}

/// A name as a part of a path.
pub(super) fn segment(name: &str) -> String {
    percent_encoded(
        name,
        &[
            '%', '/', '?', '#', ' ', '>', '<', '"', '\\', '`', '{', '}', '|', '^',
        ],
    )
}

/// What a pause is of, as the API has it.
pub(super) fn place(which: &What) -> String {
    match (&which.job, &which.to) {
        (Some(job), _) => format!("/jobs/{}/pause", segment(job)),
        (None, Some(to)) => format!("/environments/{}/pause", segment(to)),
        (None, None) => "/pause".to_owned(),
    }
}

/// A problem as the error that the same verb has here.
pub(super) fn refused(host: &str, status: StatusCode, body: &str) -> Error {
    let problem: Value = serde_json::from_str(body).unwrap_or_default();
    let kind = match status {
        StatusCode::BAD_REQUEST => Kind::Usage,
        StatusCode::NOT_FOUND => Kind::Unknown,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Kind::Policy,
        StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => Kind::Busy,
        StatusCode::UNPROCESSABLE_ENTITY => Kind::Config,
        _ => Kind::State,
    };
    // What is not ours has no `detail`, and is not shown.
    let Some(detail) = problem["detail"].as_str() else {
        return Error::new(Kind::Connection, format!("{host} answers with {status}"))
            .hint("is that envsyncd's API?");
    };
    let error = Error::new(kind, terminal::one_line(detail).to_string());
    match problem["hint"].as_str() {
        Some(hint) => error.hint(terminal::one_line(hint).to_string()),
        None => error,
    }
}

/// A text of an answer, fit for a terminal; empty where there is none.
pub(super) fn text(of: &Value, key: &str) -> String {
    terminal::one_line(of[key].as_str().unwrap_or_default()).to_string()
}

pub(super) fn when(at: &Value, now: DateTime<Utc>) -> Cell {
    let at = at
        .as_str()
        .and_then(|at| DateTime::parse_from_rfc3339(at).ok());
    match at.map(|at| at.to_utc()) {
        Some(at) => Cell::or(terminal::when(at, now), terminal::relative(at, now)),
        None => "-".into(),
    }
}

pub(super) fn took(run: &Value) -> String {
    let seconds = run["duration_seconds"].as_f64().unwrap_or(0.0);
    terminal::length(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// What went wrong stands out.
pub(super) fn tone(state: &str) -> Tone {
    match RunState::parse(state) {
        Some(RunState::Failed | RunState::Refused) => Tone::Bad,
        _ => Tone::Plain,
    }
}

pub(super) fn show(table: &Table) -> Result<u8> {
    let mut screen = Screen::new();
    screen.table(table);
    screen.show()?;
    Ok(0)
}

/// How long each step of a run's tasks took, a line a task.
pub(super) fn steps(run: &Value) -> Vec<String> {
    let tasks = run["tasks"].as_array().into_iter().flatten();
    let of_task = |task: &Value| {
        let steps = task["steps"].as_array().cloned().unwrap_or_default();
        let steps: Vec<(String, f64)> = steps
            .iter()
            .map(|step| (text(step, "name"), step["seconds"].as_f64().unwrap_or(0.0)))
            .collect();
        let steps = steps.iter().map(|(name, took)| (name.as_str(), *took));
        crate::cli::show::steps_of(&text(task, "name"), steps)
    };
    tasks.filter_map(of_task).collect()
}
