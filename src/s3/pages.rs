//! A bucket's objects page by page, in little memory: a tree may have millions.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::client::S3;
use super::explain::Doing;
use super::listing::{Objects, Pages, name};
use super::object::endless;
use super::request::{Request, ask};
use crate::error::Result;

/// More objects than a tree has: a server may go on for ever.
const MOST: u64 = 100_000_000;

/// What a list says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its key behind the prefix.
    pub(crate) path: String,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// When it was written, by the server's clock.
    pub(crate) modified: DateTime<Utc>,
    /// Its entity tag, without quotes.
    pub(crate) tag: Option<String>,
}

/// All objects below a prefix, a page of a thousand at a time.
pub(crate) struct Listing {
    s3: Arc<S3>,
    /// What all keys begin with.
    begins: String,
    token: Option<String>,
    pages: Pages,
    found: u64,
    is_over: bool,
}

impl Listing {
    /// Those below the prefix. Nothing is asked yet.
    pub(crate) fn of(s3: &Arc<S3>) -> Self {
        Self::below(s3, "")
    }

    /// Those below the prefix whose paths begin so.
    pub(crate) fn below(s3: &Arc<S3>, begins: &str) -> Self {
        Self {
            s3: Arc::clone(s3),
            begins: format!("{}{begins}", s3.prefix),
            token: None,
            pages: Pages::default(),
            found: 0,
            is_over: false,
        }
    }

    /// The next page, which may be empty; `None`: there are no more.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Listed>>> {
        if self.is_over {
            return Ok(None);
        }
        let s3 = &self.s3;
        let mut query = vec![
            ("encoding-type", "url"),
            ("list-type", "2"),
            ("prefix", self.begins.as_str()),
        ];
        let token = self.token.iter();
        query.extend(token.map(|token| ("continuation-token", token.as_str())));
        let page: Objects = ask(s3, Request::of_bucket(&query))
            .await
            .map_err(|failed| s3.whom().failed(&Doing::List, &failed))?;
        let encoded = page.encoding_type.as_deref() == Some("url");
        self.found += page.contents.len() as u64;
        if self.found > MOST {
            return Err(endless(s3.place()));
        }
        let mut objects = Vec::with_capacity(page.contents.len());
        for content in page.contents {
            let key = name(content.key, encoded);
            // Nothing else was asked for.
            if !key.starts_with(&self.begins) {
                continue;
            }
            let path = &key[s3.prefix.len()..];
            objects.push(Listed {
                path: path.to_owned(),
                size: content.size,
                modified: content.last_modified,
                tag: content.tag.as_deref().and_then(unquoted),
            });
        }
        self.is_over = !page.is_truncated;
        let next = page.next_continuation_token;
        // A server that has more and does not say where would be asked for ever.
        if !self.is_over
            && (next.is_none() || next == self.token || self.pages.is_endless(objects.len()))
        {
            return Err(endless(s3.place()));
        }
        self.token = next;
        Ok(Some(objects))
    }
}

/// An entity tag without its quotes; `None`: it is none.
pub(super) fn unquoted(tag: &str) -> Option<String> {
    let tag = tag.trim().trim_matches('"');
    let is_fine = !tag.is_empty() && tag.len() <= 200 && tag.bytes().all(|b| b.is_ascii_graphic());
    is_fine.then(|| tag.to_owned())
}
