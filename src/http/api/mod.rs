//! `/api/v1`: what the command line can see and do, for programs.

pub(super) mod audit;
pub(super) mod environments;
mod health;
mod history;
pub(super) mod job_files;
pub(super) mod jobs;
mod openapi;
pub(super) mod pauses;
pub(super) mod runs;
pub(super) mod sites;
pub(super) mod snapshots;
pub(super) mod start;
pub(super) mod tokens;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Router, middleware};

use super::app::App;
use super::gate::around;
use super::panel;
use super::reply::Problem;

/// Bytes of a request's body.
const BODY: usize = 64 << 10;

/// Everything that is answered.
pub(super) fn router(app: &App) -> Router {
    let api = Router::new()
        .route("/openapi.json", get(openapi::document))
        .route("/environments", get(environments::list))
        .route("/environments/{environment}", get(environments::show))
        .route(
            "/environments/{environment}/hold",
            post(environments::hold).delete(environments::release),
        )
        .route(
            "/environments/{environment}/pause",
            post(pauses::pause_environment).delete(pauses::resume_environment),
        )
        .route("/pause", post(pauses::pause_all).delete(pauses::resume_all))
        .route("/sites", get(sites::list))
        .route("/sites/{site}", get(sites::show))
        .route("/sites/{site}/{content}/sync", post(sites::sync))
        .route("/sites/{site}/{content}/syncs", get(sites::syncs))
        .route("/sites/{site}/{content}/syncs/{id}", get(sites::sync_of))
        .route("/jobs", get(jobs::list))
        .route(
            "/jobs/{job}",
            get(jobs::show)
                .put(job_files::put)
                .delete(job_files::remove),
        )
        .route("/jobs/{job}/file", get(job_files::show))
        .route("/jobs/{job}/runs", get(jobs::runs).post(jobs::run))
        .route("/jobs/{job}/rollback", post(jobs::rollback))
        .route(
            "/jobs/{job}/pause",
            post(pauses::pause_job).delete(pauses::resume_job),
        )
        .route("/runs", get(runs::list))
        .route("/runs/{run}", get(runs::show))
        .route("/runs/{run}/cancel", post(runs::cancel))
        .route("/runs/{run}/log", get(runs::log))
        .route("/history", get(history::list))
        .route("/snapshots", get(snapshots::list))
        .route("/tokens", get(tokens::list).post(tokens::create))
        .route("/tokens/{name}", axum::routing::delete(tokens::revoke))
        .route("/audit", get(audit::list))
        .route("/metrics", get(health::metrics))
        .fallback(nothing);
    Router::new()
        .nest("/api/v1", api)
        .merge(panel::router())
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(panel::nothing)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(BODY))
        .layer(middleware::from_fn_with_state(app.clone(), around))
        .with_state(app.clone())
}

async fn nothing() -> Problem {
    Problem::not_found("there is nothing at this address")
        .hint("/api/v1/openapi.json says what there is")
}

async fn no_such_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this address does not take this method",
    )
}
