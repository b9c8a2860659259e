//! `/live`: what runs, to those who watch the first page.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::IntoResponse as _;
use axum::response::Response;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream;
use serde_json::json;

use super::overview::running;
use super::visitor::Visitor;
use crate::error::Result;
use crate::http::app::Look;
use crate::http::auth::Identity;
use crate::http::reply::Problem;
use crate::http::revocation::Watch;

/// How often what runs is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// A look that failed is repeated after this.
const AGAIN: Duration = Duration::from_secs(5);

/// The running runs, whenever something about them has changed.
pub(super) async fn overview(visitor: Visitor) -> Response {
    let may = Watch::of(&visitor.app, &visitor.identity);
    let begun = (visitor, may, String::new());
    let events = stream::unfold(begun, |(visitor, may, sent)| async move {
        while !may.is_over() {
            let pause = match look_again(&visitor).await {
                Ok(text) if text != sent => {
                    let event = Event::default().event("overview").data(&text);
                    return Some((Ok::<_, Infallible>(event), (visitor, may, text)));
                }
                Ok(_) => EVERY,
                Err(_) => AGAIN,
            };
            // Whoever may no longer watch is not kept for the whole of it.
            let _ = tokio::time::timeout(pause, may.over()).await;
        }
        None
    });
    Sse::new(events)
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response()
}

/// However many watch, the state store is asked once for all who see everything.
async fn look_again(visitor: &Visitor) -> Result<String, Problem> {
    let identity = visitor.identity.clone();
    if identity.is_limited() {
        return visitor.app.ask(move |look| told(look, &identity)).await;
    }
    let make = move |look: &Look| told(look, &identity).map(String::into_bytes);
    let bytes = visitor.app.ask_often("running", make).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn told(look: &Look, identity: &Identity) -> Result<String> {
    let all = running(look, identity)?;
    let all = all.iter().map(|run| {
        json!({
            "id": run.id,
            "state": run.mark.word(),
            "step": run.step,
            "percent": run.percent,
            "pace": run.pace(),
        })
    });
    Ok(serde_json::Value::Array(all.collect()).to_string())
}
