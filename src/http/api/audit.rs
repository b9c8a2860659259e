//! Who has asked for what.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::config::http::Scope;
use crate::control::documents;
use crate::http::app::App;
use crate::http::auth::Identity;
use crate::http::reply::{Asked, Problem, json};

/// Something that somebody asked for.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Audited {
    /// Its number.
    pub(in crate::http) seq: i64,
    /// When.
    pub(in crate::http) at: String,
    /// Who: a user, or a token's name.
    pub(in crate::http) who: String,
    /// cli | api | panel
    pub(in crate::http) via: String,
    /// Where from; empty: this host.
    pub(in crate::http) address: String,
    /// What: `run`, `cancel`, `hold` and so on.
    pub(in crate::http) action: String,
    /// Of which job, run or environment.
    pub(in crate::http) object: String,
    /// `ok`, or why not.
    pub(in crate::http) outcome: String,
}

/// A page of them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct AuditPage {
    /// Newest first.
    pub(in crate::http) items: Vec<Audited>,
    /// `before` of the next page; `null`: this is the last.
    pub(in crate::http) next: Option<i64>,
}

/// Which part.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Part {
    /// Those before this number.
    pub(in crate::http) before: Option<i64>,
    /// How many.
    #[param(minimum = 1, maximum = 500, default = 100)]
    pub(in crate::http) limit: Option<u16>,
}

#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(Part), responses(
    (status = 200, description = "A page of the list", body = AuditPage)))]
/// What was asked for: who, from where, what, and what came of it. Takes the scope `admin`.
pub(super) async fn list(
    State(app): State<App>,
    identity: Identity,
    Asked(part): Asked<Part>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    json(&headers, &page(&app, &identity, part).await?)
}

/// A page of the list.
pub(in crate::http) async fn page(
    app: &App,
    identity: &Identity,
    part: Part,
) -> Result<AuditPage, Problem> {
    identity.may(Scope::Admin)?;
    let limit = usize::from(part.limit.unwrap_or(100).clamp(1, 500));
    let rows = app
        .ask(move |look| look.state.audits(part.before, limit))
        .await?;
    let next = (rows.len() == limit)
        .then(|| rows.last().map(|(seq, _)| *seq))
        .flatten();
    let items = rows.into_iter().map(|(seq, row)| Audited {
        seq,
        at: documents::time(row.at),
        who: row.who,
        via: row.via,
        address: row.address,
        action: row.action,
        object: row.object,
        outcome: row.outcome,
    });
    Ok(AuditPage {
        items: items.collect(),
        next,
    })
}
