//! A run's page, its log, what can be done about it, and the history.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_DISPOSITION;
use axum::response::Response;
use chrono::{DateTime, Utc};

use super::answer::go_to;
use super::facts;
use super::jobs::{can_be_taken_back, keeps_previous, run_link};
use super::marks::Mark;
use super::view::{
    self, Copied, CopiedLine, History, Line, Masks, Pages, Place, Search, Stage, Table,
};
use super::visitor::{Asked, Posted, Visitor};
use super::words::encoded;
use crate::config::job::Task;
use crate::error::Result;
use crate::http::api::jobs::roll_back;
use crate::http::api::runs::{self as api, Part};
use crate::http::api::start::{Wanted, job, start};
use crate::http::app::Look;
use crate::http::live;
use crate::http::phase::Phase;
use crate::http::reply::{Named, Problem};
use crate::state::{CopiedTables, LogLine, Run, RunState, StepTime, TaskProgress, TaskRow, Verb};

/// So many lines of a log are on the page.
const LINES: i64 = 400;

/// So many tables, of all tasks.
const TABLES: usize = 100;

/// `/runs/{id}`
pub(super) async fn page(
    visitor: Visitor,
    Named(id): Named<String>,
    Asked(fields): Asked,
) -> Response {
    let made = show(&visitor, id, fields.some("search")).await;
    visitor.answer(made)
}

async fn show(visitor: &Visitor, id: String, search: Option<String>) -> Result<Response, Problem> {
    let run = api::one(&visitor.app, &visitor.identity, id).await?;
    let search = search.map(|text| text.chars().take(api::SEARCH / 4).collect());
    visitor
        .show(Place::Elsewhere, move |look, _, frame| {
            page_of(look, &run, search, frame)
        })
        .await
}

/// The end of a log; of what is searched for, the beginning.
fn excerpt(look: &Look, run: &str, last: i64, text: Option<&str>) -> Result<Excerpt> {
    let first = match text {
        Some(_) => 0,
        None => (last - LINES).max(0),
    };
    let lines = api::lines_of(look, run, text, first, LINES as usize)?;
    let found = match text {
        Some(text) => look.state.count_logs(run, text)?,
        None => 0,
    };
    Ok(Excerpt {
        lines,
        first,
        found,
    })
}

/// What is shown of a log.
struct Excerpt {
    lines: Vec<(i64, LogLine)>,
    /// What is before it is left out.
    first: i64,
    /// How many lines have what is searched for.
    found: u64,
}

fn page_of(
    look: &Look,
    run: &Run,
    search: Option<String>,
    frame: view::Frame,
) -> Result<view::Run> {
    let now = frame.now;
    let last = look.state.last_log(&run.id)?;
    let Excerpt {
        lines,
        first,
        found,
    } = excerpt(look, &run.id, last, search.as_deref())?;
    let mark = facts::mark_of(run);
    let is_last = look
        .state
        .last_published(&run.job)?
        .is_some_and(|last| last.id == run.id);
    let keeps = || job(look, &run.job).is_ok_and(|job| keeps_previous(&job));
    let rows = match run.state {
        RunState::Pending => to_come(look, run),
        _ => run.tasks.clone(),
    };
    let tables = look.state.tables(&run.id)?;
    let most = (TABLES / rows.len().max(1)).max(3);
    let is_of_task = |line: &LogLine| rows.iter().any(|task| task.name == line.task);
    let others = lines.iter().filter(|(_, line)| !is_of_task(line));
    let message = if run.is_dead() {
        "its process is gone; the job's next start records it as failed and clears up"
    } else {
        &run.message
    };
    Ok(view::Run {
        id: run.id.clone(),
        job: run.job.clone(),
        way: facts::way(look, &run.from, &run.to),
        mark,
        is_rollback: run.verb == Verb::Rollback,
        is_over: run.state.is_final(),
        step: run.step.clone(),
        percent: facts::whole(run.progress_percent()),
        started: run.started_at,
        finished: run.finished_at,
        elapsed: run.duration(now),
        by: facts::started_by(run),
        host: run.host.clone(),
        cancelled_by: run.cancelled_by.clone(),
        only: run.only.clone(),
        message: message.to_owned(),
        errors: run.errors,
        warnings: run.warnings,
        lines: last.unsigned_abs(),
        tasks: rows
            .iter()
            .map(|row| view::Task {
                copied: copied(&row.name, &tables, most),
                ..task(row, &lines)
            })
            .collect(),
        log: others.map(line).collect(),
        last: lines.last().map_or(last, |(seq, _)| *seq),
        is_cut: first > 0,
        search: search.map(|text| Search {
            shown: lines.len() as u64,
            text,
            found,
        }),
        has_previous: is_last && can_be_taken_back(run) && keeps(),
        frame,
    })
}

/// The tasks of a run that has not begun, so that its page has a place for what becomes of them.
fn to_come(look: &Look, run: &Run) -> Vec<TaskRow> {
    let Ok(job) = job(look, &run.job) else {
        return Vec::new();
    };
    let meant = |task: &&Task| run.only.is_empty() || run.only.contains(&task.name);
    let row = |task: &Task| TaskRow {
        name: task.name.clone(),
        kind: task.kind.to_string(),
        progress: TaskProgress {
            state: RunState::Pending,
            progress_percent: 0.0,
            rows: 0,
            bytes: 0,
            duration_seconds: 0.0,
            surveyed_at: None,
            message: String::new(),
            masked: None,
            steps: Vec::new(),
        },
    };
    job.tasks.iter().filter(meant).map(row).collect()
}

/// What was copied of a task's tables, so many of them by name.
fn copied(task: &str, all: &[(String, CopiedTables)], most: usize) -> Copied {
    let Some((_, found)) = all.iter().find(|(name, _)| name == task) else {
        return Copied::default();
    };
    let mut found = found.clone();
    for table in found.tables.split_off(most.min(found.tables.len())) {
        found.leave_out(&table);
    }
    Copied {
        tables: found
            .tables
            .into_iter()
            .map(|table| CopiedLine {
                name: table.name,
                rows: table.rows,
                bytes: table.bytes,
                took: table.seconds.map(length),
            })
            .collect(),
        more: found.more,
        more_rows: found.more_rows,
        more_bytes: found.more_bytes,
    }
}

fn length(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn line((seq, line): &(i64, LogLine)) -> Line {
    Line {
        seq: *seq,
        at: line.at,
        level: line.level.clone(),
        message: line.message.clone(),
    }
}

fn task(row: &TaskRow, lines: &[(i64, LogLine)]) -> view::Task {
    let progress = &row.progress;
    let mark = facts::of_state(progress.state);
    let percent = facts::whole(progress.progress_percent);
    let own = lines.iter().filter(|(_, line)| line.task == row.name);
    view::Task {
        name: row.name.clone(),
        kind: row.kind.clone(),
        mark,
        percent,
        phases: Phase::all(&row.kind, mark == Mark::Succeeded, percent),
        rows: progress.rows,
        bytes: progress.bytes,
        took: length(progress.duration_seconds),
        surveyed: progress.surveyed_at,
        message: progress.message.clone(),
        masks: progress.masked.as_ref().map(|masked| Masks {
            columns: masked.columns,
            rows: masked.rows,
            key: masked.key.clone(),
            tables: masked
                .tables
                .iter()
                .map(|(name, table)| Table {
                    name: name.clone(),
                    rows: table.rows,
                    columns: table.columns.clone().into_iter().collect(),
                })
                .collect(),
        }),
        stages: stages(&progress.steps),
        copied: Copied::default(),
        log: own.map(line).collect(),
    }
}

/// A task's steps; what it came to again is told again.
fn stages(steps: &[StepTime]) -> Vec<Stage> {
    let steps = steps.iter().enumerate().map(|(place, step)| Stage {
        name: step.name.clone(),
        took: length(step.seconds),
        place,
    });
    steps.collect()
}

/// `/runs/{id}/live`
pub(super) async fn live(
    visitor: Visitor,
    Named(id): Named<String>,
    Asked(fields): Asked,
    headers: HeaderMap,
) -> Response {
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let after = last
        .or_else(|| fields.text("after").parse().ok())
        .unwrap_or(0_i64);
    match api::one(&visitor.app, &visitor.identity, id).await {
        Ok(run) => live::watch_run(&visitor.app, &visitor.identity, &run, after.max(0)),
        Err(problem) => visitor.answer(Err(problem)),
    }
}

/// `/runs/{id}/log.txt`
pub(super) async fn log(visitor: Visitor, Named(id): Named<String>) -> Response {
    let made = download(&visitor, id).await;
    visitor.answer(made)
}

async fn download(visitor: &Visitor, id: String) -> Result<Response, Problem> {
    let run = api::one(&visitor.app, &visitor.identity, id).await?;
    // Run ids are UUIDs.
    let name = format!("attachment; filename=\"{}.log.txt\"", encoded(&run.id));
    let mut response = api::text(&visitor.app, run, None);
    if let Ok(name) = HeaderValue::from_str(&name) {
        response.headers_mut().insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

pub(super) async fn cancel(Named(id): Named<String>, Posted { visitor, .. }: Posted) -> Response {
    let done = api::end(&visitor.app, &visitor.identity, id).await;
    visitor.answer(done.map(|run| go_to(&format!("{}?done=cancelled", run_link(&run)))))
}

pub(super) async fn again(Named(id): Named<String>, Posted { visitor, .. }: Posted) -> Response {
    let done = start_again(&visitor, id).await;
    visitor.answer(done.map(|run| go_to(&run_link(&run))))
}

/// Runs what a run was of, as the job's file is now.
async fn start_again(visitor: &Visitor, id: String) -> Result<Run, Problem> {
    let run = api::one(&visitor.app, &visitor.identity, id).await?;
    if run.verb == Verb::Rollback {
        return Err(
            Problem::bad("a rollback is confirmed each time").hint("roll the job back on its page")
        );
    }
    let wanted = Wanted {
        job: run.job,
        only: run.only,
        verb: Verb::Run,
    };
    start(&visitor.app, &visitor.identity, wanted, None).await
}

pub(super) async fn rollback(
    Named(id): Named<String>,
    Posted { visitor, fields }: Posted,
) -> Response {
    let done = take_back(&visitor, id, fields.text("confirm")).await;
    visitor.answer(done.map(|run| go_to(&run_link(&run))))
}

async fn take_back(visitor: &Visitor, id: String, confirm: &str) -> Result<Run, Problem> {
    let run = api::one(&visitor.app, &visitor.identity, id).await?;
    let name = run.job.clone();
    let last = visitor
        .app
        .ask(move |look| look.state.last_published(&name))
        .await?;
    if last.is_none_or(|last| last.id != run.id) {
        return Err(Problem::new(
            axum::http::StatusCode::CONFLICT,
            "another run has published since",
        )
        .hint("look at the job's page"));
    }
    roll_back(&visitor.app, &visitor.identity, run.job, confirm, None).await
}

/// `/history`
pub(super) async fn history(visitor: Visitor, Asked(fields): Asked) -> Response {
    let asked = Part {
        job: fields.some("job"),
        to: fields.some("to"),
        state: fields.some("state"),
        before: fields.some("before"),
        limit: None,
    };
    let job = asked
        .job
        .clone()
        .map(|job| format!("job={}&", encoded(&job)))
        .unwrap_or_default();
    let made = match api::page(&visitor.app, &visitor.identity, asked).await {
        Ok((found, next)) => {
            let on = next.map(|next| format!("/history?{job}before={}", encoded(&next)));
            shown(&visitor, found, on).await
        }
        Err(problem) => Err(problem),
    };
    visitor.answer(made)
}

async fn shown(
    visitor: &Visitor,
    found: Vec<Run>,
    on: Option<String>,
) -> Result<Response, Problem> {
    visitor
        .show(Place::History, move |look, _, frame| {
            let now: DateTime<Utc> = frame.now;
            Ok(History {
                runs: found
                    .iter()
                    .map(|run| facts::run_line(look, run, now))
                    .collect(),
                pages: Pages {
                    total: None,
                    back: None,
                    on,
                },
                frame,
            })
        })
        .await
}
