//! Sessions of browsers: opened with a token or a link, ended by their user, or by themselves.

use axum::http::HeaderValue;
use axum::http::header::SET_COOKIE;
use axum::response::Response;
use chrono::{Duration, Utc};

use super::app::App;
use super::auth::SESSION;
use super::reply::Problem;
use crate::error::{Error, Kind};
use crate::state::{Audited, Token, TokenKind, hash_of, secret};

/// How long a session lasts.
const LASTS: i64 = 12 * 3600;

/// Opens a session with a token; returns what its cookie has.
pub(super) async fn log_in(app: &App, token: &str, address: &str) -> Result<String, Problem> {
    let known = app.check(token.trim(), address).await?;
    open(app, known, address).await
}

/// Opens a session with a link, which is of no use after it.
pub(super) async fn follow(app: &App, link: &str, address: &str) -> Result<String, Problem> {
    app.may_guess(address)?;
    let hash = hash_of(link);
    let found = app.ask(move |look| look.state.take_link(&hash)).await?;
    let Some(known) = found else {
        app.wrong(address);
        return Err(Problem::unknown("this link was used already, or is over")
            .hint("`envsyncd panel` prints a new one"));
    };
    open(app, known, address).await
}

/// A session has a secret of its own, whatever the browser brought along.
async fn open(app: &App, known: Token, address: &str) -> Result<String, Problem> {
    let address = address.to_owned();
    app.ask(move |look| {
        let key = secret()?;
        let now = Utc::now();
        let ends = now + Duration::seconds(LASTS);
        let session = Token {
            kind: TokenKind::Session,
            created_at: now,
            expires_at: Some(
                known
                    .expires_at
                    .filter(|_| known.kind == TokenKind::Token)
                    .map_or(ends, |at| at.min(ends)),
            ),
            last_used_at: None,
            ..known
        };
        look.state.add_token(&session, &hash_of(&key))?;
        look.state.audit(&Audited {
            at: now,
            who: session.name,
            via: "panel".to_owned(),
            address,
            action: "login".to_owned(),
            object: String::new(),
            outcome: "ok".to_owned(),
        })?;
        Ok(key)
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
