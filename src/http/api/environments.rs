//! Environments: their tree, and who keeps runs out of them.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::start::caller;
use crate::config::http::Scope;
use crate::control::{documents, environments};
use crate::error::{Error, Kind, Result};
use crate::http::app::{App, Look};
use crate::http::auth::Identity;
use crate::http::reply::{Named, Problem, Sent, json};
use crate::policy::{Environment, RequireMasks};
use crate::state::Paused;

/// All environments.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Environments {
    /// Sorted by name.
    items: Vec<EnvironmentOf>,
}

/// An environment.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct EnvironmentOf {
    /// Its name.
    pub(in crate::http) name: String,
    /// Its other names.
    pub(in crate::http) aliases: Vec<String>,
    /// Where its data comes from; `null`: it is a root, and never a target.
    pub(in crate::http) parent: Option<String>,
    /// Which columns have to be masked or passed: `no`, `detected`, `every`.
    pub(in crate::http) require_masks: &'static str,
    /// Who keeps runs out of it.
    pub(in crate::http) hold: Option<documents::Hold>,
    /// Whether everything into it is paused.
    pub(in crate::http) paused: Option<documents::Pause>,
    /// The jobs that write into it.
    pub(in crate::http) jobs: Vec<String>,
    /// When the oldest of its data was brought, over all those jobs; `null`: not all of them have brought any.
    pub(in crate::http) oldest_data_at: Option<String>,
}

/// All environments as they are shown.
pub(in crate::http) fn all(look: &Look) -> Result<Vec<EnvironmentOf>> {
    let names = look.settings().environments.names();
    names.map(|name| one(look, name)).collect()
}

fn one(look: &Look, name: &Environment) -> Result<EnvironmentOf> {
    let rules = look
        .settings()
        .environments
        .get(name)
        .cloned()
        .unwrap_or_default();
    let into = look
        .view
        .jobs
        .iter()
        .filter(|(_, view)| view.job.as_ref().is_some_and(|job| job.to == *name));
    let jobs: Vec<String> = into.map(|(name, _)| name.clone()).collect();
    let mut oldest = None;
    for (number, job) in jobs.iter().enumerate() {
        let at = look.state.last_success_at(job)?;
        oldest = match (number, oldest, at) {
            (0, _, at) => at,
            (_, Some(oldest), Some(at)) => Some(at.min(oldest)),
            _ => None,
        };
    }
    let pauses = look.state.pauses()?;
    let is_paused = |what: &Paused| matches!(what, Paused::To(to) if to == name.as_str());
    Ok(EnvironmentOf {
        name: name.to_string(),
        aliases: rules.aliases.clone(),
        parent: rules.parent.as_ref().map(ToString::to_string),
        require_masks: match rules.require_masks {
            RequireMasks::No => "no",
            RequireMasks::Detected => "detected",
            RequireMasks::Every => "every",
        },
        hold: look
            .state
            .hold_on(name.as_str())?
            .as_ref()
            .map(documents::Hold::new),
        paused: pauses
            .iter()
            .find(|pause| is_paused(&pause.what))
            .map(documents::Pause::new),
        jobs,
        oldest_data_at: oldest.map(documents::time),
    })
}

#[utoipa::path(get, path = "/api/v1/environments", tag = "environments", responses(
    (status = 200, description = "All environments", body = Environments)))]
/// All environments: their tree, holds, and how old their data is.
pub(super) async fn list(
    State(app): State<App>,
    identity: Identity,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    identity.may(Scope::Read)?;
    let items = app.ask(all).await?;
    json(&headers, &Environments { items })
}

#[utoipa::path(get, path = "/api/v1/environments/{environment}", tag = "environments",
    params(("environment" = String, Path, description = "The environment's name, or an alias")),
    responses((status = 200, description = "The environment", body = EnvironmentOf)))]
/// An environment.
pub(super) async fn show(
    State(app): State<App>,
    identity: Identity,
    Named(name): Named<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    identity.may(Scope::Read)?;
    let found = app
        .ask(
            move |look| match look.settings().environments.named(&name) {
                Some(environment) => one(look, environment),
                None => Err(Error::new(
                    Kind::Unknown,
                    format!("environment {} is not defined", crate::config::quote(&name)),
                )),
            },
        )
        .await?;
    json(&headers, &found)
}

/// Why.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct HoldRequest {
    /// For those who have to wait.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

#[utoipa::path(post, path = "/api/v1/environments/{environment}/hold", tag = "environments",
    params(("environment" = String, Path, description = "The environment's name, or an alias")),
    request_body = HoldRequest,
    responses((status = 201, description = "It is held until it is released", body = documents::Hold)))]
/// Keeps runs out of an environment, for a deployment say. Takes the scope `run`.
pub(super) async fn hold(
    State(app): State<App>,
    identity: Identity,
    Named(name): Named<String>,
    Sent(request): Sent<HoldRequest>,
) -> Result<Response, Problem> {
    take(&app, &identity, name.clone(), request.reason).await?;
    let held = app
        .ask(move |look| {
            let name = look.settings().canonical(&name);
            Ok(look
                .state
                .hold_on(&name)?
                .as_ref()
                .map(documents::Hold::new))
        })
        .await?;
    Ok((StatusCode::CREATED, axum::Json(held)).into_response())
}

/// Holds an environment.
pub(in crate::http) async fn take(
    app: &App,
    identity: &Identity,
    name: String,
    reason: String,
) -> Result<(), Problem> {
    let name = mine(app, identity, name).await?;
    let by = caller(identity);
    app.ask(move |look| {
        environments::hold(look.settings(), &look.state, &name, &reason, None, &by).map(drop)
    })
    .await
}

#[utoipa::path(delete, path = "/api/v1/environments/{environment}/hold", tag = "environments",
    params(("environment" = String, Path, description = "The environment's name, or an alias")),
    responses((status = 204, description = "It is not held any more")))]
/// Lets runs into an environment again. Takes the scope `run`.
pub(super) async fn release(
    State(app): State<App>,
    identity: Identity,
    Named(name): Named<String>,
) -> Result<StatusCode, Problem> {
    let_go(&app, &identity, name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Releases an environment.
pub(in crate::http) async fn let_go(
    app: &App,
    identity: &Identity,
    name: String,
) -> Result<(), Problem> {
    let name = mine(app, identity, name).await?;
    let by = caller(identity);
    app.ask(move |look| environments::release(look.settings(), &look.state, &name, &by).map(drop))
        .await
}

/// An environment that somebody may hold: not beyond the limits of a token.
async fn mine(app: &App, identity: &Identity, name: String) -> Result<String, Problem> {
    identity.may(Scope::Run)?;
    let name = app
        .ask(move |look| Ok(look.settings().canonical(&name)))
        .await?;
    if identity.site.is_some() {
        return Err(Problem::forbidden(format!(
            "`{}` is limited to a site, and this concerns all of `{name}`",
            identity.name
        )));
    }
    identity.within(&name, None)?;
    Ok(name)
}
