//! Pauses: of a job, of all that flows into an environment, and of everything.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::start::caller;
use crate::config::http::Scope;
use crate::control::{documents, pauses};
use crate::http::app::App;
use crate::http::auth::Identity;
use crate::http::reply::{Named, Problem, Sent};
use crate::state::Paused;

/// Why, and how long.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PauseRequest {
    /// For others.
    #[schema(min_length = 1, max_length = 500)]
    pub(in crate::http) reason: String,
    /// When it ends by itself (RFC 3339).
    #[schema(format = "date-time")]
    pub(in crate::http) until: Option<String>,
    /// How long it lasts: `90m`, `2days`.
    #[serde(rename = "for")]
    pub(in crate::http) length: Option<String>,
}

impl PauseRequest {
    /// When it ends.
    fn end(&self) -> Result<Option<DateTime<Utc>>, Problem> {
        let now = Utc::now();
        let end = match (&self.until, &self.length) {
            (Some(_), Some(_)) => {
                return Err(Problem::bad("`until` and `for` do not go together"));
            }
            (Some(until), None) => Some(
                DateTime::parse_from_rfc3339(until)
                    .map_err(|_| {
                        Problem::bad("`until` is no time").hint("write it as 2026-12-01T06:00:00Z")
                    })?
                    .to_utc(),
            ),
            (None, Some(length)) => {
                let length = humantime::parse_duration(length).map_err(|_| {
                    Problem::bad("`for` is no length of time").hint("write it as 90m or 2days")
                })?;
                let length = length.min(Duration::from_secs(100 * 31_557_600));
                chrono::Duration::from_std(length)
                    .ok()
                    .and_then(|length| now.checked_add_signed(length))
            }
            (None, None) => None,
        };
        match end {
            Some(end) if end <= now => Err(Problem::bad("the pause would be over already")),
            end => Ok(end),
        }
    }
}

/// Pauses something.
pub(in crate::http) async fn pause(
    app: &App,
    identity: &Identity,
    what: Paused,
    request: PauseRequest,
) -> Result<documents::Pause, Problem> {
    let what = mine(app, identity, what).await?;
    let until = request.end()?;
    let by = caller(identity);
    app.ask(move |look| {
        let (pause, _) = pauses::pause(
            look.settings(),
            &look.state,
            &what,
            &request.reason,
            until,
            &by,
        )?;
        Ok(documents::Pause::new(&pause))
    })
    .await
}

/// Ends a pause. One that is not there is over as well.
pub(in crate::http) async fn resume(
    app: &App,
    identity: &Identity,
    what: Paused,
) -> Result<(), Problem> {
    let what = mine(app, identity, what).await?;
    let by = caller(identity);
    app.ask(move |look| pauses::resume(look.settings(), &look.state, &what, &by).map(drop))
        .await
}

/// What somebody may pause.
async fn mine(app: &App, identity: &Identity, what: Paused) -> Result<Paused, Problem> {
    match what {
        Paused::Job(job) => {
            identity.may(Scope::Run)?;
            let name = job.clone();
            let (to, site) = app
                .ask(move |look| super::start::job(look, &name).map(|job| (job.to, job.site)))
                .await?;
            identity.within(to.as_str(), site.as_deref())?;
            Ok(Paused::Job(job))
        }
        Paused::To(to) => {
            identity.may(Scope::Admin)?;
            let to = app
                .ask(move |look| Ok(look.settings().canonical(&to)))
                .await?;
            if identity.site.is_some() {
                return Err(Problem::forbidden(format!(
                    "`{}` is limited to a site",
                    identity.name
                )));
            }
            identity.within(&to, None)?;
            Ok(Paused::To(to))
        }
        Paused::All => {
            identity.may(Scope::Admin)?;
            if identity.is_limited() {
                return Err(Problem::forbidden(format!(
                    "`{}` is not for everything",
                    identity.name
                )));
            }
            Ok(Paused::All)
        }
    }
}

fn made(pause: documents::Pause) -> Response {
    (StatusCode::CREATED, axum::Json(pause)).into_response()
}

#[utoipa::path(post, path = "/api/v1/jobs/{job}/pause", tag = "pauses",
    params(("job" = String, Path, description = "The job's name")),
    request_body = PauseRequest,
    responses((status = 201, description = "It is paused", body = documents::Pause)))]
/// Keeps a job from being started. Takes the scope `run`.
pub(super) async fn pause_job(
    State(app): State<App>,
    identity: Identity,
    Named(job): Named<String>,
    Sent(request): Sent<PauseRequest>,
) -> Result<Response, Problem> {
    pause(&app, &identity, Paused::Job(job), request)
        .await
        .map(made)
}

#[utoipa::path(delete, path = "/api/v1/jobs/{job}/pause", tag = "pauses",
    params(("job" = String, Path, description = "The job's name")),
    responses((status = 204, description = "It is not paused any more")))]
/// Ends a job's pause. Takes the scope `run`.
pub(super) async fn resume_job(
    State(app): State<App>,
    identity: Identity,
    Named(job): Named<String>,
) -> Result<StatusCode, Problem> {
    resume(&app, &identity, Paused::Job(job)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/api/v1/environments/{environment}/pause", tag = "pauses",
    params(("environment" = String, Path, description = "The environment's name, or an alias")),
    request_body = PauseRequest,
    responses((status = 201, description = "All that flows into it is paused", body = documents::Pause)))]
/// Keeps all jobs into an environment from being started. Takes the scope `admin`.
pub(super) async fn pause_environment(
    State(app): State<App>,
    identity: Identity,
    Named(to): Named<String>,
    Sent(request): Sent<PauseRequest>,
) -> Result<Response, Problem> {
    pause(&app, &identity, Paused::To(to), request)
        .await
        .map(made)
}

#[utoipa::path(delete, path = "/api/v1/environments/{environment}/pause", tag = "pauses",
    params(("environment" = String, Path, description = "The environment's name, or an alias")),
    responses((status = 204, description = "It is not paused any more")))]
/// Ends an environment's pause. Takes the scope `admin`.
pub(super) async fn resume_environment(
    State(app): State<App>,
    identity: Identity,
    Named(to): Named<String>,
) -> Result<StatusCode, Problem> {
    resume(&app, &identity, Paused::To(to)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(post, path = "/api/v1/pause", tag = "pauses", request_body = PauseRequest,
    responses((status = 201, description = "Everything is paused", body = documents::Pause)))]
/// Keeps all jobs of this host from being started. Takes the scope `admin`.
pub(super) async fn pause_all(
    State(app): State<App>,
    identity: Identity,
    Sent(request): Sent<PauseRequest>,
) -> Result<Response, Problem> {
    pause(&app, &identity, Paused::All, request).await.map(made)
}

#[utoipa::path(delete, path = "/api/v1/pause", tag = "pauses",
    responses((status = 204, description = "It is not paused any more")))]
/// Ends the pause of everything. Takes the scope `admin`.
pub(super) async fn resume_all(
    State(app): State<App>,
    identity: Identity,
) -> Result<StatusCode, Problem> {
    resume(&app, &identity, Paused::All).await?;
    Ok(StatusCode::NO_CONTENT)
}
