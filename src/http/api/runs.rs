//! Runs: how far they are, their logs, and their end.

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::start::caller;
use crate::config::http::Scope;
use crate::control::documents;
use crate::control::{jobs, runs};
use crate::error::{Error, Kind};
use crate::http::app::{App, Look};
use crate::http::auth::Identity;
use crate::http::live;
use crate::http::reply::{Asked, Named, Problem, json};
use crate::state::{self, Page, Run, RunState};

/// Lines of a log in one answer.
const LINES: usize = 1000;

/// A page of runs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct RunPage {
    /// Newest first.
    pub(in crate::http) items: Vec<documents::Run>,
    /// `before` of the next page; `null`: this is the last.
    pub(in crate::http) next: Option<String>,
}

/// Which runs.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Part {
    /// Those of this job.
    pub(in crate::http) job: Option<String>,
    /// Those into this environment.
    pub(in crate::http) to: Option<String>,
    /// Those in this state: pending | running | succeeded | failed | refused | busy | cancelled | skipped
    pub(in crate::http) state: Option<String>,
    /// Those before this run.
    pub(in crate::http) before: Option<String>,
    /// How many.
    #[param(minimum = 1, maximum = 200, default = 50)]
    pub(in crate::http) limit: Option<u16>,
}

#[utoipa::path(get, path = "/api/v1/runs", tag = "runs", params(Part), responses(
    (status = 200, description = "A page of runs", body = RunPage)))]
/// Runs, newest first.
pub(super) async fn list(
    State(app): State<App>,
    identity: Identity,
    Asked(part): Asked<Part>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    answer(&app, &identity, part, &headers).await
}

/// A page of runs, as JSON.
pub(super) async fn answer(
    app: &App,
    identity: &Identity,
    part: Part,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let (runs, next) = page(app, identity, part).await?;
    let now = Utc::now();
    let items = runs
        .iter()
        .map(|run| documents::Run::new(run, now))
        .collect();
    json(headers, &RunPage { items, next })
}

/// A page of the runs that somebody may see, and where the next one begins.
pub(in crate::http) async fn page(
    app: &App,
    identity: &Identity,
    part: Part,
) -> Result<(Vec<Run>, Option<String>), Problem> {
    identity.may(Scope::Read)?;
    let state = match part.state.as_deref() {
        None => None,
        Some(text) => Some(RunState::parse(text).ok_or_else(|| {
            Problem::bad(format!("there is no state {}", crate::config::quote(text)))
                .hint("pending, running, succeeded, failed, refused, busy, cancelled, skipped")
        })?),
    };
    let limit = usize::from(part.limit.unwrap_or(50).clamp(1, 200));
    let identity = identity.clone();
    app.ask(move |look| {
        let mut to: Option<Vec<String>> = part.to.map(|to| vec![look.settings().canonical(&to)]);
        if !identity.to.is_empty() {
            let own = |to: &String| identity.to.contains(to);
            to = Some(match to {
                Some(asked) => asked.into_iter().filter(own).collect(),
                None => identity.to.clone(),
            });
        }
        let mut names = part.job.map(|job| vec![job]);
        if let Some(site) = &identity.site {
            let own = jobs_of_site(look, site);
            names = Some(match names {
                Some(asked) => asked.into_iter().filter(|job| own.contains(job)).collect(),
                None => own,
            });
        }
        let runs = look.state.page(&Page {
            jobs: names.as_deref(),
            to: to.as_deref(),
            state,
            before: part.before.as_deref(),
            limit,
        })?;
        let next = (runs.len() == limit)
            .then(|| runs.last().map(|run| run.id.clone()))
            .flatten();
        Ok((runs, next))
    })
    .await
}

/// The jobs that belong to a site: those that say so, and those that follow from it.
pub(in crate::http) fn jobs_of_site(look: &Look, site: &str) -> Vec<String> {
    let of_files = look.view.jobs.iter().filter(|(_, view)| {
        view.job
            .as_ref()
            .is_some_and(|job| job.site.as_deref() == Some(site))
    });
    let mut names: Vec<String> = of_files.map(|(name, _)| name.clone()).collect();
    let pairs = look.settings().site_tasks.keys();
    let pairs = pairs
        .filter(|(name, ..)| name == site)
        .filter_map(|(_, from, to)| {
            crate::config::job::JobName::of_site(site, from.as_str(), to.as_str())
        });
    names.extend(pairs.map(|name| name.to_string()));
    names
}

/// The site of a run's job.
pub(in crate::http) fn site_of(look: &Look, job: &str) -> Option<String> {
    if let Ok(name) = crate::config::job::JobName::known(job)
        && let Some((site, _, _)) = name.site()
    {
        return Some(site.to_owned());
    }
    look.view.jobs.get(job)?.job.as_ref()?.site.clone()
}

/// A run by its whole id, if it is within somebody's limits.
pub(in crate::http) async fn one(
    app: &App,
    identity: &Identity,
    id: String,
) -> Result<Run, Problem> {
    identity.may(Scope::Read)?;
    let found = app
        .ask(move |look| {
            let run = look.state.run(&id)?.filter(|run| run.id == id);
            let run = run.ok_or_else(|| {
                Error::new(
                    Kind::Unknown,
                    format!("there is no run {}", crate::config::quote(&id)),
                )
            })?;
            let site = site_of(look, &run.job);
            Ok((run, site))
        })
        .await?;
    let (run, site) = found;
    identity.within(&run.to, site.as_deref())?;
    Ok(run)
}

#[utoipa::path(get, path = "/api/v1/runs/{run}", tag = "runs",
    params(("run" = String, Path, description = "The run's id")),
    responses((status = 200, description = "The run", body = RunDetail)))]
/// A run: how far it is, its tasks, and how many lines its log has.
pub(super) async fn show(
    State(app): State<App>,
    identity: Identity,
    Named(id): Named<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = one(&app, &identity, id).await?;
    let id = run.id.clone();
    let (log_lines, tables) = app
        .ask(move |look| Ok((look.state.last_log(&id)?, look.state.tables(&id)?)))
        .await?;
    let run = documents::Run::new(&run, Utc::now()).with_tables(tables);
    json(&headers, &RunDetail { run, log_lines })
}

/// A run, and its log's length.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct RunDetail {
    /// The run.
    #[serde(flatten)]
    run: documents::Run,
    /// Lines of its log.
    log_lines: i64,
}

/// What became of a request to end a run.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Cancelled {
    /// The run's id.
    run_id: String,
    /// `cancelled`, if it had not begun; `ending`, if it was told to end.
    outcome: &'static str,
}

#[utoipa::path(post, path = "/api/v1/runs/{run}/cancel", tag = "runs",
    params(("run" = String, Path, description = "The run's id")),
    responses((status = 202, description = "It is told to end", body = Cancelled)))]
/// Ends a run cleanly, or takes it out of the queue: its target stays as it was.
pub(super) async fn cancel(
    State(app): State<App>,
    identity: Identity,
    Named(id): Named<String>,
) -> Result<Response, Problem> {
    let run = end(&app, &identity, id).await?;
    let body = Cancelled {
        outcome: match run.state {
            RunState::Pending => "cancelled",
            _ => "ending",
        },
        run_id: run.id,
    };
    Ok((StatusCode::ACCEPTED, axum::Json(body)).into_response())
}

/// Asks for a run's end; returns the run as it was.
pub(in crate::http) async fn end(
    app: &App,
    identity: &Identity,
    id: String,
) -> Result<Run, Problem> {
    identity.may(Scope::Run)?;
    let run = one(app, identity, id).await?;
    if run.state.is_final() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            format!("run {} has ended: {}", run.id, run.state),
        ));
    }
    let by = caller(identity);
    app.ask(move |look| {
        runs::cancel(&look.state, &run, &by)?;
        Ok(run)
    })
    .await
}

/// Which lines.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Lines {
    /// Those after this one; 0: from the first.
    #[param(minimum = 0, default = 0)]
    after: Option<i64>,
    /// How many.
    #[param(minimum = 1, maximum = 1000, default = 1000)]
    limit: Option<u16>,
    /// Only those that have this text in their message or in their task's name, in capitals or not. Not with events.
    #[param(max_length = 200)]
    search: Option<String>,
}

/// The longest text that is searched for, in bytes.
pub(in crate::http) const SEARCH: usize = 200;

/// Lines of a run's log after one, all or those that have a text.
pub(in crate::http) fn lines_of(
    look: &Look,
    run: &str,
    search: Option<&str>,
    after: i64,
    limit: usize,
) -> crate::error::Result<Vec<(i64, state::LogLine)>> {
    match search {
        Some(text) => look.state.find_logs(run, text, after, limit),
        None => look.state.logs(run, after, limit),
    }
}

/// A part of a log.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct LogPage {
    /// In their order.
    items: Vec<LogLine>,
    /// `after` of what comes next.
    next: i64,
    /// Whether the run has ended, and these were the last.
    complete: bool,
}

/// A line of a log.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct LogLine {
    /// From 1, without gaps.
    seq: i64,
    /// With milliseconds.
    at: String,
    /// error | warn | info | debug | trace
    level: String,
    /// Empty: the run itself.
    task: String,
    message: String,
}

#[utoipa::path(get, path = "/api/v1/runs/{run}/log", tag = "runs",
    params(("run" = String, Path, description = "The run's id"), Lines),
    responses((status = 200, description = "Lines of the log: JSON; with `Accept: text/event-stream` events as they come (`log`, `run`, `end`), with `Accept: text/plain` the whole log as text",
        content((LogPage = "application/json"), (String = "text/event-stream"), (String = "text/plain")))))]
/// A run's log, from a place on.
pub(super) async fn log(
    State(app): State<App>,
    identity: Identity,
    Named(id): Named<String>,
    Asked(lines): Asked<Lines>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let run = one(&app, &identity, id).await?;
    let accept = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let last_event = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok()?.parse().ok());
    let after = last_event.or(lines.after).unwrap_or(0).max(0);
    let search = lines.search.filter(|text| !text.is_empty());
    if search.as_ref().is_some_and(|text| text.len() > SEARCH) {
        return Err(Problem::bad(format!(
            "`search` has more than {SEARCH} bytes"
        )));
    }
    if accept.contains("text/event-stream") {
        if search.is_some() {
            return Err(Problem::bad("events are not searched")
                .hint("leave out `search`, or ask for JSON or text"));
        }
        return Ok(live::watch_run(&app, &identity, &run, after));
    }
    if accept.contains("text/plain") {
        return Ok(text(&app, run, search));
    }
    let limit = lines
        .limit
        .map_or(LINES, |limit| usize::from(limit).clamp(1, LINES));
    let id = run.id.clone();
    let rows = app
        .ask(move |look| lines_of(look, &id, search.as_deref(), after, limit))
        .await?;
    let next = rows.last().map_or(after, |(seq, _)| *seq);
    let complete = run.state.is_final() && rows.len() < limit;
    let items = rows.into_iter().map(|(seq, line)| LogLine {
        seq,
        at: line.at.to_rfc3339_opts(SecondsFormat::Millis, true),
        level: line.level,
        task: line.task,
        message: line.message,
    });
    let page = LogPage {
        items: items.collect(),
        next,
        complete,
    };
    json(&headers, &page)
}

/// The whole log as text, a page after the other; or those lines that have a text.
pub(in crate::http) fn text(app: &App, run: Run, search: Option<String>) -> Response {
    let (app, id) = (app.clone(), run.id.clone());
    let pages = futures_util::stream::unfold(Some(0), move |after| {
        let (app, id, search) = (app.clone(), id.clone(), search.clone());
        async move {
            let after = after?;
            let rows = app
                .ask(move |look| lines_of(look, &id, search.as_deref(), after, LINES))
                .await;
            let rows = rows.map_err(|problem| std::io::Error::other(problem.detail));
            let Ok(rows) = rows else {
                return Some((rows.map(|_| String::new()), None));
            };
            let next = (rows.len() == LINES)
                .then(|| rows.last().map(|(seq, _)| *seq))
                .flatten();
            let mut text = String::new();
            for (_, line) in rows {
                let at = line.at.to_rfc3339_opts(SecondsFormat::Millis, true);
                let task = if line.task.is_empty() {
                    String::new()
                } else {
                    format!("{}: ", line.task)
                };
                text += &format!("{at} {:5} {task}{}\n", line.level, line.message);
            }
            Some((Ok(text), next))
        }
    });
    let mut response = Response::new(axum::body::Body::from_stream(pages));
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Whether a job exists, with near names where it does not.
pub(in crate::http) fn known(look: &Look, job: &str) -> crate::error::Result<()> {
    jobs::find(job, look.settings(), Some(&look.state))
}
