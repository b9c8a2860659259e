//! Tokens, the audit list, and snapshots.

use axum::response::Response;
use chrono::{DateTime, Utc};

use super::answer::go_to;
use super::view::{
    Audit, AuditLine, Fresh, Pages, Place, SnapshotLine, Snapshots, TokenLine, Tokens,
};
use super::visitor::{Asked, Posted, Visitor};
use crate::http::api::tokens::{self, TokenOf, TokenRequest};
use crate::http::api::{audit, snapshots};
use crate::http::reply::{Named, Problem};

/// A time as the API writes it.
fn time(text: &str) -> Option<DateTime<Utc>> {
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

/// `/tokens`
pub(super) async fn tokens(visitor: Visitor) -> Response {
    let made = token_page(&visitor, None).await;
    visitor.answer(made)
}

async fn token_page(visitor: &Visitor, fresh: Option<Fresh>) -> Result<Response, Problem> {
    let all = tokens::all(&visitor.app, &visitor.identity).await?;
    let all: Vec<TokenLine> = all.into_iter().map(token_line).collect();
    visitor
        .show(Place::Tokens, move |look, _, frame| {
            let environments = &look.settings().environments;
            let targets = environments.names().filter(|name| {
                environments
                    .get(name)
                    .is_some_and(|rules| rules.parent.is_some())
            });
            Ok(Tokens {
                environments: targets.map(ToString::to_string).collect(),
                sites: look.settings().sites.keys().cloned().collect(),
                all,
                fresh,
                frame,
            })
        })
        .await
}

fn token_line(token: TokenOf) -> TokenLine {
    TokenLine {
        scope: token.scope.to_owned(),
        created: time(&token.created_at).unwrap_or_default(),
        expires: token.expires_at.as_deref().and_then(time),
        used: token.last_used_at.as_deref().and_then(time),
        name: token.name,
        to: token.to,
        site: token.site,
        by: token.by,
    }
}

/// The token is in the answer itself: it is nowhere else.
pub(super) async fn make_token(Posted { visitor, fields }: Posted) -> Response {
    let request = TokenRequest {
        name: fields.text("name").to_owned(),
        scope: fields.text("scope").to_owned(),
        to: fields.all("to"),
        site: fields.some("site"),
        expires: fields.some("expires"),
    };
    let made = match tokens::make(&visitor.app, &visitor.identity, request).await {
        Ok(made) => {
            let fresh = Fresh {
                name: made.name,
                secret: made.token,
            };
            token_page(&visitor, Some(fresh)).await
        }
        Err(problem) => Err(problem),
    };
    visitor.answer(made)
}

pub(super) async fn revoke(Named(name): Named<String>, Posted { visitor, .. }: Posted) -> Response {
    let done = tokens::end(&visitor.app, &visitor.identity, name).await;
    visitor.answer(done.map(|()| go_to("/tokens?done=revoked")))
}

/// `/audit`
pub(super) async fn audit(visitor: Visitor, Asked(fields): Asked) -> Response {
    let part = audit::Part {
        before: fields.text("before").parse().ok(),
        limit: None,
    };
    let made = match audit::page(&visitor.app, &visitor.identity, part).await {
        Ok(page) => audit_page(&visitor, page).await,
        Err(problem) => Err(problem),
    };
    visitor.answer(made)
}

async fn audit_page(visitor: &Visitor, page: audit::AuditPage) -> Result<Response, Problem> {
    visitor
        .show(Place::Audit, move |_, _, frame| {
            let on = page.next.map(|next| format!("/audit?before={next}"));
            let lines = page.items.into_iter().map(|row| AuditLine {
                at: time(&row.at).unwrap_or_default(),
                who: row.who,
                via: row.via,
                address: row.address,
                action: row.action,
                object: row.object,
                outcome: row.outcome,
            });
            Ok(Audit {
                lines: lines.collect(),
                pages: Pages {
                    total: None,
                    back: None,
                    on,
                },
                frame,
            })
        })
        .await
}

/// `/snapshots`
pub(super) async fn snapshots(visitor: Visitor) -> Response {
    let made = match snapshots::all(&visitor.app, &visitor.identity).await {
        Ok(archives) => snapshot_page(&visitor, archives).await,
        Err(problem) => Err(problem),
    };
    visitor.answer(made)
}

async fn snapshot_page(
    visitor: &Visitor,
    archives: Vec<snapshots::ArchiveOf>,
) -> Result<Response, Problem> {
    visitor
        .show(Place::Snapshots, move |_, _, frame| {
            let all = archives.into_iter().flat_map(|archive| {
                let place = archive.url;
                archive.pushes.into_iter().map(move |push| SnapshotLine {
                    at: push
                        .finished_at
                        .as_deref()
                        .and_then(time)
                        .unwrap_or_default(),
                    id: push.id,
                    job: push.job,
                    origin: push.from,
                    bytes: push.size,
                    place: place.clone(),
                })
            });
            Ok(Snapshots {
                all: all.collect(),
                frame,
            })
        })
        .await
}
