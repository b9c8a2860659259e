//! Errors that an S3 server answers with (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>).

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// How much of what a server says is repeated.
const SAID: usize = 200;

/// An answer that is no success.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// `NoSuchBucket`; empty if what answered does not talk like an S3 server.
    pub(super) code: String,
    pub(super) message: String,
    /// Where the bucket is, if it is not where we asked.
    pub(super) region: Option<String>,
    /// The server's clock.
    date: Option<DateTime<Utc>>,
    pub(super) retry_after: Option<Duration>,
}

impl Refusal {
    /// Whether a body is an error, whatever HTTP says: to some requests a server says yes before it has done them.
    pub(super) fn is_in(body: &[u8]) -> bool {
        let body = body.trim_ascii_start();
        let body = match body.strip_prefix(b"<?xml") {
            Some(rest) => match rest.iter().position(|byte| *byte == b'>') {
                Some(end) => rest[end + 1..].trim_ascii_start(),
                None => rest,
            },
            None => body,
        };
        body.starts_with(b"<Error>") || body.starts_with(b"<Error ")
    }

    pub(super) fn read(status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let body = String::from_utf8_lossy(body);
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        // Nothing else of the body is kept: after a wrong signature it repeats what was signed, tokens included.
        let element = |name: &str| {
            let (_, rest) = body.split_once(&format!("<{name}>"))?;
            let (text, _) = rest.split_once(&format!("</{name}>"))?;
            let text = unescaped(text.trim());
            let text = text.chars().filter(|c| !c.is_control()).take(SAID);
            Some(text.collect::<String>())
        };
        let date = header(DATE.as_str()).and_then(|date| DateTime::parse_from_rfc2822(date).ok());
        Self {
            status,
            code: element("Code").unwrap_or_default(),
            message: element("Message").unwrap_or_default(),
            region: header("x-amz-bucket-region")
                .map(str::to_owned)
                .or_else(|| element("Region")),
            date: date.map(|date| date.to_utc()),
            retry_after: header(RETRY_AFTER.as_str())
                .and_then(|seconds| seconds.parse().ok())
                .map(Duration::from_secs),
        }
    }

    /// Whether the server may say otherwise if asked again.
    pub(super) fn may_pass(&self) -> bool {
        const PASSING: &[&str] = &[
            "InternalError",
            "OperationAborted",
            "RequestTimeout",
            "ServiceUnavailable",
            "SlowDown",
            "Throttling",
            "ThrottlingException",
        ];
        matches!(self.status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
            || PASSING.contains(&self.code.as_str())
    }

    pub(super) fn is_throttling(&self) -> bool {
        self.status == 429
            || self.code == "SlowDown"
            || self.code.starts_with("Throttling")
            || self.code == "RequestLimitExceeded"
    }

    /// Whether there is no room: servers say so with one code or another, and some with the status of a missing right.
    pub(super) fn is_full(&self) -> bool {
        const FULL: &[&str] = &["EntityTooLarge", "InsufficientStorage", "NoSpaceLeft"];
        let code = self.code.as_str();
        let says = |words: &[&str], text: &str| words.iter().any(|word| text.contains(word));
        self.status == 507
            || FULL.contains(&code)
            || says(&["Quota", "StorageFull", "StorageCap"], code)
            || self.status == 403 && says(&["quota", "cap exceeded"], &self.message.to_lowercase())
    }

    /// Whether an object has to come with a checksum of its content.
    pub(super) fn wants_checksum(&self) -> bool {
        self.message.contains("Content-MD5") || self.code == "MissingContentMD5"
    }

    /// Whether the server does not know the request that deletes many objects at once, or wants it otherwise.
    pub(super) fn takes_no_list(&self) -> bool {
        const UNKNOWN: &[&str] = &[
            "",
            "BadDigest",
            "InvalidArgument",
            "InvalidDigest",
            "InvalidRequest",
            "MalformedPOSTRequest",
            "MalformedXML",
            "MissingContentMD5",
            "UnsupportedOperation",
        ];
        matches!(self.status, 405 | 411 | 501)
            || matches!(self.code.as_str(), "MethodNotAllowed" | "NotImplemented")
            || matches!(self.status, 400 | 404) && UNKNOWN.contains(&self.code.as_str())
    }

    /// How far our clock is from the server's, if it said.
    pub(super) fn skew(&self) -> Option<TimeDelta> {
        self.date.map(|date| Utc::now() - date)
    }
}

/// What XML has to write in another way.
fn unescaped(text: &str) -> String {
    const ENTITIES: &[(&str, &str)] = &[
        ("&#34;", "\""),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&apos;", "'"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ];
    ENTITIES
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| {
            text.replace(escaped, plain)
        })
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message.trim_end_matches('.'))?;
        }
        Ok(())
    }
}
