//! A bucket's tree that is read.

use std::sync::Arc;

use async_trait::async_trait;

use super::fetch::BucketFetch;
use super::list::{Wanted, list};
use crate::config::job::{Endpoint, Task};
use crate::error::{Error, Kind, Result};
use crate::policy::Identity;
use crate::s3::{Patience, S3};
use crate::store::files::connection::blocking::blocking;
use crate::store::files::rows::survey::Found;
use crate::store::files::rows::tree::{At, Likenesses, Tree};
use crate::store::files::rows::walk::{Root, walk};
use crate::store::files::schema::filter::Filter;
use crate::store::files::schema::options::Options;
use crate::store::files::source::{no_rows, parts_of, server};
use crate::store::{ByName, Catalogue, Checksum, Chunks, Context, Part, Source, Survey, Taker};
use crate::sync::Mutex;

/// Seconds that an object may be older than it says: servers tell whole ones.
const WHOLE: i64 = 1;

/// A bucket's tree that is read.
pub(in crate::store::files) struct BucketSource {
    s3: Arc<S3>,
    wanted: Wanted,
    context: Context,
    throttle: Option<u64>,
    undecided: Mutex<(Vec<String>, u64)>,
}

/// Opens a bucket, or what is below a prefix of it. Nothing is asked of its server yet.
pub(in crate::store::files) async fn open(
    endpoint: &Endpoint,
    context: &Context,
) -> Result<Arc<S3>> {
    let s3 = S3::open(endpoint, &context.lookup, Patience::default()).await?;
    Ok(Arc::new(s3))
}

/// It, as policy knows it; a bucket that is not there is an error.
pub(in crate::store::files) async fn identity(s3: &S3) -> Result<Identity> {
    s3.now().await?;
    let place = format!("files {}/{}/{}", s3.server(), s3.bucket(), s3.path());
    Ok(Identity {
        thing: Some(place.clone()),
        place,
    })
}

impl BucketSource {
    /// A task's.
    pub(in crate::store::files) async fn open(task: &Task, context: &Context) -> Result<Self> {
        let options = task.options.get::<Options>()?;
        let filter = Filter::of(task, context.selection.describes_columns)?;
        Ok(Self {
            s3: open(&task.source, context).await?,
            wanted: Wanted {
                filter: Arc::new(filter),
                is_strict: true,
                marker: options.marker.clone(),
            },
            context: context.clone(),
            throttle: task.throttle,
            undecided: Mutex::default(),
        })
    }

    fn has_no_marker(&self, marker: &str) -> Error {
        let what = format!("the source {} has no object `{marker}`", self.s3.place());
        Error::new(Kind::Absent, what)
            .hint("see whether it is the right bucket and prefix: with `marker` a tree without that object is not copied")
    }
}

#[async_trait]
impl Source for BucketSource {
    async fn identity(&self) -> Result<Identity> {
        identity(&self.s3).await
    }

    async fn survey(&self, _taker: &Taker) -> Result<Survey> {
        let since = (self.s3.now().await?.timestamp().saturating_sub(WHOLE), 0);
        let listed = list(&self.s3, &self.wanted, &self.context.cancel).await?;
        if let Some(marker) = self.wanted.marker.as_deref().filter(|_| !listed.has_marker) {
            return Err(self.has_no_marker(marker));
        }
        let filter = Arc::clone(&self.wanted.filter);
        let root = Root::Listing(listed.listing.clone());
        let mut found = blocking(&self.context.cancel, move |stop| {
            let mut found = Found::new(filter);
            walk([Some(root), None], (), &mut found, stop)?;
            Ok(found)
        })
        .await?;
        *self.undecided.lock() = std::mem::take(&mut found.undecided);
        let parts = parts_of(&found.batches)?;
        let fetch = BucketFetch {
            s3: Arc::clone(&self.s3),
            wanted: Wanted {
                marker: None,
                ..self.wanted.clone()
            },
            context: self.context.clone(),
            throttle: self.throttle,
        };
        let tree = Tree {
            told: self.s3.place().to_owned(),
            at: At::Elsewhere(Arc::new(fetch)),
            listing: listed.listing,
            filter: Arc::clone(&self.wanted.filter),
            starts: found.batches.into_iter().map(|batch| batch.start).collect(),
            likenesses: Likenesses::default(),
            files: found.files,
            since,
        };
        Ok(Survey::new(server(), parts, Vec::new(), Arc::new(tree)))
    }

    async fn read(&self, _part: &Part) -> Result<Chunks> {
        Err(no_rows())
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        Ok(Catalogue::default())
    }

    async fn checksum(&self, _part: &Part) -> Result<Checksum> {
        Err(no_rows())
    }

    fn by_name(&self) -> Option<&dyn ByName> {
        Some(self)
    }

    async fn close(&self) {
        self.s3.settle().await;
    }
}

#[async_trait]
impl ByName for BucketSource {
    async fn unnamed(&self) -> Result<(Vec<String>, u64)> {
        Ok(self.undecided.lock().clone())
    }
}
