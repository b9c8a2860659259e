//! Answers: what all of them have, and those that say why there is no file.

use std::time::Duration;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap,
    HeaderValue, LOCATION, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use super::media::Promise;

/// What is sent of a file. One that ends in an error breaks its connection: what is cut short is seen to be.
pub(super) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Why there is no file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    /// 400
    Bad(&'static str),
    /// 403: it is there, and we may not read it.
    Unreadable,
    /// 404, and why.
    Absent(&'static str),
    /// 405
    Method,
    /// 500
    Broken,
    /// 502: the origin's answer is none that could be kept.
    Origin(&'static str),
    /// 503: later.
    Later(Duration, &'static str),
    /// 507: there is no room for it.
    Full(&'static str),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Unreadable => StatusCode::FORBIDDEN,
            Self::Absent(_) => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Origin(_) => StatusCode::BAD_GATEWAY,
            Self::Later(..) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Full(_) => StatusCode::INSUFFICIENT_STORAGE,
        }
    }

    pub(super) fn why(&self) -> &'static str {
        match self {
            Self::Bad(why)
            | Self::Absent(why)
            | Self::Origin(why)
            | Self::Later(_, why)
            | Self::Full(why) => why,
            Self::Unreadable => "the file cannot be read",
            Self::Method => "files are read here: GET and HEAD",
            Self::Broken => "the file cannot be read just now",
        }
    }

    pub(super) fn response(&self) -> Response<Body> {
        let text = format!("{}\n", self.why());
        let mut response = Response::new(whole(Bytes::from(text)));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        guard(headers);
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self {
            Self::Method => {
                headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            Self::Later(wait, _) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
            }
            _ => {}
        }
        response
    }
}

/// 302 to another server, which nobody is to remember.
pub(super) fn redirect(to: &str) -> Response<Body> {
    let Ok(to) = HeaderValue::from_str(to) else {
        return Refusal::Broken.response();
    };
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::FOUND;
    let headers = response.headers_mut();
    guard(headers);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(LOCATION, to);
    response
}

/// What keeps a browser from seeing in a file more than it is, and from running it in the site's name.
pub(super) fn guard(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'"),
    );
}

/// The headers of a file that its name decides.
pub(super) fn of_file(headers: &mut HeaderMap, promise: Promise) {
    guard(headers);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(promise.media_type));
    if promise.is_active() {
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    }
}

pub(super) fn whole(bytes: Bytes) -> Body {
    Full::new(bytes)
        .map_err(|never| match never {})
        .boxed_unsync()
}

pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}
