//! Who asks, and what they may do.
//!
//! Somebody is known by a token, by a session that a token or `envsyncd panel` has opened, by the unix socket's other end, or
//! by a header of a reverse proxy that the settings trust. What was not said so is not believed.

use axum::extract::{FromRequestParts, OriginalUri};
use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode};
use chrono::Utc;
use nix::unistd::{Uid, User};
use sha2::{Digest as _, Sha256};

use super::app::App;
use super::peer::Peer;
use super::reply::Problem;
use crate::config::http::{Http, Scope};
use crate::error::Result;
use crate::state::{Token, TokenKind, hash_of};

/// The session's cookie.
pub(super) const SESSION: &str = "envsyncd";

/// The header that has what a form's `csrf` has.
const CSRF: &str = "x-csrf-token";

/// How somebody was known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum How {
    /// By a token of this hash.
    Token([u8; 32]),
    /// By this cookie.
    Session(String),
    Peer,
    Proxy,
}

/// Somebody who asks.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// A token's name, or a user's.
    pub(super) name: String,
    pub(super) scope: Scope,
    /// Only these environments as targets; empty: all.
    pub(super) to: Vec<String>,
    /// Only this site.
    pub(super) site: Option<String>,
    /// Where from.
    pub(super) address: String,
    pub(super) how: How,
    /// What forms that they are given have in them.
    pub(super) csrf: String,
}

impl Identity {
    /// Whether they may do what takes this scope.
    pub(super) fn may(&self, scope: Scope) -> Result<(), Problem> {
        if self.scope >= scope {
            return Ok(());
        }
        let word = |scope: Scope| scope.as_str();
        Err(Problem::forbidden(format!(
            "`{}` has the scope `{}`, and this takes `{}`",
            self.name,
            word(self.scope),
            word(scope)
        )))
    }

    /// Whether what concerns all environments and sites is theirs to see or do.
    pub(super) fn is_limited(&self) -> bool {
        !self.to.is_empty() || self.site.is_some()
    }

    /// Whether a job that writes into this environment, of this site, is within their limits.
    pub(super) fn covers(&self, to: &str, site: Option<&str>) -> bool {
        let environment = self.to.is_empty() || self.to.iter().any(|it| it == to);
        let of_site = self.site.as_deref().is_none_or(|own| site == Some(own));
        environment && of_site
    }

    /// The same, as an error.
    pub(super) fn within(&self, to: &str, site: Option<&str>) -> Result<(), Problem> {
        if self.covers(to, site) {
            return Ok(());
        }
        let mut limits = Vec::new();
        if !self.to.is_empty() {
            limits.push(format!("what flows into {}", self.to.join(", ")));
        }
        if let Some(site) = &self.site {
            limits.push(format!("the site {site}"));
        }
        Err(Problem::forbidden(format!(
            "`{}` is limited to {}",
            self.name,
            limits.join(" and ")
        )))
    }

    /// Whether a form is one that we gave to them.
    pub(super) fn gave(&self, csrf: &str) -> Result<(), Problem> {
        if is_same(self.csrf.as_bytes(), csrf.as_bytes()) {
            return Ok(());
        }
        Err(Problem::forbidden("the form is not of a page of yours")
            .hint("load the page again, and send it again"))
    }
}

/// Compares in constant time.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && differences == 0
}

/// What a session's or a user's forms have in them.
fn csrf(salt: &str, of: &str) -> String {
    format!("{:x}", Sha256::digest(format!("{salt} {of}")))
}

impl App {
    /// Who a token is; a wrong one counts as a guess of its address.
    pub(super) async fn check(&self, text: &str, address: &str) -> Result<Token, Problem> {
        self.checked(text, address, &[TokenKind::Token]).await
    }

    /// Refuses an address that has guessed too often.
    pub(super) fn may_guess(&self, address: &str) -> Result<(), Problem> {
        if self.failures().are_many(address) {
            let what = "too many wrong tokens from this address";
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, what).hint("wait a minute"));
        }
        Ok(())
    }

    /// Counts a guess.
    pub(super) fn wrong(&self, address: &str) {
        self.failures().count(address);
        tracing::warn!(address, "a wrong or expired token was shown to the API");
    }

    async fn checked(
        &self,
        text: &str,
        address: &str,
        kinds: &'static [TokenKind],
    ) -> Result<Token, Problem> {
        self.may_guess(address)?;
        let hash = hash_of(text);
        let found = self
            .ask(move |look| {
                let found = look.state.token(&hash)?;
                if found
                    .as_ref()
                    .is_some_and(|token| kinds.contains(&token.kind))
                {
                    // A full disk keeps nobody out.
                    let _ = look.state.token_used(&hash, Utc::now());
                }
                Ok(found)
            })
            .await?;
        if let Some(token) = found.filter(|token| kinds.contains(&token.kind)) {
            return Ok(token);
        }
        self.wrong(address);
        Err(Problem::unknown(
            "this token is unknown, expired or revoked",
        ))
    }

    async fn identify(&self, parts: &Parts) -> Result<Identity, Problem> {
        let peer = parts.extensions.get::<Peer>();
        let address = peer.map_or_else(String::new, ToString::to_string);
        if let Some(value) = parts.headers.get(AUTHORIZATION) {
            let text = value.to_str().ok().and_then(|text| {
                let (scheme, token) = text.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
            });
            let Some(text) = text else {
                return Err(Problem::unknown("`Authorization` has no `Bearer` token"));
            };
            let token = self.check(text, &address).await?;
            return Ok(self.of_token(token, address, How::Token(hash_of(text))));
        }
        if let Some(cookie) = cookie(&parts.headers) {
            // One that is over is no guess: browsers keep them.
            let hash = hash_of(&cookie);
            let found = self.ask(move |look| look.state.token(&hash)).await?;
            if let Some(token) = found.filter(|token| token.kind == TokenKind::Session) {
                return Ok(self.of_token(token, address, How::Session(cookie)));
            }
        }
        if let Some(identity) = by_proxy(self.http(), peer, &parts.headers) {
            return Ok(self.of_user(identity, self.http().proxy_scope, address, How::Proxy));
        }
        if let Some(Peer::User(uid)) = peer
            && let Ok(Some(user)) = User::from_uid(Uid::from_raw(*uid))
            && let Some(scope) = self.http().peer_users.get(&user.name)
        {
            return Ok(self.of_user(user.name, *scope, address, How::Peer));
        }
        Err(Problem::unknown("this takes a token").hint(
            "`envsyncd token create NAME --scope read` makes one; send it as `Authorization: Bearer TOKEN`",
        ))
    }

    fn of_token(&self, token: Token, address: String, how: How) -> Identity {
        let secret = match &how {
            How::Session(cookie) => cookie.clone(),
            _ => token.name.clone(),
        };
        Identity {
            csrf: csrf(self.salt(), &secret),
            name: token.name,
            scope: token.scope,
            to: token.to,
            site: token.site,
            address,
            how,
        }
    }

    fn of_user(&self, name: String, scope: Scope, address: String, how: How) -> Identity {
        Identity {
            csrf: csrf(self.salt(), &name),
            name,
            scope,
            to: Vec::new(),
            site: None,
            address,
            how,
        }
    }
}

/// The user that a trusted reverse proxy names.
fn by_proxy(http: &Http, peer: Option<&Peer>, headers: &HeaderMap) -> Option<String> {
    let trusted = peer?.is_proxy(http);
    let mut values = headers.get_all(http.user_header.as_deref()?).iter();
    let name = values.next()?.to_str().ok()?.trim();
    let fine = |c: char| c.is_ascii_alphanumeric() || "._-@+".contains(c);
    // Two of them: one is not the proxy's.
    let is_name =
        values.next().is_none() && (1..=128).contains(&name.len()) && name.chars().all(fine);
    (trusted && is_name).then(|| name.to_owned())
}

/// The session's cookie, if there is one and no other of its name.
pub(super) fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let mut found = all.flat_map(|line| line.split(';')).filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == SESSION).then_some(value)
    });
    let value = found.next()?;
    found.next().is_none().then(|| value.to_owned())
}

/// Whether a request that changes something may come from a page of somebody else's.
pub(super) fn is_foreign(parts: &Parts) -> bool {
    let text = |name| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    if let Some(site) = text(axum::http::HeaderName::from_static("sec-fetch-site"))
        && !matches!(site, "same-origin" | "none")
    {
        return true;
    }
    let Some(origin) = text(ORIGIN) else {
        return false;
    };
    let host = parts
        .uri
        .authority()
        .map(Authority::as_str)
        .or_else(|| text(HOST));
    let of_origin = origin.split_once("://").map(|(_, host)| host);
    of_origin.is_none() || of_origin != host
}

impl FromRequestParts<App> for Identity {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let identity = app.identify(parts).await?;
        let changes = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
        if changes && !matches!(identity.how, How::Token(_)) {
            if is_foreign(parts) {
                return Err(Problem::forbidden(
                    "this was sent by a page of another site",
                ));
            }
            // A form has it in its body, and its page looks.
            // What is nested sees but the end of its path.
            let whole = parts.extensions.get::<OriginalUri>();
            let path = whole.map_or(parts.uri.path(), |whole| whole.path());
            if path.starts_with("/api/") && matches!(identity.how, How::Session(_)) {
                let sent = parts
                    .headers
                    .get(CSRF)
                    .and_then(|value| value.to_str().ok());
                identity.gave(sent.unwrap_or_default())?;
            }
        }
        Ok(identity)
    }
}
