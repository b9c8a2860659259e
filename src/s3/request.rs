//! Requests that are signed here: to keys that the library takes for no path, with headers that it does not know, and lists.

use std::num::NonZeroUsize;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpError, HttpRequest, HttpRequestBody, HttpResponse};
use serde::de::DeserializeOwned;

use super::client::S3;
use super::failure::{Failed, Trouble};

/// A request.
pub(super) struct Request<'r> {
    pub(super) method: Method,
    /// The object's whole key; `None`: the bucket itself is asked.
    pub(super) key: Option<&'r str>,
    pub(super) query: &'r [(&'r str, &'r str)],
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl<'r> Request<'r> {
    /// To the bucket itself.
    pub(super) fn of_bucket(query: &'r [(&'r str, &'r str)]) -> Self {
        Self {
            method: Method::GET,
            key: None,
            query,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }

    /// To an object.
    pub(super) fn of_object(method: Method, key: &'r str) -> Self {
        Self {
            method,
            key: Some(key),
            query: &[],
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }
}

/// A header's value; what cannot be one is left out.
pub(super) fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if value.is_ascii()
        && let Ok(value) = HeaderValue::from_str(value)
    {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// Signs a request and sends it.
pub(super) async fn send(s3: &S3, asked: Request<'_>) -> Result<HttpResponse, Failed> {
    let mut url = format!("{}/", s3.bucket_url);
    if let Some(key) = asked.key {
        encode_key(key, &mut url);
    }
    for (number, (name, value)) in asked.query.iter().enumerate() {
        url.push(if number == 0 { '?' } else { '&' });
        url.push_str(name);
        url.push('=');
        encode(value, &mut url);
    }
    let url = url
        .parse()
        .map_err(|_| impossible("the endpoint, the bucket and the key make no URL".to_owned()))?;
    let is_write = matches!(asked.method, Method::PUT | Method::POST);
    let mut request = HttpRequest::new(HttpRequestBody::from(asked.body));
    *request.method_mut() = asked.method;
    *request.uri_mut() = url;
    *request.headers_mut() = asked.headers;
    if is_write && request.body().is_empty() {
        request
            .headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    let unsigned = |error: object_store::Error| match Failed::of(&error) {
        Some(failed) => failed.clone(),
        None => impossible(error.to_string()),
    };
    let credential = s3.store.credentials().get_credential().await;
    let credential = credential.map_err(unsigned)?;
    AwsAuthorizer::new(&credential, "s3", &s3.region)
        .try_authorize(&mut request, None)
        .map_err(unsigned)?;
    s3.transport.ask(request).await
}

/// The same, and the answer is read.
pub(super) async fn ask<T: DeserializeOwned>(s3: &S3, asked: Request<'_>) -> Result<T, Failed> {
    let response = send(s3, asked).await?;
    let body: Result<Bytes, HttpError> = response.into_body().bytes().await;
    let body = body.map_err(|error| impossible(error.to_string()))?;
    read(&body).ok_or_else(|| {
        impossible(
            "its answer cannot be read: what answers does not seem to be an S3 server".to_owned(),
        )
    })
}

/// A request that could not be made, or an answer that is none.
pub(super) fn impossible(text: String) -> Failed {
    Failed {
        trouble: Trouble::Impossible(text),
        tries: 1,
        waited: std::time::Duration::ZERO,
        for_keys: false,
    }
}

/// A key in a URL: its slashes stay.
pub(super) fn encode_key(key: &str, out: &mut String) {
    for (number, part) in key.split('/').enumerate() {
        if number > 0 {
            out.push('/');
        }
        encode(part, out);
    }
}

/// Tags and texts that are kept until what comes between them has been read: objects and folders of a page may stand in any
/// order. A page has 1000 of them, of some 30 tags and texts each.
const MOST_EVENTS: usize = 100_000;

/// Parses a server's answer; `None`: it is not a list.
pub(crate) fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let mut reader = quick_xml::de::Deserializer::from_reader(body);
    reader.event_buffer_size(NonZeroUsize::new(MOST_EVENTS));
    T::deserialize(&mut reader).ok()
}

/// RFC 3986's unreserved characters stay.
pub(crate) fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}
