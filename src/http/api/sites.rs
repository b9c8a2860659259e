//! Sites: what an application has in each environment, and its copy from one into another.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::history::{History, Sync};
use super::runs;
use super::start::{Wanted, accepted, key, start};
use crate::config::http::Scope;
use crate::config::job::JobName;
use crate::config::sites::CONTENTS;
use crate::error::{Error, Kind};
use crate::http::app::{App, Look};
use crate::http::auth::Identity;
use crate::http::reply::{Asked, Named, Problem, Sent, json};
use crate::policy;
use crate::state::{Page, Verb};

/// All sites.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Sites {
    /// Sorted by name.
    items: Vec<SiteOf>,
}

/// A site.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct SiteOf {
    /// Its name.
    pub(in crate::http) name: String,
    /// What it has, by kind of data.
    pub(in crate::http) contents: Vec<Content>,
    /// Every pair of its environments.
    pub(in crate::http) pairs: Vec<Pair>,
    /// The jobs that belong to it.
    pub(in crate::http) jobs: Vec<String>,
}

/// A kind of data that a site has.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Content {
    /// `database` or `files`
    pub(in crate::http) kind: &'static str,
    /// The environments that it is in.
    pub(in crate::http) environments: Vec<String>,
}

/// A way that data could flow.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Pair {
    /// Where from.
    pub(in crate::http) from: String,
    /// Where to.
    pub(in crate::http) to: String,
    /// Whether policy allows it.
    pub(in crate::http) allowed: bool,
    /// Why not.
    pub(in crate::http) reason: Option<String>,
}

/// A site as it is shown.
pub(in crate::http) fn site(look: &Look, name: &str) -> crate::error::Result<SiteOf> {
    let settings = look.settings();
    let found = settings.site(name)?;
    let mut pairs = Vec::new();
    let environments = found.environments();
    for from in &environments {
        for to in &environments {
            let refused = policy::permit(&settings.environments, from, to).err();
            pairs.push(Pair {
                from: from.to_string(),
                to: to.to_string(),
                allowed: refused.is_none(),
                reason: refused.map(|error| error.sentence()),
            });
        }
    }
    let contents = found.contents.iter().map(|(kind, environments)| Content {
        kind,
        environments: environments.iter().map(ToString::to_string).collect(),
    });
    Ok(SiteOf {
        name: name.to_owned(),
        contents: contents.collect(),
        pairs,
        jobs: runs::jobs_of_site(look, name),
    })
}

/// Whether a site may be shown to somebody.
fn may_see(identity: &Identity, site: &str) -> bool {
    identity.site.as_deref().is_none_or(|own| own == site)
}

#[utoipa::path(get, path = "/api/v1/sites", tag = "sites", responses(
    (status = 200, description = "All sites", body = Sites)))]
/// All sites, and which ways their data may flow.
pub(super) async fn list(
    State(app): State<App>,
    identity: Identity,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    json(
        &headers,
        &Sites {
            items: all(&app, &identity).await?,
        },
    )
}

/// The sites that somebody may see.
pub(in crate::http) async fn all(app: &App, identity: &Identity) -> Result<Vec<SiteOf>, Problem> {
    identity.may(Scope::Read)?;
    let identity = identity.clone();
    app.ask(move |look| {
        let names = look
            .settings()
            .sites
            .keys()
            .filter(|name| may_see(&identity, name));
        names.map(|name| site(look, name)).collect()
    })
    .await
}

#[utoipa::path(get, path = "/api/v1/sites/{site}", tag = "sites",
    params(("site" = String, Path, description = "The site's name")),
    responses((status = 200, description = "The site", body = SiteOf)))]
/// A site, and which ways its data may flow.
pub(super) async fn show(
    State(app): State<App>,
    identity: Identity,
    Named(name): Named<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    json(&headers, &one(&app, &identity, name).await?)
}

/// A site, if it is within somebody's limits.
pub(in crate::http) async fn one(
    app: &App,
    identity: &Identity,
    name: String,
) -> Result<SiteOf, Problem> {
    identity.may(Scope::Read)?;
    if !may_see(identity, &name) {
        return Err(Problem::forbidden(format!(
            "`{}` is limited to another site",
            identity.name
        )));
    }
    app.ask(move |look| site(look, &name)).await
}

/// From where into where.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct SyncRequest {
    /// The environment that data comes from, by its name or an alias.
    pub(in crate::http) from: String,
    /// The environment that data goes to.
    pub(in crate::http) to: String,
}

/// What a site has, by the path's word.
pub(in crate::http) fn content(site: &str, kind: &str) -> Result<(), Problem> {
    match kind {
        kind if CONTENTS.contains(&kind) => Ok(()),
        "index" => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!(
                "site {} has no {kind}: envsyncd does not copy them yet",
                crate::config::quote(site)
            ),
        )),
        _ => Err(Problem::not_found(format!(
            "there is no {} of a site",
            crate::config::quote(kind)
        ))
        .hint("database, files, index")),
    }
}

#[utoipa::path(post, path = "/api/v1/sites/{site}/{content}/sync", tag = "sites",
    params(("site" = String, Path, description = "The site's name"),
           ("content" = String, Path, description = "database | files | index"),
           ("Idempotency-Key" = Option<String>, Header, description = "The same key again starts nothing new")),
    request_body = SyncRequest,
    responses((status = 202, description = "The sync waits for its turn", body = Sync,
        headers(("Location" = String, description = "The sync")))))]
/// Copies a site's database, or its files, from one environment into another, as the site's own options say. Takes the scope `run`.
pub(super) async fn sync(
    State(app): State<App>,
    identity: Identity,
    Named((site, kind)): Named<(String, String)>,
    headers: HeaderMap,
    Sent(request): Sent<SyncRequest>,
) -> Result<Response, Problem> {
    content(&site, &kind)?;
    let key = key(&headers, &(&site, &kind, &request))?;
    let run = copy(&app, &identity, (&site, &kind), &request, key).await?;
    let place = format!("/api/v1/sites/{site}/{kind}/syncs/{}", run.id);
    Ok(accepted(&place, &Sync::of(&run)))
}

/// Starts a sync of one kind of a site's data.
pub(in crate::http) async fn copy(
    app: &App,
    identity: &Identity,
    (site, kind): (&str, &str),
    request: &SyncRequest,
    key: Option<(String, String)>,
) -> Result<crate::state::Run, Problem> {
    identity.may(Scope::Run)?;
    let (name, from, to) = (site.to_owned(), request.from.clone(), request.to.clone());
    let kind = kind.to_owned();
    let job = app
        .ask(move |look| {
            let job = look.settings().site_job(&name, &from, &to)?;
            if job.tasks.iter().any(|task| task.name == kind) {
                return job.only(&[kind]);
            }
            let what = format!(
                "site `{name}` has no {kind} in both `{}` and `{}`",
                job.from, job.to
            );
            Err(Error::new(Kind::Config, what))
        })
        .await?;
    let wanted = Wanted {
        job: job.name.to_string(),
        only: job.part(),
        verb: Verb::Run,
    };
    start(app, identity, wanted, key).await
}

#[utoipa::path(get, path = "/api/v1/sites/{site}/{content}/syncs", tag = "sites",
    params(("site" = String, Path, description = "The site's name"),
           ("content" = String, Path, description = "database | files | index"), runs::Part),
    responses((status = 200, description = "A page of its syncs", body = History)))]
/// A site's syncs, newest first: those on demand, and those of jobs that belong to it.
pub(super) async fn syncs(
    State(app): State<App>,
    identity: Identity,
    Named((site, kind)): Named<(String, String)>,
    Asked(part): Asked<runs::Part>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    content(&site, &kind)?;
    json(
        &headers,
        &history(&app, &identity, (site, kind), part).await?,
    )
}

/// A page of a site's syncs.
pub(in crate::http) async fn history(
    app: &App,
    identity: &Identity,
    (site, kind): (String, String),
    part: runs::Part,
) -> Result<History, Problem> {
    one(app, identity, site.clone()).await?;
    let within = Identity {
        site: Some(site),
        ..identity.clone()
    };
    let (runs, next) = runs::page(app, &within, part).await?;
    // Of a site's own job, a run may be of another kind of data alone.
    let is_of = |run: &&crate::state::Run| {
        !JobName::known(&run.job).is_ok_and(|name| name.site().is_some())
            || run.only.is_empty()
            || run.only.contains(&kind)
    };
    let items = runs.iter().filter(is_of).map(Sync::of).collect();
    Ok(History { items, next })
}

#[utoipa::path(get, path = "/api/v1/sites/{site}/{content}/syncs/{id}", tag = "sites",
    params(("site" = String, Path, description = "The site's name"),
           ("content" = String, Path, description = "database | files | index"),
           ("id" = String, Path, description = "The sync's id")),
    responses((status = 200, description = "The sync", body = Sync)))]
/// How far a sync is.
pub(super) async fn sync_of(
    State(app): State<App>,
    identity: Identity,
    Named((site, kind, id)): Named<(String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    content(&site, &kind)?;
    one(&app, &identity, site.clone()).await?;
    let run = runs::one(&app, &identity, id.clone()).await?;
    let job = run.job.clone();
    let name = site.clone();
    let of_site = app.ask(move |look| Ok(runs::site_of(look, &job))).await?;
    if of_site.as_deref() != Some(&*site) {
        let what = format!("site `{name}` has no sync {}", crate::config::quote(&id));
        return Err(Error::new(Kind::Unknown, what).into());
    }
    json(&headers, &Sync::of(&run))
}

/// A site's newest sync into an environment that brought new data.
pub(in crate::http) fn last_success(
    look: &Look,
    site: &str,
    to: &str,
) -> crate::error::Result<Option<crate::state::Run>> {
    let jobs = runs::jobs_of_site(look, site);
    let found = look.state.page(&Page {
        jobs: Some(&jobs),
        to: Some(&[to.to_owned()]),
        state: Some(crate::state::RunState::Succeeded),
        before: None,
        limit: 1,
    })?;
    Ok(found.into_iter().next())
}
