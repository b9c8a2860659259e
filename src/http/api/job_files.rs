//! Job files: written and removed, where the settings let the API do so.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG, IF_MATCH, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::start::caller;
use super::tokens::administer;
use crate::control::documents::Finding;
use crate::control::job_files::{self, JobFile, Over, Refused};
use crate::daemon::{Signature, View};
use crate::http::app::App;
use crate::http::auth::Identity;
use crate::http::reply::{Named, Problem};

/// What a job's file is sent as.
const TOML: &str = "application/toml";

/// A file that was written.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Written {
    /// The job's name.
    job: String,
    /// The file.
    file: String,
    /// Whether the daemon has it already; `false`: it takes a moment more.
    known: bool,
    /// Warnings, as `envsyncd validate` has them.
    problems: Vec<Finding>,
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Not(error) => error.into(),
            Refused::Changed(error) => {
                let mut problem = Self::new(StatusCode::PRECONDITION_FAILED, error.sentence());
                problem.hint = error.advice().map(str::to_owned);
                problem
            }
            Refused::Wrong(found) => {
                let mut problem = Self::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "the job's file would be wrong",
                );
                problem.problems = found.iter().map(Finding::new).collect();
                problem
            }
        }
    }
}

/// A body that is a file of a job.
pub(super) struct Toml(String);

impl FromRequest<App> for Toml {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let kind = request.headers().get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_toml = [TOML, "text/plain"].iter().any(|one| kind.starts_with(one));
        if !is_toml {
            let what = "the body is not said to be TOML";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, what)
                .hint("send it with `Content-Type: application/toml`"));
        }
        let bytes = Bytes::from_request(request, app).await;
        let bytes = bytes.map_err(|rejection: BytesRejection| {
            Problem::new(rejection.status(), "the body could not be read")
        })?;
        let text = String::from_utf8(bytes.to_vec());
        text.map(Self)
            .map_err(|_| Problem::bad("the body is not UTF-8"))
    }
}

#[utoipa::path(get, path = "/api/v1/jobs/{job}/file", tag = "jobs",
    params(("job" = String, Path, description = "The job's name")),
    responses((status = 200, description = "The file", body = String, content_type = "application/toml",
        headers(("ETag" = String, description = "What `If-Match` is sent with")))))]
/// The file of a job that was written over the API or by the panel. Takes the scope `admin`.
pub(super) async fn show(
    State(app): State<App>,
    identity: Identity,
    Named(job): Named<String>,
) -> Result<Response, Problem> {
    let found = read(&app, &identity, job).await?;
    let mut response = found.text.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TOML));
    tag(headers, &found.tag);
    Ok(response)
}

#[utoipa::path(put, path = "/api/v1/jobs/{job}", tag = "jobs",
    params(("job" = String, Path, description = "The job's name"),
           ("If-Match" = Option<String>, Header, description = "Replaces the file that has this ETag, or with `*` any; without it, a new job is made")),
    request_body(content((String = "application/toml"), (String = "text/plain"))),
    responses((status = 200, description = "The file is replaced", body = Written),
        (status = 201, description = "The job is made", body = Written,
        headers(("Location" = String, description = "The job"), ("ETag" = String, description = "Of its file")))))]
/// Writes a job's file into `managed_job_dir`. It names endpoints of envsyncd.toml, and has no hooks, scripts, conditions or
/// secrets. Takes the scope `admin`, and `edit_jobs`.
pub(super) async fn put(
    State(app): State<App>,
    identity: Identity,
    Named(job): Named<String>,
    headers: HeaderMap,
    Toml(text): Toml,
) -> Result<Response, Problem> {
    let over = if_match(&headers)?;
    let (written, known) = write(&app, &identity, job.clone(), text, over.clone()).await?;
    let body = Written {
        file: written.file.display().to_string(),
        problems: written.warnings.iter().map(Finding::new).collect(),
        job: job.clone(),
        known,
    };
    let status = match over {
        None => StatusCode::CREATED,
        Some(_) => StatusCode::OK,
    };
    let mut response = (status, axum::Json(body)).into_response();
    tag(response.headers_mut(), &written.tag);
    if over.is_none()
        && let Ok(place) = HeaderValue::from_str(&format!("/api/v1/jobs/{job}"))
    {
        response.headers_mut().insert(LOCATION, place);
    }
    Ok(response)
}

#[utoipa::path(delete, path = "/api/v1/jobs/{job}", tag = "jobs",
    params(("job" = String, Path, description = "The job's name"),
           ("If-Match" = Option<String>, Header, description = "Only if the file has this ETag")),
    responses((status = 204, description = "The job is gone; its history stays")))]
/// Removes a job whose file was written over the API or by the panel. Takes the scope `admin`, and `edit_jobs`.
pub(super) async fn remove(
    State(app): State<App>,
    identity: Identity,
    Named(job): Named<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let tag = if_match(&headers)?.filter(|tag| tag != "*");
    end(&app, &identity, job, tag).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The file of a job that was written here.
pub(in crate::http) async fn read(
    app: &App,
    identity: &Identity,
    job: String,
) -> Result<JobFile, Problem> {
    administer(identity)?;
    let found = app
        .ask(move |look| Ok(job_files::read(look.settings(), &look.state, &job)))
        .await?;
    Ok(found?)
}

/// Writes a job's file, a new one or over the one with this tag, and waits until the daemon has it. False: it has not yet.
pub(in crate::http) async fn write(
    app: &App,
    identity: &Identity,
    job: String,
    text: String,
    over: Option<String>,
) -> Result<(JobFile, bool), Problem> {
    administer(identity)?;
    let who = caller(identity);
    let name = job.clone();
    let written = app
        .ask(move |look| {
            let over = match over.as_deref() {
                None => Over::Nothing,
                Some("*") => Over::Any,
                Some(tag) => Over::Tagged(tag),
            };
            let what = (name.as_str(), text.as_str());
            let written = job_files::write(look.settings(), &look.state, what, over, &who);
            Ok(written.map(|written| (Signature::of(&written.file), written)))
        })
        .await?;
    let (signature, written) = written?;
    let has_it = |view: &View| {
        let known = view.jobs.get(&job);
        known.is_some_and(|known| known.read == Some(signature))
    };
    let known = app.until(has_it).await;
    Ok((written, known))
}

/// Removes a job's file, and waits until the daemon has noticed.
pub(in crate::http) async fn end(
    app: &App,
    identity: &Identity,
    job: String,
    tag: Option<String>,
) -> Result<(), Problem> {
    administer(identity)?;
    let who = caller(identity);
    let name = job.clone();
    let removed = app
        .ask(move |look| {
            let tag = tag.as_deref();
            Ok(job_files::remove(
                look.settings(),
                &look.state,
                &name,
                tag,
                &who,
            ))
        })
        .await?;
    removed?;
    let is_gone = |view: &View| {
        let known = view.jobs.get(&job);
        known.is_none_or(|known| !view.settings.is_managed(&known.file))
    };
    app.until(is_gone).await;
    Ok(())
}

/// The tag that a file is to have.
fn if_match(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    let bare = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    match (text, bare) {
        ("*", _) => Ok(Some("*".to_owned())),
        (_, Some(tag)) if !tag.is_empty() && !tag.contains('"') => Ok(Some(tag.to_owned())),
        _ => Err(Problem::bad("`If-Match` is neither one ETag nor `*`")),
    }
}

fn tag(headers: &mut HeaderMap, tag: &str) {
    if let Ok(value) = HeaderValue::from_str(&format!("\"{tag}\"")) {
        headers.insert(ETAG, value);
    }
}
