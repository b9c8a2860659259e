//! Around every request: its host, how long it may take, and what browsers are told.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::app::App;
use super::peer::Peer;
use super::reply::Problem;

/// How long an answer may take to be made, its request's body included.
const PATIENCE: Duration = Duration::from_secs(30);

/// Around every request: its host, how long it may take, and what browsers are told.
pub(super) async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    let secure = app.http().tls.is_some();
    let mut response = match strange_host(&app, &request) {
        Some(problem) => problem.into_response(),
        None => match tokio::time::timeout(PATIENCE, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Problem::new(StatusCode::REQUEST_TIMEOUT, "the request took too long")
                .into_response(),
        },
    };
    let headers = response.headers_mut();
    let mut set = |name, value| {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    };
    set(
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    );
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(X_FRAME_OPTIONS, "DENY");
    set(REFERRER_POLICY, "same-origin");
    set(CACHE_CONTROL, "no-store");
    if secure {
        set(STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    response
}

/// A page elsewhere whose name was made to lead here must not be answered as if it were ours.
fn strange_host(app: &App, request: &Request) -> Option<Problem> {
    if let Some(Peer::User(_)) = request.extensions().get::<Peer>() {
        return None;
    }
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str().to_owned(),
        None => request
            .headers()
            .get(HOST)?
            .to_str()
            .unwrap_or_default()
            .to_owned(),
    };
    let parsed: Option<axum::http::uri::Authority> = authority.parse().ok();
    if parsed.is_some_and(|authority| app.is_called(authority.host())) {
        return None;
    }
    Some(
        Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this host is not called so",
        )
        .hint("add the name to `hosts` under [http] in envsyncd.toml"),
    )
}
