//! Objects that the server copies by itself, and what it says of one without sending it.

use chrono::{DateTime, Utc};
use http::header::{CONTENT_LENGTH, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, Method};

use super::client::S3;
use super::explain::Doing;
use super::failure::Failed;
use super::get::shown;
use super::pages::unquoted;
use super::put::{Copied, CopySource, Tagged, check_length};
use super::request::{Request, ask, encode_key, impossible, send, set};
use crate::error::Result;

/// What a server says of an object.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// Its length in bytes.
    pub(crate) size: u64,
    /// Its entity tag, without quotes.
    pub(crate) tag: Option<String>,
    /// When it was written, to the second.
    pub(crate) modified: Option<DateTime<Utc>>,
    /// All that was said.
    pub(crate) headers: HeaderMap,
}

impl S3 {
    /// What a server would copy from, for another client of it: an object by its path.
    pub(crate) fn copy_source(&self, path: &str) -> CopySource {
        let mut name = format!("/{}/", self.bucket());
        encode_key(&self.key_of(path), &mut name);
        CopySource { name }
    }

    /// Has the server copy an object of 5 GB or less, with all that it has; with a tag, only the one that has it.
    pub(crate) async fn copy_object(
        &self,
        path: &str,
        from: &CopySource,
        tag: Option<&str>,
    ) -> Result<Copied> {
        check_length(self, path)?;
        let key = self.key_of(path);
        let mut asked = Request::of_object(Method::PUT, &key);
        set(&mut asked.headers, "x-amz-copy-source", &from.name);
        if let Some(tag) = tag {
            let wanted = format!("\"{tag}\"");
            set(&mut asked.headers, "x-amz-copy-source-if-match", &wanted);
        }
        self.encryption(&mut asked.headers);
        match ask::<Tagged>(self, asked).await {
            Ok(copied) => Ok(Copied::Done(copied.tag.as_deref().and_then(unquoted))),
            Err(failed) => self.not_copied(path, &failed),
        }
    }

    pub(super) fn not_copied(&self, path: &str, failed: &Failed) -> Result<Copied> {
        let code = failed.refusal().map(|refusal| refusal.code.as_str());
        match code {
            Some("NoSuchKey") => Ok(Copied::Gone),
            Some("PreconditionFailed") => Ok(Copied::Replaced),
            Some("AccessDenied" | "NoSuchBucket" | "InvalidAccessKeyId" | "NotImplemented") => {
                Ok(Copied::Refused(failed.to_string()))
            }
            _ => Err(self.write_failed(path, failed)),
        }
    }

    /// What the server says of an object; `None`: it is not there.
    pub(crate) async fn look(&self, path: &str) -> Result<Option<Found>> {
        let key = self.key_of(path);
        let failed = |failed: &Failed| self.whom().failed(&Doing::Read(shown(path)), failed);
        let response = match send(self, Request::of_object(Method::HEAD, &key)).await {
            Ok(response) => response,
            // The answer has no body, in which a code would stand.
            Err(said) if said.refusal().is_some_and(|refusal| refusal.status == 404) => {
                return Ok(None);
            }
            Err(said) => return Err(failed(&said)),
        };
        let headers = response.headers().clone();
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let size = text(CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let size =
            size.ok_or_else(|| failed(&impossible("its answer has no length".to_owned())))?;
        let modified = text(LAST_MODIFIED);
        let modified = modified.and_then(|time| DateTime::parse_from_rfc2822(time).ok());
        Ok(Some(Found {
            size,
            tag: text(ETAG).and_then(unquoted),
            modified: modified.map(|time| time.to_utc()),
            headers,
        }))
    }
}
