//! An object that its server copies by itself, with all that it has: by one request, or in parts if it is large.

use std::sync::Arc;

use super::about::of_object;
use crate::error::Result;
use crate::s3::S3;
use crate::s3::put::{Copied, Parts};

/// No larger object is copied by one request (`CopyObject`).
pub(super) const LARGEST: u64 = 5_000_000_000;
/// A larger one is copied in parts of so many bytes, or larger ones if it would have too many.
const RANGE: u64 = 1 << 30;
const MOST_RANGES: u64 = 10_000;

/// A copy that is to be made.
pub(super) struct ByServer<'a> {
    pub(super) from: (&'a Arc<S3>, &'a str),
    pub(super) to: (&'a Arc<S3>, &'a str),
    pub(super) size: u64,
    /// Only the object that has this tag is copied.
    pub(super) tag: Option<&'a str>,
}

impl ByServer<'_> {
    /// Has it made; `arrived` is told of bytes.
    pub(super) async fn copy(&self, arrived: &(dyn Fn(u64) + Sync)) -> Result<Copied> {
        let ((from, source), (to, path)) = (self.from, self.to);
        let place = from.copy_source(source);
        if self.size <= LARGEST {
            let copied = to.copy_object(path, &place, self.tag).await?;
            if matches!(copied, Copied::Done(_)) {
                arrived(self.size);
            }
            return Ok(copied);
        }
        // What it has beside its content a copy in parts does not take over by itself.
        let Some(found) = from.look(source).await? else {
            return Ok(Copied::Gone);
        };
        if self.tag.is_some() && found.tag.as_deref() != self.tag {
            return Ok(Copied::Replaced);
        }
        let range = found.size.div_ceil(MOST_RANGES).max(RANGE);
        let mut parts = Parts::begin(to, path, &of_object(&found.headers)).await?;
        let mut at = 0;
        while at < found.size {
            let end = found.size.min(at + range);
            match parts.copy(&place, found.tag.as_deref(), at..end).await? {
                Copied::Done(_) => arrived(end - at),
                other => return Ok(other),
            }
            at = end;
        }
        parts.finish().await.map(Copied::Done)
    }
}
