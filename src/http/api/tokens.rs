//! Tokens: who may use the API.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::start::caller;
use crate::config::http::{SCOPES, Scope};
use crate::control::{documents, tokens};
use crate::http::app::App;
use crate::http::auth::Identity;
use crate::http::reply::{Named, Problem, Sent, json};
use crate::state::Token;

/// All tokens.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Tokens {
    /// Sorted by name.
    items: Vec<TokenOf>,
}

/// A token, without what it is.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct TokenOf {
    /// Its name.
    pub(in crate::http) name: String,
    /// read | run | admin
    pub(in crate::http) scope: &'static str,
    /// Only these environments as targets; empty: all.
    pub(in crate::http) to: Vec<String>,
    /// Only this site.
    pub(in crate::http) site: Option<String>,
    /// Who made it.
    pub(in crate::http) by: String,
    pub(in crate::http) created_at: String,
    /// `null`: never.
    pub(in crate::http) expires_at: Option<String>,
    /// A minute late at the most.
    pub(in crate::http) last_used_at: Option<String>,
}

impl TokenOf {
    fn of(token: &Token) -> Self {
        Self {
            name: token.name.clone(),
            scope: token.scope.as_str(),
            to: token.to.clone(),
            site: token.site.clone(),
            by: token.by.clone(),
            created_at: documents::time(token.created_at),
            expires_at: token.expires_at.map(documents::time),
            last_used_at: token.last_used_at.map(documents::time),
        }
    }
}

/// A token that is to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct TokenRequest {
    /// Letters, digits, `.`, `_`, `-`.
    pub(in crate::http) name: String,
    /// read | run | admin
    pub(in crate::http) scope: String,
    /// Only these environments as targets.
    #[serde(default)]
    pub(in crate::http) to: Vec<String>,
    /// Only this site.
    pub(in crate::http) site: Option<String>,
    /// How long it lasts: `90d`.
    pub(in crate::http) expires: Option<String>,
}

/// A token that was made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Made {
    /// The token itself: it is shown this once.
    pub(in crate::http) token: String,
    /// What it is called.
    pub(in crate::http) name: String,
}

#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", responses(
    (status = 200, description = "All tokens", body = Tokens)))]
/// All tokens, without what they are. Takes the scope `admin`.
pub(super) async fn list(
    State(app): State<App>,
    identity: Identity,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    json(
        &headers,
        &Tokens {
            items: all(&app, &identity).await?,
        },
    )
}

/// All tokens.
pub(in crate::http) async fn all(app: &App, identity: &Identity) -> Result<Vec<TokenOf>, Problem> {
    administer(identity)?;
    app.ask(|look| Ok(look.state.tokens()?.iter().map(TokenOf::of).collect()))
        .await
}

/// Whoever is limited makes nobody who is not.
pub(super) fn administer(identity: &Identity) -> Result<(), Problem> {
    identity.may(Scope::Admin)?;
    if identity.is_limited() {
        return Err(Problem::forbidden(format!(
            "`{}` is not for everything",
            identity.name
        )));
    }
    Ok(())
}

#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = TokenRequest,
    responses((status = 201, description = "The token, this once", body = Made)))]
/// Makes a token. Takes the scope `admin`.
pub(super) async fn create(
    State(app): State<App>,
    identity: Identity,
    Sent(request): Sent<TokenRequest>,
) -> Result<Response, Problem> {
    let made = make(&app, &identity, request).await?;
    Ok((StatusCode::CREATED, axum::Json(made)).into_response())
}

/// Makes a token.
pub(in crate::http) async fn make(
    app: &App,
    identity: &Identity,
    request: TokenRequest,
) -> Result<Made, Problem> {
    administer(identity)?;
    let scope = SCOPES.iter().find(|(word, _)| *word == request.scope);
    let Some((_, scope)) = scope else {
        return Err(Problem::bad("there is no such scope").hint("read, run or admin"));
    };
    let expires = match &request.expires {
        None => None,
        Some(text) => {
            let length = humantime::parse_duration(text)
                .ok()
                .filter(|length| !length.is_zero());
            let wrong = || Problem::bad("`expires` is no length of time").hint("write it as 90d");
            Some(length.ok_or_else(wrong)?)
        }
    };
    let scope = *scope;
    let name = request.name.clone();
    let by = caller(identity);
    let token = app
        .ask(move |look| {
            let wanted = tokens::Wanted {
                name: &request.name,
                scope,
                to: &request.to,
                site: request.site.as_deref(),
                expires,
            };
            tokens::create(look.settings(), &look.state, &wanted, &by)
        })
        .await?;
    Ok(Made { token, name })
}

#[utoipa::path(delete, path = "/api/v1/tokens/{name}", tag = "tokens",
    params(("name" = String, Path, description = "The token's name")),
    responses((status = 204, description = "It is of no use any more")))]
/// Revokes a token, and ends the sessions that were opened with it. Takes the scope `admin`.
pub(super) async fn revoke(
    State(app): State<App>,
    identity: Identity,
    Named(name): Named<String>,
) -> Result<StatusCode, Problem> {
    end(&app, &identity, name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Revokes a token.
pub(in crate::http) async fn end(
    app: &App,
    identity: &Identity,
    name: String,
) -> Result<(), Problem> {
    administer(identity)?;
    let by = caller(identity);
    app.ask(move |look| tokens::revoke(&look.state, &name, &by))
        .await
}
