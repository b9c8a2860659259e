//! An object that is read, with what is known of it. A connection that is cut is made again, where it was; an object that was
//! written anew meanwhile is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::header::{CONTENT_LENGTH, ETAG, HeaderValue, IF_MATCH, LAST_MODIFIED, RANGE};
use http::{HeaderMap, Method};
use object_store::client::HttpError;

use super::client::S3;
use super::explain::Doing;
use super::pages::unquoted;
use super::reading::Broken;
use super::request::{Request, impossible, send, set};
use crate::error::Result;

/// The first pause before a connection is made again.
const PAUSE: Duration = Duration::from_millis(100);

/// What comes of reading on.
pub(crate) enum Next {
    /// More of it.
    Bytes(Bytes),
    /// It has been read, in its full length.
    End,
    /// It was removed or written anew since it was opened.
    Replaced,
}

/// An object that is being read.
pub(crate) struct Get {
    s3: Arc<S3>,
    path: String,
    /// Its length.
    pub(crate) size: u64,
    /// What tells it from one that takes its place, without quotes.
    pub(crate) tag: Option<String>,
    /// When it was written, to the second.
    pub(crate) modified: Option<DateTime<Utc>>,
    /// All that the server said of it.
    pub(crate) headers: HeaderMap,
    at: u64,
    body: Option<BoxStream<'static, Result<Bytes, HttpError>>>,
    pause: Duration,
}

impl Get {
    /// Opens an object by its path behind the prefix; `None`: it is not there.
    pub(crate) async fn open(s3: &Arc<S3>, path: &str) -> Result<Option<Self>> {
        let mut get = Self {
            s3: Arc::clone(s3),
            path: path.to_owned(),
            size: 0,
            tag: None,
            modified: None,
            headers: HeaderMap::new(),
            at: 0,
            body: None,
            pause: PAUSE,
        };
        Ok(get.ask(true).await?.then_some(get))
    }

    /// Asks for what is still to come; `false`: there is no such object, or another one.
    async fn ask(&mut self, is_first: bool) -> Result<bool> {
        let key = format!("{}{}", self.s3.prefix, self.path);
        let mut asked = Request::of_object(Method::GET, &key);
        set(&mut asked.headers, "x-amz-checksum-mode", "ENABLED");
        if !is_first {
            if let Some(tag) = &self.tag
                && let Ok(tag) = HeaderValue::from_str(&format!("\"{tag}\""))
            {
                asked.headers.insert(IF_MATCH, tag);
            }
            if self.at > 0
                && let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", self.at))
            {
                asked.headers.insert(RANGE, range);
            }
        }
        let response = match send(&self.s3, asked).await {
            Ok(response) => response,
            Err(failed) => {
                let refusal = failed.refusal();
                let is_gone = refusal.is_some_and(|refusal| {
                    refusal.code == "NoSuchKey"
                        || !is_first && matches!(refusal.status, 404 | 412 | 416)
                });
                if is_gone {
                    return Ok(false);
                }
                let doing = Doing::Read(shown(&self.path));
                return Err(self.s3.whom().failed(&doing, &failed));
            }
        };
        let headers = response.headers();
        let text = |name| {
            headers
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        let length: Option<u64> = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let tag = text(ETAG).and_then(unquoted);
        let is_partial = response.status() == http::StatusCode::PARTIAL_CONTENT;
        if is_first {
            let Some(length) = length.filter(|_| !is_partial) else {
                let failed = impossible("its answer has no length".to_owned());
                let doing = Doing::Read(shown(&self.path));
                return Err(self.s3.whom().failed(&doing, &failed));
            };
            let modified = text(LAST_MODIFIED);
            let modified = modified.and_then(|time| DateTime::parse_from_rfc2822(time).ok());
            self.modified = modified.map(|time| time.to_utc());
            self.size = length;
            self.tag = tag;
            self.headers = headers.clone();
        } else {
            let rest = self.size - self.at;
            if tag != self.tag || length != Some(rest) || is_partial != (self.at > 0) {
                return Ok(false);
            }
        }
        self.body = Some(response.into_body().bytes_stream());
        Ok(true)
    }

    /// Reads on.
    pub(crate) async fn next(&mut self) -> Result<Next> {
        let patience = self.s3.transport.patience();
        // Only our own waiting counts, not that of whoever takes the bytes.
        let moved = Instant::now();
        loop {
            if self.at >= self.size {
                return Ok(Next::End);
            }
            if self.body.is_none() && !self.ask(false).await? {
                return Ok(Next::Replaced);
            }
            let broke = match &mut self.body {
                None => continue,
                Some(body) => match tokio::time::timeout(patience.still, body.next()).await {
                    Ok(Some(Ok(chunk))) if chunk.is_empty() => continue,
                    Ok(Some(Ok(mut chunk))) => {
                        // No more than was promised, whatever comes.
                        let wanted = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
                        chunk.truncate(wanted);
                        self.at += chunk.len() as u64;
                        self.pause = PAUSE;
                        return Ok(Next::Bytes(chunk));
                    }
                    Ok(Some(Err(error))) => error.to_string(),
                    Ok(None) => "it ended too early".to_owned(),
                    Err(_) => "nothing came".to_owned(),
                },
            };
            self.body = None;
            // One that has no tag cannot be told from another one.
            if self.tag.is_none() {
                return Ok(Next::Replaced);
            }
            let broken = Broken {
                path: &shown(&self.path),
                at: self.at,
                since: moved,
                why: broke,
            };
            self.s3.wait_to_read_on(broken, &mut self.pause).await?;
        }
    }
}

/// A path as people read it: in one line.
pub(super) fn shown(path: &str) -> String {
    let shown: String = path
        .chars()
        .take(300)
        .flat_map(char::escape_debug)
        .collect();
    shown.replace("\\'", "'").replace("\\\"", "\"")
}
