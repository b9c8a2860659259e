//! Lists that the library does not have, or has in a way that one odd key of somebody else breaks:
//! `ListObjectsV2` and `ListMultipartUploads`.

use chrono::{DateTime, Utc};
use object_store::path::Path;
use serde::Deserialize;

use super::client::{LONGEST_KEY, S3};
use super::explain::Doing;
use super::failure::Failed;
use super::object::{Names, Object, endless};
use super::request::{Request, ask, impossible, send};
use super::upload::LONGEST_ID;
use crate::config::percent_decoded;
use crate::error::Result;

/// What is below a prefix.
#[derive(Default)]
struct Listed {
    /// With the whole keys for paths.
    objects: Vec<Object>,
    /// Prefixes up to the next slash.
    folders: Vec<String>,
}

/// An upload that was begun and not ended.
pub(super) struct Interrupted {
    pub(super) key: String,
    pub(super) id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Objects {
    pub(super) encoding_type: Option<String>,
    #[serde(default)]
    pub(crate) contents: Vec<Content>,
    #[serde(default)]
    pub(crate) common_prefixes: Vec<Prefix>,
    pub(super) is_truncated: bool,
    pub(super) next_continuation_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Content {
    pub(crate) key: String,
    pub(super) size: u64,
    pub(super) last_modified: DateTime<Utc>,
    #[serde(rename = "ETag")]
    pub(super) tag: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Prefix {
    prefix: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Uploads {
    encoding_type: Option<String>,
    #[serde(default)]
    pub(crate) upload: Vec<Begun>,
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_upload_id_marker: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Begun {
    key: String,
    upload_id: String,
}

/// The lists that an archive asks a server for.
impl S3 {
    /// The time that the server says it is.
    pub(crate) async fn now(&self) -> Result<DateTime<Utc>> {
        let said = date(self, &self.prefix).await;
        let said = said.map_err(|failed| self.whom().failed(&Doing::List, &failed))?;
        Ok(said.unwrap_or_else(Utc::now))
    }

    pub(crate) async fn folders(&self) -> Result<Vec<String>> {
        let listed = list(self, &self.prefix, true).await?;
        Ok(listed
            .folders
            .iter()
            .filter_map(|folder| folder.strip_prefix(&self.prefix)?.strip_suffix('/'))
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect())
    }

    /// The names in a folder: of objects, and of folders with a slash behind them.
    pub(crate) async fn names_in(&self, folder: &str) -> Result<Vec<String>> {
        let folder = format!("{}{folder}/", self.prefix);
        let listed = list(self, &folder, true).await?;
        let objects = listed.objects.into_iter().map(|object| object.path);
        let names = objects.chain(listed.folders).filter_map(|key| {
            let name = key.strip_prefix(&folder)?;
            (!name.is_empty()).then(|| name.to_owned())
        });
        Ok(names.collect())
    }

    pub(crate) async fn list(&self, folder: &str) -> Result<Vec<Object>> {
        let folder = format!("{}{folder}/", self.prefix);
        let listed = list(self, &folder, false).await?;
        let ours = |mut object: Object| {
            let path = object.path.strip_prefix(&self.prefix)?;
            // Some programs put objects there that stand for folders.
            let path = (!path.ends_with('/')).then(|| path.to_owned())?;
            object.path = path;
            Some(object)
        };
        Ok(listed.objects.into_iter().filter_map(ours).collect())
    }

    pub(crate) async fn files(&self) -> Result<Vec<Object>> {
        let listed = list(self, &self.prefix, true).await?;
        let ours = |mut object: Object| {
            let path = object.path.strip_prefix(&self.prefix)?;
            let is_file = !path.is_empty() && !path.contains('/');
            object.path = is_file.then(|| path.to_owned())?;
            Some(object)
        };
        Ok(listed.objects.into_iter().filter_map(ours).collect())
    }

    pub(crate) async fn clear_interrupted(
        &self,
        is_ours: &(dyn Fn(&str, bool) -> bool + Send + Sync),
    ) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        for upload in self.interrupted(&self.prefix).await? {
            let name = upload.key.strip_prefix(&self.prefix);
            let Some(name) = name.filter(|name| !name.contains('/') && is_ours(name, false)) else {
                continue;
            };
            removed.push(format!("interrupted upload of {name}"));
            self.abort(&upload).await?;
        }
        Ok(removed)
    }

    /// Uploads that were begun and not ended, as far as we may see them.
    pub(super) async fn interrupted(&self, prefix: &str) -> Result<Vec<Interrupted>> {
        match uploads(self, prefix).await {
            Ok(found) => Ok(found),
            Err(failed) if failed.refusal().is_some_and(|refusal| !refusal.may_pass()) => {
                tracing::debug!(place = self.place(), %failed, "interrupted uploads cannot be seen");
                Ok(Vec::new())
            }
            Err(failed) => Err(self.whom().failed(&Doing::List, &failed)),
        }
    }

    pub(super) async fn abort(&self, upload: &Interrupted) -> Result<()> {
        use object_store::multipart::MultipartStore as _;
        // What no request can be made of is left there.
        let fits = upload.key.len() <= LONGEST_KEY && upload.id.len() <= LONGEST_ID;
        let Some(key) = Path::parse(&upload.key).ok().filter(|_| fits) else {
            return Ok(());
        };
        if let Err(error) = self.store.abort_multipart(&key, &upload.id).await {
            let refusal = Failed::of(&error).and_then(Failed::refusal);
            if refusal.is_none_or(|refusal| refusal.code != "NoSuchUpload") {
                return Err(self.explain(&Doing::Write(upload.key.clone()), error));
            }
        }
        Ok(())
    }

    pub(crate) async fn clear_uploads(&self, folder: &str) -> Result<()> {
        let prefix = format!("{}{folder}/", self.prefix);
        for upload in self.interrupted(&prefix).await? {
            self.abort(&upload).await?;
        }
        Ok(())
    }
}

/// Objects whose keys begin so; of those with a further slash only the part up to it, if `shallow`.
async fn list(s3: &S3, prefix: &str, shallow: bool) -> Result<Listed> {
    let mut listed = Listed::default();
    let mut names = Names::default();
    let mut pages = Pages::default();
    let mut token: Option<String> = None;
    loop {
        let mut query = vec![
            ("encoding-type", "url"),
            ("list-type", "2"),
            ("prefix", prefix),
        ];
        if shallow {
            query.push(("delimiter", "/"));
        }
        query.extend(
            token
                .iter()
                .map(|token| ("continuation-token", token.as_str())),
        );
        let page: Objects = ask(s3, Request::of_bucket(&query))
            .await
            .map_err(|failed| s3.whom().failed(&Doing::List, &failed))?;
        let encoded = page.encoding_type.as_deref() == Some("url");
        let found = page.contents.len() + page.common_prefixes.len();
        for content in page.contents {
            let path = name(content.key, encoded);
            names.add(&path, s3.place())?;
            listed.objects.push(Object {
                path,
                size: content.size,
                modified: content.last_modified,
            });
        }
        for folder in page.common_prefixes {
            let folder = name(folder.prefix, encoded);
            names.add(&folder, s3.place())?;
            listed.folders.push(folder);
        }
        if !page.is_truncated {
            return Ok(listed);
        }
        // A server that has more and does not say where would be asked for ever.
        if page.next_continuation_token.is_none()
            || page.next_continuation_token == token
            || pages.is_endless(found)
        {
            return Err(endless(s3.place()));
        }
        token = page.next_continuation_token;
    }
}

/// Pages without a name that may follow each other: a server may answer so for what was deleted, but not for ever.
const MOST_EMPTY: usize = 1000;

/// Pages of a list, as they come.
#[derive(Default)]
pub(super) struct Pages {
    /// Without a name, one after the other.
    empty: usize,
}

impl Pages {
    /// One more, with so many names.
    pub(super) fn is_endless(&mut self, names: usize) -> bool {
        self.empty = if names == 0 { self.empty + 1 } else { 0 };
        self.empty > MOST_EMPTY
    }
}

/// Uploads of keys that begin so.
async fn uploads(s3: &S3, prefix: &str) -> Result<Vec<Interrupted>, Failed> {
    let mut found = Vec::new();
    let (mut names, mut pages) = (Names::default(), Pages::default());
    let (mut key, mut id) = (None::<String>, None::<String>);
    loop {
        let mut query = vec![
            ("encoding-type", "url"),
            ("prefix", prefix),
            ("uploads", ""),
        ];
        query.extend(key.iter().map(|key| ("key-marker", key.as_str())));
        query.extend(id.iter().map(|id| ("upload-id-marker", id.as_str())));
        let page: Uploads = ask(s3, Request::of_bucket(&query)).await?;
        let encoded = page.encoding_type.as_deref() == Some("url");
        let in_page = page.upload.len();
        for upload in page.upload {
            let key = name(upload.key, encoded);
            let counted = names
                .add(&key, s3.place())
                .and_then(|()| names.add(&upload.upload_id, s3.place()));
            counted.map_err(|error| impossible(error.to_string()))?;
            found.push(Interrupted {
                key,
                id: upload.upload_id,
            });
        }
        if pages.is_endless(in_page) {
            return Err(impossible(endless(s3.place()).to_string()));
        }
        let next = page.next_key_marker.map(|key| name(key, encoded));
        if !page.is_truncated || (next == key && page.next_upload_id_marker == id) {
            // Some servers know only whole keys here, and list those that merely are of the same bucket.
            found.retain(|upload| upload.key.starts_with(prefix));
            return Ok(found);
        }
        (key, id) = (next, page.next_upload_id_marker);
    }
}

/// When the server says that it has answered, by its own clock (RFC 9110, 6.6.1); `None`: it does not say so.
async fn date(s3: &S3, prefix: &str) -> Result<Option<DateTime<Utc>>, Failed> {
    let query = [("list-type", "2"), ("max-keys", "1"), ("prefix", prefix)];
    let response = send(s3, Request::of_bucket(&query)).await?;
    let said = response.headers().get(http::header::DATE);
    let said = said.and_then(|said| DateTime::parse_from_rfc2822(said.to_str().ok()?).ok());
    Ok(said.map(|said| said.with_timezone(&Utc)))
}

/// A key as it is; in an encoded answer spaces are plus signs.
pub(crate) fn name(key: String, encoded: bool) -> String {
    if !encoded {
        return key;
    }
    let decoded = percent_decoded(&key.replace('+', " "));
    match decoded.map(String::from_utf8) {
        Some(Ok(decoded)) => decoded,
        _ => key,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::request::encode;

    #[test]
    fn a_key_survives_the_servers_encoding() {
        assert_eq!(name("a+b%2B%25%C3%A4/c".to_owned(), true), "a b+%ä/c");
        assert_eq!(name("a+b%2B".to_owned(), false), "a+b%2B");
        let mut encoded = String::new();
        encode("a b+%ä/~", &mut encoded);
        assert_eq!(encoded, "a%20b%2B%25%C3%A4%2F~");
    }

    #[test]
    fn pages_without_names_may_follow_each_other_but_not_for_ever() {
        let mut pages = Pages::default();
        assert!((0..MOST_EMPTY).all(|_| !pages.is_endless(0)));
        assert!(!pages.is_endless(1));
        assert!((0..MOST_EMPTY).all(|_| !pages.is_endless(0)));
        assert!(pages.is_endless(0));
    }

    #[test]
    fn objects_and_folders_may_stand_in_any_order() {
        let text = "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"x\"><Name>b</Name><IsTruncated>false</IsTruncated>\
            <CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes>\
            <Contents><Key>k</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified><Size>7</Size><ETag>x</ETag></Contents>\
            <CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes></ListBucketResult>";
        let page: Objects = quick_xml::de::from_str(text).unwrap();
        assert_eq!((page.contents.len(), page.common_prefixes.len()), (1, 2));
        assert_eq!((page.contents[0].size, page.is_truncated), (7, false));
    }
}
