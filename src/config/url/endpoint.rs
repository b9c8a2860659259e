//! An endpoint's URL once it is known to be right.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::archive::ArchiveUrl;
use super::bucket::BucketUrl;
use crate::config::stores::{ParsedUrl, Risk, StoreKind};
use crate::error::{Error, Kind, Result};

/// An endpoint's URL, read once. What it says is the store's own type.
#[derive(Clone)]
pub struct EndpointUrl {
    text: String,
    place: String,
    leads_to: LeadsTo,
}

#[derive(Clone)]
enum LeadsTo {
    Archive(ArchiveUrl),
    Store(Store),
}

#[derive(Clone)]
struct Store {
    kind: StoreKind,
    database: Option<String>,
    risk: Option<Risk>,
    bucket: Option<BucketUrl>,
    has_no_swap: bool,
    address: Arc<dyn Any + Send + Sync>,
}

impl EndpointUrl {
    /// A URL as a store of this kind has parsed it.
    pub(super) fn of_store(kind: StoreKind, parsed: ParsedUrl) -> Self {
        Self {
            text: parsed.text,
            place: parsed.place,
            leads_to: LeadsTo::Store(Store {
                kind,
                database: parsed.database,
                risk: parsed.risk,
                bucket: parsed.bucket,
                has_no_swap: parsed.has_no_swap,
                address: parsed.address,
            }),
        }
    }

    /// For people: without a password, percent-encoded as it was written; files in it are absolute.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// One spelling for all that lead to the same place.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The archive that it is of.
    pub fn archive(&self) -> Option<&ArchiveUrl> {
        match &self.leads_to {
            LeadsTo::Archive(url) => Some(url),
            LeadsTo::Store(_) => None,
        }
    }

    fn store(&self) -> Option<&Store> {
        match &self.leads_to {
            LeadsTo::Store(store) => Some(store),
            LeadsTo::Archive(_) => None,
        }
    }

    /// The store that it is of.
    pub fn kind(&self) -> Option<StoreKind> {
        self.store().map(|store| store.kind)
    }

    /// The bucket that it is in: an archive, or a store's.
    pub fn bucket(&self) -> Option<&BucketUrl> {
        match &self.leads_to {
            LeadsTo::Archive(ArchiveUrl::Bucket(url)) => Some(url),
            LeadsTo::Archive(ArchiveUrl::Directory(_)) => None,
            LeadsTo::Store(store) => store.bucket.as_ref(),
        }
    }

    /// Whether what is there cannot be exchanged in one step.
    pub fn has_no_swap(&self) -> bool {
        self.store().is_some_and(|store| store.has_no_swap)
    }

    /// The database as it is called on the server.
    pub fn database(&self) -> Option<&str> {
        self.store()?.database.as_deref()
    }

    /// What is at risk because it gives up TLS.
    pub fn risk(&self) -> Option<&Risk> {
        self.store()?.risk.as_ref()
    }

    /// What its store has read. A task's URLs are of the task's store: whoever asks for another store's type has not looked.
    pub fn address<T: Any>(&self) -> Result<&T> {
        self.store()
            .and_then(|store| store.address.downcast_ref())
            .ok_or_else(|| {
                let what = format!("{} is a URL of another store", self.text);
                Error::new(Kind::Internal, what)
            })
    }
}

impl From<ArchiveUrl> for EndpointUrl {
    fn from(url: ArchiveUrl) -> Self {
        let text = url.to_string();
        Self {
            place: text.clone(),
            text,
            leads_to: LeadsTo::Archive(url),
        }
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}
