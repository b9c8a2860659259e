//! Answers to browsers: pages, and where to go on.

use askama::Template;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::look;
use super::view::{Failed, Frame};
use crate::error::{Error, Kind, Result};
use crate::http::reply::Problem;

/// A page as text.
pub(super) fn rendered(page: &impl Template) -> Result<String> {
    page.render()
        .map_err(|error| Error::new(Kind::Internal, "the page cannot be written").because(error))
}

/// A page.
pub(super) fn html(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    if let Ok(policy) = HeaderValue::from_str(&look::POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// A page that says why there is none.
pub(super) fn failed(frame: Frame, problem: Problem) -> Response {
    let status = problem.status();
    let page = Failed {
        frame,
        title: status.canonical_reason().unwrap_or("Error").to_owned(),
        sentence: problem.detail.clone(),
        hint: problem.hint.clone(),
    };
    match rendered(&page) {
        Ok(text) => (status, html(text)).into_response(),
        Err(_) => problem.into_response(),
    }
}

/// What a browser asks for next, after a form.
pub(super) fn go_to(place: &str) -> Response {
    match HeaderValue::from_str(place) {
        Ok(place) => (StatusCode::SEE_OTHER, [(LOCATION, place)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// The script: its path changes with it.
pub(super) async fn script() -> Response {
    let mut response = Response::new(Body::from(look::SCRIPT));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/javascript; charset=utf-8"),
    );
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=31536000, immutable"),
    );
    response
}
