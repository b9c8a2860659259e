//! Sessions of browsers: opened with a token or a link, ended by their user, or by themselves.

use axum::http::HeaderValue;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use chrono::{Duration, Utc};

use super::app::App;
use super::auth::SESSION;
use super::reply::Problem;
use crate::error::{Error, Kind};
use crate::state::{Audited, TokenKind, hash_of, secret};

/// How long a session lasts.
const LASTS: i64 = 12 * 3600;

/// Opens a session with a token; returns what its cookie has.
pub(super) async fn log_in(app: &App, token: &str, address: &str) -> Result<String, Problem> {
    let token = token.trim();
    app.check(token, address).await?;
    let opened = open(app, token, TokenKind::Token, address).await?;
    // It was revoked this very moment.
    opened.ok_or_else(|| Problem::unknown("this token is unknown, expired or revoked"))
}

/// Opens a session with a link, which is of no use after it.
pub(super) async fn follow(app: &App, link: &str, address: &str) -> Result<String, Problem> {
    app.may_guess(address)?;
    let opened = open(app, link, TokenKind::Link, address).await?;
    opened.ok_or_else(|| {
        app.wrong(address);
        Problem::unknown("this link was used already, or is over")
            .hint("`envsyncd panel` prints a new one")
    })
}

/// Opens a session with a token or a link, if it is one. A session has a secret of its own, whatever the browser brought
/// along.
async fn open(
    app: &App,
    opener: &str,
    kind: TokenKind,
    address: &str,
) -> Result<Option<String>, Problem> {
    let (opener, address) = (hash_of(opener), address.to_owned());
    app.ask(move |look| {
        let key = secret()?;
        let lasts = Duration::seconds(LASTS);
        let opened = (look.state).open_session(&opener, kind, &hash_of(&key), lasts)?;
        let Some(session) = opened else {
            return Ok(None);
        };
        look.state.audit(&Audited {
            at: Utc::now(),
            who: session.name,
            via: "panel".to_owned(),
            address,
            action: "login".to_owned(),
            object: String::new(),
            outcome: "ok".to_owned(),
        })?;
        Ok(Some(key))
    })
    .await
}

/// Ends a session.
pub(super) async fn log_out(app: &App, key: &str) -> Result<(), Problem> {
    let hash = hash_of(key);
    app.ask(move |look| look.state.drop_token(&hash)).await
}

/// Gives a session's cookie to the browser, or, of an empty one, takes it away.
pub(super) fn set(app: &App, response: &mut Response, key: &str) -> Result<(), Problem> {
    let secure = if app.http().tls.is_some() {
        "; Secure"
    } else {
        ""
    };
    let lasts = if key.is_empty() { 0 } else { LASTS };
    let text = format!("{SESSION}={key}; Path=/; HttpOnly; SameSite=Lax; Max-Age={lasts}{secure}");
    let value = HeaderValue::from_str(&text).map_err(|error| {
        Error::new(Kind::Internal, "the session's cookie cannot be set").because(error)
    })?;
    response.headers_mut().append(SET_COOKIE, value);
    Ok(())
}
