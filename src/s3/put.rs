//! Objects that are written and deleted: those of trees, whose keys may be odd and which have metadata.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use md5::{Digest as _, Md5};
use serde::Deserialize;

use super::client::{LONGEST_KEY, S3};
use super::explain::Doing;
use super::failure::Failed;
use super::get::shown;
use super::listing::Interrupted;
use super::pages::unquoted;
use super::refusal::Refusal;
use super::request::{Request, ask, impossible, read, send, set};
use super::upload::LONGEST_ID;
use crate::config::bucket::Sse;
use crate::error::{Error, Kind, Result};

/// What an object has beside its content: headers that are sent with it.
#[derive(Debug, Default, Clone)]
pub(crate) struct About(pub(crate) HeaderMap);

/// An upload in parts.
pub(crate) struct Parts {
    s3: Arc<S3>,
    path: String,
    id: String,
    tags: Vec<String>,
    is_over: bool,
}

/// Where an object is copied from, by the server itself.
#[derive(Debug, Clone)]
pub(crate) struct CopySource {
    /// `/BUCKET/KEY`, encoded.
    pub(super) name: String,
}

/// What came of a copy by the server.
#[derive(Debug)]
pub(crate) enum Copied {
    /// It is there, and has this entity tag if the server says it.
    Done(Option<String>),
    /// The source has no such object.
    Gone,
    /// It was written anew meanwhile.
    Replaced,
    /// The server does not do it for these keys: why.
    Refused(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Begun {
    upload_id: String,
}

/// An answer with an entity tag.
#[derive(Deserialize)]
pub(super) struct Tagged {
    #[serde(rename = "ETag")]
    pub(super) tag: Option<String>,
}

#[derive(Deserialize)]
struct Deleted {
    #[serde(default, rename = "Error")]
    errors: Vec<NotDeleted>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NotDeleted {
    #[serde(default)]
    key: String,
    #[serde(default)]
    code: String,
}

/// A key's whole length is held to what servers take.
pub(super) fn check_length(s3: &S3, path: &str) -> Result<()> {
    if s3.prefix.len() + path.len() <= LONGEST_KEY {
        return Ok(());
    }
    let start: String = path.chars().take(50).collect();
    let what = format!(
        "{}... is too long for the name of an object in {}",
        shown(&start),
        s3.place()
    );
    Err(Error::new(Kind::Verify, what).hint("1024 bytes is the most, with the prefix"))
}

impl S3 {
    pub(super) fn key_of(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    pub(super) fn write_failed(&self, path: &str, failed: &Failed) -> Error {
        self.whom().failed(&Doing::Write(shown(path)), failed)
    }

    pub(super) fn encryption(&self, headers: &mut HeaderMap) {
        let sse = match self.sse {
            Some(Sse::Aes256) => "AES256",
            Some(Sse::Kms) => "aws:kms",
            None => return,
        };
        set(headers, "x-amz-server-side-encryption", sse);
    }

    /// Writes an object as a whole; the server holds it against its MD5. Returns its entity tag.
    pub(crate) async fn put_object(
        &self,
        path: &str,
        about: &About,
        content: Bytes,
    ) -> Result<Option<String>> {
        check_length(self, path)?;
        let key = self.key_of(path);
        let mut asked = Request::of_object(Method::PUT, &key);
        asked.headers = about.0.clone();
        self.encryption(&mut asked.headers);
        set(
            &mut asked.headers,
            "content-md5",
            &base64(&Md5::digest(&content)),
        );
        asked.body = content;
        let response = send(self, asked).await;
        let response = response.map_err(|failed| self.write_failed(path, &failed))?;
        let tag = response.headers().get(http::header::ETAG);
        Ok(tag.and_then(|tag| unquoted(tag.to_str().ok()?)))
    }

    /// Deletes objects by their paths; what is not there is no error. Returns how many there were to delete.
    pub(crate) async fn delete_objects(&self, paths: &[String]) -> Result<()> {
        let mut rest: Vec<&str> = paths.iter().map(String::as_str).collect();
        if !self.takes_no_list() {
            let (fit, odd): (Vec<&str>, Vec<&str>) =
                rest.iter().copied().partition(|path| is_xml(path));
            for batch in fit.chunks(1000) {
                if !self.delete_batch(batch).await? {
                    rest = fit;
                    rest.extend(odd);
                    return self.delete_one_by_one(&rest).await;
                }
            }
            rest = odd;
        }
        self.delete_one_by_one(&rest).await
    }

    /// `false`: the server takes no list.
    async fn delete_batch(&self, paths: &[&str]) -> Result<bool> {
        let mut body =
            "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>"
                .to_owned();
        for path in paths {
            body.push_str("<Object><Key>");
            body.push_str(&quick_xml::escape::escape(self.key_of(path)));
            body.push_str("</Key></Object>");
        }
        body.push_str("</Delete>");
        let mut asked = Request::of_bucket(&[("delete", "")]);
        asked.method = Method::POST;
        set(
            &mut asked.headers,
            "content-md5",
            &base64(&Md5::digest(&body)),
        );
        set(&mut asked.headers, "content-type", "application/xml");
        asked.body = body.into();
        let answer: Deleted = match ask(self, asked).await {
            Ok(answer) => answer,
            Err(failed) if failed.refusal().is_some_and(Refusal::takes_no_list) => {
                self.set_takes_no_list();
                return Ok(false);
            }
            Err(failed) => return Err(self.whom().failed(&Doing::Delete, &failed)),
        };
        let mut errors = answer.errors.iter();
        // Where directories are directories, one for which an object stands may have something in it that stays.
        let is_fine = |code: &str| code == "NoSuchKey" || code.contains("DirectoryNotEmpty");
        let Some(first) = errors.find(|error| !is_fine(&error.code)) else {
            return Ok(true);
        };
        let kind = match first.code.as_str() {
            "AccessDenied" => Kind::Permission,
            _ => Kind::Connection,
        };
        let what = format!("cannot delete {} from {}", shown(&first.key), self.place());
        let error = Error::new(kind, what).because(shown(&first.code));
        Err(match kind {
            Kind::Permission => error.hint("allow s3:DeleteObject"),
            _ => error,
        })
    }

    async fn delete_one_by_one(&self, paths: &[&str]) -> Result<()> {
        for path in paths {
            let key = self.key_of(path);
            let asked = Request::of_object(Method::DELETE, &key);
            if let Err(failed) = send(self, asked).await {
                let code = failed.refusal().map(|refusal| refusal.code.as_str());
                if code != Some("NoSuchKey") {
                    return Err(self.whom().failed(&Doing::Delete, &failed));
                }
            }
        }
        Ok(())
    }

    /// Uploads in parts below the prefix that were begun and not ended, as far as we may see them: path and id.
    pub(crate) async fn unfinished(&self) -> Result<Vec<(String, String)>> {
        let found = self.interrupted(&self.prefix).await?;
        let path = |upload: Interrupted| {
            let path = upload.key.strip_prefix(&self.prefix)?;
            Some((path.to_owned(), upload.id))
        };
        Ok(found.into_iter().filter_map(path).collect())
    }

    /// Ends an upload that nobody goes on with; what was sent of it goes.
    pub(crate) async fn abort_parts(&self, path: &str, id: &str) -> Result<()> {
        let key = self.key_of(path);
        if key.len() > LONGEST_KEY || id.len() > LONGEST_ID {
            return Ok(());
        }
        let query = [("uploadId", id)];
        let mut asked = Request::of_object(Method::DELETE, &key);
        asked.query = &query;
        match send(self, asked).await {
            Ok(_) => Ok(()),
            Err(failed) => {
                let code = failed.refusal().map(|refusal| refusal.code.as_str());
                match code {
                    Some("NoSuchUpload") => Ok(()),
                    _ => Err(self.write_failed(path, &failed)),
                }
            }
        }
    }
}

impl Parts {
    /// Begins one.
    pub(crate) async fn begin(s3: &Arc<S3>, path: &str, about: &About) -> Result<Self> {
        check_length(s3, path)?;
        let key = s3.key_of(path);
        let mut asked = Request::of_object(Method::POST, &key);
        asked.query = &[("uploads", "")];
        asked.headers = about.0.clone();
        s3.encryption(&mut asked.headers);
        let begun: Begun = ask(s3, asked)
            .await
            .map_err(|failed| s3.write_failed(path, &failed))?;
        if begun.upload_id.is_empty() || begun.upload_id.len() > LONGEST_ID {
            let what = format!(
                "{}: its server gives uploads ids that cannot be used",
                s3.place()
            );
            return Err(Error::new(Kind::Verify, what).hint("find out who answers there"));
        }
        Ok(Self {
            s3: Arc::clone(s3),
            path: path.to_owned(),
            id: begun.upload_id,
            tags: Vec::new(),
            is_over: false,
        })
    }

    /// Sends the next part.
    pub(crate) async fn send(&mut self, content: Bytes) -> Result<()> {
        let mut headers = HeaderMap::new();
        set(&mut headers, "content-md5", &base64(&Md5::digest(&content)));
        let number = (self.tags.len() + 1).to_string();
        let query = [
            ("partNumber", number.as_str()),
            ("uploadId", self.id.as_str()),
        ];
        let key = self.s3.key_of(&self.path);
        let mut asked = Request::of_object(Method::PUT, &key);
        (asked.query, asked.headers, asked.body) = (&query, headers, content);
        let response = send(&self.s3, asked).await;
        let response = response.map_err(|failed| self.s3.write_failed(&self.path, &failed))?;
        let tag = response.headers().get(http::header::ETAG);
        let tag = tag.and_then(|tag| unquoted(tag.to_str().ok()?));
        self.add(tag)
    }

    /// Has the server copy a range of an object, with this tag, as the next part.
    pub(crate) async fn copy(
        &mut self,
        from: &CopySource,
        tag: Option<&str>,
        range: std::ops::Range<u64>,
    ) -> Result<Copied> {
        let number = (self.tags.len() + 1).to_string();
        let query = [
            ("partNumber", number.as_str()),
            ("uploadId", self.id.as_str()),
        ];
        let key = self.s3.key_of(&self.path);
        let mut asked = Request::of_object(Method::PUT, &key);
        asked.query = &query;
        set(&mut asked.headers, "x-amz-copy-source", &from.name);
        let bytes = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        set(&mut asked.headers, "x-amz-copy-source-range", &bytes);
        if let Some(tag) = tag {
            set(
                &mut asked.headers,
                "x-amz-copy-source-if-match",
                &format!("\"{tag}\""),
            );
        }
        match ask::<Tagged>(&self.s3, asked).await {
            Ok(copied) => {
                let tag = copied.tag.as_deref().and_then(unquoted);
                self.add(tag.clone())?;
                Ok(Copied::Done(tag))
            }
            Err(failed) => self.s3.not_copied(&self.path, &failed),
        }
    }

    fn add(&mut self, tag: Option<String>) -> Result<()> {
        let missing = || {
            let failed = impossible("its answer has no ETag".to_owned());
            self.s3.write_failed(&self.path, &failed)
        };
        let tag = tag.ok_or_else(missing)?;
        self.tags.push(tag);
        Ok(())
    }

    /// Ends it: the object is there, whole. Returns its entity tag, if the server says it.
    pub(crate) async fn finish(mut self) -> Result<Option<String>> {
        let mut body =
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
                .to_owned();
        for (number, tag) in self.tags.iter().enumerate() {
            let tag = quick_xml::escape::escape(tag.as_str());
            let _ = write!(
                body,
                "<Part><PartNumber>{}</PartNumber><ETag>\"{tag}\"</ETag></Part>",
                number + 1
            );
        }
        body.push_str("</CompleteMultipartUpload>");
        let key = self.s3.key_of(&self.path);
        let query = [("uploadId", self.id.as_str())];
        let mut asked = Request::of_object(Method::POST, &key);
        asked.query = &query;
        set(&mut asked.headers, "content-type", "application/xml");
        asked.body = body.into();
        let tag = match send(&self.s3, asked).await {
            Ok(response) => {
                let body = response.into_body().bytes().await.unwrap_or_default();
                read::<Tagged>(&body).and_then(|tagged| unquoted(&tagged.tag?))
            }
            Err(failed) => {
                // The answer to a first try may have been lost on its way: what is there is verified later.
                let code = failed.refusal().map(|refusal| refusal.code.as_str());
                if !(code == Some("NoSuchUpload") && failed.tries > 1) {
                    return Err(self.s3.write_failed(&self.path, &failed));
                }
                None
            }
        };
        self.is_over = true;
        Ok(tag)
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (s3, path, id) = (Arc::clone(&self.s3), self.path.clone(), self.id.clone());
        self.s3.clean(async move {
            if let Err(error) = s3.abort_parts(&path, &id).await {
                tracing::debug!(%error, "an interrupted upload cannot be removed");
            }
        });
    }
}

/// Whether a text can stand in XML 1.0.
fn is_xml(text: &str) -> bool {
    !text
        .chars()
        .any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'))
}

/// As `Content-MD5` has it (RFC 1864).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let at = |index: usize| u32::from(three.get(index).copied().unwrap_or_default());
        let word = at(0) << 16 | at(1) << 8 | at(2);
        for index in 0..4 {
            if index <= three.len() {
                let letter = word >> (18 - 6 * index) & 63;
                text.push(char::from(LETTERS[letter as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_written_as_the_header_wants_them() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes), text);
        }
        assert_eq!(base64(&Md5::digest(b"")), "1B2M2Y8AsgTpgAmY7PhCfg==");
    }
}
