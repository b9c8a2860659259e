//! The history, as people ask for it: which way, how it ended, how much, how long, when, and by whom.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::Utc;
use serde::Serialize;

use super::runs;
use crate::control::documents::time;
use crate::http::app::App;
use crate::http::auth::Identity;
use crate::http::reply::{Asked, Problem, json};
use crate::state::{Run, RunState};

/// A sync of the history.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Sync {
    /// Its id, which is the run's.
    pub(in crate::http) id: String,
    /// The job's name.
    pub(in crate::http) job: String,
    /// `production -> staging`
    pub(in crate::http) direction: String,
    /// The environment that data comes from.
    pub(in crate::http) from: String,
    /// The environment that data goes to.
    pub(in crate::http) to: String,
    /// pending | in_progress | completed | failed | cancelled
    pub(in crate::http) status: &'static str,
    /// How far it is, 0 to 100.
    pub(in crate::http) percent: f64,
    /// Bytes that went through.
    pub(in crate::http) size: u64,
    /// So far, while it runs.
    pub(in crate::http) duration_seconds: f64,
    /// When it began; while it waits: when it was asked for.
    pub(in crate::http) started_at: String,
    /// When it ended.
    pub(in crate::http) finished_at: Option<String>,
    /// Who asked for it; empty: its schedule.
    pub(in crate::http) by: String,
    /// One line of how it ended.
    pub(in crate::http) message: String,
}

impl Sync {
    pub(in crate::http) fn of(run: &Run) -> Self {
        Self {
            id: run.id.clone(),
            job: run.job.clone(),
            direction: format!("{} -> {}", run.from, run.to),
            from: run.from.clone(),
            to: run.to.clone(),
            status: status(run),
            percent: run.progress_percent(),
            size: run.bytes(),
            duration_seconds: run.duration(Utc::now()).as_secs_f64(),
            started_at: time(run.started_at),
            finished_at: run.finished_at.map(time),
            by: run.by.clone(),
            message: run.message.clone(),
        }
    }
}

/// A run's state in the words of syncs.
fn status(run: &Run) -> &'static str {
    match run.state {
        RunState::Pending => "pending",
        RunState::Running if run.is_dead() => "failed",
        RunState::Running => "in_progress",
        RunState::Succeeded => "completed",
        RunState::Cancelled | RunState::Skipped => "cancelled",
        RunState::Failed | RunState::Refused | RunState::Busy => "failed",
    }
}

/// A page of the history.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct History {
    /// Newest first.
    pub(in crate::http) items: Vec<Sync>,
    /// `before` of the next page; `null`: this is the last.
    pub(in crate::http) next: Option<String>,
}

#[utoipa::path(get, path = "/api/v1/history", tag = "history", params(runs::Part), responses(
    (status = 200, description = "A page of the history", body = History)))]
/// The history of all jobs and sites, newest first.
pub(super) async fn list(
    State(app): State<App>,
    identity: Identity,
    Asked(part): Asked<runs::Part>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (runs, next) = runs::page(&app, &identity, part).await?;
    let items = runs.iter().map(Sync::of).collect();
    json(&headers, &History { items, next })
}
