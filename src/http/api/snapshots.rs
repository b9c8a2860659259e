//! Archives, and the snapshots that runs have pushed into them.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;

use super::history::Sync;
use crate::config::http::Scope;
use crate::error::Result;
use crate::http::app::{App, Look};
use crate::http::auth::Identity;
use crate::http::reply::{Problem, json};
use crate::state::{Page, RunState};

/// Archives that jobs push into or pull from.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Snapshots {
    /// Sorted by URL.
    items: Vec<ArchiveOf>,
}

/// An archive.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct ArchiveOf {
    /// Its URL.
    pub(in crate::http) url: String,
    /// The jobs that push into it.
    pub(in crate::http) pushed_by: Vec<String>,
    /// The jobs that pull from it.
    pub(in crate::http) pulled_by: Vec<String>,
    /// The last pushes into it that succeeded, newest first.
    pub(in crate::http) pushes: Vec<Sync>,
}

#[utoipa::path(get, path = "/api/v1/snapshots", tag = "snapshots", responses(
    (status = 200, description = "Archives", body = Snapshots)))]
/// The archives of all jobs, with the last pushes. What is in an archive itself, `envsyncd snapshots list URL` says.
pub(super) async fn list(
    State(app): State<App>,
    identity: Identity,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let items = all(&app, &identity).await?;
    json(&headers, &Snapshots { items })
}

/// The archives that somebody may see.
pub(in crate::http) async fn all(
    app: &App,
    identity: &Identity,
) -> Result<Vec<ArchiveOf>, Problem> {
    identity.may(Scope::Read)?;
    let identity = identity.clone();
    app.ask(move |look| archives(look, &identity)).await
}

fn archives(look: &Look, identity: &Identity) -> Result<Vec<ArchiveOf>> {
    let mut found: BTreeMap<String, ArchiveOf> = BTreeMap::new();
    for (name, view) in &look.view.jobs {
        let Some(job) = &view.job else { continue };
        if !identity.covers(job.to.as_str(), job.site.as_deref()) {
            continue;
        }
        for task in &job.tasks {
            for (side, pushes) in [(&task.target, true), (&task.source, false)] {
                if side.archive.is_none() {
                    continue;
                }
                let url = side.url.to_string();
                let archive = found.entry(url.clone()).or_insert_with(|| ArchiveOf {
                    url,
                    pushed_by: Vec::new(),
                    pulled_by: Vec::new(),
                    pushes: Vec::new(),
                });
                let list = if pushes {
                    &mut archive.pushed_by
                } else {
                    &mut archive.pulled_by
                };
                if !list.contains(name) {
                    list.push(name.clone());
                }
            }
        }
    }
    for archive in found.values_mut() {
        let runs = look.state.page(&Page {
            jobs: Some(&archive.pushed_by),
            to: None,
            state: Some(RunState::Succeeded),
            before: None,
            limit: 10,
        })?;
        archive.pushes = runs.iter().map(Sync::of).collect();
    }
    Ok(found.into_values().collect())
}
