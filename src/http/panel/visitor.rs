//! Who looks at a page, and the forms that they send.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use chrono::Utc;

use super::answer;
use super::view::{Frame, Notice, Paused, Place, User};
use super::words::encoded;
use crate::config::http::Scope;
use crate::error::Result;
use crate::http::app::{App, Look};
use crate::http::auth::Identity;
use crate::http::reply::Problem;
use crate::process::host_name;
use crate::state;

/// What a form has done, by the word in the address of the page after it.
const DONE: [(&str, &str); 9] = [
    ("paused", "Paused."),
    ("resumed", "Resumed."),
    ("held", "Held: runs into it are refused."),
    ("released", "Released."),
    ("written", "The job's file is written, and in force."),
    (
        "later",
        "The job's file is written, and will be in force in a moment.",
    ),
    ("removed", "The job is removed. Its history stays."),
    ("cancelled", "The run was told to end."),
    (
        "revoked",
        "The token is of no use any more, and sessions opened with it are over.",
    ),
];

/// Somebody who looks at a page.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) app: App,
    pub(super) identity: Identity,
    done: Option<&'static str>,
}

impl Visitor {
    fn new(app: &App, identity: Identity, parts: &Parts) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        let done = url::form_urlencoded::parse(query.as_bytes()).find_map(|(key, value)| {
            let known = DONE
                .iter()
                .find(|(word, _)| key == "done" && value == *word);
            known.map(|(_, sentence)| *sentence)
        });
        Self {
            app: app.clone(),
            identity,
            done,
        }
    }

    /// What is around a page, as far as nobody has to be asked.
    fn bare_frame(&self, place: Place) -> Frame {
        let identity = &self.identity;
        Frame {
            user: Some(User {
                name: identity.name.clone(),
                may_run: identity.may(Scope::Run).is_ok(),
                may_admin: identity.may(Scope::Admin).is_ok() && !identity.is_limited(),
            }),
            csrf: identity.csrf.clone(),
            notice: self.done.map(|sentence| Notice {
                is_good: true,
                sentence: sentence.to_owned(),
                hint: None,
            }),
            ..of_stranger(place)
        }
    }

    fn frame(&self, look: &Look, place: Place) -> Result<Frame> {
        let pauses = look.state.pauses()?;
        let all = pauses.iter().find(|pause| pause.what == state::Paused::All);
        let daemon = look.state.daemon()?;
        let problem = daemon
            .map(|daemon| daemon.problem)
            .filter(|problem| !problem.is_empty());
        Ok(Frame {
            paused: all.map(paused),
            trouble: problem.map(|problem| {
                format!(
                    "envsyncd.toml is broken, and its last good version stays in force: {problem}"
                )
            }),
            ..self.bare_frame(place)
        })
    }

    /// Makes a page in a thread that may wait for the state store.
    pub(super) async fn show<T: Template>(
        &self,
        place: Place,
        make: impl FnOnce(&Look, &Identity, Frame) -> Result<T> + Send + 'static,
    ) -> Result<Response, Problem> {
        let visitor = self.clone();
        let text = self
            .app
            .ask(move |look| {
                let frame = visitor.frame(look, place)?;
                answer::rendered(&make(look, &visitor.identity, frame)?)
            })
            .await?;
        Ok(answer::html(text))
    }

    /// A page, or a page that says why there is none.
    pub(super) fn answer(&self, made: Result<Response, Problem>) -> Response {
        made.unwrap_or_else(|problem| answer::failed(self.bare_frame(Place::Elsewhere), problem))
    }
}

/// What is around a page for who is not known.
pub(super) fn of_stranger(place: Place) -> Frame {
    Frame {
        place,
        host: host_name(),
        user: None,
        csrf: String::new(),
        now: Utc::now(),
        notice: None,
        paused: None,
        trouble: None,
    }
}

/// There is nothing at an address: a page for browsers, a problem for programs.
pub(in crate::http) async fn nothing(headers: HeaderMap) -> Response {
    let problem = Problem::not_found("there is nothing at this address");
    let accepted = headers.get(ACCEPT).and_then(|kind| kind.to_str().ok());
    if accepted.is_some_and(|kinds| kinds.contains("text/html")) {
        return answer::failed(of_stranger(Place::Elsewhere), problem);
    }
    problem
        .hint("/api/v1/openapi.json says what there is")
        .into_response()
}

/// A pause as pages show it.
pub(super) fn paused(pause: &state::Pause) -> Paused {
    Paused {
        by: pause.by.clone(),
        reason: pause.reason.clone(),
        since: pause.since,
        until: pause.until,
    }
}

impl FromRequestParts<App> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        match Identity::from_request_parts(parts, app).await {
            Ok(identity) => Ok(Self::new(app, identity, parts)),
            Err(problem) if problem.status() == StatusCode::UNAUTHORIZED => Err(to_login(parts)),
            Err(problem) => Err(answer::failed(of_stranger(Place::Elsewhere), problem)),
        }
    }
}

/// First the login, then back to the page.
fn to_login(parts: &Parts) -> Response {
    let then = match (&parts.method, parts.uri.path_and_query()) {
        (&Method::GET, Some(path)) if path.as_str() != "/" => {
            format!("?then={}", encoded(path.as_str()))
        }
        _ => String::new(),
    };
    answer::go_to(&format!("/login{then}"))
}

/// The fields of a form.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// As browsers send forms, and addresses have them.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// A field's first value, without spaces around it; empty where there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map_or("", |(_, value)| value.trim())
    }

    /// The same; `None` where it is empty.
    pub(super) fn some(&self, name: &str) -> Option<String> {
        Some(self.text(name))
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    }

    /// All values of a field.
    pub(super) fn all(&self, name: &str) -> Vec<String> {
        let found = self.0.iter().filter(|(key, _)| key == name);
        found.map(|(_, value)| value.clone()).collect()
    }

    /// The body of a request that is a form.
    pub(super) async fn of(request: Request, app: &App) -> Result<Self, Problem> {
        let kind = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let is_form =
            kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
        if !is_form {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "the request is no form",
            ));
        }
        match Bytes::from_request(request, app).await {
            Ok(bytes) => Ok(Self::parse(&bytes)),
            Err(rejection) => Err(Problem::new(
                rejection.status(),
                "the form could not be read",
            )),
        }
    }
}

/// A form that somebody has sent from a page of theirs.
pub(super) struct Posted {
    pub(super) visitor: Visitor,
    pub(super) fields: Fields,
}

impl FromRequest<App> for Posted {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, app).await?;
        let fields = Fields::of(Request::from_parts(parts, body), app).await;
        let fields = fields.and_then(|fields| {
            visitor.identity.gave(fields.text("csrf"))?;
            Ok(fields)
        });
        match fields {
            Ok(fields) => Ok(Self { visitor, fields }),
            Err(problem) => Err(visitor.answer(Err(problem))),
        }
    }
}

/// What follows the question mark of an address.
pub(super) struct Asked(pub(super) Fields);

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(Fields::parse(
            parts.uri.query().unwrap_or_default().as_bytes(),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_its_fields_however_often() {
        let fields = Fields::parse(b"to=a&to=b%20c&reason=+x+&empty=");
        assert_eq!(fields.all("to"), ["a", "b c"]);
        assert_eq!(fields.text("reason"), "x");
        assert_eq!(fields.some("empty"), None);
        assert_eq!(fields.text("none"), "");
    }
}
