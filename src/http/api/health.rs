//! Whether there is a daemon that works, and metrics.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::config::http::Scope;
use crate::control::documents;
use crate::http::app::App;
use crate::http::auth::Identity;
use crate::http::reply::Problem;
use crate::report::metrics;

/// Whether this process answers.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Health {
    /// `ok`.
    status: &'static str,
}

/// Whether jobs are started.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Ready {
    /// `ok`, or `unavailable`.
    status: &'static str,
    /// When the daemon last looked at the clock, in UTC.
    seen_at: Option<String>,
    /// What is wrong with the settings' file while its last good version stays in force; empty: nothing.
    problem: String,
}

#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses(
    (status = 200, description = "The process answers", body = Health)))]
/// Whether the process answers. Takes no token.
pub(super) async fn alive() -> axum::Json<Health> {
    axum::Json(Health { status: "ok" })
}

#[utoipa::path(get, path = "/readyz", tag = "health", security(()), responses(
    (status = 200, description = "The daemon keeps its schedules", body = Ready),
    (status = 503, description = "It does not", body = Ready)))]
/// Whether the daemon keeps its schedules. Takes no token.
pub(super) async fn ready(State(app): State<App>) -> Response {
    let daemon = app.ask(|look| look.state.daemon()).await.ok().flatten();
    let alive = daemon.as_ref().is_some_and(crate::state::Daemon::is_alive);
    let ready = Ready {
        status: if alive { "ok" } else { "unavailable" },
        seen_at: daemon
            .as_ref()
            .map(|daemon| documents::time(daemon.seen_at)),
        // Who has no token is not told more.
        problem: String::new(),
    };
    let status = if alive {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, axum::Json(ready)).into_response()
}

#[utoipa::path(get, path = "/api/v1/metrics", tag = "health", responses(
    (status = 200, description = "Metrics", body = String, content_type = "text/plain")))]
/// Metrics, as Prometheus reads them: those of the textfile.
pub(super) async fn metrics(
    State(app): State<App>,
    identity: Identity,
) -> Result<Response, Problem> {
    identity.may(Scope::Read)?;
    let text = app
        .ask(|look| {
            let known = look.state.known_jobs()?;
            let names = crate::run::housekeeping::known_jobs(look.settings(), Some(&look.state))?;
            let due = |name: &str| known.iter().find(|it| it.job == name)?.next_run_at;
            let all: Vec<metrics::Job<'_>> = names
                .iter()
                .map(|name| {
                    let view = look.view.jobs.get(name);
                    let job = view.and_then(|view| view.job.as_ref());
                    metrics::Job {
                        name,
                        valid: view.is_none_or(|view| view.problem.is_empty()),
                        to: job.map(|job| job.to.as_str()),
                        next_run_at: due(name),
                    }
                })
                .collect();
            let facts = metrics::Daemon::seen(&look.state)?;
            metrics::render(&look.state, &all, facts.as_ref())
        })
        .await?;
    let mut headers = HeaderMap::new();
    let kind = axum::http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    headers.insert(CONTENT_TYPE, kind);
    Ok((headers, text).into_response())
}
